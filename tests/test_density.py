"""The spectral density against dense spectra: normalisation, moments, masses, and what a restriction gives up."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from quadratic_form import quadratic
from torch import nn

from landscape_helpers.curvature import spectral_density, trace
from landscape_helpers.curvature.input_subspace import restrict
from landscape_helpers.objective import Objective


def network(activation: type[nn.Module] = nn.Tanh, batch_size: int | None = None, inputs: int = 6) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(inputs, 7), activation(), nn.Linear(7, 3)).double()
    generator = torch.Generator().manual_seed(1)
    scales = 0.7 ** torch.arange(inputs, dtype=torch.float64)
    x = torch.randn(30, inputs, generator=generator, dtype=torch.float64) * scales
    return Objective(model, x, torch.randint(0, 3, (30,), generator=generator), batch_size=batch_size)


def dense(objective: Objective) -> np.ndarray:
    """All eigenvalues, ascending."""
    H = objective.hvp(objective.theta, torch.eye(objective.parameters, dtype=torch.float64))
    return np.linalg.eigvalsh(H.numpy())


def test_it_is_a_density():
    objective = network()
    result = spectral_density(objective, objective.theta, probes=4, steps=20)
    assert result.nodes.shape == result.weights.shape == (4, 20)
    np.testing.assert_allclose(result.weights.sum(1), 1, rtol=1e-12)
    assert (result.weights >= 0).all()
    assert result.products == objective.counts.products == 80
    for width in (None, 0.3):
        far = 8 * (width or result.width)
        grid = np.linspace(result.smallest - far, result.largest + far, 20_001)
        density = result.density(grid, width)
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)
    assert result.mass(-np.inf, np.inf) == pytest.approx(1)
    assert result.width == pytest.approx(0.01 * (result.largest - result.smallest))
    assert (result.lost_trace, result.lost_trace_error) == (0, 0)
    middle = 0.01
    assert result.mass(-np.inf, middle) + result.mass(np.nextafter(middle, 1), np.inf) == pytest.approx(1)


def test_moments_and_masses_match_the_dense_spectrum_within_a_budget():
    r"""The error of a moment follows from the spectrum: a probe's variance is near :math:`2\,\mathrm{tr}H^{2k}/P^2`."""
    objective = network()
    truth = dense(objective)
    result = spectral_density(objective, objective.theta, probes=80, steps=25)
    for order in (1, 2, 3):
        error = np.sqrt(2 * (truth ** (2 * order)).sum() / 80) / len(truth)
        assert abs(result.moment(order) - (truth**order).mean()) < 4 * error
        assert result.moments(order).std(ddof=1) / np.sqrt(80) == pytest.approx(error, rel=0.4)
    assert result.trace == pytest.approx(truth.sum(), abs=4 * result.trace_error)
    assert result.largest == pytest.approx(truth[-1], rel=1e-6)
    assert result.smallest == pytest.approx(truth[0], rel=1e-6)
    # Boundaries in gaps of the spectrum, where the quadrature's steps stand still.
    for low, high in ((truth[-4] - 1e-3, np.inf), (-np.inf, -1e-3), (0.02, 0.2)):
        share = ((truth >= low) & (truth <= high)).mean()
        assert result.mass(low, high) == pytest.approx(share, abs=0.05)


def test_the_quadrature_of_a_probe_is_exact_for_low_polynomials():
    r"""With m steps :math:`v^\top H^k v` is exact up to k = 2 m - 1, which no sampling error hides."""
    objective = network()
    H = objective.hvp(objective.theta, torch.eye(objective.parameters, dtype=torch.float64))
    result = spectral_density(objective, objective.theta, probes=1, steps=5, seed=3)
    v = torch.randn(objective.parameters, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    v /= v.norm()
    for order in range(1, 10):
        assert result.moment(order) == pytest.approx(float(v @ torch.linalg.matrix_power(H, order) @ v), rel=1e-9)


@pytest.mark.parametrize("spectrum", [[2.0] * 6, [0.0] * 5, [3.0, 3.0, 3.0, -1.0, -1.0, 0.0], [1.5]])
@pytest.mark.parametrize("deflate", [0, 2])
def test_an_invariant_space_met_early_ends_a_probe(spectrum, deflate):
    """Few distinct eigenvalues: as many steps suffice, and each eigenvalue has its share of the probe."""
    objective, _ = quadratic(torch.tensor(spectrum))
    result = spectral_density(objective, objective.theta, probes=250, steps=20, deflate=deflate)
    assert result.nodes.shape[1] <= 2 * len(set(spectrum)) + deflate
    np.testing.assert_allclose(result.weights.sum(1), 1)
    for value in set(spectrum):
        assert result.mass(value - 1e-6, value + 1e-6) == pytest.approx(spectrum.count(value) / len(spectrum), abs=0.08)
    assert result.smallest == pytest.approx(min(spectrum), abs=1e-9)
    assert result.largest == pytest.approx(max(spectrum), abs=1e-9)
    assert result.width > 0


def test_the_error_of_the_trace_is_its_spread_over_seeds():
    objective, _ = quadratic(torch.linspace(-1, 5, 8))
    results = [spectral_density(objective, objective.theta, 3, 4, seed) for seed in range(300)]
    spread = np.var([r.trace for r in results], ddof=1)
    assert np.mean([r.trace_error**2 for r in results]) == pytest.approx(spread, rel=0.3)


def test_taking_out_the_largest_changes_the_noise_and_not_the_mean():
    """One repeated outlier among them: a copy that was not taken out is still sampled."""
    spectrum = torch.cat([torch.tensor([90.0, 40.0, 40.0, -20.0]), torch.linspace(-1, 1, 116)])
    objective, _ = quadratic(spectrum)
    plain, deflated = (
        [spectral_density(objective, objective.theta, 5, 20, seed, deflate=k) for seed in range(25)] for k in (0, 6)
    )
    truth = float(spectrum.sum())
    for results in (plain, deflated):
        traces = np.array([r.trace for r in results])
        assert abs(traces.mean() - truth) < 4 * traces.std(ddof=1) / 5
        squares = np.array([r.parameters * r.moment(2) for r in results])
        assert abs(squares.mean() - float((spectrum**2).sum())) < 4 * squares.std(ddof=1) / 5
    assert np.std([r.trace for r in deflated]) < 0.6 * np.std([r.trace for r in plain])
    assert deflated[0].deflated[:2] == pytest.approx([90, 40], rel=1e-6)
    assert deflated[0].products == plain[0].products


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_a_restricted_first_layer_says_what_it_gives_up(activation):
    objective = network(activation, inputs=20)
    truth = dense(objective)
    result = spectral_density(objective, objective.theta, probes=60, steps=20, input_rank=6)
    small = restrict(objective, objective.theta, 6)
    kept = dense(small.objective)
    assert result.input_rank == 6 and small.objective.parameters == objective.parameters - 14 * 7
    # What is kept and what is lost make the whole trace: exactly without, within its error with a smooth activation.
    gap = truth.sum() - kept.sum() - result.lost_trace
    assert abs(gap) <= 4 * result.lost_trace_error + 1e-10 * truth.sum()
    assert (result.lost_trace_error == 0) is (activation is nn.ReLU)
    assert 0 < result.lost_trace < 0.15 * truth.sum()
    # The left-out directions count as flat, with their share of the P eigenvalues.
    np.testing.assert_allclose(result.weights.sum(1), 1)
    for order in (1, 2):
        error = np.sqrt(2 * (kept ** (2 * order)).sum() / 60) / len(truth)
        assert abs(result.moment(order) - (kept**order).sum() / len(truth)) < 4 * error
    assert result.largest == pytest.approx(truth[-1], rel=0.02)


def test_inputs_of_low_rank_lose_nothing():
    """Twelve inputs that span four directions: the restriction to four of them is the whole Hessian."""
    torch.manual_seed(2)
    x = torch.randn(30, 4, dtype=torch.float64) @ torch.randn(4, 12, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    objective = Objective(model, x, torch.randint(0, 3, (30,)))
    small = restrict(objective, objective.theta, 4)
    assert small.lost == pytest.approx(0, abs=1e-12)
    kept = np.sort(np.concatenate([dense(small.objective), np.zeros(8 * 5)]))
    np.testing.assert_allclose(kept, dense(objective), atol=1e-12)
    auto = spectral_density(objective, objective.theta, 2, 5, input_rank="auto")
    assert auto.input_rank is not None and auto.input_rank <= 4
    assert auto.lost_trace <= 0.0081 * trace(objective, objective.theta).value


class Functional(nn.Module):
    """A user's own module: the first layer is a function call behind some preparation of the data."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)
        self.w = nn.Parameter(torch.randn(5, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(F.linear(2 * x.flatten(1) - 1, self.w)))


def test_the_first_layer_is_found_by_what_it_does():
    torch.manual_seed(3)
    x, y = torch.randn(12, 2, 4, dtype=torch.float64), torch.randint(0, 3, (12,))
    objective = Objective(Functional().double(), x, y, batch_size=5)
    small = restrict(objective, objective.theta, 3)
    assert small.objective.parameters == 5 * 3 + 3 + 5 * 3
    assert small.objective.loss(small.theta) == pytest.approx(objective.loss(objective.theta), rel=1e-13)
    assert dense(small.objective).sum() + small.lost == pytest.approx(dense(objective).sum(), rel=1e-11)


class TwoUses(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.relu(self.layer(x)))


UNFIT = {
    "convolution first": lambda: nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Tanh()),
    "weight used twice": TwoUses,
    "statistics of the batch": lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)),
}


@pytest.mark.parametrize("name", UNFIT)
def test_models_that_cannot_be_restricted_are_left_whole(name):
    torch.manual_seed(0)
    x, y = torch.randn(16, 6, dtype=torch.float64), torch.randint(0, 5, (16,))
    objective = Objective(UNFIT[name]().double(), x, y)
    with pytest.raises(ValueError, match="input_rank=2 cannot be had"):
        spectral_density(objective, objective.theta, 2, 5, input_rank=2)
    whole, auto = (spectral_density(objective, objective.theta, 2, 5, input_rank=r) for r in (None, "auto"))
    assert auto.input_rank is None and auto.lost_trace == 0 and auto.reason
    np.testing.assert_array_equal(whole.nodes, auto.nodes)


def test_it_repeats_with_its_seed_and_not_without():
    objective = network(nn.ReLU, inputs=20)
    first, again, other = (spectral_density(objective, objective.theta, 2, 8, seed, input_rank=5) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.nodes, again.nodes)
    assert not np.array_equal(first.nodes, other.nodes)


def test_micro_batches_do_not_change_it():
    results = [spectral_density(network(batch_size=b), network().theta, 2, 10) for b in (30, 7)]
    np.testing.assert_allclose(results[0].nodes, results[1].nodes, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probes": 0}, "probes must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"deflate": -1}, "deflate must be at least 0, got -1"),
        ({"input_rank": 0}, "input_rank must be None, 'auto' or a whole number above 0, got 0"),
        ({"input_rank": "all"}, "input_rank must be None"),
        ({"theta": torch.ones(3)}, r"theta must have shape \(73,\), got \(3,\)"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    objective = network()
    with pytest.raises(ValueError, match=message):
        spectral_density(objective, **({"theta": objective.theta} | change))
    assert objective.counts.products == 0


def test_bad_questions_are_refused():
    objective = network()
    result = spectral_density(objective, objective.theta, 1, 5)
    with pytest.raises(ValueError, match="width must be above 0, got 0"):
        result.density(np.zeros(3), 0.0)
    with pytest.raises(ValueError, match="low must not exceed high, got 1 and 0"):
        result.mass(1, 0)
    assert np.isnan(result.trace_error)
