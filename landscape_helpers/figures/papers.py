"""Which module draws which figure."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from . import gradient_oscillation, mining_landscape
from .gradient_oscillation import Runs


def draw(figure_id: str, runs: Runs, theme: str = "light", scale_note: str = "", **options: Any) -> Figure:
    """One figure of a paper, or one of ours about it, from measured runs.

    Args:
        figure_id: as in the catalogue, ``"GO-F02"`` or ``"MINE-F02"``.
        runs: by name, as in the catalogue: a dataset of the experiment with or without a leading ``seed`` dimension, or
            one dataset a seed. A figure that compares networks draws those that there are.
        theme: ``"light"`` or ``"dark"``; the figure is transparent either way.
        scale_note: how the runs are reduced against the paper's; written into the picture.
        options: of the paper's own module: ``log_epochs`` of
            :func:`~landscape_helpers.figures.gradient_oscillation.draw`.

    Raises:
        ValueError: an unknown figure or theme, or no run that the figure can be drawn from.
    """
    module = mining_landscape if is_mining(figure_id) else gradient_oscillation
    return module.draw(figure_id, runs, theme, scale_note, **options)


def compares(figure_id: str) -> bool:
    """Whether a figure puts several networks side by side, and so draws those that there are.

    Raises:
        ValueError: an unknown figure.
    """
    return is_mining(figure_id) or gradient_oscillation.plan_of(figure_id).comparing


def is_mining(figure_id: str) -> bool:
    """Whether a figure is of the mining paper.

    Raises:
        ValueError: an unknown figure; names those there are.
    """
    known = (*gradient_oscillation.PLANS, *mining_landscape.LAYOUTS)
    if figure_id not in known:
        raise ValueError(f"unknown figure {figure_id!r}: expected one of {', '.join(known)}")
    return figure_id in mining_landscape.LAYOUTS
