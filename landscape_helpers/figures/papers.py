"""Which modules draw the figures of a paper and tell what they show: a further paper is a further entry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ..catalogue import load_catalogue
from . import (
    edge_figures,
    edge_words,
    gradient_oscillation,
    gradient_oscillation_words,
    mining_landscape,
    mining_words,
    walk_figures,
    walk_words,
)
from .findings import Findings
from .selection import Runs, check_figure


@dataclass(frozen=True)
class Drawings:
    """How the figures of one paper are drawn and told.

    Attributes:
        figures: their ids.
        draw: ``(figure_id, runs, theme, scale_note, **options)`` to a figure.
        findings: ``(figure_id, runs)`` to what the figure shows, as sentences.
        compares: whether a figure puts several runs side by side, and so draws those that there are.
        alt_text: ``(figure_id, runs)`` to a description that says more than the findings in a row.
    """

    figures: Collection[str]
    draw: Callable[..., Figure]
    findings: Callable[[str, Runs], Findings]
    compares: Callable[[str], bool] = lambda _: True
    alt_text: Callable[[str, Runs], str] | None = None


PAPERS: dict[str, Drawings] = {
    "GO": Drawings(
        gradient_oscillation.PLANS,
        gradient_oscillation.draw,
        gradient_oscillation_words.findings,
        lambda figure_id: gradient_oscillation.plan_of(figure_id).comparing,
        gradient_oscillation_words.alt_text,
    ),
    "MINE": Drawings(mining_landscape.LAYOUTS, mining_landscape.draw, mining_words.findings),
    "WALK": Drawings(walk_figures.LAYOUTS, walk_figures.draw, walk_words.findings),
    "SING": Drawings(edge_figures.LAYOUTS, edge_figures.draw, edge_words.findings),
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
        ValueError: an unknown figure, or one that no module draws; names those there are.
    """
    drawn = {name: key for key, paper in PAPERS.items() for name in paper.figures}
    if figure_id not in drawn and figure_id in load_catalogue().figures:
        raise ValueError(f"nothing draws figure {figure_id!r} of the catalogue: enter it in figures/papers.py")
    check_figure(figure_id, drawn)
    return drawn[figure_id]
