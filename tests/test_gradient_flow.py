"""Gradient flow against the exponential on a quadratic, a dense Hessian, and interrupted twins."""

import numpy as np
import pytest
import torch
import xarray
from interruption import Interrupted, run_until_killed, stop_at
from test_telemetry import classifier, quadratic

from landscape_helpers.descent import gradient_flow

CURVATURES = np.array([3.0, 2.0, 0.5])


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk4", 4)])
def test_a_quadratic_decays_exponentially_to_the_integrator_s_order(method, order):
    """theta(t) = exp(-lambda t) theta_0 in every coordinate; halving the step divides the error by 2^order."""
    objective = quadratic(CURVATURES)
    errors = []
    for steps in (20, 40):
        flow = gradient_flow(objective, objective.theta, cap=1 / steps, c=100, steps=steps, method=method)
        assert float(flow.record.time[-1]) == pytest.approx(1)
        exact = objective.theta.numpy() * np.exp(-CURVATURES)
        errors.append(np.abs(flow.theta.numpy() - exact).max())
        assert float(flow.record.loss[-1]) == objective.loss(flow.theta)
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(rates, order, atol=0.15)


def test_the_step_rule_and_the_time():
    """min(cap, c / lambda_1): curvature rules where it is high, the cap where it is low; time is the sum."""
    for c, rate in ((0.5, 0.5 / 3), (9.0, 0.2)):
        objective = quadratic(CURVATURES)
        record = gradient_flow(objective, objective.theta, cap=0.2, c=c, steps=5).record
        np.testing.assert_allclose(record.rate, rate, rtol=1e-4)
        np.testing.assert_allclose(record.time, np.r_[0, np.cumsum(record.rate)[:-1]], rtol=1e-14)
        after = objective.theta.numpy() * (1 - rate * CURVATURES)
        assert float(record.loss[1]) == pytest.approx((0.5 * CURVATURES * after**2).sum(), rel=1e-4)


def test_lambda_and_the_peaks_of_a_network_match_the_dense_hessian():
    objective = classifier()
    seen = []

    def watch(n, steps, loss):
        seen.append((n, steps))

    flow = gradient_flow(
        objective, objective.theta, cap=0.3, c=0.5, steps=15, tol=1e-4, snapshot_every=4, progress=watch
    )
    theta, tops, thetas = objective.theta, [], []
    for n in range(16):
        H = objective.hvp(theta, torch.eye(objective.parameters).double())
        tops.append(float(torch.linalg.eigvalsh(H)[-1]))
        thetas.append(theta)
        theta = theta - float(flow.record.rate[n]) * objective.gradient(theta)
    assert seen == [(n, 15) for n in range(16)]
    np.testing.assert_allclose(flow.record.lambda_1, tops, rtol=1e-5)
    assert flow.record.converged.all() and (flow.record.lambda_residual <= 1e-4 * flow.record.lambda_1).all()
    assert flow.peak.step == int(np.argmax(tops))
    assert flow.snapshot_peak.step == 4 * int(np.argmax(tops[::4]))
    for peak in (flow.peak, flow.snapshot_peak):
        assert peak.lambda_1 == pytest.approx(tops[peak.step], rel=1e-5)
        np.testing.assert_allclose(peak.theta, thetas[peak.step], rtol=1e-9, atol=1e-12)


def test_a_flow_may_end_by_its_loss_alone():
    objective = quadratic(CURVATURES)
    start = objective.loss(objective.theta)
    record = gradient_flow(objective, objective.theta, cap=0.2, stop_loss=start / 2).record
    assert float(record.loss[-1]) < start / 2 <= float(record.loss[-2])


def test_lambda_is_measured_every_so_many_steps_and_kept_in_between():
    objective = classifier()
    record = gradient_flow(objective, objective.theta, cap=10.0, steps=7, lambda_every=3).record
    assert np.isfinite(record.lambda_1).values.tolist() == [n % 3 == 0 for n in range(8)]
    assert (record.products > 0).values.tolist() == [n % 3 == 0 for n in range(8)]
    for n in range(8):
        assert float(record.rate[n]) == pytest.approx(0.5 / float(record.lambda_1[n - n % 3]))


def test_the_ends_of_a_flow():
    objective = classifier()
    flow = gradient_flow(objective, objective.theta, cap=0.1, time=0.55)
    assert float(flow.record.time[-1]) >= 0.55 > float(flow.record.time[-2])
    flow = gradient_flow(objective, objective.theta, cap=0.1, stop_loss=1.2, steps=500)
    assert flow.status == f"stopped: loss below 1.2 at step {flow.steps}"
    assert flow.record.loss[-1] < 1.2 <= flow.record.loss[:-1].min()
    flow = gradient_flow(objective, objective.theta, steps=0)
    assert flow.steps == 0 and torch.equal(flow.theta, objective.theta)


def test_an_unstable_flow_keeps_what_it_recorded():
    objective = quadratic(CURVATURES)
    flow = gradient_flow(objective, objective.theta, cap=1e60, c=1e60, steps=20)
    assert "became non-finite at step" in flow.status
    assert np.isfinite(flow.record.loss).all() and flow.record.attrs["status"] == flow.status
    assert np.isfinite(objective.loss(flow.theta))


def test_a_diverged_flow_that_is_taken_up_again_ends_at_the_same_point(tmp_path):
    objective = quadratic(CURVATURES)
    ends = {"cap": 5.0, "c": 1e9, "steps": 2000, "lambda_every": 1000}
    whole = gradient_flow(objective, objective.theta, **ends)
    assert "loss became non-finite" in whole.status and whole.steps > 50
    settings = {"checkpoint": tmp_path / "flow.npz", "checkpoint_every": 0, "keep_checkpoint": True}
    for _ in range(2):
        ended = gradient_flow(objective, objective.theta, **ends, **settings)
        assert ended.status == whole.status
        assert torch.equal(ended.theta, whole.theta)
        xarray.testing.assert_identical(ended.record, whole.record)


def test_a_lambda_that_has_not_converged_is_said():
    objective = classifier()
    record = gradient_flow(objective, objective.theta, steps=2, tol=1e-12, max_products=3).record
    assert not record.converged.any()
    assert (record.lambda_residual > 0).all()


@pytest.mark.parametrize("method", ["euler", "rk4"])
@pytest.mark.parametrize("at", [1, 10])
def test_an_interrupted_flow_ends_with_the_same_record(tmp_path, at, method):
    objective = classifier(torch.float32)

    settings = {"cap": 0.5, "steps": 12, "method": method, "snapshot_every": 4, "lambda_every": 2}
    whole = gradient_flow(objective, objective.theta, **settings)
    file = tmp_path / "flow.npz"
    with pytest.raises(Interrupted):
        gradient_flow(objective, objective.theta, **settings, checkpoint=file, checkpoint_every=0, progress=stop_at(at))
    resumed = gradient_flow(objective, objective.theta, **settings, checkpoint=file)
    xarray.testing.assert_identical(whole.record, resumed.record)
    for a, b in ((whole.peak, resumed.peak), (whole.snapshot_peak, resumed.snapshot_peak)):
        assert a.step == b.step and torch.equal(a.theta, b.theta)
    assert torch.equal(whole.theta, resumed.theta)
    assert not file.exists()


def test_a_killed_process_resumes_to_the_same_record(tmp_path):
    program = """
        from test_telemetry import classifier
        from landscape_helpers.descent import gradient_flow
        objective = classifier(torch.float32)
        gradient_flow(objective, objective.theta, cap=0.5, steps=14, checkpoint=file, checkpoint_every=0, progress=die)
        """
    file = tmp_path / "flow.npz"
    run_until_killed(program, 9, file)
    objective = classifier(torch.float32)
    resumed = gradient_flow(objective, objective.theta, cap=0.5, steps=14, checkpoint=file).record
    xarray.testing.assert_identical(resumed, gradient_flow(objective, objective.theta, cap=0.5, steps=14).record)


def test_a_foreign_checkpoint_is_refused(tmp_path):
    objective, file = classifier(), tmp_path / "flow.npz"

    with pytest.raises(Interrupted):
        gradient_flow(objective, objective.theta, steps=5, checkpoint=file, checkpoint_every=0, progress=stop_at(2))
    with pytest.raises(ValueError, match="saved by another flow"):
        gradient_flow(objective, objective.theta, steps=5, method="rk4", checkpoint=file)

    def overrun(n, steps, loss):  # without the refusal this flow has no end
        assert n < 9

    with pytest.raises(ValueError, match=r"stands at step .*, beyond the steps=1 asked for"):
        gradient_flow(objective, objective.theta, steps=1, checkpoint=file, progress=overrun)
    with pytest.raises(ValueError, match=r"stands at time 0\.002, beyond the time=0\.001 asked for"):
        gradient_flow(objective, objective.theta, time=0.001, checkpoint=file)
    assert gradient_flow(objective, objective.theta, time=0.002, checkpoint=file).steps == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cap": 0.0}, "cap must be a finite number above 0, got 0"),
        ({"c": float("nan")}, "c must be a finite number above 0, got nan"),
        ({"method": "heun"}, r"unknown method 'heun': expected one of \['euler', 'rk4'\]"),
        ({"steps": None}, "the flow has no end"),
        ({"steps": -1}, "must not be negative"),
        ({"time": float("nan")}, "must not be negative"),
        ({"lambda_every": 0}, "at least 1 step"),
        ({"theta": torch.zeros(2)}, r"theta must have shape \(95,\), got \(2,\)"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    objective = classifier()
    with pytest.raises(ValueError, match=message):
        gradient_flow(objective, **({"theta": objective.theta, "steps": 3} | change))
    assert objective.counts.gradients == 0
