"""Eigenpairs from products in the range of the data: every piece against plain Hessian-vector products."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers.curvature import HessianAt, both_ends, top_eigenpairs
from landscape_helpers.curvature.first_layer import FirstLayerSubspace
from landscape_helpers.curvature.krylov import KrylovSpace
from landscape_helpers.curvature.subspace_pairs import _outside_scales
from landscape_helpers.objective import Objective

D, H, N = 520, 3, 300


def data(directions: int = 30, noise: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of sorts: most of them in a few directions, a little everywhere."""
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randn(directions, D, generator=generator, dtype=torch.float64) / directions**0.5
    x = torch.randn(N, directions, generator=generator, dtype=torch.float64) @ shape
    x += noise * torch.randn(N, D, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 4, (N,), generator=generator)


def objective_of(x, y, activation=nn.Tanh, dtype=torch.float64, bias: bool = True, **options) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(D, H, bias), activation(), nn.Linear(H, 4)).to(dtype)
    return Objective(model, x.to(dtype), y, **options)


def subspace_of(objective: Objective) -> FirstLayerSubspace | None:
    return FirstLayerSubspace.of(HessianAt(objective, objective.theta).way())


def off(subspace: FirstLayerSubspace, weight: torch.Tensor) -> torch.Tensor:
    return weight - weight @ subspace.basis @ subspace.basis.T


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("bias", [True, False])
def test_every_product_is_part_of_a_plain_one(activation, bias):
    objective = objective_of(*data(), activation=activation, bias=bias, batch_size=130)
    subspace = subspace_of(objective)
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(3, subspace.parameters, generator=generator, dtype=torch.float64)
    lifted = torch.stack([subspace.lifted(row) for row in rows])
    torch.testing.assert_close(torch.stack([subspace.coordinates(v) for v in lifted]), rows)
    truth = objective.hvp(objective.theta, lifted.T).T
    inside, outside = subspace.products_inside(rows)
    whole = torch.stack([subspace.lifted(a, b) for a, b in zip(inside, outside, strict=True)])
    torch.testing.assert_close(whole, truth)
    torch.testing.assert_close(torch.stack([subspace.product(row) for row in rows]), inside)

    vectors = torch.stack([off(subspace, w) for w in torch.randn(3, H, D, generator=generator, dtype=torch.float64)])
    lifted = torch.stack([subspace.lifted(0 * rows[0], w) for w in vectors])
    truth = objective.hvp(objective.theta, lifted.T).T
    image = subspace.products_outside(vectors)
    torch.testing.assert_close(image.inside, torch.stack([subspace.coordinates(v) for v in truth]))
    torch.testing.assert_close(image.pairing, lifted @ truth.T)
    rest = torch.stack([off(subspace, objective.views(v)[0]) for v in truth])
    torch.testing.assert_close(subspace.product_outside(vectors[0].flatten()), rest[0].flatten())
    mix = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    norm = (mix @ rest.flatten(1)).norm(dim=1)
    assert bool((image.outside(mix) >= norm).all()) and bool((image.outside(mix) <= 4 * norm).all())


@functools.cache
def dense(noise: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    objective = objective_of(*data(noise=noise), nn.ReLU)
    H = objective.hvp(objective.theta.float().double(), torch.eye(objective.parameters, dtype=torch.float64)).numpy()
    return H, *np.linalg.eigh((H + H.T) / 2)


@pytest.mark.parametrize("which", ["LA", "SA"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_agree_with_the_dense_hessian(which, dtype):
    x, y = data()
    objective = objective_of(x, y, nn.ReLU, dtype)
    theta = objective.theta.float().to(dtype)
    pairs = top_eigenpairs(objective, theta, 5, which, tol=1e-3)
    assert pairs.converged
    if which == "LA":
        assert pairs.cheap_products > 0
    H, truth, axes = dense()
    if which == "LA":
        truth, axes = truth[::-1], axes[:, ::-1]
    np.testing.assert_allclose(pairs.values, truth[:5], rtol=1e-5)
    V = pairs.vectors.double().numpy()
    np.testing.assert_allclose(V.T @ V, np.eye(5), atol=1e-5)
    residuals = np.linalg.norm(H @ V - V * pairs.values, axis=0)
    assert (residuals <= 1.01 * pairs.residuals + 1e-6 * abs(truth).max()).all()
    assert (pairs.residuals <= 1e-3 * abs(pairs.values)).all()
    gap = abs(truth[4] - truth[5])
    assert np.linalg.norm(V - axes[:, :5] @ (axes[:, :5].T @ V), 2) <= 2 * np.linalg.norm(residuals) / gap


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("noise", [0.03, 0.1])  # with 0.1 the negative end asks for more than the subspace has
def test_both_ends_agree_with_the_dense_hessian(noise, dtype):
    objective = objective_of(*data(noise=noise), nn.ReLU, dtype)
    theta = objective.theta.float().to(dtype)
    ends = both_ends(objective, theta, 5, tol=1e-3)
    H, truth, _ = dense(noise)
    for pairs, exact in zip(ends, (truth[::-1][:5], truth[:5]), strict=True):
        assert pairs.converged and (pairs.cheap_products > 0) is (noise < 0.1)
        np.testing.assert_allclose(pairs.values, exact, rtol=1e-5)
        V = pairs.vectors.double().numpy()
        residuals = np.linalg.norm(H @ V - V * pairs.values, axis=0)
        assert (residuals <= 1.01 * pairs.residuals + 1e-6 * abs(truth).max()).all()
        assert (pairs.residuals <= 1e-3 * abs(pairs.values)).all()
    V = torch.cat([pairs.vectors for pairs in ends], 1).double().numpy()
    np.testing.assert_allclose(V.T @ V, np.eye(10), atol=1e-5)
    assert ends[0].products == ends[1].products and ends[0].cheap_products == ends[1].cheap_products


def test_data_without_preferred_directions_go_the_plain_way():
    objective = objective_of(torch.randn(N, D, generator=torch.Generator().manual_seed(0)), data()[1])
    assert subspace_of(objective) is None
    assert top_eigenpairs(objective, objective.theta, 4).cheap_products == 0


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(100, 4), nn.Tanh(), nn.Linear(4, 4)),  # narrow
        nn.Sequential(nn.Linear(D, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)),  # no chain of known layers
    ],
)
def test_other_models_go_the_plain_way(model):
    x, y = data()
    assert subspace_of(Objective(model, x[:, : model[0].in_features].float(), y)) is None


def test_a_weight_that_is_used_twice_goes_the_plain_way():
    model = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, D))
    model[2].weight = model[0].weight
    x, y = data()
    assert subspace_of(Objective(model, x.float(), y)) is None


def test_curvature_hidden_off_the_leading_directions_is_found():
    """Nearly all of the sum of squares is in samples classified almost beyond doubt; 60 others hold the curvature."""
    generator = torch.Generator().manual_seed(8)
    y = torch.randint(0, 4, (310,), generator=generator)
    x = torch.zeros(310, D, dtype=torch.float64)
    sizes = 20 * torch.exp(-torch.arange(200) / 56).double()
    x[:250, :200] = sizes * torch.randn(250, 200, generator=generator, dtype=torch.float64)
    x[:250, 200:204] = 12 * nn.functional.one_hot(y[:250], 4).double()
    x[250:, 300:305] = 2 * torch.randn(60, 5, generator=generator, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(D, 4)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4, D).roll(200, 1))
        model[0].bias.zero_()
    objective = Objective(model, x, y)
    theta, subspace = objective.theta, subspace_of(objective)
    truth = np.linalg.eigvalsh(objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64)).numpy())
    inside = KrylovSpace(subspace.product, torch.ones(subspace.parameters, dtype=torch.float64), 60, 0)
    for _ in range(60):
        inside.extend()
    assert inside.pairs(6, "LA", 1.0).values[-1] < 0.5 * truth[-6]  # restricted to the subspace it looks different
    assert _outside_scales(subspace, ["LA"], 0)[0] > 0.9 * truth[-6]
    pairs = top_eigenpairs(objective, theta, 6, tol=1e-3)
    assert pairs.cheap_products == 0
    np.testing.assert_allclose(pairs.values, truth[::-1][:6], rtol=1e-4)


def test_a_tight_tolerance_and_a_given_start_go_the_plain_way():
    objective = objective_of(*data())
    start = torch.ones(objective.parameters, dtype=torch.float64)
    exact = top_eigenpairs(objective, objective.theta, 4, tol=1e-7)
    started = top_eigenpairs(objective, objective.theta, 4, start=start)
    assert exact.cheap_products == started.cheap_products == 0
    np.testing.assert_allclose(exact.values, top_eigenpairs(objective, objective.theta, 4).values, rtol=1e-5)


def test_scaled_pairs_come_from_full_products():
    objective = objective_of(*data(), nn.ReLU)
    plain = top_eigenpairs(objective, objective.theta, 5)
    scaled = top_eigenpairs(objective, objective.theta, 5, scale=torch.full_like(objective.theta, 4.0))
    assert plain.cheap_products > 0 == scaled.cheap_products
    np.testing.assert_allclose(scaled.values, 4 * plain.values, rtol=1e-5)
