"""Mining on functions whose answer is known in closed form, against a NumPy transcription, and by chance."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from interruption import Interrupted
from torch import nn

from landscape_helpers import directions, mining, shapes
from landscape_helpers.minibatch import MiniBatches
from landscape_helpers.objective import Objective

N = 24


class Known(nn.Module):
    """Sample i has the loss f(w) + x_i . w: over all samples f(w) where the x_i have mean zero, else batch noise."""

    def __init__(self, f: Callable[[torch.Tensor], torch.Tensor], dimension: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(dimension))
        self.f = f

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.f(self.w) + x @ self.w


def known(f: Callable[[torch.Tensor], torch.Tensor], dimension: int, noise: float = 0.0) -> Objective:
    x = torch.randn(N, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = noise * (x - x.mean(0))
    return Objective(Known(f, dimension), x, torch.zeros(N), loss=lambda out, y: out.mean(), dtype=torch.float64)


def network(batch_size: int | None = None) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(27, 3))
    x = torch.randn(N + 3, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    return Objective(model, x, torch.arange(N + 3) % 3, batch_size=batch_size)


DIMENSION = 12
AXES = torch.linalg.qr(
    torch.randn(DIMENSION, DIMENSION, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
)[0]
DOWN = AXES[:, 0]  # the one axis of negative curvature


def saddle(w: torch.Tensor) -> torch.Tensor:
    """-t^2/2 + t^4/4 along DOWN, with wells of depth 1/4 at distance 1, and a bowl across."""
    t = DOWN.to(w.dtype) @ w
    return (w @ w - t**2) - t**2 / 2 + t**4 / 4


def saddle_gradient(w: np.ndarray) -> np.ndarray:
    down = DOWN.numpy()
    t = down @ w
    return 2 * (w - t * down) + (t**3 - t) * down


def test_algorithm_1_finds_the_axis_of_negative_curvature():
    problem = known(saddle, DIMENSION, noise=0.05)
    theta = torch.zeros(DIMENSION, dtype=torch.float64)
    found = mining.w_peak(problem, theta, epochs=400, lr=0.2, batch_size=8)
    assert abs(float(found.direction @ DOWN) / float(found.direction.norm())) > 0.99
    # On t = |epsilon| the mean over lambda of the loss, -t^2/6 + t^4/20, is least at t^2 = 5/3.
    assert float(found.direction.norm()) == pytest.approx(math.sqrt(5 / 3), rel=0.1)
    at = np.linspace(-1, 1, 41)
    losses = [problem.loss(theta + t * found.direction) for t in at]
    assert shapes.describe(at, losses).label == "w-peak" and not shapes.describe(at, losses).weak
    assert shapes.peak_height(at, losses) == pytest.approx(0.25, rel=0.02)
    assert found.status == "completed" and found.epochs == 400 and found.gradients == 400
    assert found.norms.shape == (400,) and found.norms[-1] == pytest.approx(float(found.direction.norm()))
    assert found.norms[0] < 0.1 * found.norms[-1]


def test_algorithm_1_step_by_step():
    problem = known(saddle, DIMENSION, noise=0.5)
    theta = torch.linspace(-0.3, 0.4, DIMENSION, dtype=torch.float64)
    epochs, lr, size = 7, 0.3, 10
    found = mining.w_peak(problem, theta, epochs, lr, batch_size=size, seed=5)
    x = problem._batches[0][0].numpy()
    order = MiniBatches(problem, size, seed=5)
    draws = iter(found.record["lambda"].values)
    epsilon, losses, norms = np.zeros(DIMENSION), [], []
    for e in range(1, epochs + 1):
        for batch in order.epoch(e):
            lam = next(draws)
            assert abs(lam) <= e / epochs
            mean = x[batch.numpy()].mean(axis=0)
            hat = theta.numpy() + lam * epsilon
            losses.append(float(saddle(torch.from_numpy(hat))) + mean @ hat)
            epsilon = epsilon - lr * lam * (saddle_gradient(hat) + mean)
        norms.append(np.linalg.norm(epsilon))
    np.testing.assert_allclose(found.direction.numpy(), epsilon, rtol=1e-11)
    np.testing.assert_allclose(found.record["loss"].values, losses, rtol=1e-11)
    np.testing.assert_allclose(found.norms, norms, rtol=1e-11)
    per_epoch = np.reshape(losses, (epochs, 3)).mean(axis=1)
    np.testing.assert_allclose(found.record["mean_loss"].values, per_epoch, rtol=1e-11)
    assert next(draws, None) is None


def test_lambda_is_uniform_on_an_interval_that_grows():
    problem = known(saddle, DIMENSION, noise=0.1)
    found = mining.w_peak(problem, problem.theta, epochs=100, lr=0.01, batch_size=1)
    alpha = np.repeat(np.arange(1, 101) / 100, N)
    u = np.sort(found.record["lambda"].values / alpha)
    steps = len(u)
    expected = 2 * (np.arange(steps) + 0.5) / steps - 1
    assert np.abs(u - expected).max() < 2 * 1.95 / math.sqrt(steps)  # Kolmogorov-Smirnov, one in a thousand


def test_algorithm_1_stays_at_zero_where_every_gradient_vanishes():
    problem = known(saddle, DIMENSION)  # no batch noise, and the start is the saddle itself
    found = mining.w_peak(problem, problem.theta, epochs=5, lr=0.5, batch_size=8)
    assert not bool(found.direction.any()) and not found.norms.any()
    with pytest.raises(ValueError, match="mined direction is zero"):
        mining.null_w_peak(problem, problem.theta, found)


def test_algorithm_2_keeps_three_wells_of_a_polynomial():
    problem = known(lambda w: 40 * (w[0] * (w[0] - 0.5) * (w[0] - 1)) ** 2, 1)
    theta = torch.zeros(1, dtype=torch.float64)
    found = mining.vvv_basin(problem, theta, theta + 1.1, epochs=200, lr=0.02)
    assert float(found.direction) == pytest.approx(1, abs=1e-3)
    at = np.linspace(-0.3, 1.3, 81)
    losses = [problem.loss(theta + t * found.direction) for t in at]
    assert shapes.classify(at, losses) == "vvv-basin"
    assert found.gradients == 2 * 200


def ring(w: torch.Tensor) -> torch.Tensor:
    """Wells all along the circle |w| = 1 and at its centre; one more half-way, on the first axis alone."""
    r = w @ w
    middle = ((w[0] - 0.5) ** 2 + w[1] ** 2) / (2 * 0.2**2)
    return 4 * r * (1 - r) ** 2 - 1.2 * torch.exp(-middle) * (4 * r * (1 - r)) ** 2


def line_of(problem: Objective, theta: torch.Tensor, direction: torch.Tensor) -> tuple[np.ndarray, list[float]]:
    at = np.linspace(-0.3, 1.3, 81)
    return at, [problem.loss(theta + t * direction) for t in at]


def test_algorithm_2_turns_towards_the_well_half_way():
    problem, theta = known(ring, 2), torch.zeros(2, dtype=torch.float64)
    turn = math.radians(35)
    phi = torch.tensor([math.cos(turn), math.sin(turn)], dtype=torch.float64)
    kwargs = {"epochs": 400, "lr": 0.02, "batch_size": N}
    alone = mining.vvv_basin(problem, theta, phi, gamma=0.0, **kwargs)
    torch.testing.assert_close(alone.direction, phi, rtol=0, atol=1e-2)  # a solution already
    assert shapes.classify(*line_of(problem, theta, alone.direction)) == "w-basin"
    assert shapes.middle_well(*line_of(problem, theta, alone.direction)) == 0
    for alpha in (0.0, 0.1):
        found = mining.vvv_basin(problem, theta, phi, alpha=alpha, gamma=0.5, **kwargs)
        assert directions.angle(found.direction, torch.tensor([1.0, 0.0], dtype=torch.float64)) < 3
        assert shapes.classify(*line_of(problem, theta, found.direction)) == "vvv-basin"
        assert shapes.middle_well(*line_of(problem, theta, found.direction)) > 0.05


@pytest.mark.parametrize(("alpha", "gamma"), [(0.0, 0.1), (0.1, 0.9), (0.5, 0.5)])
def test_algorithm_2_step_by_step(alpha, gamma):
    problem = known(saddle, DIMENSION, noise=0.5)
    theta = torch.linspace(-0.3, 0.4, DIMENSION, dtype=torch.float64)
    start = torch.linspace(0.5, -0.7, DIMENSION, dtype=torch.float64)
    found = mining.vvv_basin(problem, theta, start, 4, 0.2, alpha, gamma, batch_size=10, seed=3)
    x, draws = problem._batches[0][0].numpy(), iter(found.record["lambda"].values)
    phi, fixed = start.numpy(), theta.numpy()
    losses, between = [], []
    for e in range(1, 5):
        for batch in MiniBatches(problem, 10, seed=3).epoch(e):
            lam, mean = next(draws), x[batch.numpy()].mean(axis=0)
            assert 0.5 - alpha <= lam <= 0.5 + alpha
            hat = (1 - lam) * fixed + lam * phi
            losses.append(float(saddle(torch.from_numpy(phi))) + mean @ phi)
            between.append(float(saddle(torch.from_numpy(hat))) + mean @ hat)
            phi = phi - 0.2 * ((saddle_gradient(phi) + mean) + gamma * lam * (saddle_gradient(hat) + mean))
    np.testing.assert_allclose(found.direction.numpy(), phi - fixed, rtol=1e-11)
    np.testing.assert_allclose(found.record["loss"].values, losses, rtol=1e-11)
    np.testing.assert_allclose(found.record["between"].values, between, rtol=1e-11)
    assert found.norms[-1] == pytest.approx(np.linalg.norm(phi - fixed))


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_lambda_is_uniform_about_the_middle(alpha):
    problem = known(saddle, DIMENSION, noise=0.1)
    phi = problem.theta + 1
    found = mining.vvv_basin(problem, problem.theta, phi, epochs=100, lr=1e-3, alpha=alpha, batch_size=1)
    u = np.sort((found.record["lambda"].values - 0.5) / alpha)
    expected = 2 * (np.arange(len(u)) + 0.5) / len(u) - 1
    assert np.abs(u - expected).max() < 2 * 1.95 / math.sqrt(len(u))


def search(algorithm: str, problem: Objective, **kwargs) -> mining.Mined:
    theta = problem.theta
    options = {"epochs": 3, "lr": 0.1, "batch_size": 5, "seed": 4} | kwargs
    if algorithm == "w_peak":
        return mining.w_peak(problem, theta, **options)
    phi = directions.gaussian(problem, theta, seed=9)
    return mining.vvv_basin(problem, theta, phi, alpha=0.1, gamma=0.5, **options)


@pytest.mark.parametrize("algorithm", ["w_peak", "vvv_basin"])
def test_a_seed_reproduces_bit_for_bit_and_nothing_is_left_changed(algorithm):
    problem = network()
    theta = problem.theta
    torch.manual_seed(11)
    state = torch.random.get_rng_state()
    a = search(algorithm, problem)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(problem.theta, theta)
    assert all(weight.grad is None for weight in problem.weights)
    b = search(algorithm, network(batch_size=7))  # the objective's own micro-batches play no part
    assert torch.equal(a.direction, b.direction)
    assert a.record.identical(b.record)
    assert not torch.equal(search(algorithm, problem, seed=5).direction, a.direction)


@pytest.mark.parametrize("stop", [1, 6, 7, 12])  # within an epoch of six batches, and at its end
@pytest.mark.parametrize("algorithm", ["w_peak", "vvv_basin"])
def test_an_interrupted_search_ends_as_it_would_have(algorithm, stop, tmp_path):
    problem, file = network(), tmp_path / "search.npz"
    whole = search(algorithm, problem)
    assert whole.record.sizes["step"] == 18

    def interrupt(step: int, steps: int, loss: float) -> None:
        assert steps == 18 and math.isfinite(loss)
        if step == stop + 1:  # after the save of step ``stop``
            raise Interrupted

    with pytest.raises(Interrupted):
        search(algorithm, problem, progress=interrupt, checkpoint=file, checkpoint_every=0)
    assert file.exists()
    with pytest.raises(ValueError, match="another search"):
        search(algorithm, problem, lr=0.2, checkpoint=file)
    seen: list[int] = []
    resumed = search(algorithm, problem, progress=lambda s, *_: seen.append(s), checkpoint=file)
    assert seen == list(range(stop + 1, 19))
    assert torch.equal(resumed.direction, whole.direction)
    assert resumed.record.identical(whole.record) and resumed.gradients == whole.gradients
    assert not file.exists()


def test_a_loss_that_blows_up_ends_the_search_and_keeps_its_record():
    problem = known(saddle, DIMENSION, noise=0.5)
    found = mining.w_peak(problem, problem.theta, epochs=60, lr=30.0, batch_size=8)
    assert "became non-finite in epoch" in found.status
    assert found.epochs < 60 and len(found.norms) == found.epochs
    steps = found.record.sizes["step"]
    assert 3 * found.epochs <= steps < 3 * found.epochs + 3
    assert found.gradients == pytest.approx(steps / 3)
    assert bool(torch.isfinite(found.direction).all())
    assert np.isfinite(found.record["loss"].values).all() and found.record.attrs["status"] == found.status


@pytest.mark.parametrize(
    ("f", "what", "reached"),
    [
        # A slope of 1 up to a wall at 1: in steps of 0.1 from 0.05 the last loss is that at 0.95.
        (lambda w: torch.where(w[0] < 1, -w[0], torch.inf), "loss", 0.95),
        # Zero behind 0.5, by a root whose slope is 0 / 0: the loss at the point that is reached is known.
        (lambda w: torch.where(w[0] < 0.5, -w[0], torch.where(w[0] < 0.5, 1, 0 * w[0]).sqrt()), "gradient", 0.55),
    ],
)
def test_a_search_that_ends_returns_the_last_point_whose_loss_is_finite(f, what, reached):
    problem, theta = known(f, 2), torch.zeros(2, dtype=torch.float64)
    found = mining.vvv_basin(problem, theta, theta + 0.05, epochs=30, lr=0.1, gamma=0.0, batch_size=N)
    assert found.status.startswith(f"{what} became non-finite")
    assert float(found.direction[0]) == pytest.approx(reached)
    assert math.isfinite(problem.loss(theta + found.direction))


def test_a_loss_that_is_not_finite_at_once():
    problem = known(lambda w: torch.log(w[0] - 1), 2)
    found = mining.w_peak(problem, problem.theta, epochs=2, lr=1.0)
    assert found.status == "loss became non-finite in epoch 1, batch 1"
    assert found.gradients == 0 and not bool(found.direction.any()) and found.record.sizes["step"] == 0


@pytest.mark.parametrize("algorithm", ["w_peak", "vvv_basin"])
def test_mining_a_network_lowers_what_it_minimises(algorithm):
    problem = network()
    found = search(algorithm, problem, epochs=30)
    means = found.record["mean_loss"].values
    assert means[-5:].mean() < means[:5].mean()


# What chance finds


def test_null_of_a_w_peak_has_the_same_norm_and_cost():
    problem, theta = known(saddle, DIMENSION, noise=0.05), torch.zeros(DIMENSION, dtype=torch.float64)
    found = mining.w_peak(problem, theta, epochs=400, lr=0.2, batch_size=8)
    at = np.linspace(-1, 1, 41)
    before = problem.counts.forward
    null = mining.null_w_peak(problem, theta, found, at, seed=1)
    assert len(null.scores) == 29  # 400 gradients at 41/3 a curve
    assert problem.counts.forward - before == 29 * 41
    assert null.gradients == pytest.approx(29 * 41 / 3) and null.gradients <= null.budget == found.gradients
    assert float(null.direction.norm()) == pytest.approx(null.norm) == pytest.approx(float(found.direction.norm()))
    losses = [problem.loss(theta + t * null.direction) for t in at]
    assert null.score == null.scores.max() == pytest.approx(shapes.peak_height(at, losses, signed=True))
    mined = shapes.peak_height(at, [problem.loss(theta + t * found.direction) for t in at])
    assert null.score < 0 < mined  # chance finds no peak in 12 dimensions with one way down
    fast = mining.null_w_peak(
        problem, theta, found, at, curve=lambda d: np.array([problem.loss(theta + t * d) for t in at]), seed=1
    )
    np.testing.assert_array_equal(fast.scores, null.scores)
    assert not np.array_equal(mining.null_w_peak(problem, theta, found, at, seed=2).scores, null.scores)
    alone = mining.null_w_peak(problem, theta, found.direction, at, budget=100, seed=1)
    np.testing.assert_array_equal(alone.scores, null.scores[:7])
    with pytest.raises(ValueError, match="pass budget"):
        mining.null_w_peak(problem, theta, found.direction, at)


def test_null_of_a_vvv_basin():
    problem, theta = known(ring, 2), torch.zeros(2, dtype=torch.float64)
    start = torch.tensor([0.8, 0.6], dtype=torch.float64)
    found = mining.vvv_basin(problem, theta, start, epochs=400, lr=0.02, gamma=0.5)
    null = mining.null_vvv_basin(problem, theta, found)
    assert len(null.scores) == 58  # 2 x 400 gradients at 41/3 a curve
    # In a plane chance finds the third well too, on its share of the circle.
    assert null.score > 0.05 and 0 < np.mean(null.scores > 0) < 0.5


def test_chance_is_as_short_as_what_was_mined():
    problem = known(saddle, DIMENSION)
    null = mining.null_w_peak(problem, problem.theta, 0.03 * DOWN, budget=60)
    assert null.norm == pytest.approx(0.03) and float(null.direction.norm()) == pytest.approx(0.03)


def test_best_random_measures_what_a_score_costs():
    problem = known(saddle, DIMENSION)
    theta = problem.theta

    def score(direction: torch.Tensor) -> float:
        problem.gradient(theta + direction)
        problem.hvp(theta, direction)
        return -problem.loss(theta + direction)

    null = mining.best_random(problem, theta, score, budget=40, norm=0.7, seed=3)
    assert len(null.scores) == 12  # 1 + 2 + 1/3 each
    assert null.score == pytest.approx(-problem.loss(theta + null.direction)) == null.scores.max()
    one = mining.best_random(problem, theta, score, budget=0.1, norm=0.7, seed=3)
    assert one.scores.tolist() == null.scores[:1].tolist() and one.gradients > one.budget


def test_a_score_that_is_not_a_number_is_the_worst():
    problem = known(saddle, DIMENSION)
    values = iter([math.nan, -5.0, math.nan])
    null = mining.best_random(problem, problem.theta, lambda d: next(values), budget=3, norm=1.0, cost=1.0)
    assert null.score == -5.0 and null.scores.tolist() == [-math.inf, -5.0, -math.inf]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, t: mining.w_peak(o, t, 0, 0.1), "epochs must be at least 1, got 0"),
        (lambda o, t: mining.w_peak(o, t, 1, 0.0), "lr must be a finite learning rate above 0, got 0.0"),
        (lambda o, t: mining.w_peak(o, t, 1, math.inf), "lr must be a finite"),
        (lambda o, t: mining.w_peak(o, t[1:], 1, 0.1), r"theta must have shape \(12,\), got \(11,\)"),
        (lambda o, t: mining.w_peak(o, t + math.nan, 1, 0.1), "theta holds 12 NaN .* 12 finite numbers"),
        (lambda o, t: mining.w_peak(o, t, 1, 0.1, batch_size=0), "got 0"),
        (lambda o, t: mining.w_peak(o, t, 1, 0.1, seed=-1), "seed must not be negative, got -1"),
        (lambda o, t: mining.vvv_basin(o, t, t.clone(), 1, 0.1), "phi equals theta.*Start phi elsewhere"),
        (lambda o, t: mining.vvv_basin(o, t, t[1:], 1, 0.1), r"phi must have shape \(12,\), got \(11,\)"),
        (lambda o, t: mining.vvv_basin(o, t, t + 1, 1, 0.1, alpha=0.6), "alpha must be between 0 and 0.5.*got 0.6"),
        (lambda o, t: mining.vvv_basin(o, t, t + 1, 1, 0.1, gamma=-1), "gamma must be finite and not negative, got -1"),
        (lambda o, t: mining.best_random(o, t, o.loss, 0, norm=1.0), "budget must be finite and above 0, got 0"),
        (lambda o, t: mining.best_random(o, t, o.loss, 1, norm=0.0), "norm must be finite and above 0, got 0"),
        (lambda o, t: mining.best_random(o, t, o.loss, 1, norm=1.0, cost=-1), "cost must be finite and above 0"),
        (lambda o, t: mining.best_random(o, t, lambda d: 0.0, 1, norm=1.0), "no trace in objective.counts"),
    ],
)
def test_bad_input_gets_one_clear_line(call, message):
    problem = known(saddle, DIMENSION)
    with pytest.raises(ValueError, match=message) as error:
        call(problem, problem.theta)
    assert "\n" not in str(error.value) and problem.counts.gradients == 0


def test_statistics_of_the_whole_set_are_not_those_of_a_mini_batch():
    problem = network()
    whole = Objective(problem.model, torch.randn(N, 1, 5, 5), torch.arange(N) % 3, batchnorm="whole")
    with pytest.raises(ValueError, match="batchnorm='whole' normalises with all 24 samples"):
        mining.w_peak(whole, whole.theta, 1, 0.1, batch_size=5)
    assert mining.w_peak(whole, whole.theta, 1, 0.1, batch_size=N).status == "completed"


def test_a_batch_size_that_is_no_whole_number_is_refused():
    problem = network()
    with pytest.raises(ValueError, match=r"batch_size must be a whole number, got 2\.5: round it"):
        mining.w_peak(problem, problem.theta, epochs=1, lr=0.1, batch_size=2.5)
