"""The spectrum of D^1/2 H D^1/2 against the dense matrix, and what a preconditioned descent makes of it."""

import numpy as np
import pytest
import torch
from quadratic_form import quadratic
from torch import nn

from landscape_helpers.curvature import both_ends, spectral_density, top_eigenpairs
from landscape_helpers.descent import Sharpness, gradient_descent
from landscape_helpers.objective import Objective
from landscape_helpers.watch import Watch
from landscape_helpers.weights import adam_scale


def network(dtype: torch.dtype = torch.float64) -> tuple[Objective, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 6, generator=generator, dtype=dtype)
    objective = Objective(model, x, torch.randint(0, 3, (40,), generator=generator), batch_size=17)
    return objective, objective.hvp(objective.theta, torch.eye(objective.parameters, dtype=dtype))


def scales(objective: Objective) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    positive = 10 ** torch.randn(objective.parameters, generator=generator, dtype=torch.float64)
    mask = torch.zeros(objective.parameters, dtype=torch.bool)
    mask[objective.layers[1].slices[0]] = True
    return {
        "positive": positive,
        "mask": mask,
        "zeros": positive * (torch.arange(objective.parameters) % 3 > 0),
        "theta^2": objective.theta.square(),
    }


def dense(H: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    root = scale.double().sqrt()
    return root[:, None] * H * root


@pytest.mark.parametrize("kind", ["positive", "mask", "zeros", "theta^2"])
@pytest.mark.parametrize("k", [1, 5])
def test_eigenpairs_match_the_dense_matrix(kind, k):
    objective, H = network()
    scale = scales(objective)[kind]
    S = dense(H, scale)
    truth = np.linalg.eigvalsh(S.numpy())
    top, bottom = both_ends(objective, objective.theta, k, tol=1e-8, scale=scale)
    for pairs, expected in ((top, truth[::-1][:k]), (bottom, truth[:k])):
        assert pairs.converged
        np.testing.assert_allclose(pairs.values, expected, atol=1e-8 * abs(truth).max())
        residuals = (S @ pairs.vectors - pairs.vectors * torch.as_tensor(pairs.values.copy())).norm(dim=0)
        assert float(residuals.max()) < 1e-7 * abs(truth).max()
    alone = top_eigenpairs(objective, objective.theta, k, tol=1e-8, scale=scale)
    np.testing.assert_allclose(alone.values, top.values, rtol=1e-8)
    # The direction in parameter space, and how the loss bends along it.
    u = scale.double().sqrt() * alone.vectors[:, 0]
    assert float(u @ H @ u) == pytest.approx(alone.values[0], rel=1e-8)


def test_a_mask_is_the_block_of_a_layer():
    objective, H = network()
    for layer in objective.layers:
        (own,) = layer.slices
        scale = torch.zeros_like(objective.theta)
        scale[own] = 1
        block = np.linalg.eigvalsh(H[own, own].numpy())
        pairs = top_eigenpairs(objective, objective.theta, 3, tol=1e-8, scale=scale)
        np.testing.assert_allclose(pairs.values, block[::-1][:3], atol=1e-8 * block[-1])
        outside = torch.ones(objective.parameters, dtype=torch.bool)
        outside[own] = False
        assert float(pairs.vectors[outside].abs().max()) < 1e-7


def test_a_start_is_taken_in_the_scaled_coordinates():
    objective, _ = network()
    scale = scales(objective)["positive"]
    cold = top_eigenpairs(objective, objective.theta, 1, tol=1e-3, scale=scale)
    warm = top_eigenpairs(objective, objective.theta, 1, tol=1e-3, start=cold.vectors[:, 0], scale=scale)
    assert warm.products < cold.products / 2


@pytest.mark.parametrize("kind", ["positive", "mask"])
def test_the_density_is_that_of_the_dense_matrix(kind):
    """With P steps a probe's rule has every eigenvalue: moments by the exact measures of its probes, ends exactly."""
    objective, H = network()
    scale = scales(objective)[kind]
    S = dense(H, scale)
    truth = np.linalg.eigvalsh(S.numpy())
    result = spectral_density(objective, objective.theta, 60, 20, scale=scale, deflate=3)
    assert result.largest == pytest.approx(truth[-1], rel=1e-5)
    for order in (1, 2):
        error = np.sqrt(2 * (truth ** (2 * order)).sum() / 60) / len(truth)
        assert abs(result.moment(order) - (truth**order).mean()) < 4 * error
    if kind == "mask":
        generator = torch.Generator().manual_seed(0)
        v = torch.randn(objective.parameters, generator=generator, dtype=torch.float64)
        share = float(v[~scale].square().sum() / v.square().sum())
        near = spectral_density(objective, objective.theta, 1, 27, scale=scale).mass(-1e-6, 1e-6)
        assert near >= share - 1e-6  # the flat rest's share of the probe


def test_descent_with_a_preconditioner_diverges_above_its_threshold():
    objective, H = quadratic(torch.linspace(0.5, 4, 12).double())
    scale = 10 ** torch.randn(12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    sharpness = top_eigenpairs(objective, objective.theta, 1, tol=1e-10, scale=scale).values[0]
    start = torch.ones(12, dtype=torch.float64)
    for factor, diverges in ((0.99, False), (1.01, True)):
        theta, lr = start, factor * 2 / sharpness
        for _ in range(3000):
            theta = theta - lr * scale * (H @ theta)
        assert (float(theta.norm()) < 1e6) != diverges  # NaN has diverged
        assert diverges or float(theta.norm()) < float(start.norm())


def test_adam_with_a_fixed_second_moment_diverges_above_38_over_its_rate():
    """Momentum as Adam has it, a mean of gradients with weight 1 - beta1, on a quadratic."""
    objective, H = quadratic(torch.linspace(0.5, 4, 12).double())
    scale = 10 ** torch.randn(12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    sharpness = top_eigenpairs(objective, objective.theta, 1, tol=1e-10, scale=scale).values[0]
    for factor, diverges in ((0.99, False), (1.01, True)):
        theta, lr = torch.ones(12, dtype=torch.float64), factor * 38 / sharpness
        mean = torch.zeros_like(theta)
        for _ in range(4000):
            mean = 0.9 * mean + 0.1 * (H @ theta)
            theta = theta - lr * scale * mean
        assert (float(theta.norm()) < 1e6) != diverges  # NaN has diverged
        assert diverges or float(theta.norm()) < 1


@pytest.mark.parametrize("change", ["short", "negative", "nan", "inf", "zeros", "list"])
def test_what_is_no_scale_is_refused(change):
    objective, _ = network()
    P = objective.parameters
    scale = torch.ones(P, dtype=torch.float64)
    if change == "short":
        scale, told = scale[:-1], rf"^scale must have shape \({P},\), got \({P - 1},\)"
    elif change == "zeros":
        scale, told = 0 * scale, "^scale holds nothing but zeros"
    elif change == "list":
        scale, told = [1.0] * P, rf"^scale must be a tensor of shape \({P},\), got list"
    else:
        scale[3] = {"negative": -1e-3, "nan": np.nan, "inf": np.inf}[change]
        told = f"^scale must hold finite numbers of at least 0, got 1 of {P} that are negative, NaN or infinite"
    for call in (
        lambda: top_eigenpairs(objective, objective.theta, 1, scale=scale),
        lambda: both_ends(objective, objective.theta, 1, scale=scale),
        lambda: spectral_density(objective, objective.theta, 1, 3, scale=scale),
    ):
        with pytest.raises((TypeError, ValueError), match=told) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert objective.counts.products == P


def test_a_scaled_density_is_of_the_whole_hessian():
    objective, _ = network()
    with pytest.raises(ValueError, match=r"^a scale is for the whole Hessian, got input_rank='auto'"):
        spectral_density(objective, objective.theta, 1, 3, input_rank="auto", scale=torch.ones_like(objective.theta))


def test_the_sharpness_of_a_descent_is_scaled_at_every_stop():
    objective, _ = network()
    probe = Sharpness(2, tol=1e-8, scale=torch.square)
    descent = gradient_descent(objective, objective.theta, 0.3, 4, [probe])
    record, theta = descent.record, objective.theta
    for k in range(5):
        if k % 2 == 0:
            H = objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64))
            truth = np.linalg.eigvalsh(dense(H, theta.square()).numpy())[-1]
            assert float(record.sharpness.sel(stop=k)) == pytest.approx(truth, rel=1e-7)
        theta = theta - 0.3 * objective.gradient(theta)
    assert record.sharpness.attrs["long_name"] == "largest eigenvalue of D^1/2 H D^1/2"
    assert Sharpness(2).settings == (2, 0.01) != Sharpness(2, scale=torch.square).settings


def test_a_scale_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"^scale must be a function of theta.* got Tensor: .*scale=lambda theta: d"):
        Sharpness(scale=torch.ones(3))


def test_a_watch_reads_the_optimiser():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.randn(40, 6, dtype=torch.float64), torch.randint(0, 3, (40,))
    objective = Objective(model, x, y)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)

    def adam(theta: torch.Tensor) -> torch.Tensor | None:
        return adam_scale(objective, optimiser, model) if optimiser.state else None

    watch = Watch(objective, [Sharpness(1, tol=1e-8, scale=adam)])
    expected = []
    for _ in range(4):
        watch.look(model)
        if optimiser.state:
            theta = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
            H = objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64))
            truth = dense(H, adam_scale(objective, optimiser, model)).numpy()
            expected.append(np.linalg.eigvalsh(truth)[-1])
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    record = watch.record()
    assert np.isnan(record.sharpness[0]) and int(record.products[0]) == 0
    np.testing.assert_allclose(record.sharpness[1:], expected, rtol=1e-7)
