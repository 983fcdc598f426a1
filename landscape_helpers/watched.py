"""What the regression run watches of each experiment's runs, and how closely.

Training repeats on any machine up to rounding for a few steps; past the edge of stability rounding errors grow, in
networks with BatchNorm from a ten-millionth to a tenth within ten steps. So the first losses are compared closely, and
of what comes later only shares, with tolerances that come from repeating runs at a rate changed by one part in a
million, or on other processors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray

from .regression import Metrics
from .shapes import classify, valley

EARLY_LOSS = (1e-3, "float32 rounding over ten steps")
FIRST_STEPS = (1e-3, "fifty times the largest change of a loss between processors after two steps: ResNet-34")
FIRST_EPOCHS = (1e-2, "five times the largest change between two processors: ResNet-20, no shortcuts")
OSCILLATING_SHARE = (0.4, "one and a half times the largest change between three processors: ResNet-34 at 0.01")
VALLEY_SHARE = (0.2, "twice the largest change among five runs when their rate changes by 1e-6: ResNet-8 by SGD")
CLOSED_FORM = (1e-9, "rounding of thirty products")
BASIN_SHARE = (0.5, "one and a half times the largest change between two processors: ResNet-20, no shortcuts")
FIRST_EIGENVALUE = (0.02, "twice the square of the residual that the smoke runs ask for")


def record_descent(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The first losses of a full-batch descent, the first gradient, and how much of it oscillates."""
    for k in (0, 2):
        metrics.record(f"{name}: loss at step {k}", float(run.loss[k]), *FIRST_STEPS, relative=True)
    metrics.record(f"{name}: |g| at the start", float(run.gradient_norm[0]), *FIRST_STEPS, relative=True)
    oscillating = float((run.windowed_correlation.dropna("step") < 0).mean())
    metrics.record(f"{name}: share of oscillating steps", oscillating, *OSCILLATING_SHARE)


def record_training(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The loss at the first two checkpoints: the initialisation, and a few steps later."""
    for k, tolerance in enumerate((EARLY_LOSS, FIRST_EPOCHS)):
        epoch = int(run.epoch[k])
        metrics.record(f"{name}: loss at E = {epoch}", float(run.eval_loss[k]), *tolerance, relative=True)


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


def record_walk(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The first losses of the batches, and how many of the first sampled updates have an interior minimum."""
    for k in (0, 2):
        metrics.record(f"{name}: batch loss at step {k}", float(run.batch_loss[k]), *FIRST_STEPS, relative=True)
    if "step_loss" in run and run.sizes["update"]:
        inside = valley.interior(run.step_loss.values[:40])
        metrics.record(f"{name}: share of interior minima", float(inside.mean()), *VALLEY_SHARE)


def record_matrices(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The loss and the Hessian's norm at the first two checkpoints."""
    for k in (0, 1):
        update = int(run["update"][k])
        metrics.record(f"{name}: loss after {update} updates", float(run.loss[k]), *EARLY_LOSS, relative=True)
        metrics.record(f"{name}: |H| after {update} updates", float(run.hessian_norm[k]), *EARLY_LOSS, relative=True)


def record_bowl(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """How far the measured contractions are from the closed form."""
    error = float(np.abs(run.measured_rate - run.predicted_rate).max())
    metrics.record(f"{name}: largest error of a rate", error, *CLOSED_FORM)


def record_edge(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The first losses of a full-batch descent, and the curvature where it starts."""
    for k in (0, 10):
        metrics.record(f"{name}: loss at step {k}", float(run.loss[k]), *EARLY_LOSS, relative=True)
    largest = float(run.eigenvalue[0, 0])
    metrics.record(f"{name}: largest eigenvalue at the start", largest, *FIRST_EIGENVALUE, relative=True)


def record_flow(metrics: Metrics, run: xarray.Dataset, name: str) -> None:
    """The first losses of a gradient flow, and the curvature where it starts."""
    for k in (0, 10):
        metrics.record(f"{name}: loss at step {k}", float(run.loss[k]), *EARLY_LOSS, relative=True)
    metrics.record(f"{name}: lambda_1 at the start", float(run.lambda_1[0]), *FIRST_EIGENVALUE, relative=True)


WATCHED: dict[str, Callable[[Metrics, xarray.Dataset, str], None]] = {
    "gradient_oscillation": record_descent,
    "landscape_slices": record_slices,
    "landscape_curvature": record_training,
    "landscape_mining": record_training,
    "walk": record_walk,
    "hessian_covariance": record_matrices,
    "quadratic_bowl": record_bowl,
    "edge_of_stability": record_edge,
    "gradient_flow": record_flow,
}
