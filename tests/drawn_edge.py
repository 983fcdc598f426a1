"""The singularity paper's figures, each drawn once from synthetic runs, and what is asked of a picture."""

from __future__ import annotations

from functools import cache

import numpy as np
import xarray
from matplotlib.axes import Axes
from pictures import drawings
from synthetic_edge import run_of

NOTE = "smoke scale: width 4 of 64"
TANH = {"init": "kaiming", "activation": "tanh"}


@cache
def data(run: str) -> tuple[xarray.Dataset, ...]:
    """Two seeds."""
    return tuple(run_of(run, seed) for seed in (0, 1))


runs_of, drawn = drawings(data, NOTE)


def levels(ax: Axes) -> set[float]:
    """Heights of the straight lines across a panel."""
    return {
        round(float(line.get_ydata()[0]), 6)
        for line in ax.lines
        if list(line.get_xdata()) == [0, 1] and line.get_ydata()[0] == line.get_ydata()[1]
    }


def shows(ax: Axes, values: np.ndarray) -> bool:
    """Whether one of the lines of a panel has these heights."""
    return any(
        len(line.get_ydata()) == len(values) and np.allclose(line.get_ydata(), values, equal_nan=True)
        for line in ax.lines
    )
