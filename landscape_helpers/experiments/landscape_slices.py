"""*Visualizing, Rethinking, and Mining the Loss Landscape*: curves and planes along directions that need no Hessian.

Gaussian directions under every condition (Figures 2, 3, A.15, B.16, B.17), descent directions and their angles (4 to
6), lines between independent trainings (7), and the interpolation with its local quadratics (14).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from .. import directions, slices
from ..curvature import quadratic_model
from ..minibatch import MiniBatches
from ..objective import Objective
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
STRETCH = 10.0  # the best Gaussian's view is this much wider than the gradient's (Section 2.3)
CENTRES, HALF_WIDTH = 11, 0.05  # Section 3 and Appendix B.3
GMI_CURVES = 3  # Figure 14


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
    progress: Callable[[int, int, float], None] | None = None,
) -> xarray.Dataset:
    """Train one network, or recall its checkpoints, and slice the landscape around them.

    Args:
        parameters: any of :data:`DEFAULTS`; the rest take their default.
        seed: of the initialisation, the order of the data and the random directions.
        device: a torch device, ``"cpu"`` or ``"cuda"``.
        checkpoint: file of this run's unfinished state; trained checkpoints and finished slices are kept beside it.
        progress: called after each part with (done, in all, loss).

    Returns:
        Curves over (``curve``, ``point``), planes over (``plane``, ``row``, ``column``), the kept checkpoints, angles
        and the interpolation; attributes say how it was made.
    """
    p = validate(parameters)
    setting = Setting(p, seed, device, checkpoint, progress)
    angles = len(p["angle_epochs"])
    setting.plan(
        len(p["keep"])
        + p["draws"] * (len(p["conditions"]) + bool(p["fine"] and p["conditions"]))
        + len(p["planes"])
        + 2 * len(p["descents"])
        + angles * (1 + 2 * len(p["best_scales"]))
        + len(p["barriers"])
        + (GMI_CURVES + 1) * p["interpolation"]
    )
    tables = Tables()
    parts = [setting.checkpoints()]
    for index, condition in enumerate(p["conditions"]):
        _gaussian_curves(setting, tables, condition, "gaussian", p["points"])
        if index == 0 and p["fine"]:
            _gaussian_curves(setting, tables, condition, "gaussian-fine", 2 * p["points"] - 1)
    for condition in p["planes"]:
        _gaussian_plane(setting, tables, condition)
    for descent in p["descents"]:
        _descent_curves(setting, tables, **descent)
    if angles:
        parts.append(_angles(setting, tables))
    for epoch, target in p["barriers"]:
        start = setting.theta(epoch)
        direction = directions.towards(start, setting.independent(target))
        at = np.linspace(-1, 2, 3 * (p["points"] - 1) // 2 + 1)  # Figure 7; 0 and 1 are points
        _curve(setting, tables, start, direction, at, family="independent", epoch=epoch, target=target)
    if p["interpolation"]:
        parts.append(_interpolation(setting))
    return setting.finish([*parts, tables.dataset()], "landscape_slices")


def view(scale: float, points: int) -> np.ndarray:
    """``points`` positions over [-s, s]; exactly 0 in the middle of an odd number."""
    half = np.linspace(0, scale, points // 2 + 1)
    return np.concatenate([-half[:0:-1], half]) if points % 2 else np.linspace(-scale, scale, points)


def _direction_seed(setting: Setting, draw: int) -> int:
    return 10_000 * setting.seed + draw


def _curve(
    setting: Setting,
    tables: Tables,
    theta: torch.Tensor,
    direction: torch.Tensor,
    at: np.ndarray,
    batchnorm: str = "re-estimated",
    **fields: Any,
) -> None:
    """Evaluate the loss along a direction and add the curve."""
    losses = np.asarray(slices.line(setting.objective, theta, direction, at, batchnorm=batchnorm))
    tables.curve(
        at,
        losses,
        norm=float(direction.norm() / theta.norm()),
        batchnorm=batchnorm if setting.has_batchnorm else "",
        **fields,
    )
    setting.step(float(np.min(losses)))


def _gaussian_curves(setting: Setting, tables: Tables, condition: Mapping[str, Any], family: str, points: int) -> None:
    theta = setting.theta(condition["epoch"])
    for draw in range(setting.p["draws"]):
        seed = _direction_seed(setting, draw)
        direction = directions.gaussian(setting.objective, theta, seed=seed, normalize=condition["normalize"])
        at = view(condition["scale"], points)
        _curve(setting, tables, theta, direction, at, family=family, draw=draw, **condition)


def _gaussian_plane(setting: Setting, tables: Tables, condition: Mapping[str, Any]) -> None:
    theta = setting.theta(condition["epoch"])
    first, second = (
        directions.gaussian(
            setting.objective, theta, seed=_direction_seed(setting, draw), normalize=condition["normalize"]
        )
        for draw in (0, 1)
    )
    at = view(condition["scale"], setting.p["plane_points"])
    surface = slices.plane(setting.objective, theta, first, second, at, at, batchnorm=condition["batchnorm"])
    fields = {**condition, "batchnorm": condition["batchnorm"] if setting.has_batchnorm else ""}
    cosine = float(directions.cosines(torch.stack([first, second], 1))[0, 1])
    tables.plane(at, at, np.asarray(surface), first="Gau.", second="Gau.", cosine=cosine, **fields)
    setting.step()


def _descent_curves(setting: Setting, tables: Tables, epoch: int, later: int | None) -> None:
    """Along the negative gradient, unscaled, so that lambda is a learning rate; and towards a later checkpoint."""
    theta = setting.theta(epoch)
    gradient = setting.objective.gradient(theta)
    at = view(1.0, setting.p["points"])
    slope = -float(gradient @ gradient)
    _curve(setting, tables, theta, -gradient, at, family="gradient", epoch=epoch, slope=slope, scale=1.0)
    if later is not None:
        direction = directions.towards(theta, setting.theta(later))
        slope = float(gradient @ direction)
        _curve(setting, tables, theta, direction, at, family="later", epoch=epoch, target=later, slope=slope, scale=1.0)
    else:
        setting.step()


def _angles(setting: Setting, tables: Tables) -> xarray.Dataset:
    """Angles of Gaussian directions and of batch gradients (Figure 5), and the best of the Gaussians (Figure 6)."""
    p, final = setting.p, setting.theta(setting.final_epoch)
    training = Objective(setting.objective.model, setting.task.x, setting.task.y, device=setting.device)
    batches = MiniBatches(training, min(p["train_batch"], training.n), seed=setting.seed)
    rows: dict[str, list[np.ndarray]] = {
        name: [] for name in ("angle_gradient", "angle_later", "angle_final", "angle_descent", "gradient_norm_batch")
    }
    for epoch in p["angle_epochs"]:
        theta = setting.theta(epoch)
        gradients = _batch_gradients(batches, theta, p["batches"])
        later = min((e for e in p["keep"] if e > epoch), default=None)
        ways = {
            "angle_gradient": -gradients[0],
            "angle_later": None if later is None else directions.towards(theta, setting.theta(later)),
            "angle_final": None if epoch == setting.final_epoch else directions.towards(theta, final),
        }
        found = {name: np.full(p["angle_draws"], np.nan) for name in ways}
        best, overlap = torch.zeros_like(theta), -np.inf
        for draw in range(p["angle_draws"]):
            noise = directions.gaussian(setting.objective, theta, seed=_direction_seed(setting, draw), normalize=None)
            for name, way in ways.items():
                if way is not None:
                    found[name][draw] = directions.angle(noise, way)
            # The most overlapped with the negative gradient on the objective's own images, along which loss is drawn.
            if (cosine := -found["angle_gradient"][draw]) > overlap:
                best, overlap = noise, cosine
        for name, values in found.items():
            rows[name].append(values)
        way = ways["angle_final"]
        rows["angle_descent"].append(
            np.array([np.nan if way is None else directions.angle(-g, way) for g in gradients])
        )
        rows["gradient_norm_batch"].append(np.array([float(g.norm()) for g in gradients]))
        setting.step()
        _best_gaussian(setting, tables, epoch, -gradients[0], best)
    by_batch = ("angle_descent", "gradient_norm_batch")
    dims = {name: ("angle_epoch", "batch" if name in by_batch else "draw") for name in rows}
    units = {name: "nat" if name == "gradient_norm_batch" else "degree" for name in rows}
    return xarray.Dataset(
        {name: (dims[name], np.stack(values), {"units": units[name]}) for name, values in rows.items()},
        coords={"angle_epoch": np.array(p["angle_epochs"])},
    )


def _batch_gradients(batches: MiniBatches, theta: torch.Tensor, count: int) -> list[torch.Tensor]:
    gradients: list[torch.Tensor] = []
    epoch = 0
    while len(gradients) < count:
        epoch += 1
        for batch in batches.epoch(epoch):
            if len(gradients) < count:
                gradients.append(batches.gradient(theta, batch)[1].clone())
    return gradients


def _best_gaussian(setting: Setting, tables: Tables, epoch: int, descent: torch.Tensor, best: torch.Tensor) -> None:
    """Along the negative batch gradient, and along the best Gaussian of the same length over a ten times wider view."""
    theta = setting.theta(epoch)
    gaussian = best * (descent.norm() / best.norm())
    for scale in setting.p["best_scales"]:
        at = view(scale, setting.p["points"])
        _curve(setting, tables, theta, descent, at, family="gradient-view", epoch=epoch, scale=scale)
        _curve(setting, tables, theta, gaussian, STRETCH * at, family="best-gaussian", epoch=epoch, scale=scale)


def _interpolation(setting: Setting) -> xarray.Dataset:
    """Loss, slope and curvature at eleven centres on [-1, 0], along Gaussians and from the start (Figure 14)."""
    final = setting.theta(setting.final_epoch)
    ways: list[tuple[str, torch.Tensor]] = [
        ("GMI", directions.gaussian(setting.objective, final, seed=_direction_seed(setting, draw), normalize="model"))
        for draw in range(GMI_CURVES)
    ]
    ways.append(("MLI", directions.towards(setting.theta(min(setting.p["keep"])), final)))
    centres = np.linspace(-1, 0, CENTRES)
    rows: dict[str, list[Any]] = {name: [] for name in ("loss", "slope", "curvature", "ahead")}
    for _, direction in ways:
        models = [quadratic_model(setting.objective, final + float(c) * direction, direction) for c in centres]
        ahead = slices.line(setting.objective, final, direction, centres + HALF_WIDTH, batchnorm="re-estimated")
        rows["loss"].append([m.loss for m in models])
        rows["slope"].append([m.slope for m in models])
        rows["curvature"].append([m.curvature for m in models])
        rows["ahead"].append(np.asarray(ahead))
        setting.step()
    dims = ("interpolation", "centre")
    return xarray.Dataset(
        {f"interpolation_{name}": (dims, np.array(values), {"units": "nat"}) for name, values in rows.items()}
        | {
            "interpolation_at": (dims, np.tile(centres, (len(ways), 1)), {"units": "1", "long_name": "lambda"}),
            "interpolation_kind": ("interpolation", np.array([kind for kind, _ in ways])),
            "interpolation_half_width": ((), HALF_WIDTH, {"units": "1"}),
        },
    )
