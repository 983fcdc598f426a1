r"""*A Walk with SGD*, Figure 28: gradient descent on a quadratic bowl, which has a closed form to be held against.

On :math:`\tfrac12\sum_i\lambda_i x_i^2` every component is multiplied by :math:`1-\eta\lambda_i` at each step: it
shrinks at the rate :math:`|\lambda_i\eta-1|`, changes its sign at every step where :math:`\lambda_i\eta>1`
(under-damped), and grows where :math:`\lambda_i\eta>2`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from ..progress import Progress
from .parameters import check_all_positive, check_counts, completed, is_list
from .provenance import stamped

DEFAULTS: dict[str, Any] = {
    "eigenvalues": [1.0, 10.0],  # smallest and largest; the text of Figure 28 has no scale
    # eta in units of 1 / lambda_max, from the over-damped range through the under-damped one to divergence.
    "rates": [0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 1.75, 1.9, 2.1, 2.25],
    "steps": 30,
}

REPEATS = {"position": 1e-12, "measured_rate": 1e-12}


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All of it: a descent in two dimensions is done before it can be cut."""
    return dict(parameters)


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range.
    """
    p = completed(parameters, DEFAULTS)
    check_counts(p, {"steps": 2})
    check_all_positive(p, "eigenvalues", "rates")
    for name in ("eigenvalues", "rates"):
        if not is_list(p[name]) or not p[name] or list(p[name]) != sorted(set(p[name])):
            raise ValueError(f"{name} must be a list of different numbers in ascending order, got {p[name]!r}")
    return p


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    r"""Descend from a random point of the bowl with every rate.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of the starting point; components are drawn from [1, 2] so that none starts at rest.
        device: not used; two numbers need none.
        checkpoint: not used.
        progress: called after each rate.

    Returns:
        Over (``rate``, ``step``, ``component``) the ``position``; over (``rate``, ``component``) the
        ``measured_rate``, the geometric mean of :math:`|x_{k+1}/x_k|`, the ``predicted_rate``
        :math:`|\lambda_i\eta-1|`, and the share of steps that change the sign, ``sign_changes``.
    """
    p = validate(parameters)
    started = time.perf_counter()
    eigenvalues = np.array(p["eigenvalues"], dtype=np.float64)
    rates = np.array(p["rates"], dtype=np.float64) / eigenvalues[-1]
    position = np.empty((len(rates), p["steps"] + 1, len(eigenvalues)))
    start = np.random.default_rng(seed).uniform(1, 2, len(eigenvalues))
    for i, rate in enumerate(rates):
        x = start.copy()
        position[i, 0] = x
        for k in range(p["steps"]):
            x = x - rate * eigenvalues * x  # the gradient, and not the closed form that it is held against
            position[i, k + 1] = x
        if progress is not None:
            progress(i + 1, len(rates), float(0.5 * (eigenvalues * x**2).sum()))
    with np.errstate(divide="ignore"):  # a component that reaches the minimum exactly contracts at rate 0
        size = np.log(np.abs(position))
    measured = np.exp((size[:, -1] - size[:, 0]) / p["steps"])
    changes = (np.sign(position[:, 1:]) * np.sign(position[:, :-1]) < 0).mean(1)
    over = ("rate", "component")
    dataset = xarray.Dataset(
        {
            "position": (("rate", "step", "component"), position, {"units": "1"}),
            "loss": (("rate", "step"), 0.5 * (eigenvalues * position**2).sum(-1), {"units": "1"}),
            "measured_rate": (over, measured, {"units": "1", "long_name": "contraction a step"}),
            "predicted_rate": (over, np.abs(np.outer(rates, eigenvalues) - 1), {"units": "1"}),
            "sign_changes": (over, changes, {"units": "1", "long_name": "share of steps that change the sign"}),
        },
        coords={
            "rate": ("rate", rates, {"units": "1", "long_name": "learning rate eta"}),
            "step": np.arange(p["steps"] + 1),
            "eigenvalue": ("component", eigenvalues, {"units": "1", "long_name": "lambda_i"}),
        },
    )
    seconds = time.perf_counter() - started
    return stamped(dataset, "quadratic_bowl", p, seed, seconds, status="completed", dtype="float64", device="cpu")
