r"""*There is a Singularity in the Loss Landscape*, Section 4.1: full-batch descent with telemetry of its curvature.

At regular times :math:`t=n\eta` the leading eigenpairs of the Hessian, the gradient's parts inside and outside the top
subspace, and the change of the loss by a step along each part are taken. One experiment serves Figures 1 to 4 and
Table 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray

from ..descent import Telemetry, gradient_descent
from ..progress import Progress
from .full_batch import SETTING, check_setting, finished, make_objective, smallest_eigenvalue
from .images import read_images
from .parameters import check_counts, check_positive, check_rates, completed

DEFAULTS: dict[str, Any] = {
    **SETTING,
    "lr": 0.001,  # Section 4.1
    "telemetry_every": None,  # steps; null: 1 / lr, a unit of time
    "k": 20,  # Section 4.1
    "tol": 0.01,  # residual of an eigenvalue relative to it; not stated
    "max_products": 1000,  # of a stop; not stated
}

# What must come out again where only the instruments have changed (see landscape_helpers.verify): the first losses to
# the last bit, the first eigenvalues to the residual that they are certified with.
REPEATS = {"loss": 0.0, "eigenvalue": 0.01}
VERIFIED_STEPS = 20


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cheap part of a run: its first steps, with telemetry where it starts."""
    return {**parameters, "max_steps": min(VERIFIED_STEPS, steps_of(parameters)), "telemetry_every": 10**9}


def steps_of(p: Mapping[str, Any]) -> int:
    """The number of steps that reach t_max (SING-D12), or fewer."""
    steps = round(p["t_max"] / p["lr"])
    return steps if p["max_steps"] is None else min(steps, p["max_steps"])


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    check_setting(p)
    check_rates(p, "lr")
    check_counts(p, {"telemetry_every": 1}, null="for a unit of time")
    check_counts(p, {"k": 2})
    check_counts(p, {"max_products": p["k"] + 1})
    check_positive(p, "tol")
    if p["classes"] is not None and p["k"] < p["classes"]:
        raise ValueError(f"k must be at least the number of classes, {p['classes']}, to look past the top subspace")
    return p


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Train one network by full-batch gradient descent and follow its curvature.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of the initialisation, the only random choice.
        progress: called after each step.

    Returns:
        ``loss`` over ``step``; over ``stop`` what :class:`~landscape_helpers.descent.Telemetry` measures; the
        ``smallest_eigenvalue``, ``accuracy`` and lengths of theta at the ends.

    Raises:
        ValueError: fewer eigenpairs than the data has classes.
    """
    p = validate(parameters)
    data = read_images(p)
    if p["k"] < data.n_classes:
        raise ValueError(f"k must be at least the {data.n_classes} classes of {data.name}, got {p['k']}")
    objective = make_objective(p, data, seed, device)
    telemetry = Telemetry(
        p["lr"],
        p["telemetry_every"] or max(1, round(1 / p["lr"])),
        data.n_classes - 1,  # SING-D09
        p["k"],
        tol=p["tol"],
        max_products=p["max_products"],
    )
    descent = gradient_descent(
        objective,
        objective.theta,
        p["lr"],
        steps_of(p),
        [telemetry],
        stop_loss=p["stop_loss"],
        checkpoint=checkpoint,
        keep_checkpoint=True,
        progress=progress,
    )
    dataset = descent.record
    lowest = smallest_eigenvalue(objective, descent.theta, 0.1, p["max_products"])
    units = {"units": "nat / parameter^2", "long_name": "smallest Hessian eigenvalue at the end"}
    dataset["smallest_eigenvalue"] = ((), lowest, units)
    return finished(dataset, "edge_of_stability", p, seed, data, objective, descent.theta, descent.seconds)
