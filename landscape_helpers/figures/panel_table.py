"""Panels in rows and columns: row names on the left, column names on top, and a reason in every panel that is empty."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from .curves_panel import panel_title
from .style import Theme

BLANK = " "  # a reason that says nothing: told elsewhere
# Draws one panel: axes, row, column, and the name that the panel is to carry; returns why it is empty, or "".
Draw = Callable[[Axes, int, int, str], str]


def table(
    figure: Figure,
    spec: SubplotSpec,
    rows: Sequence[str],
    columns: Sequence[str],
    draw: Draw,
    theme: Theme,
    *,
    xlabel: str = "",
    ylabel: str = "",
    heights: Sequence[float] | None = None,
) -> np.ndarray:
    """A panel for every row and column.

    Args:
        rows: names, written before the label of the first panel's y axis.
        columns: names, in the titles of the first row.
        draw: draws a panel, or says why there is nothing to draw.
        xlabel: written under the last panel of each column.
        ylabel: written beside the first panel of each row.

    Returns:
        The axes (rows, columns).
    """
    grid = spec.subgridspec(len(rows), len(columns), height_ratios=heights)
    axes = np.empty((len(rows), len(columns)), dtype=object)
    lowest: dict[int, Axes] = {}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            ax = axes[i, j] = figure.add_subplot(grid[i, j])
            head = column if i == 0 else ""
            reason = draw(ax, i, j, head)
            if reason:
                empty(ax, reason, theme, head)
            else:
                lowest[j] = ax
            if j == 0:
                named = "\n".join(line for part in row.split("\n") for line in _wrapped(part))
                ax.set_ylabel("\n".join(filter(None, (named, "" if reason else ylabel))))
    if xlabel:
        for ax in lowest.values():
            ax.set_xlabel(xlabel)
    return axes


def _wrapped(name: str) -> list[str]:
    """Lines short enough for the height of a panel; an equation stays in one of them."""
    return textwrap.wrap(name.replace(" = ", "\u00a0=\u00a0"), 16, break_on_hyphens=False, break_long_words=False)


def empty(ax: Axes, reason: str, theme: Theme, name: str = "") -> None:
    """A panel without axes that says why, or nothing more for a blank; its name and its row's name stay."""
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    panel_title(ax, name)
    ax.text(
        0.5, 0.5, "\n".join(textwrap.wrap(reason, 24)), transform=ax.transAxes, ha="center", va="center",
        color=theme.soft, fontsize=8,
    )  # fmt: skip
