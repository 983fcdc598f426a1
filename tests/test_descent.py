"""Gradient descent and its probes against closed forms, dense recomputation, and interrupted twins."""

import numpy as np
import pytest
import torch
import xarray
from interruption import Interrupted, run_until_killed, stop_at
from torch import nn

from landscape_helpers.descent import (
    FullGradients,
    GradientCorrelation,
    Sharpness,
    Spectrum,
    StepLosses,
    Telemetry,
    Travel,
    gradient_descent,
    sgd,
    windowed_mean,
)
from landscape_helpers.objective import Objective


class Quadratic(nn.Module):
    """f(theta) = 1/2 sum_i lambda_i theta_i^2, each coordinate a layer of its own."""

    def __init__(self, curvatures: list[float], start: list[float]) -> None:
        super().__init__()
        self.curvatures = curvatures
        self.axes = nn.ModuleList([nn.Linear(1, 1, bias=False).double() for _ in curvatures])
        with torch.no_grad():
            for axis, value in zip(self.axes, start, strict=True):
                axis.weight.fill_(value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(0.5 * c * axis(x) ** 2 for c, axis in zip(self.curvatures, self.axes, strict=True))


def quadratic(curvatures: list[float], start: list[float]) -> Objective:
    x = torch.ones(1, 1, dtype=torch.float64)
    return Objective(Quadratic(curvatures, start), x, x, loss=lambda out, y: out.mean())


def classifier(n: int = 60, dtype: torch.dtype = torch.float64, batch_size: int | None = 25) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 3))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 8, generator=generator)
    return Objective(model, x, torch.randint(0, 3, (n,), generator=generator), batch_size=batch_size, dtype=dtype)


@pytest.mark.parametrize("lr", [0.1, 0.9, 1.4, 2.1])
def test_quadratic_closed_form(lr):
    """theta_k = (1 - eta lambda)^k theta_0 in every coordinate; the correlation's sign is that of 1 - eta lambda."""
    objective = quadratic([1.0], [3.0])
    descent = gradient_descent(objective, objective.theta, lr, 20, [GradientCorrelation(5, [2])])
    factor = 1 - lr
    k = np.arange(21)
    np.testing.assert_allclose(descent.record.loss, 0.5 * (3 * factor**k) ** 2, rtol=1e-10)
    np.testing.assert_allclose(descent.record.correlation[1:], np.sign(factor))
    np.testing.assert_allclose(descent.record.dot[1:], 9 * factor ** (2 * k[1:] - 1), rtol=1e-10)
    signs = np.sign(factor) ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    np.testing.assert_allclose(descent.record.matrix.sel(epoch=2), signs)


def test_layers_oscillate_where_their_own_curvature_exceeds_the_inverse_rate():
    objective = quadratic([0.2, 1.5], [1.0, 1.0])
    record = gradient_descent(objective, objective.theta, 1.0, 10, [GradientCorrelation()]).record
    np.testing.assert_allclose(record.layer_correlation[1:], np.tile([1.0, -1.0], (10, 1)))
    np.testing.assert_allclose(record.layer_dot.sum("layer")[1:], record.dot[1:], rtol=1e-12)


def test_correlations_match_recomputed_gradients():
    """The oracle stores every gradient and takes the definition at its word."""
    objective = classifier()
    lr, steps = 0.7, 25
    record = gradient_descent(objective, objective.theta, lr, steps, [GradientCorrelation(5, [4, 12])]).record
    theta, gradients = objective.theta, []
    for _ in range(steps + 1):
        gradients.append(objective.gradient(theta))
        theta = theta - lr * gradients[-1]
    G = torch.stack(gradients).numpy()
    norms = np.linalg.norm(G, axis=1)
    mu = G @ G.T / np.outer(norms, norms)
    np.testing.assert_allclose(record.gradient_norm, norms, rtol=1e-10)
    np.testing.assert_allclose(record.correlation[1:], np.diag(mu, 1), rtol=1e-9)
    window = [np.mean([mu[j, j + 1] for j in range(k - 4, k)]) for k in range(4, steps + 1)]
    np.testing.assert_allclose(record.windowed_correlation[4:], window, rtol=1e-9)
    assert np.isnan(record.windowed_correlation[:4]).all()
    for epoch in (4, 12):
        np.testing.assert_allclose(record.matrix.sel(epoch=epoch), mu[epoch : epoch + 5, epoch : epoch + 5])
    for j, layer in enumerate(objective.layers):
        part = G[:, layer.slices[0]]
        dots = (part[1:] * part[:-1]).sum(1)
        lengths = np.linalg.norm(part, axis=1)
        np.testing.assert_allclose(record.layer_dot[1:, j], dots, rtol=1e-9)
        np.testing.assert_allclose(record.layer_correlation[1:, j], dots / lengths[1:] / lengths[:-1], rtol=1e-9)


def test_windowed_mean_of_an_alternating_sequence():
    mu = np.array([np.nan, 1, -1, 1, -1, -1, -1, -1])
    np.testing.assert_allclose(windowed_mean(mu, 5), [np.nan] * 4 + [0, -0.5, -0.5, -1])
    np.testing.assert_allclose(windowed_mean(mu, 2), mu)
    assert np.isnan(windowed_mean(mu[:3], 5)).all()


def test_sharpness_matches_the_dense_hessian():
    objective = classifier()
    probe = Sharpness(every=5, tol=1e-6)
    record = gradient_descent(objective, objective.theta, 0.5, 12, [probe]).record
    assert record.stop.values.tolist() == [0, 5, 10]
    theta = objective.theta
    for k in range(11):
        if k % 5 == 0:
            H = objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64))
            top = float(torch.linalg.eigvalsh(H)[-1])
            assert float(record.sharpness.sel(stop=k)) == pytest.approx(top, rel=1e-6)
        theta = theta - 0.5 * objective.gradient(theta)


def test_the_default_tolerance_of_sharpness_draws_within_two_percent():
    objective = classifier()
    rough = gradient_descent(objective, objective.theta, 0.5, 40, [Sharpness(every=5)]).record.sharpness
    exact = gradient_descent(objective, objective.theta, 0.5, 40, [Sharpness(every=5, tol=1e-8)]).record.sharpness
    np.testing.assert_allclose(rough, exact, rtol=0.02)


def test_only_the_window_of_gradients_is_kept():
    seen: list[set[int]] = []

    class Watch:
        history = 4

        def begin(self, objective):
            seen.clear()

        def observe(self, step):
            seen.append({g.data_ptr() for g in (step.gradient, *step.past)})

        def result(self):
            return xarray.Dataset()

        def state(self):
            return {}

        def restore(self, state):
            raise AssertionError("nothing to restore")

    objective = classifier()
    gradient_descent(objective, objective.theta, 0.1, 30, [Watch()])
    assert [len(s) for s in seen[:6]] == [1, 2, 3, 4, 5, 5]
    assert len(set().union(*seen)) == 5


@pytest.mark.parametrize("descend", [gradient_descent, lambda *a, probes: sgd(*a[:3], steps=a[3], probes=probes)])
def test_probes_that_give_one_name_to_different_numbers_keep_both(descend):
    objective = classifier()
    probes = [
        lambda: Sharpness(3),
        lambda: Telemetry(0.1, 2, 1, k=2),
        lambda: GradientCorrelation(3, [0]),
        lambda: GradientCorrelation(5, [0]),
        Travel,
    ]
    record = descend(objective, objective.theta, 0.1, 6, probes=[probe() for probe in probes]).record
    sharpness, telemetry, _, correlation, travel = (
        descend(objective, objective.theta, 0.1, 6, probes=[probe()]).record for probe in probes
    )
    xarray.testing.assert_equal(record.products, sharpness.products)
    np.testing.assert_array_equal(record.products_1, telemetry.products)
    np.testing.assert_array_equal(record.eigenvalue, telemetry.eigenvalue)
    assert record.eigenvalue.dims == ("stop_1", "eigen") and "gradient_norm_3" not in record
    np.testing.assert_array_equal(record.stop_1, [0, 2, 4, 6])
    np.testing.assert_array_equal(record.matrix_3, correlation.matrix)
    np.testing.assert_array_equal(record.windowed_correlation_3, correlation.windowed_correlation)
    xarray.testing.assert_equal(record.gradient_norm, travel.gradient_norm)  # the same numbers keep one name


def test_a_diverging_run_keeps_what_it_recorded():
    objective = quadratic([1.0], [1.0])
    start = objective.theta
    descent = gradient_descent(objective, start, 1e60, 50, [GradientCorrelation(), Sharpness(1)])
    assert descent.status.startswith("loss became non-finite at step ")
    last = int(descent.status.rsplit(" ", 1)[1]) - 1
    assert descent.steps == last
    assert descent.record.step.values.tolist() == list(range(last + 1))
    assert np.isfinite(descent.record.loss).all()
    assert np.isfinite(objective.loss(descent.theta))
    assert descent.record.attrs["status"] == descent.status
    assert torch.equal(start, objective.theta)


def test_a_diverged_run_that_is_taken_up_again_ends_at_the_same_point(tmp_path):
    def descend(start, **settings):
        return gradient_descent(objective, start, 3.0, 2000, **settings)

    objective = quadratic([1.0], [1.0])
    whole = descend(objective.theta)
    assert whole.steps > 100
    settings = {"checkpoint": tmp_path / "run.npz", "checkpoint_every": 0, "keep_checkpoint": True}
    for _ in range(2):
        ended = descend(objective.theta, **settings)
        assert ended.status == whole.status
        assert torch.equal(ended.theta, whole.theta)
        xarray.testing.assert_identical(ended.record, whole.record)


def test_gradients_whose_squares_overflow_single_precision_keep_their_correlation():
    x = torch.ones(1, 1)
    model = Quadratic([1e24], [1.0]).float()
    objective = Objective(model, x, x, loss=lambda out, y: out.mean())
    record = gradient_descent(objective, objective.theta, 3e-24, 3, [GradientCorrelation()]).record
    assert float(record.gradient_norm[0]) == pytest.approx(1e24)
    np.testing.assert_allclose(record.correlation[1:], -1.0)
    record = gradient_descent(objective, objective.theta, 3e-24, 3, [Travel()]).record
    assert float(record.gradient_norm[0]) == pytest.approx(1e24)
    np.testing.assert_allclose(record.cosine[1:], -1.0)


def test_stops_below_the_asked_for_loss():
    objective = classifier()
    descent = gradient_descent(objective, objective.theta, 0.5, 500, stop_loss=0.5)
    assert descent.record.loss[-1] < 0.5 <= descent.record.loss[:-1].min()
    assert descent.status == f"stopped: loss below 0.5 at step {descent.steps}"


def test_zero_steps_record_the_starting_point():
    objective = classifier()
    descent = gradient_descent(objective, objective.theta, 0.5, 0, [GradientCorrelation()])
    assert descent.steps == 0
    assert float(descent.record.loss[0]) == objective.loss(objective.theta)
    assert np.isnan(descent.record.correlation).all()


@pytest.mark.parametrize("at", [1, 7, 19])
def test_an_interrupted_run_ends_with_the_same_record(tmp_path, at):
    objective = classifier(dtype=torch.float32)

    def probes():
        return [GradientCorrelation(5, [2, 10]), Sharpness(4)]

    whole = gradient_descent(objective, objective.theta, 0.5, 25, probes())
    file = tmp_path / "run.npz"
    with pytest.raises(Interrupted):
        gradient_descent(
            objective, objective.theta, 0.5, 25, probes(), checkpoint=file, checkpoint_every=0, progress=stop_at(at)
        )
    assert file.exists()
    resumed = gradient_descent(objective, objective.theta, 0.5, 25, probes(), checkpoint=file)
    xarray.testing.assert_identical(whole.record, resumed.record)
    assert torch.equal(whole.theta, resumed.theta)
    assert not file.exists()


def test_a_killed_process_resumes_to_the_same_record(tmp_path):
    program = """
        from test_descent import classifier
        from landscape_helpers.descent import GradientCorrelation, gradient_descent
        objective = classifier(dtype=torch.float32)
        gradient_descent(objective, objective.theta, 0.5, 20, [GradientCorrelation()], checkpoint=file,
                         checkpoint_every=0, progress=die)
        """
    file = tmp_path / "run.npz"
    run_until_killed(program, 9, file)
    objective = classifier(dtype=torch.float32)
    resumed = gradient_descent(objective, objective.theta, 0.5, 20, [GradientCorrelation()], checkpoint=file).record
    whole = gradient_descent(objective, objective.theta, 0.5, 20, [GradientCorrelation()]).record
    xarray.testing.assert_identical(resumed, whole)


def test_a_foreign_or_broken_checkpoint_is_refused(tmp_path):
    objective = classifier()
    file = tmp_path / "run.npz"

    with pytest.raises(Interrupted):
        gradient_descent(objective, objective.theta, 0.5, 9, checkpoint=file, checkpoint_every=0, progress=stop_at(3))
    with pytest.raises(ValueError, match="saved by another trajectory"):
        gradient_descent(objective, objective.theta, 0.4, 9, checkpoint=file)
    with pytest.raises(ValueError, match=r"run\.npz stands at step 3, beyond the steps=2 asked for"):
        gradient_descent(objective, objective.theta, 0.5, 2, checkpoint=file)
    for content in (b"not an archive", file.read_bytes()[:500]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="not a readable checkpoint"):
            gradient_descent(objective, objective.theta, 0.5, 9, checkpoint=file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": -0.1}, "lr must be a finite learning rate above 0, got -0.1"),
        ({"lr": 0.0}, "lr must be a finite learning rate above 0, got 0"),
        ({"lr": float("nan")}, "lr must be a finite learning rate above 0, got nan"),
        ({"steps": -1}, "steps must not be negative, got -1"),
        ({"theta": torch.zeros(3)}, r"theta must have shape \(177,\), got \(3,\)"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    objective = classifier()
    with pytest.raises(ValueError, match=message):
        gradient_descent(objective, **({"theta": objective.theta, "lr": 0.1, "steps": 3} | change))
    assert objective.counts.gradients == 0


def test_probes_refuse_senseless_settings():
    with pytest.raises(ValueError, match="at least 2 iterations"):
        GradientCorrelation(window=1)
    with pytest.raises(ValueError, match="counted from 0"):
        GradientCorrelation(matrices_at=[-3])
    with pytest.raises(ValueError, match="at least 1 step"):
        Sharpness(every=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_objectives_are_measured_and_resumed(tmp_path, dtype):
    """Their gradients' inner products are single-precision sums: their squares neither vanish nor overflow."""
    objective = classifier(dtype=dtype, batch_size=None)
    theta, file = objective.theta, tmp_path / "run.npz"

    def run(progress=None):
        probes = [GradientCorrelation(3, [1]), Travel(), FullGradients([(0, 5)]), StepLosses([(0, 5)]), Sharpness(2)]
        options = {"checkpoint": file, "checkpoint_every": 0.0, "progress": progress}
        return gradient_descent(objective, theta, 0.01, 5, probes, **options).record

    def interrupt(step, steps, loss):
        if step == 3:
            raise KeyboardInterrupt

    whole, gradients = run(), [objective.gradient(theta).double()]
    at = theta - 0.01 * objective.gradient(theta)
    gradients.append(objective.gradient(at).double())
    assert float(whole.gradient_norm[0]) == pytest.approx(float(gradients[0].norm()), rel=1e-5)
    assert float(whole.dot[1]) == pytest.approx(float(gradients[0] @ gradients[1]), rel=1e-5)
    with pytest.raises(KeyboardInterrupt):
        run(interrupt)
    xarray.testing.assert_identical(run(), whole)


def test_telemetry_refuses_16_bits_before_any_work():
    objective = classifier(dtype=torch.bfloat16)
    with pytest.raises(ValueError, match=r"single or double precision, got an objective in torch.bfloat16.*float32"):
        gradient_descent(objective, objective.theta, 0.1, 3, [Telemetry(0.1, 1, 1, k=2)])


def test_only_names_that_contradict_end_in_the_place_of_their_probe():
    """Three probes spend products in the same places: their other numbers keep their names."""
    objective = classifier()
    probes = [Sharpness(1), Spectrum(1), Telemetry(0.1, 1, 1, k=2)]
    record = gradient_descent(objective, objective.theta, 0.1, 3, probes).record
    assert {"sharpness", "lambda_max", "eigenvalue", "products", "products_1", "products_2"} <= {*record}
    assert record.lambda_max.dims == ("stop",) and record.eigenvalue.dims == ("stop", "eigen")
    assert [name for name in record.variables if name[-1].isdigit()] == ["products_1", "products_2"]
