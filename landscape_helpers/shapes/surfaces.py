r"""The shape of a loss surface :math:`L(\lambda_1,\lambda_2)` about its origin: bowl, wine bottle or saddle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .curves import describe

KINDS = ("bowl", "wine-bottle", "saddle", "other")


def minima_of_surface(losses: ArrayLike) -> np.ndarray:
    """Indices (k, 2) of the interior points that lie strictly below all eight neighbours.

    The border is left out, as in :func:`.stationary_points`; values that are not finite count as infinite.

    Raises:
        ValueError: fewer than three points along an axis.
    """
    y = _surface(losses)
    here = y[1:-1, 1:-1]
    lower = np.ones(here.shape, dtype=bool)
    for i in range(3):
        for j in range(3):
            if (i, j) != (1, 1):
                lower &= here < y[i : i + here.shape[0], j : j + here.shape[1]]
    return np.argwhere(lower) + 1


def surface_kind(at1: ArrayLike, at2: ArrayLike, losses: ArrayLike, tolerance: float = 1.0) -> str:
    """What a surface is like about the origin (mining paper, Figure 11 and Sec. 2.6).

    - ``"bowl"``: the lowest point of the grid is the origin (two eigenvectors of positive curvature);
    - ``"saddle"``: along one axis the origin is a minimum, along the other a maximum (one of each); or, for a saddle
      that is turned against the axes, the loss crosses that of the origin four times around both rings next to it;
    - ``"wine-bottle"``: along both axes the origin is a maximum, and some ring about it is lower than it on average
      (two of negative curvature). The rise of the bottle's walls is not asked for, since a narrow view ends before;
    - ``"other"``: all else, a slope for instance.

    A ring is the border of a square of grid points about the origin that lies wholly in view. The paper tells these
    surfaces apart by eye; the readings are ours.

    Args:
        at1: the first axis (T1,), as in :func:`.describe`.
        at2: the second (T2,).
        losses: (T1, T2).
        tolerance: how far from the origin, in grid steps, an extremum still counts as at the origin; one, as there.

    Raises:
        ValueError: as :func:`.describe`; a surface that does not fit its axes.
    """
    y = _surface(losses)
    grids = [np.asarray(at, dtype=np.float64) for at in (at1, at2)]
    if y.shape != (grids[0].size, grids[1].size):
        raise ValueError(f"losses must have shape ({grids[0].size}, {grids[1].size}) of the axes, got {y.shape}")
    i, j = (int(np.argmin(np.abs(grid))) for grid in grids)
    along = (describe(grids[0], y[:, j], tolerance), describe(grids[1], y[i, :], tolerance))
    if not np.isfinite(y[i, j]):
        return "other"
    lowest = np.argwhere(y == y.min())
    if bool((np.abs(lowest - [i, j]).max(axis=1) <= tolerance).any()) and y.min() < y.max():
        return "bowl"
    places = {shape.at_origin for shape in along}
    rings = [_ring(y, i, j, r) for r in range(1, min(i, j, y.shape[0] - 1 - i, y.shape[1] - 1 - j) + 1)]
    if places == {"minimum", "maximum"} or (len(rings) >= 2 and all(_crossings(r - y[i, j]) == 4 for r in rings[:2])):
        return "saddle"
    if places == {"maximum"} and any(ring.mean() < y[i, j] for ring in rings):
        return "wine-bottle"
    return "other"


def _ring(y: np.ndarray, i: int, j: int, r: int) -> np.ndarray:
    """The values at distance r (in steps along either axis) from (i, j), in order around it."""
    top, bottom = y[i - r, j - r : j + r], y[i + r, j - r + 1 : j + r + 1]
    right, left = y[i - r : i + r, j + r], y[i - r + 1 : i + r + 1, j - r]
    return np.concatenate([top, right, bottom[::-1], left[::-1]])


def _crossings(around: np.ndarray) -> int:
    """How often a closed sequence changes sign; zeros belong to what they stand beside."""
    signs = np.sign(around[around != 0])
    return int(np.count_nonzero(signs != np.roll(signs, 1)))


def _surface(losses: ArrayLike) -> np.ndarray:
    y = np.asarray(losses, dtype=np.float64)
    if y.ndim != 2 or min(y.shape) < 3:
        raise ValueError(f"a surface needs at least three points along each axis, got losses of shape {y.shape}")
    return np.where(np.isfinite(y), y, np.inf)
