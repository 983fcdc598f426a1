"""Entering the edge of stability: Figure 4 of *There is a Singularity in the Loss Landscape*.

The ratios of the top pairs on the left and the gradient's coordinates along them on the right, as in the paper; below,
for each pair, when it enters and when its coordinate bursts, which is what the paper concludes from the two by eye.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from ..claims.edge_measures import burst_stops, entry_stops
from .axes import headed
from .canvas import Handle, new_figure
from .edge_axes import edge_entries, edge_key, edge_lines, log_axis, ratio_axis, seeds_curve, time_axis
from .edge_ratios import rho
from .edge_record import EdgeRecord, Series, common
from .style import Theme

Records = Mapping[str, EdgeRecord]
ABOVE = 0.9  # of rho, beyond which a pair has entered
TIMES = 10.0  # the median of its stops before, beyond which a coordinate has burst
TOGETHER = 50  # iterations


@dataclass(frozen=True)
class Moments:
    """When a pair enters the edge and when its coordinate bursts, as positions among the stops; None for never."""

    entry: int | None
    burst: int | None


def entering(records: Records, note: str, theme: Theme) -> Figure:
    """The first run that there is."""
    record = next(iter(records.values()))
    heading = f"Entering the edge \u00b7 {common([record], record.rate_in_words)}"
    figure = new_figure(5.3, heading, note, theme)
    rows = figure.add_gridspec(2, 1, height_ratios=(1.55, 1))
    above = rows[0].subgridspec(1, 2)
    left, right = (figure.add_subplot(above[i]) for i in range(2))
    below = figure.add_subplot(rows[1])
    colours = theme.shades(record.top)
    found = moments_of(record)
    for i, (colour, moments) in enumerate(zip(colours, found, strict=True), 1):
        ratios, sizes = record.over("rho", i), sizes_of(record, i)
        for ax, series in ((left, ratios), (right, sizes)):
            seeds_curve(ax, series, colour, width=1.1, band=0.1)
        _mark(left, ratios[0], moments.entry, "o", colour, theme)
        _mark(right, sizes[0], moments.burst, "D", colour, theme)
    edge_lines(left, theme)
    ratio_axis(left, record.over("rho", 1))
    headed(left, f"Stability ratios {rho(1)} to {rho(record.top)}")
    log_axis(right, [s.values for i in range(1, record.top + 1) for s in sizes_of(record, i)])
    right.set_ylabel("|d\u1d62| (log scale)")
    headed(right, "Coordinates of the gradient, |d\u1d62| = |h\u1d62 \u00b7 g|")
    for ax in (left, right):
        time_axis(ax)
    _dumbbells(below, record, found, colours, theme)
    below.set_xlim(left.get_xlim())
    marks: list[Handle] = [
        Line2D([], [], color=theme.ink, marker="o", markersize=6, markerfacecolor="none", linestyle="none"),
        Line2D([], [], color=theme.ink, marker="D", markersize=4.5, linestyle="none"),
    ]
    labels = [f"\u03c1 rises above {ABOVE:g}", f"first |d\u1d62| > {TIMES:g} \u00d7 its median before"]
    edge_key(figure, [record], theme, (marks, labels), edge_entries(theme), marked=False)
    return figure


def sizes_of(record: EdgeRecord, pair: int) -> list[Series]:
    """|d_i| of every seed, which on a logarithmic axis has no zero."""
    found = record.over("coordinate", pair)
    return [Series(s.t, np.where(s.values != 0, np.abs(s.values), np.nan)) for s in found]


def moments_of(record: EdgeRecord, seed: int = 0) -> list[Moments]:
    """Entry and burst of every top pair of one seed, by the rule of the check SING-F04-1."""
    data = record.datasets[seed]
    ratios, sizes = data["rho"].values, np.abs(data["coordinate"].values)
    found = []
    for i in range(record.top):
        entries, bursts = entry_stops(ratios[:, i], ABOVE), burst_stops(sizes[:, i], TIMES)
        found.append(Moments(*(int(stops[0]) if len(stops) else None for stops in (entries, bursts))))
    return found


def together(record: EdgeRecord, seed: int = 0) -> list[bool]:
    """For each top pair, whether both happen within less than 50 iterations."""
    stops = record.datasets[seed]["stop"].values
    return [
        m.entry is not None and m.burst is not None and bool(abs(stops[m.entry] - stops[m.burst]) < TOGETHER)
        for m in moments_of(record, seed)
    ]


def _mark(ax: Axes, series: Series, at: int | None, marker: str, colour: str, theme: Theme) -> None:
    if at is not None:
        shape = {"markersize": 6.5, "markerfacecolor": theme.page} if marker == "o" else {"markersize": 4.5}
        ax.plot(series.t[at], series.values[at], marker, color=colour, zorder=4, **shape)


def _dumbbells(ax: Axes, record: EdgeRecord, found: list[Moments], colours: list[str], theme: Theme) -> None:
    """A row a pair: a bar from its entry to its burst in the first seed."""
    t = np.asarray(record.first["time"].values, dtype=float)
    for i, (moments, colour) in enumerate(zip(found, colours, strict=True), 1):
        both = [(at, marker) for at, marker in ((moments.entry, "o"), (moments.burst, "D")) if at is not None]
        ax.plot([t[at] for at, _ in both], [i] * len(both), color=colour, linewidth=2.2, alpha=0.5, zorder=2)
        for at, marker in both:
            # The entry as a ring, so that a burst at the same stop is seen inside it.
            ring = {"markersize": 8.5, "markerfacecolor": "none"} if marker == "o" else {"markersize": 4.5}
            ax.plot(t[at], i, marker, color=colour, zorder=3, **ring)
        if len(both) < 2:
            missing = "neither" if not both else "no burst" if moments.burst is None else "no entry"
            ax.annotate(
                missing, (t[both[0][0]] if both else t[0], i), xytext=(7, 0), textcoords="offset points", va="center",
                fontsize=7.5, color=theme.soft,
            )  # fmt: skip
    ax.set_ylim(record.top + 0.6, 0.4)
    ax.yaxis.set_major_locator(FixedLocator(range(1, record.top + 1)))
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    ax.set_ylabel("pair i")
    alike = together(record)
    within = f"less than {TOGETHER} iterations (t = {TOGETHER * record.rate:g}) apart"
    headed(ax, "When each pair enters and bursts", f"{within}: {sum(alike)} of {len(alike)} pairs")
    time_axis(ax)
