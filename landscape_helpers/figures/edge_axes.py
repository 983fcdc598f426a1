"""What the panels of the singularity paper's figures share: curves over t with their seeds, the lines of stability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ..claims.edge_measures import EDGE
from .axes import log_ticks
from .canvas import Handle, Key, add_key
from .decimate import envelope, extremes
from .edge_record import FullBatchRecord, Series
from .style import Theme

TIME = "time t = n\u03b7"
FLOW_TIME = "time t, the sum of the steps"
DOTTED = (0, (1.1, 1.3))
DASHED = (0, (4, 2.5))
HIGHEST = 5.0  # ratio that is drawn; beyond it a run is not on an edge but overflows
FEW_DECADES = 1e3  # a ratio below which 2 and 5 are named between the powers of ten
SAMPLES = 400  # of a band, about one in two pixels


def seeds_curve(
    ax: Axes, series: Sequence[Series], colour: str, *, dotted: bool = False, width: float = 1.4, band: float = 0.2
) -> None:
    """The first seed as a line, with dots where stops are few, and the range of all seeds as a band."""
    series = [one for one in series if len(one.t)]
    if not series:
        return
    if len(series) > 1 and band:
        ax.fill_between(*range_of(series), color=colour, alpha=band, linewidth=0, zorder=2)
    one = series[0]
    finite = int(np.isfinite(one.values).sum())
    ax.plot(*extremes(one.t, one.values), color=colour, linewidth=width, linestyle=DOTTED if dotted else "-", zorder=3)
    if finite <= 3:
        # Two points are no trajectory (SING-Q10): they are seen to be points.
        ax.plot(one.t, one.values, "o", color=colour, markersize=3.5, zorder=3.1)


def range_of(series: Sequence[Series]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, least and largest of the seeds there, each interpolated between its own times and none beyond its end."""
    t = np.unique(np.concatenate([one.t for one in series]))
    rows = np.array([np.interp(t, one.t, one.values, left=np.nan, right=np.nan) for one in series])
    known = np.isfinite(rows).any(axis=0)
    t, rows = t[known], rows[:, known]
    return envelope(t, np.nanmin(rows, axis=0), np.nanmax(rows, axis=0), SAMPLES)


def endings(ax: Axes, record: FullBatchRecord, series: Sequence[Series], colour: str, theme: Theme) -> None:
    """How the first seed ended: a dot where its loss was low enough, a cross above where it was not finite any more."""
    if not series or record.statuses[0] == "completed":
        return
    finite = np.flatnonzero(np.isfinite(series[0].values))
    if not len(finite):
        return
    t, value = series[0].t[finite[-1]], series[0].values[finite[-1]]
    shape: dict[str, Any] = {"linestyle": "none", "markeredgecolor": theme.page, "markeredgewidth": 0.7, "zorder": 5}
    if "non-finite" in record.statuses[0]:
        # Its last value may lie far outside the panel.
        ax.plot(t, 0.97, "X", color=theme.alarm, markersize=6, transform=ax.get_xaxis_transform(), **shape)
    else:
        ax.plot(t, value, "o", color=colour, markersize=4.2, clip_on=False, **shape)


def edge_lines(ax: Axes, theme: Theme) -> None:
    """rho = 1, where the rate is 2/lambda, and the threshold 0.7 of the paper's Table 1."""
    ax.axhline(1.0, color=theme.ink, linewidth=0.9, zorder=1.5)
    ax.axhline(EDGE, color=theme.soft, linewidth=0.9, linestyle=DASHED, zorder=1.5)


def ratio_axis(ax: Axes, series: Sequence[Series], highest: float = HIGHEST) -> None:
    """An axis of ratios: past the largest and past the edge itself, but not as far as a run that overflows goes."""
    largest = [np.nanmax(s.values) for s in series if np.isfinite(s.values).any()]
    ax.set_ylim(0, min(1.06 * max([1.1, *largest]), highest))
    ax.set_ylabel("\u03c1")


def say_beyond(ax: Axes, series: Sequence[Series], theme: Theme) -> None:
    """Where curves leave the axis at its top, and how high they go there."""
    top = ax.get_ylim()[1]
    above = [(float(v), float(t)) for s in series for t, v in zip(s.t, s.values, strict=True) if v > top]
    if not above:
        return
    value, t = max(above)
    left, right = ax.get_xlim()
    late = t - left > 0.7 * (right - left)
    ax.annotate(
        f"up to {value:.2g} \u25b2" if late else f"\u25b2 up to {value:.2g}", (t, 1),
        xycoords=ax.get_xaxis_transform(), xytext=(-12 if late else 12, 0), textcoords="offset points",
        ha="right" if late else "left", va="top", fontsize=7.5, color=theme.ink, zorder=5,
    )  # fmt: skip


def edge_entries(theme: Theme) -> Key:
    """Key entries of the two lines."""
    lines: list[Handle] = [
        Line2D([], [], color=theme.ink, linewidth=0.9),
        Line2D([], [], color=theme.soft, linewidth=0.9, linestyle=DASHED),
    ]
    return lines, ["\u03c1 = 1: \u03bb = 2/\u03b7", f"\u03c1 = {EDGE:g}"]


def pair_entries(theme: Theme, solid: str, dotted: str) -> Key:
    """Key entries of a solid and a dotted line, whatever their colour."""
    lines: list[Handle] = [
        Line2D([], [], color=theme.ink, linewidth=1.4),
        Line2D([], [], color=theme.ink, linewidth=1.4, linestyle=DOTTED),
    ]
    return lines, [solid, dotted]


def edge_key(
    figure: Figure, records: Iterable[FullBatchRecord], theme: Theme, *parts: Key, marked: bool = True
) -> None:
    """A figure's own entries, then what the bands are where any run has several seeds, and the marks at the ends.

    Args:
        marked: whether the panels mark how first seeds ended (:func:`endings`).
    """
    handles = [handle for part, _ in parts for handle in part]
    labels = [label for _, part in parts for label in part]
    records = list(records)
    seeds = max(len(record.seeds) for record in records)
    if seeds > 1:
        handles.append(Patch(color=theme.ink, alpha=0.2, linewidth=0))
        labels.append(f"range of {seeds} seeds")
    ended = [record.statuses[0] for record in records] if marked else []
    if any("loss below" in status for status in ended):
        handles.append(Line2D([], [], color=theme.soft, marker="o", markersize=4.2, linestyle="none"))
        labels.append("stopped by its loss")
    if any("non-finite" in status for status in ended):
        handles.append(Line2D([], [], color=theme.alarm, marker="X", markersize=6, linestyle="none"))
        labels.append("overflowed")
    add_key(figure, (handles, labels))


def palette(n: int, theme: Theme) -> list[str]:
    """Colours of n settings: the theme's own, or shades of one ramp where they are too many for it."""
    return list(theme.series[:n]) if n <= len(theme.series) else theme.shades(n)


def time_axis(ax: Axes, label: str = TIME) -> None:
    ax.margins(x=0.015)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel(label)


def log_axis(ax: Axes, series: Sequence[np.ndarray]) -> None:
    """A logarithmic axis of what is positive in the values, with ticks that fit its length."""
    values = np.concatenate([np.ravel(v) for v in series]) if series else np.array([])
    values = values[np.isfinite(values) & (values > 0)]
    if len(values):
        low, high = float(values.min()) / 1.25, float(values.max()) * 1.25
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        if high / low >= FEW_DECADES:
            log_ticks(ax.yaxis)
            return
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
