"""What the regression run watches of each experiment's runs, and how closely.

Training repeats on any machine up to rounding for a few steps; past the edge of stability rounding errors grow. So
the first losses are compared closely, and of what comes later only shares, with tolerances that come from repeating
runs at a rate changed by one part in a million.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray

from .regression import Metrics
from .shapes import classify

EARLY_LOSS = (1e-3, "float32 rounding over ten steps")
OSCILLATING_SHARE = (0.15, "fifteen times the change of the simple CNN when its rate changes by 1e-6")
BASIN_SHARE = (0.35, "largest change among five networks when their rate changes by 1e-6: ResNet-20, no shortcuts")


def record_descent(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The first losses of a full-batch descent, and how much of it oscillates."""
    for k in (0, 10):
        metrics.record(f"{name}: loss at step {k}", float(run.loss[k]), *EARLY_LOSS, relative=True)
    oscillating = float((run.windowed_correlation.dropna("step") < 0).mean())
    metrics.record(f"{name}: share of oscillating steps", oscillating, *OSCILLATING_SHARE)


def record_training(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The loss at the first two checkpoints: the initialisation, and a few steps later."""
    for k in (0, 1):
        epoch = int(run.epoch[k])
        metrics.record(f"{name}: loss at E = {epoch}", float(run.eval_loss[k]), *EARLY_LOSS, relative=True)


def record_slices(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The first losses of the training, and how many Gaussian curves are basins."""
    record_training(metrics, run, name)
    labels = []
    for at, losses in zip(run.curve_at.values, run.curve_loss.values, strict=True):
        inside = np.isfinite(at)
        labels.append(classify(at[inside], losses[inside]))
    gaussian = run.curve_family.values == "gaussian"
    basins = np.array(labels)[gaussian] == "v-basin"
    metrics.record(f"{name}: share of v-basins", float(basins.mean()), *BASIN_SHARE)


WATCHED: dict[str, Callable[[Metrics, xarray.Dataset, str], None]] = {
    "gradient_oscillation": record_descent,
    "landscape_slices": record_slices,
    "landscape_curvature": record_training,
    "landscape_mining": record_training,
}
