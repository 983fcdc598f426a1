"""*Visualizing, Rethinking, and Mining the Loss Landscape*: directions found by search, and planes of all kinds.

Algorithm 1 for curves that fall on both sides (Figure 9) with the overlaps of what it finds with the Hessian's
eigenvectors, Algorithm 2 for three wells in a row (10), each held against random directions at the same cost, and
planes spanned by any two directions of the paper (12).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from ..progress import Progress
from .landscape.peaks import peaks
from .landscape.planes import check_plane, plane
from .landscape.setting import Setting
from .landscape.tables import Tables
from .landscape.training import TRAINING, check_epochs, validate_training
from .landscape.triples import triples
from .parameters import check_counts, check_positive, check_rates, completed

DEFAULTS: dict[str, Any] = {
    **TRAINING,
    "mine_at": [10, 50, 200],  # those of Figure 8; of Figure 9 only 200 is named
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
    "planes": [],  # [E, first, second], directions as landscape.planes names them
}

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
    for wanted in p["planes"]:
        check_plane(p, wanted)
    return p


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Train one network, or recall its checkpoints, and search for directions around them.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of training, of the batches and of the random directions.
        checkpoint: file of this run's unfinished state; checkpoints, eigenvectors and mined directions lie beside it.
        progress: called after each part.

    Returns:
        Curves along what was mined and along its null models, norms and losses of the search over ``mining_epoch``,
        overlaps with eigenvectors, and planes.
    """
    p = validate(parameters)
    setting = Setting(p, seed, device, checkpoint, progress)
    settings = [(alpha, gamma) for alpha in p["alphas"] for gamma in p["gammas"]] if p["triple_at"] is not None else []
    setting.plan(len(p["keep"]) + 3 * len(p["mine_at"]) + len(settings) + 2 * bool(settings) + len(p["planes"]))
    tables = Tables()
    parts = [setting.checkpoints()]
    if p["mine_at"]:
        parts.append(peaks(setting, tables))
    if settings:
        parts.append(triples(setting, tables, settings))
    if p["planes"]:
        off = [share for wanted in p["planes"] for share in plane(setting, tables, *wanted)]
        parts.append(xarray.Dataset({"plane_off": (("plane", "checkpoint"), np.stack(off), {"units": "1"})}))
    return setting.finish([*parts, tables.dataset()], "landscape_mining")
