"""Long curves in few points, without losing a peak.

Thirty thousand steps fall on six hundred pixels. Keeping every fiftieth step would hide an oscillation of period
two altogether; keeping each pixel's least and largest value draws what the full curve would have drawn.
"""

from __future__ import annotations

import numpy as np

# About one bin a pixel for a panel half a figure wide, at the resolution figures are saved in.
BINS = 500


def parts_of(x: np.ndarray, bins: int = BINS, log: bool = False) -> list[np.ndarray]:
    """Indices of x in at most ``bins`` consecutive parts, each of at least one point.

    Args:
        x: ascending, (m,).
        log: parts of equal ratio instead of equal size, for a logarithmic axis; points below 1 have their own part.
    """
    every = np.arange(len(x))
    if not log:
        return np.array_split(every, min(bins, len(x)))
    edges = np.geomspace(1.0, max(float(x[-1]), 1.0) + 1, bins)[:-1]
    return [part for part in np.split(every, np.searchsorted(x, edges)) if len(part)]


def extremes(
    x: np.ndarray, y: np.ndarray, bins: int = BINS, log: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve (x, y) that are the least or the largest of their bin, in order of x.

    A curve of at most 2 * bins points is returned as it is. A bin without a finite value keeps one NaN, so that a
    gap stays a gap.
    """
    if len(x) <= 2 * bins:
        return x, y
    kept: list[int] = []
    for part in parts_of(x, bins, log):
        finite = part[np.isfinite(y[part])]
        if len(finite) == 0:
            kept.append(int(part[0]))
            continue
        kept.extend(sorted({int(finite[y[finite].argmin()]), int(finite[y[finite].argmax()])}))
    return x[kept], y[kept]


def envelope(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, bins: int = BINS, log: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A band (x, low, high) as bins from the least low to the largest high inside each.

    A band of at most 2 * bins points is returned as it is.
    """
    if len(x) <= 2 * bins:
        return x, low, high
    parts = parts_of(x, bins, log)
    least = [np.fmin.reduce(low[part]) for part in parts]
    largest = [np.fmax.reduce(high[part]) for part in parts]
    return np.array([x[part].mean() for part in parts]), np.array(least), np.array(largest)


def binned_mean(x: np.ndarray, y: np.ndarray, log: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Edges (m + 1,) and means (m,) of y along x, one value a cell; at most BINS cells of equal length, or ratio.

    Cells are centred on x, so that a value at step k covers k - 1/2 to k + 1/2.
    """
    parts = parts_of(x, BINS, log)
    half = 0.5 * (x[1] - x[0]) if len(x) > 1 else 0.5
    edges = [x[part[0]] - half for part in parts] + [x[-1] + half]
    return np.array(edges), np.array([y[part].mean() for part in parts])
