"""One frame of an explorer as a picture, for readers without JavaScript and viewers that show PNG only."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .spec import Frame, Panel, Series

# Okabe & Ito (2008), in the order of frames.css, each with a dash pattern so that no reader depends on
# colour.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
DASHES = ("-", (0, (5, 3)), (0, (1, 2)), (0, (6, 2, 1, 2)), (0, (3, 1.5)))
INK, SOFT, RULE = "#1c1f24", "#5b626c", "#e3e6ea"


def picture(
    panels: Sequence[Panel],
    limits: Sequence[tuple[Sequence[float], Sequence[float]]],
    frame: Frame,
    heading: str,
) -> bytes:
    """PNG of a frame.

    Args:
        panels: what to draw.
        limits: (x range, y range) of each panel.
        frame: the values.
        heading: the settings of the sliders; the frame's note follows it.
    """
    places, rows, columns = _places([panel.wide for panel in panels])
    figure = Figure(figsize=(3.5 * columns, 2.9 * rows + 0.7), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    note = f"\n{frame.note}" if frame.note else ""
    figure.suptitle(heading + note, x=0.01, ha="left", fontsize=10, color=INK, wrap=True)
    grid = figure.add_gridspec(rows, columns)
    for panel, (x_range, y_range), place in zip(panels, limits, places, strict=True):
        ax = figure.add_subplot(grid[place])
        ax.set(xlim=x_range, ylim=y_range, yscale=panel.y_scale)
        _draw(ax, panel, frame, (x_range[0], x_range[1]))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _places(wide: list[bool]) -> tuple[list[tuple[int, int | slice]], int, int]:
    """Row and column of each panel, and how many of both: in reading order, with a row to itself for a wide one."""
    narrow = wide.count(False)
    columns = max(narrow if narrow <= 3 else math.ceil(narrow / 2), 2 if any(wide) else 1)
    places: list[tuple[int, int | slice]] = []
    row, column = 0, 0
    for whole in wide:
        if column == columns or (whole and column):
            row, column = row + 1, 0
        places.append((row, slice(None) if whole else column))
        column = columns if whole else column + 1
    return places, row + 1, columns


def _draw(ax: Axes, panel: Panel, frame: Frame, x_range: tuple[float, float]) -> None:
    named = any(reference.vertical and reference.label for reference in panel.references)  # above the axes
    ax.set_title(panel.title, loc="left", fontsize=10, fontweight="bold", color=INK, pad=16 if named else None)
    ax.set_xlabel(panel.x_label, fontsize=9, color=SOFT)
    ax.set_ylabel(panel.y_label, fontsize=9, color=SOFT)
    ax.tick_params(labelsize=8, colors=SOFT)
    ax.grid(axis="y", color=RULE, linewidth=0.8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    for curve in panel.background:
        points = np.asarray(curve, dtype=float)
        ax.plot(points[:, 0], points[:, 1], color="#9aa1ab", linewidth=0.7)
    for reference in panel.references:
        height = frame.references[reference.key] if reference.value is None else reference.value
        colour = "#9aa1ab" if reference.faint else INK
        if reference.vertical:
            if math.isfinite(height):
                ax.axvline(height, color=colour, linewidth=0.9, linestyle=(0, (2, 3)))
                ax.annotate(
                    reference.label, (height, 1), xycoords=ax.get_xaxis_transform(), xytext=(0, 2), fontsize=8,
                    textcoords="offset points", ha="center", color=INK, annotation_clip=True,
                )  # fmt: skip
            continue
        label = f"{reference.label} = {height:.3g}" if reference.label else None
        ax.axhline(height, color=colour, linewidth=1, linestyle=(0, (6, 3)), label=label)
    for i, series in enumerate(panel.series):
        x, y = _points(series, frame)
        if panel.moving and not series.is_path:
            x = x_range[0] + x * (x_range[1] - x_range[0])
        ax.plot(
            x, y, color=COLOURS[i], linestyle="none" if series.line == "none" else DASHES[i],
            linewidth=1.0 if series.line == "thin" else 1.6, label=series.label,
            marker="o" if series.markers else None, markersize=3,
        )  # fmt: skip
    ax.legend(fontsize=8, frameon=True, framealpha=0.85, edgecolor="none", labelcolor=INK)


def _points(series: Series, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(frame.curves[series.key])
    if isinstance(series.x, int):
        return values[:, 0], values[:, 1]
    return np.asarray(series.x), values
