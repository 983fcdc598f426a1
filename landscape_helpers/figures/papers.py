"""Which module draws which figure: a table by paper, so that a further paper is a further line."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from . import edge_figures, gradient_oscillation, mining_landscape, walk_figures
from .selection import Runs, check_figure


@dataclass(frozen=True)
class Drawings:
    """How the figures of one paper are drawn.

    Attributes:
        figures: their ids.
        draw: ``(figure_id, runs, theme, scale_note, **options)`` to a figure.
        compares: whether a figure puts several runs side by side, and so draws those that there are.
    """

    figures: Collection[str]
    draw: Callable[..., Figure]
    compares: Callable[[str], bool]


PAPERS: dict[str, Drawings] = {
    "GO": Drawings(
        gradient_oscillation.PLANS, gradient_oscillation.draw, lambda id: gradient_oscillation.plan_of(id).comparing
    ),
    "MINE": Drawings(mining_landscape.LAYOUTS, mining_landscape.draw, lambda _: True),
    "WALK": Drawings(walk_figures.LAYOUTS, walk_figures.draw, lambda _: True),
    "SING": Drawings(edge_figures.LAYOUTS, edge_figures.draw, lambda _: True),
}


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
    return PAPERS[paper_of(figure_id)].draw(figure_id, runs, theme, scale_note, **options)


def compares(figure_id: str) -> bool:
    """Whether a figure puts several networks side by side, and so draws those that there are.

    Raises:
        ValueError: an unknown figure.
    """
    return PAPERS[paper_of(figure_id)].compares(figure_id)


def paper_of(figure_id: str) -> str:
    """The key of the paper that a figure is of, ``"MINE"``.

    Raises:
        ValueError: an unknown figure; names those there are.
    """
    check_figure(figure_id, [name for paper in PAPERS.values() for name in paper.figures])
    return next(key for key, paper in PAPERS.items() if figure_id in paper.figures)
