r"""*A Walk with SGD*, Section 4: the Hessian of the cross-entropy and the covariance of its per-sample gradients.

The paper derives :math:`H=C+\bar g\bar g^\top+R` (eq. 7) and supposes that the Hessian and the covariance nearly
coincide close to a minimum, without a measurement. Here all four matrices are formed at checkpoints of a training small
enough for it, in double precision.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from ..curvature.covariance import hessian_decomposition
from ..descent import gradient_descent
from ..models import build_model
from ..objective import Objective
from ..progress import Progress
from .images import read_images
from .parameters import check_counts, check_rates, completed, is_count, is_list
from .provenance import with_provenance

DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "n_train": None,  # all images of the set
    "pool": 1,  # side of the square over which pixels are averaged
    "model": "mlp",
    "model_options": {},
    "lr": 0.1,  # that of Section 4's runs with noise
    "checkpoints": [0, 10, 100, 1000],  # full-batch updates after which the matrices are formed
}
PARAMETERS = 2000  # dense matrices of more are no longer a small experiment

REPEATS = {"loss": 1e-9, "hessian_norm": 1e-6, "residual_norm": 1e-6}


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cheap part of a run: its first two checkpoints."""
    return {**parameters, "checkpoints": parameters["checkpoints"][:2]}


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    check_rates(p, "lr")
    check_counts(p, {"pool": 1})
    check_counts(p, {"n_train": 1}, null="for all")
    at = p["checkpoints"]
    if not (is_list(at) and at and all(is_count(k, 0) for k in at) and list(at) == sorted(set(at))):
        raise ValueError(f"checkpoints must be a list of different updates from 0 in ascending order, got {at!r}")
    return p


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    r"""Train by full-batch gradient descent and take the Hessian apart at every checkpoint.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of the initialisation, the only random choice.
        checkpoint: file for the unfinished descent between two checkpoints.
        progress: called after each checkpoint.

    Returns:
        Over ``checkpoint``: ``loss``, ``gradient_norm``, the Frobenius norms of H, C, :math:`\bar g\bar g^\top` and R,
        the spectral norms of H and R, the ``identity_error`` :math:`\|H-C-\bar g\bar g^\top-R\|/\|H\|` and the
        ``alignment`` :math:`\langle H,C\rangle/(\|H\|\|C\|)`.

    Raises:
        ValueError: a network of more parameters than dense matrices are meant for.
    """
    p = validate(parameters)
    started = time.perf_counter()
    data = read_images(p)
    x, y, _, _ = data.standardised(torch.float64)
    model = build_model(p["model"], data.n_classes, data.input_shape, seed=seed, **p["model_options"])
    objective = Objective(model, x, y, device=device, dtype=torch.float64)
    if objective.parameters > PARAMETERS:
        raise ValueError(
            f"model: {p['model']} has {objective.parameters:,} parameters here, and dense Hessians are formed of at "
            f"most {PARAMETERS:,}: choose fewer hidden units or pool the images more"
        )
    rows: dict[str, list[float]] = {name: [] for name in _UNITS}
    theta, done = objective.theta, 0
    for k, update in enumerate(p["checkpoints"]):
        if update > done:
            theta = gradient_descent(objective, theta, p["lr"], update - done, checkpoint=checkpoint).theta
            done = update
        loss, gradient = objective.loss_and_gradient(theta)
        parts = hessian_decomposition(objective, theta)
        H, C, R = parts.hessian, parts.covariance, parts.residual
        norms = [float(np.linalg.norm(m)) for m in (H, C, parts.mean_square, R)]
        values = [loss, float(gradient.norm()), *norms]
        values += [float(np.linalg.norm(m, 2)) for m in (H, R)]
        values += [parts.error, float((H * C).sum()) / (norms[0] * norms[1])]
        for name, value in zip(_UNITS, values, strict=True):
            rows[name].append(value)
        if progress is not None:
            progress(k + 1, len(p["checkpoints"]), loss)
    dataset = xarray.Dataset(
        {name: ("checkpoint", np.array(values), {"units": _UNITS[name]}) for name, values in rows.items()},
        coords={"update": ("checkpoint", np.array(p["checkpoints"]), {"long_name": "full-batch updates"})},
    )
    seconds = time.perf_counter() - started
    own = {"status": "completed", "learning_rate": p["lr"]}
    return with_provenance(dataset, "hessian_covariance", p, seed, data, objective, seconds, **own)


_UNITS = {
    "loss": "nat",
    "gradient_norm": "nat / parameter",
    "hessian_norm": "nat / parameter^2",
    "covariance_norm": "nat^2 / parameter^2",
    "mean_outer_norm": "nat^2 / parameter^2",
    "residual_norm": "nat / parameter^2",
    "hessian_spectral_norm": "nat / parameter^2",
    "residual_spectral_norm": "nat / parameter^2",
    "identity_error": "1",
    "alignment": "1",
}
