"""How far the class of a curve outlives another seed and a coarser grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .curves import LABELS, classify, count_stationary


@dataclass(frozen=True)
class Confidence:
    """Agreement on a class among curves that differ by their seeds, and between two grids.

    Attributes:
        label: the most frequent class on the fine grid (of equally frequent ones, the first of ``LABELS``).
        seeds: the share of curves that have this class on the fine grid.
        grids: the share of curves whose class is the same on the fine and on the coarse grid.
        value: the share of curves that have ``label`` on both grids.
        fine: the class of each curve.
        coarse: its class on every other point.
        fine_count: the mean count of stationary points, which the paper prints.
        coarse_count: the same on every other point.
    """

    label: str
    seeds: float
    grids: float
    value: float
    fine: tuple[str, ...]
    coarse: tuple[str, ...]
    fine_count: float
    coarse_count: float


def confidence(at: ArrayLike, curves: ArrayLike, tolerance: float = 1.0) -> Confidence:
    """Classify several curves on a grid and on every other point of it.

    The coarse grid holds the point nearest the origin, so 81 points over a symmetric view have the paper's 41 as their
    coarse half and no curve is evaluated twice.

    Args:
        at: the fine grid (T,), as in :func:`.describe`, with at least five points.
        curves: (seeds, T), or one curve (T,).
        tolerance: in steps of the respective grid, as for :func:`.describe`.

    Raises:
        ValueError: fewer than five points, curves that do not fit the grid, or as :func:`.describe`.
    """
    grid, y = np.asarray(at, dtype=np.float64), np.atleast_2d(np.asarray(curves, dtype=np.float64))
    if grid.ndim != 1 or y.ndim != 2 or y.shape[1] != len(grid) or len(y) == 0 or len(grid) < 5:
        raise ValueError(
            f"expected a grid of T >= 5 points and curves of shape (seeds, T), got {grid.shape} and {y.shape}"
        )
    half = slice(int(np.argmin(np.abs(grid))) % 2, None, 2)
    fine = tuple(classify(grid, curve, tolerance) for curve in y)
    coarse = tuple(classify(grid[half], curve[half], tolerance) for curve in y)
    label = max(LABELS, key=fine.count)
    return Confidence(
        label=label,
        seeds=fine.count(label) / len(y),
        grids=sum(a == b for a, b in zip(fine, coarse, strict=True)) / len(y),
        value=sum(a == b == label for a, b in zip(fine, coarse, strict=True)) / len(y),
        fine=fine,
        coarse=coarse,
        fine_count=float(np.mean([count_stationary(curve) for curve in y])),
        coarse_count=float(np.mean([count_stationary(curve[half]) for curve in y])),
    )
