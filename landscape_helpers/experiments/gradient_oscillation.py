"""*Exploring Gradient Oscillation in Deep Neural Network Training*: one full-batch descent and its gradients.

Every figure of the paper shows one or two quantities of such a run, so that one experiment serves all eleven.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray

from ..descent import GradientCorrelation, Sharpness, gradient_descent
from ..models import build_model
from ..objective import Objective
from ..progress import Progress
from .images import read_images
from .parameters import (
    DTYPES,
    check_counts,
    check_one_of,
    check_positive,
    check_rates,
    completed,
    is_count,
    is_list,
    is_number,
)
from .provenance import with_provenance

DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "n_train": None,  # all images of the set
    "pool": 1,  # side of the square over which pixels are averaged
    "model": "cnn",
    "model_options": {},
    "lr": 0.1,  # Section III
    "steps": 1500,  # Section III-A
    "window": 5,  # h, Section II-A
    "matrices_at": [],
    "batch_size": None,  # images a pass; matters to the function only through BatchNorm
    "batchnorm": "batch",  # not stated in the paper
    "sharpness_every": 0,  # 0: not measured, as in the paper
    "sharpness_tol": 0.01,  # the default of Sharpness, which says why
    "stop_loss": None,
    "dtype": "float32",
}


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    check_rates(p, "lr")
    check_positive(p, "sharpness_tol")
    check_counts(p, {"steps": 1, "window": 2, "pool": 1, "sharpness_every": 0})
    check_counts(p, {"n_train": 1, "batch_size": 1}, null="for all")
    if not (is_list(p["matrices_at"]) and all(is_count(k, 0) for k in p["matrices_at"])):
        raise ValueError(f"matrices_at must be a list of steps counted from 0, got {p['matrices_at']!r}")
    if p["stop_loss"] is not None and not is_number(p["stop_loss"]):
        raise ValueError(f"stop_loss must be a number or null, got {p['stop_loss']!r}")
    check_one_of(p, "dtype", DTYPES)
    return p


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Train one network by full-batch gradient descent and record its gradients' correlations.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of the initialisation, the only random choice.
        progress: called after each step.

    Returns:
        The record of :func:`~landscape_helpers.descent.gradient_descent` with the correlations of
        :class:`~landscape_helpers.descent.GradientCorrelation`, ``sharpness`` over ``stop`` where asked for, and the
        final training ``accuracy``.
    """
    p = validate(parameters)
    data = read_images(p)
    dtype = DTYPES[p["dtype"]]
    x, y, _, _ = data.standardised(dtype)
    model = build_model(p["model"], data.n_classes, data.input_shape, seed=seed, **p["model_options"])
    objective = Objective(model, x, y, batch_size=p["batch_size"], batchnorm=p["batchnorm"], device=device, dtype=dtype)
    probes: list[Any] = [GradientCorrelation(p["window"], p["matrices_at"])]
    if p["sharpness_every"]:
        probes.append(Sharpness(p["sharpness_every"], p["sharpness_tol"]))
    descent = gradient_descent(
        objective,
        objective.theta,
        p["lr"],
        p["steps"],
        probes,
        stop_loss=p["stop_loss"],
        checkpoint=checkpoint,
        keep_checkpoint=True,
        progress=progress,
    )
    dataset = descent.record
    dataset["accuracy"] = ((), objective.accuracy(descent.theta), {"units": "1", "long_name": "training accuracy"})
    return with_provenance(
        dataset, "gradient_oscillation", p, seed, data, objective, descent.seconds, window=p["window"]
    )
