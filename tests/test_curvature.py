"""Eigenpairs against the dense Hessian of a small network, and against quadratics with a chosen spectrum."""

import numpy as np
import pytest
import torch
from quadratic_form import quadratic
from torch import nn

from landscape_helpers.curvature import OverflowedCurvature, both_ends, top_eigenpairs
from landscape_helpers.objective import Objective


def network() -> tuple[Objective, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (40,), generator=generator)
    objective = Objective(model, x, y, batch_size=17)
    identity = torch.eye(objective.parameters, dtype=torch.float64)
    H = objective.hvp(objective.theta, identity)
    assert float((H - H.T).abs().max()) < 1e-14
    return objective, H


@pytest.mark.parametrize("which", ["LA", "SA"])
@pytest.mark.parametrize("k", [1, 5])
def test_network_eigenpairs_match_the_dense_hessian(which, k):
    objective, H = network()
    truth = np.linalg.eigvalsh(H.numpy())
    truth = truth[::-1][:k] if which == "LA" else truth[:k]
    pairs = top_eigenpairs(objective, objective.theta, k, which, tol=1e-8)
    assert pairs.converged
    np.testing.assert_allclose(pairs.values, truth, atol=1e-8 * abs(truth).max())
    residuals = (H @ pairs.vectors - pairs.vectors * torch.as_tensor(pairs.values.copy())).norm(dim=0)
    scale = abs(np.linalg.eigvalsh(H.numpy())).max()
    assert float(residuals.max()) < 1e-7 * scale
    gram = pairs.vectors.T @ pairs.vectors
    assert float((gram - torch.eye(k, dtype=torch.float64)).abs().max()) < 1e-10


@pytest.mark.parametrize(
    "spectrum",
    [
        torch.tensor([5.0, 5.0, 5.0, 1.0, -2.0, -9.0]),  # repeated at the top, a larger negative end
        torch.tensor([1.0, 1.0, 1.0, 1.0]),  # one eigenvalue: the Krylov space has dimension one
        torch.tensor([0.0, 0.0, 0.0]),
        torch.linspace(-3, 4, 30),
    ],
)
@pytest.mark.parametrize("which", ["LA", "SA"])
def test_algebraic_ends_of_hard_spectra(spectrum, which):
    objective, H = quadratic(spectrum.double())
    k = 3
    truth = spectrum.double().sort(descending=which == "LA").values[:k].numpy()
    pairs = top_eigenpairs(objective, objective.theta, k, which, tol=1e-10)
    np.testing.assert_allclose(pairs.values, truth, atol=1e-8)
    residuals = (H @ pairs.vectors - pairs.vectors * torch.as_tensor(pairs.values.copy())).norm(dim=0)
    assert float(residuals.max()) < 1e-7


def test_eigenvalues_do_not_depend_on_how_the_data_are_cut():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.randn(40, 6, dtype=torch.float64), torch.randint(0, 3, (40,))
    values = []
    for batch_size in (40, 7):
        objective = Objective(model, x, y, batch_size=batch_size)
        values.append(top_eigenpairs(objective, objective.theta, 3, tol=1e-8).values)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-10)


def test_a_good_start_saves_products():
    objective, _ = network()
    cold = top_eigenpairs(objective, objective.theta, 1, tol=1e-6)
    warm = top_eigenpairs(objective, objective.theta, 1, tol=1e-6, start=cold.vectors[:, 0])
    assert warm.products < cold.products
    assert warm.values[0] == pytest.approx(cold.values[0], rel=1e-9)


def test_a_random_start_is_not_mistaken_for_the_top():
    """Curvature in two of 400 directions: a random vector's residual is already small beside the spectrum."""
    spectrum = torch.zeros(400, dtype=torch.float64)
    spectrum[0], spectrum[-1] = 10.0, -90.0
    objective, _ = quadratic(spectrum + 0.01 * torch.linspace(-1, 1, 400, dtype=torch.float64))
    for seed in range(5):
        pairs = top_eigenpairs(objective, objective.theta, 1, tol=0.1, seed=seed)
        assert pairs.values[0] == pytest.approx(10.0, rel=0.02)


def test_a_spent_budget_is_reported_and_not_hidden():
    objective, _ = quadratic(torch.linspace(0, 1, 60, dtype=torch.float64))
    pairs = top_eigenpairs(objective, objective.theta, 2, tol=1e-10, max_products=6)
    assert not pairs.converged
    assert pairs.products == 6
    assert pairs.residuals.max() > 1e-3


@pytest.mark.parametrize("budget", [4, 10, 14, 19, 30])
def test_a_budget_is_not_exceeded_while_copies_are_looked_for(budget):
    """Two pairs of equal eigenvalues: their copies take a second space, for which 21 products are enough."""
    spectrum = torch.cat([torch.tensor([5.0, 5.0, 4.0, 4.0]), torch.linspace(-1, 1, 200)])
    objective, _ = quadratic(spectrum)
    pairs = top_eigenpairs(objective, objective.theta, 2, tol=1e-4, max_products=budget)
    assert pairs.products == objective.counts.products <= budget
    if budget > 21:
        np.testing.assert_allclose(pairs.values, 5, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k must lie between 1 and the number of parameters 3, got 0"),
        ({"k": 4}, "k must lie between 1 and the number of parameters 3, got 4"),
        ({"which": "LM"}, "which must be 'LA'"),
        ({"start": torch.zeros(3, dtype=torch.float64)}, "start must be a non-zero finite vector"),
        ({"start": torch.full((3,), torch.inf, dtype=torch.float64)}, "start must be a non-zero finite vector"),
        ({"start": torch.ones(2, dtype=torch.float64)}, r"start must have shape \(3,\)"),
        ({"tol": -1.0}, "tol must be above 0, got -1.0"),
        ({"tol": float("nan")}, "tol must be above 0, got nan"),
        ({"max_products": -5}, r"max_products must be at least k \+ 1 = 2: each pair takes one, got -5"),
        ({"k": 2, "max_products": 2}, r"max_products must be at least k \+ 1 = 3: each pair takes one, got 2"),
        ({"k": 3, "max_products": 2}, "max_products must be at least k = 3: each pair takes one, got 2"),
    ],
)
def test_bad_input_is_refused(change, message):
    objective, _ = quadratic(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    with pytest.raises(ValueError, match=message):
        top_eigenpairs(objective, objective.theta, **({"k": 1} | change))
    if "which" not in change:
        with pytest.raises(ValueError, match=message):
            both_ends(objective, objective.theta, **({"k": 1} | change))
    assert objective.counts.products == 0


def test_all_pairs_fit_a_budget_of_as_many_products():
    objective, _ = quadratic(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    pairs = top_eigenpairs(objective, objective.theta, 3, max_products=3)
    np.testing.assert_allclose(pairs.values, [3.0, 2.0, 1.0], rtol=1e-10)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_both_ends_of_one_krylov_space(k):
    objective, H = network()
    truth, axes = np.linalg.eigh(H.numpy())
    assert truth[0] < 0 < truth[-1]
    top, bottom = both_ends(objective, objective.theta, k, tol=1e-8)
    assert top.converged and bottom.converged and top.products == bottom.products
    np.testing.assert_allclose(top.values, truth[::-1][:k], atol=1e-8 * truth[-1])
    np.testing.assert_allclose(bottom.values, truth[:k], atol=1e-8 * truth[-1])
    alone = [top_eigenpairs(objective, objective.theta, k, which, tol=1e-8).products for which in ("LA", "SA")]
    assert top.products <= sum(alone)
    if k == 4:
        for pairs, exact in ((top, axes[:, ::-1][:, :k]), (bottom, axes[:, :k])):
            V = pairs.vectors.numpy()
            assert np.linalg.norm(V - exact @ (exact.T @ V), 2) < 1e-4


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_the_subspace_of_a_cluster_is_found(which):
    """Eigenvalues that agree to eight digits: no single vector is defined, but their span is."""
    spectrum = torch.linspace(-1, 1, 40, dtype=torch.float64)
    spectrum[:3] = -2 - 1e-8 * torch.arange(3)
    spectrum[-3:] = 3 + 1e-8 * torch.arange(3)
    objective, H = quadratic(spectrum)
    _, axes = np.linalg.eigh(H.numpy())
    exact = axes[:, -3:] if which == "LA" else axes[:, :3]
    pairs = top_eigenpairs(objective, objective.theta, 3, which, tol=1e-10)
    V = pairs.vectors.numpy()
    assert np.linalg.norm(V - exact @ (exact.T @ V), 2) < 1e-4
    np.testing.assert_allclose(pairs.values, 3 if which == "LA" else -2, rtol=1e-6)


def test_copies_are_found_at_both_ends_of_a_large_space():
    """Softmax regression at zero: every eigenvalue of the data's covariance three times, and no exhausted space."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(400, 60, generator=generator, dtype=torch.float64) * torch.linspace(0.5, 3, 60)
    model = nn.Linear(60, 4, bias=False).double()
    nn.init.zeros_(model.weight)
    objective = Objective(model, x, torch.randint(0, 4, (400,), generator=generator))
    covariance = np.linalg.eigvalsh((x.T @ x).numpy() / 400)[::-1] / 4
    pairs = top_eigenpairs(objective, objective.theta, 9, tol=1e-6)
    assert pairs.converged and pairs.products < objective.parameters
    np.testing.assert_allclose(pairs.values, np.repeat(covariance[:3], 3), rtol=1e-6)
    np.testing.assert_allclose((pairs.vectors.T @ pairs.vectors).numpy(), np.eye(9), atol=1e-6)
    H = objective.hvp(objective.theta, torch.eye(240, dtype=torch.float64))
    true = (H @ pairs.vectors - pairs.vectors * torch.as_tensor(pairs.values.copy())).norm(dim=0).numpy()
    assert (true <= pairs.residuals + 1e-9).all()
    assert (pairs.residuals <= 1e-6 * pairs.values).all()


@pytest.mark.parametrize("call", [both_ends, top_eigenpairs])
def test_more_pairs_than_parameters_are_refused(call):
    objective, _ = network()
    with pytest.raises(ValueError, match="k must lie between 1 and the number of parameters 83, got 84"):
        call(objective, objective.theta, 84)


@pytest.mark.parametrize("call", [both_ends, top_eigenpairs])
def test_a_point_that_is_not_a_number_is_named(call):
    objective, _ = network()
    with pytest.raises(OverflowedCurvature, match="not finite"):
        call(objective, objective.theta * float("nan"), 1)


def test_overflow_is_named():
    objective, _ = network()
    with pytest.raises(OverflowedCurvature, match="not finite"):
        top_eigenpairs(objective, objective.theta * 1e308 * 10, 1)
