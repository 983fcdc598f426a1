r"""How a loss rises from a point: the exponent in :math:`|\Delta L|=c|\Delta|^p`, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# How close to 1 or 2 an exponent is "about" it, and how many standard errors below 1 make it less.
ABOUT = 0.25
SURE = 2.0
LEAST_POINTS = 3
VERDICTS = ("cusp", "kink", "between", "parabola", "flatter", "undetermined")


@dataclass(frozen=True)
class Side:
    """A fit on one side of the point.

    Attributes:
        exponent: p; NaN with fewer than three points.
        error: its standard error, from the scatter about the line in log-log coordinates.
        coefficient: c.
        points: how many were fitted.
    """

    exponent: float
    error: float
    coefficient: float
    points: int


@dataclass(frozen=True)
class PowerLaw:
    """Fits on either side and both together.

    Attributes:
        left: displacements below 0.
        right: above 0.
        exponent: mean of the two sides, or that of the one side there is.
        error: standard error of the mean from those of the sides.
        rising: share of the fitted points whose change is above 0.
        verdict: "cusp" (p below 1 by two standard errors), "kink" (p about 1), "parabola" (p about 2), "between" those
            two, "flatter" than a parabola, or "undetermined". About means within 0.25. Both limits are our choice.
    """

    left: Side
    right: Side
    exponent: float
    error: float
    rising: float
    verdict: str


def power_law(delta: ArrayLike, change: ArrayLike, low: float = 1e-4, high: float = 3e-3) -> PowerLaw:
    r"""Fit :math:`|\Delta L|=c|\Delta|^p` on :math:`low\le|\Delta|\le high` by least squares in log-log coordinates.

    A cusp as the singularity paper means it (Definition 3.1, Figure 6) has p below 1, an unbounded slope. On finite
    data no slope is unbounded (Section 5.4), so p says what shape the loss has on this range only.

    Args:
        delta: displacements (N,).
        change: the loss less that at displacement 0, (N,); zeros and values that are not finite are left out.
        low: the nearest displacement fitted; 1e-4 is our choice.
        high: the farthest; 3e-3, the end of the paper's Figure 6.

    Raises:
        ValueError: different lengths, a change at displacement 0, or a range without 0 < low < high.
    """
    at, y = _checked(delta, change)
    if (here := y[(at == 0) & np.isfinite(y) & (y != 0)]).size:
        raise ValueError(f"the change at displacement 0 must be 0, got {here[0]:g}: subtract the loss there")
    if not 0 < low < high:
        raise ValueError(f"the range must have 0 < low < high, got low={low} and high={high}")
    # Ends of a range are rarely hit exactly by a grid.
    near = (np.abs(at) >= low * (1 - 1e-9)) & (np.abs(at) <= high * (1 + 1e-9)) & np.isfinite(y) & (y != 0)
    left, right = (_fit(at[near & side], y[near & side]) for side in (at < 0, at > 0))
    sides = [side for side in (left, right) if np.isfinite(side.exponent)]
    exponent = float(np.mean([side.exponent for side in sides])) if sides else float("nan")
    error = float(np.sqrt(sum(side.error**2 for side in sides)) / len(sides)) if sides else float("nan")
    rising = float((y[near] > 0).mean()) if near.any() else float("nan")
    return PowerLaw(left, right, exponent, error, rising, _verdict(exponent, error))


def max_slope_near_zero(delta: ArrayLike, change: ArrayLike, within: float = 3e-4) -> float:
    r"""The largest :math:`|dL/d\Delta|` between neighbours with :math:`|\Delta|\le within`; NaN if there are none.

    Args:
        delta: displacements (N,), in any order.
        change: the loss's changes (N,); values that are not finite are left out.
        within: a tenth of the view of the singularity paper's Figure 6 by default (our choice).

    Raises:
        ValueError: different lengths.
    """
    at, y = _checked(delta, change)
    order = np.argsort(at, kind="stable")
    order = order[(np.abs(at[order]) <= within * (1 + 1e-9)) & np.isfinite(y[order])]
    gaps = np.diff(at[order])
    slopes = np.abs(np.diff(y[order])[gaps > 0] / gaps[gaps > 0])
    return float(slopes.max()) if len(slopes) else float("nan")


def _checked(delta: ArrayLike, change: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    at, y = np.asarray(delta, dtype=np.float64), np.asarray(change, dtype=np.float64)
    if at.ndim != 1 or at.shape != y.shape:
        raise ValueError(f"delta and change must be vectors of one length, got shapes {at.shape} and {y.shape}")
    return at, y


def _fit(at: np.ndarray, y: np.ndarray) -> Side:
    n = len(at)
    if n < LEAST_POINTS or np.ptp(np.abs(at)) == 0:
        return Side(float("nan"), float("nan"), float("nan"), n)
    u, v = np.log(np.abs(at)), np.log(np.abs(y))
    spread = float(((u - u.mean()) ** 2).sum())
    p = float(((u - u.mean()) * (v - v.mean())).sum()) / spread
    intercept = float(v.mean() - p * u.mean())
    scatter = v - intercept - p * u
    return Side(p, float(np.sqrt((scatter**2).sum() / (n - 2) / spread)), float(np.exp(intercept)), n)


def _verdict(exponent: float, error: float) -> str:
    if not np.isfinite(exponent):
        return "undetermined"
    if exponent + SURE * error < 1:
        return "cusp"
    if exponent <= 1 + ABOUT:
        return "kink" if exponent >= 1 - ABOUT else "undetermined"
    if exponent > 2 + ABOUT:
        return "flatter"
    return "parabola" if exponent >= 2 - ABOUT else "between"
