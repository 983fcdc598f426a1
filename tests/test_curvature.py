"""Eigenpairs against the dense Hessian of a small network, and against quadratics with a chosen spectrum."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers.curvature import OverflowedCurvature, top_eigenpairs
from landscape_helpers.objective import Objective


def quadratic(spectrum: torch.Tensor, seed: int = 0) -> tuple[Objective, torch.Tensor]:
    """An objective whose Hessian is Q diag(spectrum) Q', and that matrix."""
    P = len(spectrum)
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(P, P, generator=generator, dtype=torch.float64))
    H = Q @ torch.diag(spectrum) @ Q.T
    model = nn.Linear(P, 1, bias=False).double()

    class Form(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.theta = model.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (0.5 * self.theta @ H @ self.theta.T).expand(len(x), 1)

    x = torch.zeros(1, 1, dtype=torch.float64)
    return Objective(Form(), x, x, loss=lambda out, y: out.mean()), H


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k must lie between 1 and the number of parameters 3, got 0"),
        ({"k": 4}, "k must lie between 1 and the number of parameters 3, got 4"),
        ({"which": "LM"}, "which must be 'LA'"),
        ({"start": torch.zeros(3, dtype=torch.float64)}, "start must be a non-zero finite vector"),
        ({"start": torch.ones(2, dtype=torch.float64)}, r"start must have shape \(3,\)"),
    ],
)
def test_bad_input_is_refused(change, message):
    objective, _ = quadratic(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    with pytest.raises(ValueError, match=message):
        top_eigenpairs(objective, objective.theta, **({"k": 1} | change))


def test_overflow_is_named():
    objective, _ = network()
    with pytest.raises(OverflowedCurvature, match="not finite"):
        top_eigenpairs(objective, objective.theta * 1e308 * 10, 1)
