"""*Visualizing, Rethinking, and Mining the Loss Landscape*: directions found by search, and planes of all kinds.

Algorithm 1 for curves that fall on both sides (Figure 9) with the overlaps of what it finds with the Hessian's
eigenvectors, Algorithm 2 for three wells in a row (10), each held against random directions at the same cost, and
planes spanned by any two directions of the paper (12).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from .. import directions, mining, shapes, slices
from ..objective import Objective
from .landscape.setting import Setting
from .landscape.tables import Tables
from .landscape.training import INDEPENDENT, TRAINING, check_epochs, start_model, validate_training
from .landscape_slices import view
from .parameters import DTYPES, check_counts, check_positive, check_rates, completed

DEFAULTS: dict[str, Any] = {
    **TRAINING,
    "mine_at": [10, 50, 200],  # Figure 9
    "mining_epochs": 50,  # not stated
    "mining_lr": 0.1,  # not stated
    "mining_batch": 128,  # not stated
    "eigenpairs": 10,  # Section 2.4
    "points": 41,
    "triple_at": None,  # the converged checkpoint of Figure 10; null: Algorithm 2 is not run
    "triple_epochs": 50,  # not stated
    "triple_lr": 0.1,  # not stated
    "alphas": [0.0, 0.1],  # Section 2.5
    "gammas": [0.1, 0.5, 0.9],  # Section 2.5
    "plane_points": 21,  # not stated
    "plane_scale": 1.0,
    "planes": [],  # [E, first, second], directions as PLANE_DIRECTIONS names them
}
FIXED_DIRECTIONS = ("Gau.", "Neg. Grad.", "Mine")  # besides P.E.x, N.E.x, E=x and E'=x (Appendix A.4)
OVERLAP = 0.1  # |cos| above which a plane is drawn a second time with orthogonal axes (MINE-Q02 of the inventory)


# What must come out again where only the instruments have changed (see landscape_helpers.verify).
REPEATS = {"train_loss": 0.0, "eval_loss": 1e-5, "theta_norm": 0.0}


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cheap part of a run: its training."""
    return {**parameters, "mine_at": [], "triple_at": None, "planes": []}


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    validate_training(p)
    counts = {"points": 3, "plane_points": 3, "eigenpairs": 2}
    check_counts(p, {**counts, "mining_epochs": 1, "mining_batch": 1, "triple_epochs": 1})
    check_rates(p, "mining_lr", "triple_lr")
    check_positive(p, "plane_scale")
    check_epochs(p, "mine_at", p["mine_at"])
    if p["triple_at"] is not None:
        check_epochs(p, "triple_at", [p["triple_at"]])
    if not all(0 <= alpha <= 0.5 for alpha in p["alphas"]):
        raise ValueError(f"alphas must lie in [0, 0.5], got {p['alphas']!r}")
    if not all(gamma >= 0 for gamma in p["gammas"]):
        raise ValueError(f"gammas must not be negative, got {p['gammas']!r}")
    for plane in p["planes"]:
        _check_plane(p, plane)
    return p


def _check_plane(p: Mapping[str, Any], plane: Any) -> None:
    if len(plane) != 3:
        raise ValueError(f"planes must be a list of [epoch, first, second], got {plane!r}")
    epoch, *names = plane
    check_epochs(p, "planes", [epoch])
    for name in names:
        kind, _, number = name.partition("=") if "=" in name else name.rpartition(".")
        known = name in FIXED_DIRECTIONS or (kind in ("P.E", "N.E", "E", "E'") and number.isdigit())
        if not known:
            expected = "Gau., Neg. Grad., Mine, P.E.x, N.E.x, E=x or E'=x"
            raise ValueError(f"planes names direction {name!r}: expected {expected}")
        if kind in ("P.E", "N.E") and not 1 <= int(number) <= p["eigenpairs"]:
            raise ValueError(f"planes names {name}, but there are {p['eigenpairs']} eigenpairs a side")
        if kind in ("E", "E'"):
            check_epochs(p, "planes", [int(number)])
        if name == "Mine" and epoch not in p["mine_at"]:
            raise ValueError(f"planes needs a direction mined at epoch {epoch}: mine_at holds {p['mine_at']}")


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> xarray.Dataset:
    """Train one network, or recall its checkpoints, and search for directions around them.

    Args:
        parameters: any of :data:`DEFAULTS`; the rest take their default.
        seed: of training, of the batches and of the random directions.
        device: a torch device, ``"cpu"`` or ``"cuda"``.
        checkpoint: file of this run's unfinished state; checkpoints, eigenvectors and mined directions lie beside it.
        progress: called after each part with (done, in all, loss).

    Returns:
        Curves along what was mined and along its null models, norms and losses of the search over ``mining_epoch``,
        overlaps with eigenvectors, and planes; attributes say how it was made.
    """
    p = validate(parameters)
    setting = Setting(p, seed, device, checkpoint, progress)
    settings = [(alpha, gamma) for alpha in p["alphas"] for gamma in p["gammas"]] if p["triple_at"] is not None else []
    setting.plan(len(p["keep"]) + 3 * len(p["mine_at"]) + len(settings) + 2 * bool(settings) + len(p["planes"]))
    tables = Tables()
    parts = [setting.checkpoints()]
    if p["mine_at"]:
        parts.append(_peaks(setting, tables))
    if settings:
        parts.append(_triples(setting, tables, settings))
    if p["planes"]:
        off = [share for plane in p["planes"] for share in _plane(setting, tables, *plane)]
        parts.append(xarray.Dataset({"plane_off": (("plane", "checkpoint"), np.stack(off), {"units": "1"})}))
    return setting.finish([*parts, tables.dataset()], "landscape_mining")


def training_loss(setting: Setting) -> Objective:
    """The loss that is mined on: mini-batches of all training images, BatchNorm with each batch's statistics."""
    task, model = setting.task, setting.objective.model
    return Objective(model, task.x, task.y, device=setting.device, dtype=DTYPES[setting.p["dtype"]])


def _peaks(setting: Setting, tables: Tables) -> xarray.Dataset:
    """Algorithm 1 at the checkpoints of ``mine_at``, its null model, and the overlap with the eigenvectors."""
    p, k = setting.p, setting.p["eigenpairs"]
    rows: dict[str, list[Any]] = {
        name: []
        for name in (
            "mined_norm", "mined_loss", "overlap_positive", "overlap_negative",
            "mined_height", "null_height", "null_draws", "negative_height",
        )
    }  # fmt: skip
    at = view(1.0, p["points"])
    for epoch in p["mine_at"]:
        theta = setting.theta(epoch)
        direction, record = mined_peak(setting, epoch)
        heights = {}
        losses = _losses(setting, theta, direction, at)
        tables.curve(at, losses, family="mined", epoch=epoch, scale=1.0, norm=float(direction.norm() / theta.norm()))
        heights["mined_height"] = shapes.peak_height(at, losses)
        setting.step(float(np.nanmin(losses)))

        null = mining.null_w_peak(
            setting.objective,
            theta,
            direction,
            at,
            budget=_on_evaluation_images(setting, record["gradients"]),
            curve=lambda d, theta=theta: _losses(setting, theta, d, at),  # type: ignore[misc]
            seed=setting.seed,
        )
        losses = _losses(setting, theta, null.direction, at)
        tables.curve(at, losses, family="null-peak", epoch=epoch, scale=1.0, norm=float(null.norm / theta.norm()))
        heights["null_height"] = shapes.peak_height(at, losses)
        rows["null_draws"].append(len(null.scores))
        setting.step(float(np.nanmin(losses)))

        vectors = setting.eigenvectors(epoch, k)
        unit = direction / direction.norm() if direction.norm() > 0 else direction
        overlaps = {name: abs(float(unit @ v)) for name, v in vectors.items()}
        for family, prefix in (("positive", "P.E."), ("negative", "N.E.")):
            rows[f"overlap_{family}"].append([overlaps[f"{prefix}{i + 1}"] for i in range(k)])
        # The same view for the eigenvectors of negative eigenvalues: as long as the mined direction, for a fair height.
        heights["negative_height"] = max(
            shapes.peak_height(at, _losses(setting, theta, v * direction.norm(), at))
            for name, v in vectors.items()
            if name.startswith("N.E.")
        )
        setting.step()
        for name, height in heights.items():
            rows[name].append(height)
        rows["mined_norm"].append(record["norm"])
        rows["mined_loss"].append(record["mean_loss"])
    dims = {"mined_norm": "mining_epoch", "mined_loss": "mining_epoch"}
    dims |= {"overlap_positive": "eigen", "overlap_negative": "eigen"}
    units = {"mined_norm": "1", "overlap_positive": "1", "overlap_negative": "1", "null_draws": "1"}
    return xarray.Dataset(
        {
            name: (
                ("mined_epoch", *([dims[name]] if name in dims else [])),
                np.array(values),
                {"units": units.get(name, "nat")},
            )
            for name, values in rows.items()
        },
        coords={"mined_epoch": np.array(p["mine_at"]), "eigen": np.arange(1, k + 1)},
    )


def mined_peak(setting: Setting, epoch: int) -> tuple[torch.Tensor, dict[str, Any]]:
    """The direction that Algorithm 1 finds at a checkpoint, and the record of its search; found once."""
    p, theta = setting.p, setting.theta(epoch)

    def compute(unfinished: Path | None) -> dict[str, np.ndarray]:
        found = mining.w_peak(
            training_loss(setting),
            theta,
            p["mining_epochs"],
            p["mining_lr"],
            p["mining_batch"],
            seed=setting.seed,
            checkpoint=unfinished,
        )
        return _arrays(found, p["mining_epochs"])

    key = {name: p[name] for name in ("mining_epochs", "mining_lr", "mining_batch")}
    return _recalled(setting, "mined", {**key, "epoch": epoch}, "mining.w_peak", compute)


def _triples(setting: Setting, tables: Tables, settings: list[tuple[float, float]]) -> xarray.Dataset:
    """Algorithm 2 for every alpha and gamma, plain training from the same start (gamma = 0), and a null model.

    The null model, random directions at the cost of the search, is computed for the first pair of alpha and gamma.
    """
    p, epoch = setting.p, setting.p["triple_at"]
    theta = setting.theta(epoch)
    start = start_model(p, setting.images, setting.seed + INDEPENDENT, setting.device)
    phi = torch.nn.utils.parameters_to_vector(q for q in start.parameters() if q.requires_grad).detach()
    at = np.linspace(-0.5, 1.5, p["points"] + (p["points"] - 1) // 2)  # 0, 0.5 and 1 are points where points is 4 n + 1
    losses, norms, wells = [], [], []
    for alpha, gamma in [*settings, (0.0, 0.0)]:

        def compute(unfinished: Path | None, alpha: float = alpha, gamma: float = gamma) -> dict[str, np.ndarray]:
            found = mining.vvv_basin(
                training_loss(setting),
                theta,
                phi,
                p["triple_epochs"],
                p["triple_lr"],
                alpha,
                gamma,
                p["mining_batch"],
                seed=setting.seed,
                checkpoint=unfinished,
            )
            return _arrays(found, p["triple_epochs"])

        key = {name: p[name] for name in ("triple_epochs", "triple_lr", "mining_batch")}
        key |= {"epoch": epoch, "alpha": alpha, "gamma": gamma}
        direction, record = _recalled(setting, "triple", key, "mining.vvv_basin", compute)
        curve = _losses(setting, theta, direction, at)
        family = "triple" if (alpha, gamma) in settings else "null-triple"
        norm = float(direction.norm() / theta.norm())
        tables.curve(at, curve, family=family, epoch=epoch, alpha=alpha, gamma=gamma, norm=norm)
        setting.step(float(np.nanmin(curve)))
        if family == "triple":
            losses.append(record["mean_loss"])
            norms.append(record["norm"])
            wells.append(shapes.middle_well(at, curve))
        if (alpha, gamma) == settings[0]:
            null = mining.null_vvv_basin(
                setting.objective,
                theta,
                direction,
                at,
                budget=_on_evaluation_images(setting, record["gradients"]),
                curve=lambda d: _losses(setting, theta, d, at),
                seed=setting.seed,
            )
            curve = _losses(setting, theta, null.direction, at)
            norm = float(null.norm / theta.norm())
            tables.curve(at, curve, family="random-triple", epoch=epoch, alpha=alpha, gamma=gamma, norm=norm)
            setting.step(float(np.nanmin(curve)))
    dims = ("triple", "triple_epoch")
    return xarray.Dataset(
        {
            "triple_loss": (dims, np.stack(losses), {"units": "nat"}),
            "triple_norm": (dims, np.stack(norms), {"units": "1"}),
            "triple_well": ("triple", np.array(wells), {"units": "nat", "long_name": "depth of the middle well"}),
            "null_well": ((), null.score, {"units": "nat"}),
            "triple_alpha": ("triple", np.array([alpha for alpha, _ in settings])),
            "triple_gamma": ("triple", np.array([gamma for _, gamma in settings])),
        }
    )


def _plane(setting: Setting, tables: Tables, epoch: int, first: str, second: str) -> list[np.ndarray]:
    """The plane of two named directions as they are, and, where they overlap, of the second made orthogonal.

    Returns:
        For each the share of the way to every kept checkpoint that leads out of the plane, NaN for its own.
    """
    p, theta = setting.p, setting.theta(epoch)
    d1, d2 = (_named(setting, epoch, name) for name in (first, second))
    cosine = float(directions.cosines(torch.stack([d1, d2], 1))[0, 1])
    at1, at2 = (_view_along(p, name) for name in (first, second))
    ways = [(0, d2)]
    if abs(cosine) > OVERLAP:
        ways.append((1, directions.orthogonalised(d2, d1)))
    for orthogonalised, other in ways:
        surface = slices.plane(setting.objective, theta, d1, other, at1, at2, batchnorm="re-estimated")
        tables.plane(
            at1,
            at2,
            np.asarray(surface),
            first=first,
            second=second,
            epoch=epoch,
            scale=p["plane_scale"],
            cosine=cosine,
            orthogonalised=orthogonalised,
        )
    setting.step()
    others = [e for e in sorted(p["keep"]) if e != epoch]
    shares = np.full(len(p["keep"]), np.nan)
    where = [sorted(p["keep"]).index(e) for e in others]
    shares[where] = slices.project(theta, d1, d2, torch.stack([setting.theta(e) for e in others])).off_share
    return [shares] * len(ways)


def _view_along(p: Mapping[str, Any], name: str) -> np.ndarray:
    """[-s, s], and [-1, 2] towards another checkpoint, so that what lies there, at 1, is well inside."""
    if name.startswith(("E=", "E'=")):
        return np.linspace(-1, 2, 3 * (p["plane_points"] - 1) // 2 + 1)
    return view(p["plane_scale"], p["plane_points"])


def _named(setting: Setting, epoch: int, name: str) -> torch.Tensor:
    """A direction by the paper's abbreviation (Appendix A.4); random ones and eigenvectors as long as theta."""
    theta = setting.theta(epoch)
    if name == "Gau.":
        return directions.gaussian(setting.objective, theta, seed=10_000 * setting.seed, normalize="model")
    if name == "Neg. Grad.":
        return directions.negative_gradient(setting.objective, theta)
    if name == "Mine":
        return mined_peak(setting, epoch)[0]
    if name.startswith("E'="):
        return directions.towards(theta, setting.independent(int(name[3:])))
    if name.startswith("E="):
        return directions.towards(theta, setting.theta(int(name[2:])))
    return setting.eigenvectors(epoch, setting.p["eigenpairs"])[name] * theta.norm()


def _on_evaluation_images(setting: Setting, gradients: float) -> float:
    """A cost in gradients over the training images, in gradients over those on which curves are evaluated."""
    return gradients * len(setting.task.x) / setting.objective.n


def _losses(setting: Setting, theta: torch.Tensor, direction: torch.Tensor, at: np.ndarray) -> np.ndarray:
    return np.asarray(slices.line(setting.objective, theta, direction, at, batchnorm="re-estimated"))


def _arrays(found: mining.Mined, epochs: int) -> dict[str, np.ndarray]:
    """A search as plain arrays; one that ended early is filled with NaN."""

    def filled(values: np.ndarray) -> np.ndarray:
        return np.pad(np.asarray(values, dtype=np.float64), (0, epochs - len(values)), constant_values=np.nan)

    record = found.record
    return {
        "direction": found.direction.cpu().numpy(),
        "norm": filled(record["norm"].values),
        "mean_loss": filled(record["mean_loss"].values),
        "gradients": np.array(found.gradients),
    }


def _recalled(
    setting: Setting,
    what: str,
    key: Mapping[str, Any],
    code: str,
    compute: Callable[[Path | None], dict[str, np.ndarray]],
) -> tuple[torch.Tensor, dict[str, Any]]:
    found = setting.memory.recall(what, {**setting.training_key(setting.seed), **key}, code, compute)
    direction = torch.as_tensor(found["direction"]).to(setting.objective.device, setting.objective.dtype)
    return direction, {"norm": found["norm"], "mean_loss": found["mean_loss"], "gradients": float(found["gradients"])}
