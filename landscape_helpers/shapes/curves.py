r"""The shape of a loss curve: its extrema, their count, and the class they make.

The classes are those of *Visualizing, Rethinking, and Mining the Loss Landscape* (Figure 1). The paper tells them apart
by eye and counts stationary points as

.. math:: S(y) = \#\{t\in\{2,\dots,T-1\} : (y_t-y_{t+1})(y_t-y_{t-1})>0\}

(App. A.3): the strict extrema of the *sampled* curve. That number says nothing of where they are (v-basin and v-side
both have S = 1), misses extrema with two equal values at their top or bottom, counts noise, and depends on the grid. So
:func:`describe` also looks at the type and place of every extremum, and :func:`.confidence` at how the class fares over
seeds and a coarser grid.

Values that are not finite count as :math:`+\infty`, the loss of a network that has blown up: two of them side by side
are equal. To leave out structure above a ceiling, such as the random guess's :math:`\log C`, clip the losses to it
first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LABELS = ("v-basin", "v-side", "w-basin", "w-peak", "vvv-basin", "other")
_ROUNDING = 1e-9  # in grid steps: places on a grid are known no better


@dataclass(frozen=True)
class Shape:
    r"""What a sampled curve :math:`L(\lambda)` looks like from the origin.

    Attributes:
        label: the class, one of ``LABELS``.
        count: S as the paper prints it: strict interior extrema.
        ties: extrema besides, which the printed test misses because neighbouring values are equal.
        minima: :math:`\lambda` of every minimum, ascending; the middle of a flat one. End points are none.
        maxima: likewise of every maximum.
        at_origin: "minimum" or "maximum" where one lies within the tolerance of the origin, else "slope".
        weak: a w-peak that is one by the fallback alone: the view ends before an outer minimum.
        loss: at the origin; interpolated linearly where the grid has no point there.
    """

    label: str
    count: int
    ties: int
    minima: tuple[float, ...]
    maxima: tuple[float, ...]
    at_origin: str
    weak: bool
    loss: float


def stationary_points(losses: ArrayLike) -> np.ndarray:
    """Indices of the strict interior extrema of a sampled curve (T,): the printed product test (App. A.3).

    Raises:
        ValueError: fewer than three points.

    Examples:
        >>> stationary_points([3.0, 1.0, 2.0, 2.0, 0.0]).tolist()  # the flat top is missed
        [1]
    """
    y = _values(losses)
    before, here, after = y[:-2], y[1:-1], y[2:]
    # The signs and not the product of the differences, which underflows where a converged loss is flat.
    return 1 + np.flatnonzero(((here > before) & (here > after)) | ((here < before) & (here < after)))


def near_origin(at: ArrayLike) -> np.ndarray:
    """Which points of a grid (T,) lie within one step of the origin: truth values (T,). The step is the median one."""
    grid = np.asarray(at, dtype=np.float64)
    return np.abs(grid) <= np.median(np.diff(grid)) * (1 + 1e-6)  # it may have been stored in single precision


def count_stationary(losses: ArrayLike) -> int:
    """S, the number of :func:`stationary_points`. The paper prints its mean over five curves of 41 points."""
    return len(stationary_points(losses))


def classify(at: ArrayLike, losses: ArrayLike, tolerance: float = 1.0) -> str:
    """The class of a curve; see :func:`describe`."""
    return describe(at, losses, tolerance).label


def describe(at: ArrayLike, losses: ArrayLike, tolerance: float = 1.0) -> Shape:
    r"""Count, place and name the extrema of a curve :math:`L(\lambda)` (Sec. 2.2 to 2.5 of the mining paper).

    Extrema are those of the curve with runs of equal values taken as one, so that a flat bottom is a minimum. Then

    - ``"v-basin"``: a single extremum, a minimum at the origin;
    - ``"v-side"``: a single minimum elsewhere, or none and the loss falls through the origin to the edge of the view;
    - ``"w-basin"``: minimum, maximum, minimum, the origin in one of the wells;
    - ``"w-peak"``: minimum, maximum, minimum with the maximum at the origin; *weak* where the view does not reach both
      minima: a single maximum, at the origin, and :math:`L(\pm d)<L(0)` for some d of the grid;
    - ``"vvv-basin"``: three minima with two maxima between, the origin in one of the wells;
    - ``"other"``: all else, among them a view that has the origin at its end and shows one side only.

    *At the origin* is within ``tolerance`` of it; *in a well* is nearer to its bottom than to any maximum, and below
    the maxima next to it.

    Args:
        at: the grid (T,) of :math:`\lambda`, ascending, with the origin inside; any spacing.
        losses: (T,).
        tolerance: in grid steps; one, because a minimum is known to no better than that.

    Raises:
        ValueError: fewer than three points, lengths that differ, a grid that does not ascend or leaves out the origin,
            a negative tolerance.
    """
    grid, y, origin = _curve(at, losses)
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be a number of grid steps, not negative, got {tolerance}")
    extrema = _extrema(y)
    nearest = min(extrema, key=lambda e: (e.distance(origin), e.maximum), default=None)
    at_origin = "slope"
    if nearest is not None and nearest.distance(origin) <= tolerance + _ROUNDING:
        at_origin = "maximum" if nearest.maximum else "minimum"
    loss = float(np.interp(0.0, grid, y))
    label = _label(extrema, nearest, at_origin, grid, y, loss)
    count = count_stationary(y)
    minima, maxima = (
        tuple(float((grid[e.first] + grid[e.last]) / 2) for e in extrema if e.maximum is kind) for kind in (False, True)
    )
    weak = label == "w-peak" and len(extrema) < 3
    return Shape(label, count, len(extrema) - count, minima, maxima, at_origin, weak, loss)


def falls_on_both_sides(at: ArrayLike, losses: ArrayLike) -> bool:
    r"""Whether :math:`L(d)<L(0)` and :math:`L(-d)<L(0)` for some d of the grid: the fallback for a narrow w-peak.

    Off the grid the curve is interpolated linearly. Arguments and errors as for :func:`describe`.
    """
    grid, y, _ = _curve(at, losses)
    d = np.abs(grid)
    d = d[(d > 0) & (d <= min(-grid[0], grid[-1]))]
    loss = np.interp(0.0, grid, y)
    return bool(np.any((np.interp(d, grid, y) < loss) & (np.interp(-d, grid, y) < loss)))


def peak_height(at: ArrayLike, losses: ArrayLike, signed: bool = False) -> float:
    r"""How far the loss falls from the origin, on the side where it falls less; 0 where a side does not fall.

    .. math:: \min_{\pm}\Big[L(0)-\min_{\pm\lambda\ge0}L(\lambda)\Big]

    in the units of the loss (implied in Sec. 2.4 of the mining paper, "height of the peak"); over L(0) it is relative.

    Args:
        at: as for :func:`describe`.
        losses: (T,).
        signed: leave the origin itself out of the minima. Where there is a peak its height is the same; where a side
            rises throughout, the result says how much, as a negative number that depends on the grid.

    Raises:
        ValueError: as :func:`describe`; a loss at the origin that is not finite; ``signed`` with the origin at an end.
    """
    grid, y, _ = _curve(at, losses)
    loss = float(np.interp(0.0, grid, y))
    if not np.isfinite(loss):
        raise ValueError("the loss at the origin is not finite: there is no height to measure from it")
    if not signed:
        return min(loss - float(np.min(y[side], initial=loss)) for side in (grid < 0, grid > 0))
    if not grid[0] < 0 < grid[-1]:
        raise ValueError(f"a signed height needs points on both sides of the origin, got [{grid[0]:g}, {grid[-1]:g}]")
    return min(loss - float(y[side].min()) for side in (grid < 0, grid > 0))


def middle_well(at: ArrayLike, losses: ArrayLike, ends: tuple[float, float] = (0.0, 1.0)) -> float:
    r"""The depth of a third well between two points a and b of a line; 0 where there is none.

    .. math:: \max_{a<t<b}\ \min\Big[\max_{[a,t]}L-\max(L(a),L(t)),\ \max_{[t,b]}L-\max(L(b),L(t))\Big]

    the least height by which a barrier on either side stands above what it separates: what a vvv-basin adds to a
    w-basin, as a number.

    Args:
        at: the grid (T,) of :math:`\lambda`, ascending.
        losses: (T,).
        ends: a and b, both within the grid; 0 and 1, where a mined vvv-basin has its two networks.

    Returns:
        The depth, in the units of the loss; 0 also where the loss at a or b is not finite.

    Raises:
        ValueError: fewer than three points, lengths that differ, a grid that does not ascend, ends outside it, fewer
            than five points from a to b.
    """
    grid, y, _ = _curve(at, losses, origin=False)
    _, y = _between(grid, y, ends)
    if len(y) < 5:
        raise ValueError(f"a well between {ends[0]:g} and {ends[1]:g} needs at least five points there, got {len(y)}")
    if not np.isfinite(y[[0, -1]]).all():
        return 0.0
    with np.errstate(invalid="ignore"):  # infinite minus infinite, where a point has blown up: no well there
        left = np.maximum.accumulate(y) - np.maximum(y[0], y)
        right = np.maximum.accumulate(y[::-1])[::-1] - np.maximum(y[-1], y)
    return float(np.nanmax(np.minimum(left, right)))


def barrier_height(at: ArrayLike, losses: ArrayLike, ends: tuple[float, float] = (0.0, 1.0)) -> float:
    r"""The loss barrier between two points of a line, 0 where the loss stays below the chord.

    .. math:: \max_{t\in[0,1]}\ L\big((1-t)a+tb\big)-\big[(1-t)L(a)+tL(b)\big]

    (linear mode connectivity, as Entezari et al. 2022 measure it; the w-basins of the mining paper, Sec. 2.4.)

    Args:
        at: the grid (T,) of :math:`\lambda`, ascending.
        losses: (T,).
        ends: a and b, both within the grid; 0 and 1, where the line of the paper's Figure 7 meets its two networks.

    Returns:
        The height, in the units of the loss; NaN where the loss at a or b is not finite.

    Raises:
        ValueError: fewer than three points, lengths that differ, a grid that does not ascend, ends outside it.
    """
    grid, y, _ = _curve(at, losses, origin=False)
    grid, y = _between(grid, y, ends)
    foot = np.interp(grid, grid[[0, -1]], y[[0, -1]])
    if not np.isfinite(foot).all():
        return float("nan")  # a well that has blown up has no barrier to it
    return max(0.0, float(np.max(y - foot)))


def _between(grid: np.ndarray, y: np.ndarray, ends: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a curve from one end to the other, both included; interpolated where they are no grid points."""
    a, b = ends
    if not grid[0] <= a < b <= grid[-1]:
        raise ValueError(f"ends must ascend within the grid [{grid[0]:g}, {grid[-1]:g}], got {ends}")
    margin = _ROUNDING * (b - a)
    inside = (grid > a + margin) & (grid < b - margin)
    ya, yb = np.interp([a, b], grid, y)
    return np.concatenate([[a], grid[inside], [b]]), np.concatenate([[ya], y[inside], [yb]])


@dataclass(frozen=True)
class _Extremum:
    """Equal values ``first`` to ``last`` (indices) above, or below, what stands on both sides."""

    first: int
    last: int
    maximum: bool

    def distance(self, index: float) -> float:
        return max(self.first - index, index - self.last, 0.0)


def _extrema(y: np.ndarray) -> list[_Extremum]:
    """Interior extrema of the curve whose runs of equal values are one value each."""
    starts = np.flatnonzero(np.append(True, y[1:] != y[:-1]))
    if len(starts) < 3:
        return []
    stops = np.append(starts[1:], len(y)) - 1
    level = y[starts]
    return [_Extremum(int(starts[i]), int(stops[i]), bool(level[i] > level[i - 1])) for i in stationary_points(level)]


def _label(
    extrema: Sequence[_Extremum],
    nearest: _Extremum | None,
    at_origin: str,
    grid: np.ndarray,
    y: np.ndarray,
    loss: float,
) -> str:
    types = "".join("M" if e.maximum else "m" for e in extrema)  # they alternate
    if not np.isfinite(loss):
        return "other"
    if types == "m":
        return "v-basin" if at_origin == "minimum" else "v-side"
    if types == "" and grid[0] < 0 < grid[-1] and min(y[0], y[-1]) < loss:
        return "v-side"
    if at_origin == "maximum" and (types == "mMm" or (types in {"M", "mM", "Mm"} and falls_on_both_sides(grid, y))):
        return "w-peak"
    if types in {"mMm", "mMmMm"} and nearest is not None and _in_well(nearest, extrema, y, loss):
        return "w-basin" if types == "mMm" else "vvv-basin"
    return "other"


def _in_well(nearest: _Extremum, extrema: Sequence[_Extremum], y: np.ndarray, loss: float) -> bool:
    if nearest.maximum:
        return False
    place = extrema.index(nearest)
    return loss < min(y[e.first] for e in extrema[max(place - 1, 0) : place + 2] if e.maximum)


def _values(losses: ArrayLike) -> np.ndarray:
    y = np.asarray(losses, dtype=np.float64)
    if y.ndim != 1 or len(y) < 3:
        raise ValueError(f"a curve needs at least three points to have a shape, got losses of shape {y.shape}")
    return np.where(np.isfinite(y), y, np.inf)


def _curve(at: ArrayLike, losses: ArrayLike, origin: bool = True) -> tuple[np.ndarray, np.ndarray, float]:
    """Grid, values and the place of the origin in grid steps (a fraction where the grid has no point there)."""
    y, grid = _values(losses), np.asarray(at, dtype=np.float64)
    if grid.shape != y.shape:
        raise ValueError(f"at and losses must have one shape, got {grid.shape} and {y.shape}")
    if not (np.isfinite(grid).all() and (np.diff(grid) > 0).all()):
        raise ValueError(f"at must be a grid of finite, ascending values, got {grid[0]:g} to {grid[-1]:g}")
    if origin and not grid[0] <= 0 <= grid[-1]:
        raise ValueError(f"the view [{grid[0]:g}, {grid[-1]:g}] leaves out the origin: extend it to hold lambda = 0")
    return grid, y, float(np.interp(0.0, grid, np.arange(len(grid))))
