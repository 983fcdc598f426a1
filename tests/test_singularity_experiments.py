"""The experiments of the singularity paper on digits, against descent, eigenvalues and losses computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray

from landscape_helpers.data import load_data
from landscape_helpers.data.subset import first_classes
from landscape_helpers.experiments import edge_of_stability, gradient_flow
from landscape_helpers.experiments.full_batch import make_objective, smallest_eigenvalue
from landscape_helpers.experiments.images import read_images
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

SMALL: dict[str, Any] = {
    "data": "digits",
    "n_train": 60,
    "classes": 3,
    "model": "mlp",
    "model_options": {"hidden": [6], "activation": "tanh", "init": "kaiming"},
    "dtype": "float64",
    "stop_loss": None,
}
EDGE = SMALL | {"lr": 0.25, "t_max": 5, "k": 5, "tol": 1e-6}
FLOW = SMALL | {"t_max": 0.6, "cap": 0.02, "snapshot_every": 5, "tol": 1e-6, "delta_points": 21}


@pytest.fixture(scope="module")
def edge() -> xarray.Dataset:
    return edge_of_stability.run(EDGE, seed=3)


@pytest.fixture(scope="module")
def flow() -> xarray.Dataset:
    return gradient_flow.run(FLOW, seed=3)


def by_hand(seed: int = 3) -> Objective:
    """The objective without the experiment's own way to it."""
    data = load_data("digits", n_train=60)
    kept = data.y_train < 3
    pixels = data.x_train[kept].double()
    x = (pixels - pixels.mean()) / pixels.std(correction=0)
    model = build_model("mlp", 3, (1, 8, 8), seed=seed, hidden=[6], activation="tanh", init="kaiming")
    return Objective(model, x, data.y_train[kept], dtype=torch.float64)


def dense(objective: Objective, theta: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
    """Eigenvalues in descending order, and eigenvectors, of the whole Hessian."""
    hessian = objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64))
    values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
    return values.flip(0).numpy(), vectors.flip(1)


class TestEdge:
    def test_telemetry_is_what_dense_linear_algebra_gives(self, edge: xarray.Dataset) -> None:
        objective, lr = by_hand(), 0.25
        theta = objective.theta
        assert edge["stop"].values.tolist() == [0, 4, 8, 12, 16, 20]  # every 1 / eta steps to t = 5
        np.testing.assert_allclose(edge["time"].values, np.arange(6.0))
        for k in range(21):
            loss, gradient = objective.loss_and_gradient(theta)
            assert float(edge["loss"][k]) == pytest.approx(loss, rel=1e-10)
            if k in (0, 12, 20):
                stop = k // 4
                values, vectors = dense(objective, theta)
                np.testing.assert_allclose(edge["eigenvalue"][stop], values[:5], rtol=1e-5)
                np.testing.assert_allclose(edge["rho"][stop], lr * values[:5] / 2, rtol=1e-5)
                top = vectors[:, :2] @ (vectors[:, :2].T @ gradient)
                parts = {"top": top, "bulk": gradient - top}
                for part, vector in parts.items():
                    assert float(edge[f"{part}_norm"][stop]) == pytest.approx(float(vector.norm()), rel=1e-4)
                    change = objective.loss(theta - lr * vector) - loss
                    assert float(edge[f"change_{part}"][stop]) == pytest.approx(change, rel=1e-3, abs=1e-8)
            theta = theta - lr * gradient

    def test_the_ends_are_recorded(self, edge: xarray.Dataset) -> None:
        objective = by_hand()
        theta = objective.theta
        assert float(edge["theta_norm_start"]) == pytest.approx(float(theta.norm()))
        for _ in range(20):
            theta = theta - 0.25 * objective.gradient(theta)
        assert float(edge["theta_norm_end"]) == pytest.approx(float(theta.norm()), rel=1e-9)
        assert float(edge["accuracy"]) == pytest.approx(objective.accuracy(theta))
        # Found to a tenth of itself, as its residual asks for.
        assert float(edge["smallest_eigenvalue"]) == pytest.approx(dense(objective, theta)[0][-1], rel=0.1)
        attributes = edge.attrs
        assert (attributes["n_classes"], attributes["data_n"], attributes["status"]) == (3, objective.n, "completed")
        assert attributes["learning_rate"] == 0.25

    def test_its_beginning_repeats(self, edge: xarray.Dataset) -> None:
        part = edge_of_stability.run(
            edge_of_stability.beginning(edge_of_stability.validate(EDGE | {"t_max": 50})), seed=3
        )
        assert part.sizes["step"] == 21 and part.sizes["stop"] == 1
        np.testing.assert_array_equal(part["loss"].values, edge["loss"].values[:21])
        np.testing.assert_allclose(part["eigenvalue"][0], edge["eigenvalue"][0])

    def test_a_run_ends_at_its_loss(self) -> None:
        run = edge_of_stability.run(EDGE | {"stop_loss": 1.0}, seed=3)
        assert run.attrs["status"].startswith("stopped: loss below 1")
        assert float(run["loss"][-1]) < 1.0 and (run["loss"][:-1] >= 1.0).all()

    def test_fewer_pairs_than_classes_are_refused_before_any_work(self) -> None:
        with pytest.raises(ValueError, match="k must be at least the number of classes, 3"):
            edge_of_stability.validate(EDGE | {"k": 2})
        with pytest.raises(ValueError, match="k must be at least the 10 classes of digits, got 5"):
            edge_of_stability.run(EDGE | {"classes": None}, seed=0)


class TestFlow:
    def test_steps_follow_the_papers_rule(self, flow: xarray.Dataset) -> None:
        objective = by_hand()
        theta, t = objective.theta, 0.0
        for k in range(4):
            largest = dense(objective, theta)[0][0]
            assert float(flow["lambda_1"][k]) == pytest.approx(largest, rel=1e-5)
            assert float(flow["time"][k]) == pytest.approx(t)
            rate = min(0.02, 0.5 / largest)
            assert float(flow["rate"][k]) == pytest.approx(rate, rel=1e-5)
            theta, t = theta - rate * objective.gradient(theta), t + rate
            assert float(flow["loss"][k + 1]) == pytest.approx(objective.loss(theta), rel=1e-6)
        assert float(flow["time"][-1]) == pytest.approx(0.6, abs=0.021)

    def test_the_profile_is_the_loss_along_the_leading_eigenvector(self, flow: xarray.Dataset) -> None:
        # The snapshot of largest curvature among every fifth step.
        peak = 5 * int(np.nanargmax(flow["lambda_1"].values[::5]))
        objective = by_hand()
        theta = objective.theta
        for k in range(peak):
            theta = theta - float(flow["rate"][k]) * objective.gradient(theta)
        values, vectors = dense(objective, theta)
        assert float(flow["cusp_eigenvalue"]) == pytest.approx(values[0], rel=1e-4)
        h = vectors[:, 0]
        h = h if float(h @ objective.gradient(theta)) <= 0 else -h
        here = objective.loss(theta)
        assert flow["cusp_change"].shape == (2, 21)
        for row, far in enumerate((0.003, 0.03)):
            at = np.linspace(-far, far, 21)
            np.testing.assert_allclose(flow["cusp_delta"][row], at)
            changes = [objective.loss(theta + d * h) - here for d in at]
            np.testing.assert_allclose(flow["cusp_change"][row], changes, rtol=1e-3, atol=1e-9)

    def test_single_precision_gives_the_same_profile(self, flow: xarray.Dataset) -> None:
        single = gradient_flow.run(FLOW | {"dtype": "float32", "tol": 1e-4}, seed=3)
        scale = float(np.abs(flow["cusp_change"]).max())
        np.testing.assert_allclose(single["cusp_change"], flow["cusp_change"], atol=2e-3 * scale)

    def test_its_beginning_repeats(self, flow: xarray.Dataset) -> None:
        part = gradient_flow.run(gradient_flow.beginning(gradient_flow.validate(FLOW)), seed=3)
        n = part.sizes["step"]
        assert n == 21
        np.testing.assert_array_equal(part["loss"].values, flow["loss"].values[:n])


class TestSetting:
    def test_dropped_classes_are_gone(self) -> None:
        data = load_data("digits", n_train=100)
        part = first_classes(data, 4)
        assert part.n_classes == 4 and part.classes == data.classes[:4]
        assert torch.equal(part.x_train, data.x_train[data.y_train < 4])
        assert set(part.y_test.tolist()) == {0, 1, 2, 3}
        assert part.provenance["classes"] == "first 4 of 10"
        assert first_classes(data, 10) is data
        for count in (1, 11, 2.0, True):
            with pytest.raises(ValueError, match="classes must be a whole number from 2 to the 10 of digits"):
                first_classes(data, count)  # type: ignore[arg-type]

    def test_the_function_does_not_depend_on_the_batch_size(self) -> None:
        p = edge_of_stability.validate(EDGE)
        data = read_images(p)
        whole, parts = (make_objective(p | {"batch_size": b}, data, 0, "cpu") for b in (None, 7))
        assert whole.loss(whole.theta) == pytest.approx(parts.loss(parts.theta), rel=1e-12)

    def test_curvature_that_overflows_is_no_number(self) -> None:
        objective = by_hand()
        assert np.isnan(smallest_eigenvalue(objective, torch.full_like(objective.theta, torch.inf), 0.1, 50))

    @pytest.mark.parametrize(
        ("module", "change", "message"),
        [
            (edge_of_stability, {"lr": 0}, "lr must be a finite learning rate above 0, got 0"),
            (edge_of_stability, {"classes": 1}, "classes must be a whole number of at least 2"),
            (edge_of_stability, {"telemetry_every": 0}, "telemetry_every must be a whole number of at least 1"),
            (edge_of_stability, {"t_max": float("inf")}, "t_max must be a finite number above 0, got inf"),
            (edge_of_stability, {"k": "all"}, "k must be a whole number of at least 2, got 'all'"),
            (edge_of_stability, {"stop_loss": -1}, "stop_loss must be a finite number above 0, got -1"),
            (edge_of_stability, {"rate": 1}, "unknown parameter 'rate'"),
            (gradient_flow, {"cap": -0.1}, "cap must be a finite number above 0, got -0.1"),
            (gradient_flow, {"method": "heun"}, "method must be one of"),
            (gradient_flow, {"delta_ranges": []}, "delta_ranges must name at least one distance, got none"),
            (gradient_flow, {"delta_ranges": [0.0]}, "delta_ranges must be a list of finite numbers above 0"),
            (gradient_flow, {"dtype": "float16"}, "dtype must be one of"),
        ],
    )
    def test_mistakes_are_named_before_any_work(self, module: Any, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message.replace("(", r"\(")):
            module.validate(change)


def test_an_interrupted_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = edge_of_stability.run(EDGE, seed=1)
    monkeypatch.setattr("landscape_helpers.checkpoint.Checkpoint.due", lambda self: True)
    file = tmp_path / "run.npz"

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edge_of_stability.run(EDGE, seed=1, checkpoint=file, progress=stop)
    resumed = edge_of_stability.run(EDGE, seed=1, checkpoint=file)
    np.testing.assert_array_equal(resumed["loss"], whole["loss"])
    np.testing.assert_allclose(resumed["eigenvalue"], whole["eigenvalue"], rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "parameters", "tail"),
    [(edge_of_stability, EDGE, "smallest_eigenvalue"), (gradient_flow, FLOW, "profile")],
)
def test_what_comes_after_the_descent_can_fail_without_losing_it(
    module: Any, parameters: dict[str, Any], tail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landscape_helpers.checkpoint.Checkpoint.due", lambda self: True)
    file = tmp_path / "unfinished.npz"
    steps: list[int] = []

    def count(step: int, *_: object) -> None:
        steps.append(step)

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(module, tail, lambda *_: (_ for _ in ()).throw(MemoryError()))
        module.run(parameters, seed=1, checkpoint=file, progress=count)
    last = steps[-1]
    steps.clear()
    again = module.run(parameters, seed=1, checkpoint=file, progress=count)
    assert steps == [last] and again.sizes["step"] == last + 1
    xarray.testing.assert_identical(again.drop_attrs(), module.run(parameters, seed=1).drop_attrs())
