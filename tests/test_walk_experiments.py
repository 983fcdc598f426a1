"""The walk's experiments on digits, against plain loops and closed forms."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape_helpers.accuracy import accuracy_on
from landscape_helpers.curvature import top_eigenpairs
from landscape_helpers.data import load_data
from landscape_helpers.experiments import hessian_covariance, quadratic_bowl, walk
from landscape_helpers.experiments.images import read_images
from landscape_helpers.minibatch import MiniBatches
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

MLP = {"n_train": 90, "n_valid": 40, "model": "mlp", "model_options": {"hidden": [8]}, "batch_size": 30, "epochs": 4}
FULL = MLP | {
    "windows": [[1, 4], [2, 3]], "points": 3, "full_gradients": True, "evaluate_every": 2, "spectrum_every": 2,
    "spectrum_images": 50,
}  # fmt: skip
CONV = FULL | {"model": "resnet8", "model_options": {"width": 2}, "full_gradients": False, "spectrum_every": 0}


def loop(p, seed=0):
    """Iterates, batch losses, and the objective, by a plain loop."""
    data = read_images(walk.validate(p))
    x, y, x_valid, y_valid = data.standardised()
    model = build_model(p["model"], data.n_classes, data.input_shape, seed=seed, **p["model_options"])
    objective = Objective(model, x, y)
    batches = MiniBatches(objective, p["batch_size"], seed)
    thetas, losses, gradients = [objective.theta], [], []
    for epoch in range(1, p["epochs"] + 2):
        for batch in batches.epoch(epoch):
            loss, gradient = batches.gradient(thetas[-1], batch)
            losses.append(loss)
            gradients.append(gradient)
            thetas.append(thetas[-1] - walk.DEFAULTS["lr"] * gradient)
    return objective, (x_valid, y_valid), thetas, losses, gradients


@pytest.fixture(scope="module", params=[FULL, CONV], ids=["mlp", "resnet"])
def walked(request):
    return request.param, walk.run(request.param, seed=3), loop(request.param, seed=3)


def test_the_walk_is_that_of_a_plain_loop(walked):
    _, record, (_, _, thetas, losses, gradients) = walked
    K = record.sizes["step"] - 1
    assert K == 12 and record.attrs["iterations_per_epoch"] == 3
    assert np.allclose(record.batch_loss, losses[: K + 1], rtol=1e-5)
    assert np.allclose(record.distance, [float((t - thetas[0]).norm()) for t in thetas[: K + 1]], rtol=1e-4, atol=1e-6)
    cosines = [float(torch.nn.functional.cosine_similarity(a, b, dim=0)) for a, b in pairwise(gradients)]
    assert np.isnan(record.cosine[0]) and np.allclose(record.cosine[1:], cosines[:K], atol=1e-4)


def test_losses_between_iterates_are_the_full_objectives(walked):
    _, record, (objective, _, thetas, _, _) = walked
    assert record["update"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert record["update_epoch"].values.tolist() == [1, 1, 1, 1, 2, 2]
    for row, t in enumerate(record["update"].values):
        for column, alpha in enumerate(record["alpha"].values):
            expected = objective.loss((1 - alpha) * thetas[t] + float(alpha) * thetas[t + 1])
            assert record.step_loss.values[row, column] == pytest.approx(expected, rel=1e-4)


def test_evaluations_are_of_held_out_images(walked):
    _, record, (objective, (x_valid, y_valid), thetas, _, _) = walked
    assert record["evaluation"].values.tolist() == [0, 6, 12]
    assert len(y_valid) == 40 == record.attrs["n_valid"]
    for row, step in enumerate((0, 6, 12)):
        assert record.train_loss.values[row] == pytest.approx(objective.loss(thetas[step]), rel=1e-4)
        expected = accuracy_on(objective, thetas[step], x_valid, y_valid)
        assert record.validation_accuracy.values[row] == pytest.approx(expected, abs=1.01 / 40)


def test_slopes_and_spectrum():
    record = walk.run(FULL, seed=3)
    objective, _, thetas, _, _ = loop(FULL, seed=3)
    gradient = objective.gradient(thetas[2])
    assert record.slope_start.values[2] == pytest.approx(float(gradient @ (thetas[3] - thetas[2])), rel=1e-3)
    data = read_images(walk.validate(FULL))
    x, y, _, _ = data.standardised()
    part = Objective(objective.model, x[:50], y[:50])
    exact = top_eigenpairs(part, thetas[6], 1, tol=1e-6).values[0]
    assert record["stop"].values.tolist() == [0, 6, 12]
    assert record.lambda_max.values[1] == pytest.approx(exact, rel=0.02)
    assert np.all(record.lambda_min <= record.lambda_max)


def test_full_batch_updates_are_epochs():
    p = MLP | {"batch_size": None, "epochs": 6, "windows": [[1, 6]], "points": 2}
    record = walk.run(p, seed=0)
    assert record.sizes["step"] == 7 and record.attrs["iterations_per_epoch"] == 1
    # The gradient is that of the loss between whose iterates is looked: the batch loss is the end of each sample.
    assert np.allclose(record.step_loss[:, 0], record.batch_loss[:6], rtol=1e-5)
    assert np.allclose(record.step_loss[:, -1], record.batch_loss[1:], rtol=1e-5)


def test_noise_has_the_variance_asked_for():
    p = MLP | {"batch_size": None, "steps": 1, "windows": [], "evaluate_every": 0}
    quiet, noisy = walk.run(p, seed=1), walk.run(p | {"noise": 0.5}, seed=1)
    variance = float(noisy.largest_gradient_variance)
    assert float(noisy.noise_variance) == pytest.approx(0.5 * variance)
    assert float(quiet.noise_variance) == 0 and np.isnan(quiet.largest_gradient_variance)
    squared = float(noisy.gradient_norm[0] ** 2 - quiet.gradient_norm[0] ** 2)
    assert squared / quiet.attrs["model_parameters"] == pytest.approx(0.5 * variance, rel=0.2)


def test_schedules_change_the_rate():
    p = MLP | {"windows": [], "evaluate_every": 0, "schedule": "steps_at"}
    record = walk.run(p | {"schedule_options": {"milestones": [0.5], "factor": 0.1}}, seed=0)
    assert np.allclose(record.learning_rate[:12], [0.1] * 6 + [0.01] * 6)


def test_classes_can_be_left_out():
    p = walk.validate(MLP | {"n_train": None, "classes": 4})
    data = read_images(p)
    assert data.n_classes == 4 and set(data.y_train.tolist()) == {0, 1, 2, 3} and len(data.y_test) == 40
    whole = load_data("digits")
    assert "pooled" not in data.provenance and read_images(p | {"pool": 2}).provenance["pooled"] == 2
    assert len(data.y_train) == int((whole.y_train < 4).sum()) - 40
    # As in the other experiments, n_train counts the images before.
    some = read_images(p | {"n_train": 90})
    assert len(some.y_train) == int((whole.y_train[:130] < 4).sum()) - 40
    assert torch.equal(some.x_train, whole.x_train[:130][whole.y_train[:130] < 4][:-40])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rate": 1}, "unknown parameter 'rate'"),
        ({"lr": 0.0}, "lr must be a finite learning rate above 0, got 0.0"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, or null for all, got 0"),
        ({"windows": [[0, 4]]}, "windows must be a list of [epoch, updates], both counted from 1"),
        ({"windows": [[4, 4]]}, "[4, 4] reaches update 13, but the run has 12 (3 an epoch)"),
        ({"schedule": "triangle"}, "schedule must be one of"),
        ({"schedule": "cyclical", "schedule_options": {"peak": 1}}, "cyclical"),
        ({"schedule_options": {"low": 1}}, "has no options"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0, got -0.1"),
        ({"batchnorm": "whole"}, "batchnorm 'whole' takes the statistics of all images"),
        ({"full_gradients": 1}, "full_gradients must be true or false, got 1"),
        ({"stop_loss": "low"}, "stop_loss must be a number or null"),
        ({"points": 1}, "points must be a whole number of at least 2"),
        ({"dtype": "float16"}, "dtype must be one of"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_data_is_read(wrong, words, monkeypatch):
    monkeypatch.setattr(walk, "read_images", lambda *a, **k: pytest.fail("read"))
    with pytest.raises(ValueError) as error:
        walk.run(MLP | {"windows": []} | wrong, seed=0)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_holding_out_everything_is_refused():
    with pytest.raises(ValueError, match="n_valid must leave images to train on: digits has 1500, got 1500"):
        read_images(walk.validate(MLP | {"n_train": None, "n_valid": 1500}))


def test_a_killed_walk_goes_on_as_if_it_had_not_been(tmp_path):
    p = FULL | {"epochs": 100, "windows": [[1, 4], [80, 3]], "spectrum_every": 0, "evaluate_every": 50}
    whole = walk.run(p, seed=2)
    file = tmp_path / "unfinished.npz"
    code = (
        "import json, sys; from pathlib import Path; from landscape_helpers.experiments import walk; import torch\n"
        "import landscape_helpers.descent.stochastic as s\n"
        "torch.set_num_threads(1); s.Checkpoint.due = lambda self: True\n"
        "walk.run(json.loads(sys.argv[1]), seed=2, checkpoint=Path(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(p), str(file)], cwd=Path(walk.__file__).parents[2]
    )
    limit = time.monotonic() + 60
    while not file.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert file.exists(), "the run ended before it could be killed"
    resumed = walk.run(p, seed=2, checkpoint=file)
    for name in ("batch_loss", "cosine", "distance", "step_loss", "validation_accuracy"):
        assert np.array_equal(whole[name].values, resumed[name].values, equal_nan=True), name


@pytest.mark.parametrize("windows", [[[1, 6]], []])
def test_a_stored_walk_is_verified_by_its_beginning(windows):
    from landscape_helpers.verify import part_difference

    p = walk.validate(MLP | {"epochs": 10, "windows": windows, "points": 3})
    stored, fresh = walk.run(p, seed=0), walk.run(walk.beginning(p), seed=0)
    assert fresh.sizes["step"] == walk.REPEATED_STEPS + 1 < stored.sizes["step"]
    assert part_difference(stored, fresh, walk.REPEATS) == ""
    other = walk.run(walk.beginning(p) | {"lr": 0.11}, seed=0)
    assert part_difference(stored, other, walk.REPEATS).startswith("batch_loss at (1,)")


def test_a_longer_window_than_the_beginning_is_cut_short():
    p = walk.beginning(MLP | {"epochs": 20, "windows": [[1, 40], [20, 3]]})
    assert p["windows"] == [[1, 20]] and p["steps"] == 20
    assert walk.validate(p)


class TestBowl:
    def test_every_component_follows_the_closed_form(self):
        p = {"eigenvalues": [1.0, 4.0], "rates": [0.5, 1.5, 2.5], "steps": 8}
        record = quadratic_bowl.run(p, seed=5)
        for i, eta in enumerate(record.rate.values):
            for j, eigenvalue in enumerate((1.0, 4.0)):
                start = record.position.values[i, 0, j]
                expected = start * (1 - eta * eigenvalue) ** np.arange(9)
                assert np.allclose(record.position.values[i, :, j], expected, rtol=1e-12)
        assert np.allclose(record.measured_rate, record.predicted_rate, rtol=1e-12)
        assert record.sign_changes.values[:, 1].tolist() == [0, 1, 1]

    def test_a_component_that_arrives_at_once_has_rate_zero(self):
        record = quadratic_bowl.run({"rates": [1.0]}, seed=0)
        assert record.measured_rate.values[0, 1] == 0 and record.predicted_rate.values[0, 1] == 0

    def test_its_beginning_is_all_of_it(self):
        from landscape_helpers.verify import part_difference

        record = quadratic_bowl.run({}, seed=0)
        again = quadratic_bowl.run(quadratic_bowl.beginning({}), seed=0)
        assert part_difference(record, again, quadratic_bowl.REPEATS) == ""

    @pytest.mark.parametrize(
        "wrong", [{"rates": [2.0, 1.0]}, {"rates": []}, {"eigenvalues": [-1.0]}, {"steps": 1}, {"lr": 1}]
    )
    def test_what_cannot_be_run_is_refused(self, wrong):
        with pytest.raises(ValueError, match=r"must be|unknown parameter"):
            quadratic_bowl.validate(wrong)


MATRICES = {
    "n_train": 40, "pool": 2, "model_options": {"hidden": [3], "activation": "tanh"}, "checkpoints": [0, 20, 60],
}  # fmt: skip


class TestHessianAndCovariance:
    def test_the_parts_add_up_and_belong_to_the_training(self):
        record = hessian_covariance.run(MATRICES, seed=1)
        data = load_data("digits", n_train=40).pooled(2)
        x, y, _, _ = data.standardised(torch.float64)
        model = build_model("mlp", 10, data.input_shape, seed=1, **MATRICES["model_options"])
        objective = Objective(model, x, y, dtype=torch.float64)
        theta = objective.theta
        for update in range(21):
            if update == 20:
                assert record.loss.values[1] == pytest.approx(objective.loss(theta), rel=1e-9)
                H = objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64))
                assert record.hessian_norm.values[1] == pytest.approx(float(H.norm()), rel=1e-8)
                assert record.hessian_spectral_norm.values[1] == pytest.approx(
                    float(torch.linalg.matrix_norm(H, 2)), rel=1e-8
                )
            theta = theta - 0.1 * objective.gradient(theta)
        assert record.identity_error.max() < 1e-12
        assert np.allclose(record.mean_outer_norm, record.gradient_norm**2, rtol=1e-9)

    def test_it_is_verified_by_its_first_two_checkpoints(self):
        from landscape_helpers.verify import part_difference

        stored = hessian_covariance.run(MATRICES, seed=0)
        fresh = hessian_covariance.run(hessian_covariance.beginning(MATRICES), seed=0)
        assert fresh.sizes["checkpoint"] == 2
        assert part_difference(stored, fresh, hessian_covariance.REPEATS) == ""

    @pytest.mark.parametrize(
        "wrong", [{"checkpoints": []}, {"checkpoints": [5, 3]}, {"lr": -1}, {"n_train": 0}, {"x": 1}]
    )
    def test_what_cannot_be_run_is_refused(self, wrong):
        with pytest.raises(ValueError, match=r"must be|unknown parameter"):
            hessian_covariance.validate(wrong)

    def test_a_large_network_is_refused(self):
        with pytest.raises(ValueError, match=r"has 9,610 parameters here, .* at most 2,000"):
            hessian_covariance.run({"n_train": 20, "model_options": {"hidden": [128]}}, seed=0)
