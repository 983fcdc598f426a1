"""*Visualizing, Rethinking, and Mining the Loss Landscape*: curves and planes along directions that need no Hessian.

Gaussian directions under every condition (Figures 2, 3, A.15, B.16, B.17), descent directions and their angles (4 to
6), lines between independent trainings (7), and the interpolation with its local quadratics (14).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from .. import directions
from ..progress import Progress
from .landscape.curves import add_curve
from .landscape.descents import angles, descent_curves
from .landscape.gaussians import gaussian_curves, gaussian_plane
from .landscape.interpolation import GMI_CURVES, interpolation
from .landscape.setting import Setting
from .landscape.tables import Tables
from .landscape.training import TRAINING, check_epochs, validate_training
from .parameters import check_all_positive, check_counts, completed

DEFAULTS: dict[str, Any] = {
    **TRAINING,
    "points": 41,  # Section 2.2
    "draws": 5,  # Section 2.2
    "conditions": [],  # Gaussian curves: {epoch, normalize, batchnorm, scale}
    "fine": True,  # the first condition again on a grid twice as fine
    "plane_points": 41,  # not stated
    "planes": [],  # Gaussian planes, as the conditions
    "descents": [],  # {epoch, later}: the negative gradient at a checkpoint, and the way to a later one unless null
    "angle_epochs": [],
    "angle_draws": 100,  # Section 2.3
    "batches": 20,  # mini-batches whose gradients are held against the way to the end; not stated
    "best_scales": [0.01, 0.1, 1.0],  # Section 2.3
    "barriers": [],  # [E, E']: from a checkpoint to an independent training's
    "interpolation": True,
}
NORMALISATIONS = ("model", "layer", "filter")
BATCHNORM = ("re-estimated", "frozen")

# What must come out again where only the instruments have changed (see landscape_helpers.verify).
REPEATS = {"train_loss": 0.0, "eval_loss": 1e-5, "theta_norm": 0.0, "curve_loss": 1e-4}


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cheap part of a run: its training and its first curve."""
    nothing: dict[str, list[Any]] = {name: [] for name in ("planes", "descents", "angle_epochs", "barriers")}
    first = {"conditions": parameters["conditions"][:1], "draws": 1, "fine": False, "interpolation": False}
    return {**parameters, **nothing, **first}


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    validate_training(p)
    check_counts(p, {"points": 3, "plane_points": 3, "draws": 1, "angle_draws": 2, "batches": 1})
    for name in ("conditions", "planes"):
        for condition in p[name]:
            _check_condition(p, name, condition)
    for descent in p["descents"]:
        if set(descent) != {"epoch", "later"}:
            raise ValueError(f"descents must be a list of {{epoch, later}}, got {descent!r}")
        check_epochs(p, "descents", [e for e in descent.values() if e is not None])
    for pair in p["barriers"]:
        if len(pair) != 2:
            raise ValueError(f"barriers must be a list of pairs [E, E'], got {pair!r}")
        check_epochs(p, "barriers", pair)
    check_epochs(p, "angle_epochs", p["angle_epochs"])
    check_all_positive(p, "best_scales")
    return p


def _check_condition(p: Mapping[str, Any], name: str, condition: Mapping[str, Any]) -> None:
    if set(condition) != {"epoch", "normalize", "batchnorm", "scale"}:
        raise ValueError(f"{name} must be a list of {{epoch, normalize, batchnorm, scale}}, got {condition!r}")
    check_epochs(p, name, [condition["epoch"]])
    if condition["normalize"] not in NORMALISATIONS:
        raise ValueError(f"{name}: normalize must be one of {list(NORMALISATIONS)}, got {condition['normalize']!r}")
    if condition["batchnorm"] not in BATCHNORM:
        raise ValueError(f"{name}: batchnorm must be one of {list(BATCHNORM)}, got {condition['batchnorm']!r}")
    if not condition["scale"] > 0:
        raise ValueError(f"{name}: scale must be above 0, got {condition['scale']!r}")


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Train one network, or recall its checkpoints, and slice the landscape around them.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of the initialisation, the order of the data and the random directions.
        checkpoint: a file beside which trained checkpoints are kept for this run and others that need them.
        progress: called after each part.

    Returns:
        Curves over (``curve``, ``point``), planes over (``plane``, ``row``, ``column``), the kept checkpoints, angles
        and the interpolation.
    """
    p = validate(parameters)
    setting = Setting(p, seed, device, checkpoint, progress)
    setting.plan(
        len(p["keep"])
        + p["draws"] * (len(p["conditions"]) + bool(p["fine"] and p["conditions"]))
        + len(p["planes"])
        + 2 * len(p["descents"])
        + len(p["angle_epochs"]) * (1 + 2 * len(p["best_scales"]))
        + len(p["barriers"])
        + (GMI_CURVES + 1) * p["interpolation"]
    )
    tables = Tables()
    parts = [setting.checkpoints()]
    for index, condition in enumerate(p["conditions"]):
        gaussian_curves(setting, tables, condition, "gaussian", p["points"])
        if index == 0 and p["fine"]:
            gaussian_curves(setting, tables, condition, "gaussian-fine", 2 * p["points"] - 1)
    for condition in p["planes"]:
        gaussian_plane(setting, tables, condition)
    for descent in p["descents"]:
        descent_curves(setting, tables, **descent)
    if p["angle_epochs"]:
        parts.append(angles(setting, tables))
    for epoch, target in p["barriers"]:
        start = setting.theta(epoch)
        direction = directions.towards(start, setting.independent(target))
        at = np.linspace(-1, 2, 3 * (p["points"] - 1) // 2 + 1)  # Figure 7; 0 and 1 are points
        add_curve(setting, tables, start, direction, at, family="independent", epoch=epoch, target=target)
    if p["interpolation"]:
        parts.append(interpolation(setting))
    return setting.finish([*parts, tables.dataset()], "landscape_slices")
