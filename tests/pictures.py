"""Figures drawn from synthetic runs, and what is asked of a picture, whichever paper it is of."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import cache

import matplotlib as mpl
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.figures import draw
from landscape_helpers.figures.image import render

Runs = dict[str, tuple[xarray.Dataset, ...]]


def drawings(
    data: Callable[[str], tuple[xarray.Dataset, ...]], note: str, absent: Container[str] = ()
) -> tuple[Callable[[str], Runs], Callable[..., Figure]]:
    """``runs_of(figure_id)``, the runs that a figure needs but for the absent, and ``drawn(figure_id, theme)`` of them.

    Every figure is drawn once in each theme.
    """

    def runs_of(figure_id: str) -> Runs:
        return {run: data(run) for run in load_catalogue().figure(figure_id).runs if run not in absent}

    @cache
    def drawn(figure_id: str, theme: str = "light") -> Figure:
        return draw(figure_id, runs_of(figure_id), theme, note)

    return runs_of, drawn


def texts(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def panels(figure: Figure) -> list[Axes]:
    """Axes that hold data."""
    return [ax for ax in figure.axes if ax.get_visible() and ax.has_data()]


def assert_both_themes_are_laid_out_alike_and_differ(figure_id: str, runs: Runs) -> None:
    before = dict(mpl.rcParams)
    light, dark = (np.asarray(i) for i in render(lambda name: draw(figure_id, runs, name), dpi=40))
    assert dict(mpl.rcParams) == before
    assert light.shape == dark.shape
    assert light[0, -1, 3] == dark[0, -1, 3] == 0
    both = (light[..., 3] > 200) & (dark[..., 3] > 200)
    assert (light[both] != dark[both]).any()
