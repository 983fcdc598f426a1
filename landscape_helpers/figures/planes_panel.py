"""The panel of a plane: filled contours of the loss over two directions."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..shapes import surface_kind
from .canvas import Handle, Key, add_key
from .curves_panel import panel_title, plain, round_ticks
from .slice_records import Plane
from .style import Theme

QUANTILE = 0.95  # the colours end here: what lies above is one colour, so that a few huge losses flatten nothing
LEVELS = 16
CLIPPED = f"Colours of planes end at the {QUANTILE:.0%} quantile of their losses; what lies above has the last colour."
COLOUR_MAP = "viridis"


def plane_panel(
    ax: Axes,
    plane: Plane,
    random_guess: float,
    theme: Theme,
    *,
    name: str = "",
    below: str = "",
    ahead: tuple[float, float] | None = None,
) -> None:
    """Contours, the lowest point of the grid, the perturbed model, the loss of a random guess, and a scale of colours.

    Args:
        ahead: where the other checkpoint stands as (lambda_1, lambda_2), where the plane holds one.
    """
    finite = plane.loss[np.isfinite(plane.loss)]
    panel_title(ax, name, below)
    if not len(finite) or min(plane.loss.shape) < 2:
        ax.text(0.5, 0.5, "no finite loss", transform=ax.transAxes, ha="center", va="center", color=theme.soft)
        return
    low, high = float(finite.min()), float(np.quantile(finite, QUANTILE))
    high = high if high > low else low + max(abs(low), 1.0) * 1e-6
    spread = low > 0 and high / low > 100
    levels = np.geomspace(low, high, LEVELS) if spread else np.linspace(low, high, LEVELS)
    shown = np.where(np.isfinite(plane.loss), np.minimum(plane.loss, float(finite.max())), float(finite.max()))
    norm = mpl.colors.BoundaryNorm(levels, mpl.colormaps[COLOUR_MAP].N, extend="max")
    # Rows run along the first direction, which is drawn to the right.
    filled = ax.contourf(
        plane.at1, plane.at2, shown.T, levels=levels, cmap=COLOUR_MAP, norm=norm, extend="max", zorder=1
    )
    filled.set_edgecolor("face")
    if low < random_guess < float(finite.max()):
        # White dots on a dark line, so that it shows on every colour.
        for colour, width, style in (("#000000", 2.2, "-"), ("#ffffff", 1.2, (0, (1, 1.4)))):
            ax.contour(
                plane.at1, plane.at2, shown.T, levels=[random_guess], colors=[colour], linewidths=width,
                linestyles=[style], zorder=2,
            )  # fmt: skip
    i, j = np.unravel_index(int(np.nanargmin(np.where(np.isfinite(plane.loss), plane.loss, np.nan))), plane.loss.shape)
    ax.plot(plane.at1[i], plane.at2[j], "v", color="#ffffff", markeredgecolor="#000000", markersize=5.5, zorder=5)
    ax.plot(0, 0, "+", color="#ffffff", markersize=9, markeredgewidth=2.6, zorder=3)
    ax.plot(0, 0, "+", color="#000000", markersize=8, markeredgewidth=1.1, zorder=4)
    if ahead is not None:
        ax.plot(*ahead, "o", color=theme.series[1], markeredgecolor="#ffffff", markersize=5, zorder=4.5)
    # Inside the panel's own frame: a square panel takes its scale of colours along.
    bar = ax.figure.colorbar(filled, cax=ax.inset_axes((1.04, 0.0, 0.05, 1.0)), extendfrac=0.06)
    ticks = levels[[0, (LEVELS - 1) // 2, LEVELS - 1]]
    bar.set_ticks(ticks.tolist(), labels=_told_apart(ticks))
    bar.ax.tick_params(labelsize=7, length=2, pad=1.5)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    ax.grid(False)
    ax.set_box_aspect(1)
    for axis in (ax.xaxis, ax.yaxis):
        round_ticks(axis, 3)
        axis.set_major_formatter(plain)
        axis.set_tick_params(labelsize=7.5)


def kinds(planes: Sequence[Plane]) -> str:
    """``"bowl 2/3"``: the most frequent kind of surface over seeds."""
    found = [surface_kind(p.at1, p.at2, p.loss) for p in planes]
    most = max(dict.fromkeys(found), key=found.count)
    return f"{most} {found.count(most)}/{len(found)}"


def _told_apart(values: np.ndarray) -> list[str]:
    """Numbers with as few digits as tell them apart."""
    for digits in (2, 3, 4, 5):
        told = [plain(float(f"{v:.{digits}g}")) for v in values]
        if len(set(told)) == len(told):
            break
    return told


def plane_marks(theme: Theme, other: str = "") -> Key:
    """What the marks on planes mean."""
    handles: list[Handle] = [
        Line2D([], [], color=theme.ink, marker="+", markersize=8, markeredgewidth=1.1, linestyle="none"),
        Line2D([], [], color=theme.page, marker="v", markeredgecolor=theme.ink, markersize=5.5, linestyle="none"),
    ]
    labels = ["perturbed model", "lowest loss of the grid"]
    if other:
        handles.insert(1, Line2D([], [], color=theme.series[1], marker="o", markersize=5, linestyle="none"))
        labels.insert(1, other)
    return handles, labels


def plane_key(figure: Figure, theme: Theme, other: str = "") -> None:
    """The key of a figure of planes alone."""
    handles, labels = plane_marks(theme, other)
    dotted = Line2D([], [], color=theme.soft, linewidth=1.4, linestyle=(0, (1, 1.4)))
    add_key(figure, ([*handles, dotted], [*labels, "random guess, log C (white dots)"]))
