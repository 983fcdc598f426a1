r"""*There is a Singularity in the Loss Landscape*, Section 4.2: following the gradient flow, and the loss at its peak.

The flow :math:`d\theta/dt=-\nabla\mathcal L` is followed with steps far below the edge of stability (SING-D14), its
largest curvature recorded; around the snapshot of largest curvature the loss is evaluated along the leading
eigenvector (SING-D16). One run is one size of the data set: Figures 5 and 6 compare several.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from .. import slices
from ..curvature import top_eigenpairs
from ..descent import gradient_flow
from ..objective import Objective
from ..progress import Progress
from .full_batch import SETTING, check_setting, finished, make_objective
from .images import read_images
from .parameters import check_all_positive, check_counts, check_one_of, check_positive, completed

METHODS = ("euler", "rk4")
DEFAULTS: dict[str, Any] = {
    **SETTING,
    "cap": 0.001,  # largest step in t, Section 4.2
    "c": 0.5,  # largest lambda_1 times step, Section 4.2
    "lambda_every": 1,  # steps between two estimates of lambda_1, Section 4.2
    "snapshot_every": 100,  # Section 5.4
    "method": "euler",  # the paper's rule; "rk4" is a check of it
    "tol": 0.01,  # residual of the leading eigenvalue relative to it; not stated
    "delta_points": 121,  # not stated
    "delta_ranges": [0.003, 0.03],  # Section 5.4, and ten times as far
}

REPEATS = {"loss": 0.0, "lambda_1": 0.01}
VERIFIED_STEPS = 20


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cheap part of a run: its first steps."""
    most = parameters["max_steps"]
    return {**parameters, "max_steps": VERIFIED_STEPS if most is None else min(most, VERIFIED_STEPS)}


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    check_setting(p)
    check_positive(p, "cap", "c", "tol")
    check_counts(p, {"lambda_every": 1, "snapshot_every": 1, "delta_points": 5})
    check_one_of(p, "method", METHODS)
    check_all_positive(p, "delta_ranges")
    if not p["delta_ranges"]:
        raise ValueError("delta_ranges must name at least one distance, got none")
    return p


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Follow the gradient flow of one network, and look at the loss around its point of largest curvature.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of the initialisation, the only random choice.
        progress: called after each step.

    Returns:
        The record of :func:`~landscape_helpers.descent.gradient_flow` over ``step``; ``cusp_change`` and ``cusp_delta``
        over (``cusp``, ``delta``), one row for each range; the eigenvalue there; ``accuracy`` and lengths of theta.
    """
    p = validate(parameters)
    data = read_images(p)
    objective = make_objective(p, data, seed, device)
    flow = gradient_flow(
        objective,
        objective.theta,
        cap=p["cap"],
        c=p["c"],
        time=p["t_max"],
        stop_loss=p["stop_loss"],
        steps=p["max_steps"],
        method=p["method"],
        lambda_every=p["lambda_every"],
        snapshot_every=p["snapshot_every"],
        tol=p["tol"],
        checkpoint=checkpoint,
        keep_checkpoint=True,
        progress=progress,
    )
    dataset = xarray.merge([flow.record, profile(objective, flow.snapshot_peak.theta, p)], combine_attrs="no_conflicts")
    return finished(dataset, "gradient_flow", p, seed, data, objective, flow.theta, flow.seconds)


def profile(objective: Objective, theta: torch.Tensor, p: Mapping[str, Any]) -> xarray.Dataset:
    r"""The loss along the leading eigenvector at theta, :math:`L(\theta+\Delta h_1)-L(\theta)`, in double precision.

    Around its minimum the loss changes in the seventh digit, which single precision does not hold.
    """
    precise = Objective(objective.model, *objective.samples(), batch_size=objective.batch_size, dtype=torch.float64)
    theta = theta.double()
    pair = top_eigenpairs(precise, theta, 1, "LA", p["tol"])
    direction = pair.vectors[:, 0]
    # The sign of an eigenvector is arbitrary: downhill is to the right.
    direction = direction if float(direction @ precise.gradient(theta)) <= 0 else -direction
    here = precise.loss(theta)
    at = np.stack([np.linspace(-far, far, p["delta_points"]) for far in p["delta_ranges"]])
    losses = [np.asarray(slices.line(precise, theta, direction, row)) for row in at]
    return xarray.Dataset(
        {
            "cusp_change": (("cusp", "delta"), np.stack(losses) - here, {"units": "nat"}),
            "cusp_delta": (("cusp", "delta"), at, {"units": "1", "long_name": "distance along h_1"}),
            "cusp_eigenvalue": ((), float(pair.values[0]), {"units": "nat / parameter^2"}),
            "cusp_residual": ((), float(pair.residuals[0]), {"units": "nat / parameter^2"}),
            "cusp_slope": ((), float(precise.gradient(theta) @ direction), {"units": "nat"}),
        },
        coords={"cusp": ("cusp", np.array(p["delta_ranges"]), {"long_name": "largest distance"})},
    )
