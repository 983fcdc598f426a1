"""What the regression run watches of each experiment, on runs of known content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.regression import VARIABLE, Metrics
from landscape_helpers.watched import (
    BASIN_SHARE,
    CLOSED_FORM,
    EARLY_LOSS,
    FIRST_EIGENVALUE,
    FIRST_EPOCHS,
    FIRST_STEPS,
    OSCILLATING_SHARE,
    VALLEY_SHARE,
    WATCHED,
)

NAN = np.nan
LOSS = ("step", 20.0 - np.arange(20))
TRAINING = {"epoch": ("checkpoint", [0, 3, 9]), "eval_loss": ("checkpoint", [2.5, 1.25, 0.5])}
# Two gaussian curves, the shorter one filled up and rising all the way, and two others that rise.
SIDES = np.array([[-2, -1, 0, 1, 2], [-1, 0, 1, NAN, NAN], [-2, -1, 0, 1, 2], [-2, -1, 0, 1, 2]], float)
CURVES = {
    "curve_at": (("curve", "point"), SIDES),
    "curve_loss": (("curve", "point"), np.concatenate([SIDES[:1] ** 2, SIDES[1:]])),
    "curve_family": ("curve", ["gaussian", "gaussian", "layer", "layer"]),
}
# Ten of the first forty updates pass over a minimum, and each of the ten that follow.
PASSING = np.where(np.arange(50)[:, None] % 4 == 0, [1.0, 0.0, 1.0], [2.0, 1.0, 0.0])
PASSING[40:] = [1.0, 0.0, 1.0]

EARLY = {"loss at step 0": (20.0, *EARLY_LOSS, True), "loss at step 10": (10.0, *EARLY_LOSS, True)}
TRAINED = {"loss at E = 0": (2.5, *EARLY_LOSS, True), "loss at E = 3": (1.25, *FIRST_EPOCHS, True)}
WALKED = {"batch loss at step 0": (20.0, *FIRST_STEPS, True), "batch loss at step 2": (18.0, *FIRST_STEPS, True)}
DESCENT = {
    "loss at step 0": (20.0, *FIRST_STEPS, True),
    "loss at step 2": (18.0, *FIRST_STEPS, True),
    "|g| at the start": (7.0, *FIRST_STEPS, True),
}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a descent": (
        "gradient_oscillation",
        {
            "loss": LOSS,
            "gradient_norm": ("step", 7.0 + np.arange(20)),
            "windowed_correlation": ("step", [NAN] * 4 + [-1.0] * 4 + [0.0] * 2 + [1.0] * 10),
        },
        DESCENT | {"share of oscillating steps": (0.25, *OSCILLATING_SHARE, False)},
    ),
    "slices": ("landscape_slices", TRAINING | CURVES, TRAINED | {"share of v-basins": (0.5, *BASIN_SHARE, False)}),
    "curvature": ("landscape_curvature", TRAINING | CURVES, TRAINED),
    "mining": ("landscape_mining", TRAINING | CURVES, TRAINED),
    "a walk": (
        "walk",
        {"batch_loss": LOSS, "step_loss": (("update", "alpha"), PASSING)},
        WALKED | {"share of interior minima": (0.25, *VALLEY_SHARE, False)},
    ),
    "a walk without samples": ("walk", {"batch_loss": LOSS}, WALKED),
    "a walk with none": ("walk", {"batch_loss": LOSS, "step_loss": (("update", "alpha"), PASSING[:0])}, WALKED),
    "matrices": (
        "hessian_covariance",
        {
            "update": ("checkpoint", [0, 7, 9]),
            "loss": ("checkpoint", [2.0, 1.0, 0.5]),
            "hessian_norm": ("checkpoint", [8.0, 4.0, 3.0]),
        },
        {
            "loss after 0 updates": (2.0, *EARLY_LOSS, True),
            "|H| after 0 updates": (8.0, *EARLY_LOSS, True),
            "loss after 7 updates": (1.0, *EARLY_LOSS, True),
            "|H| after 7 updates": (4.0, *EARLY_LOSS, True),
        },
    ),
    "a bowl": (
        "quadratic_bowl",
        {"measured_rate": ("rate", [0.5, 0.25]), "predicted_rate": ("rate", [0.375, 0.5])},
        {"largest error of a rate": (0.25, *CLOSED_FORM, False)},
    ),
    "the edge": (
        "edge_of_stability",
        {"loss": LOSS, "eigenvalue": (("at", "which"), [[3.0, 1.0], [2.0, 9.0]])},
        EARLY | {"largest eigenvalue at the start": (3.0, *FIRST_EIGENVALUE, True)},
    ),
    "a flow": (
        "gradient_flow",
        {"loss": LOSS, "lambda_1": ("at", [5.0, 4.0])},
        EARLY | {"lambda_1 at the start": (5.0, *FIRST_EIGENVALUE, True)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_quantities_of_a_run_with_their_tolerances(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    experiment, arrays, expected = CASES[case]
    record: Callable[..., None] = WATCHED[experiment]
    metrics = Metrics()
    record(metrics, xarray.Dataset(arrays), "cnn, seed 3")
    found = {
        name: (q["value"], q["tolerance"], q["tolerance_source"], q["relative"])
        for name, q in metrics.quantities.items()
    }
    assert found == {f"cnn, seed 3: {name}": values for name, values in expected.items()}


def test_every_experiment_is_watched() -> None:
    assert set(WATCHED) == {run.experiment for run in load_catalogue().runs.values()}
