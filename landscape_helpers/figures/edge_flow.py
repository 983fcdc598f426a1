"""Curvature along the gradient flow, and its peak by the size of the data set: Figure 5 of the singularity paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..claims.flow_measures import opening_curvature, peak_curvature
from .axes import count_axis, headed, legend_above
from .canvas import Handle, Key, new_figure
from .edge_axes import (
    DASHED,
    FLOW_TIME,
    edge_key,
    endings,
    log_axis,
    seeds_curve,
    time_axis,
)
from .edge_record import FlowRecord, Series, common, grouped
from .numbers_in_words import number, spread
from .panel_table import empty
from .style import Theme

Records = Mapping[str, FlowRecord]
SPIKE_ENDS = 1.0  # t from which the peak of a network with tanh is taken, behind its spike at the start


@dataclass(frozen=True)
class Line:
    """A straight line of least squares through peaks over sizes, and how much of their variance it leaves."""

    slope: float
    offset: float
    r_squared: float


def peaks(records: Records, note: str, theme: Theme) -> Figure:
    """A column an activation: lambda_1 over time by size of the data set above, its peak against the size below."""
    networks = grouped(records.values(), lambda r: r.network)
    heading = f"Curvature along the gradient flow \u00b7 {common(list(records.values()))}"
    figure = new_figure(6.0, heading, note, theme)
    axes = figure.subplots(2, max(len(networks), 2), squeeze=False, height_ratios=(1.25, 1))
    sizes = sorted({r.images for r in records.values()})
    colours = dict(zip(sizes, theme.shades(len(sizes)), strict=True))
    everything = [s.values for r in records.values() for s in (*curvature(r), *bounds(r))]
    first = False
    for (name, runs), column in zip(networks.items(), axes.T, strict=False):
        runs = sorted(runs, key=lambda r: r.images)
        for record in runs:
            lambda_over_time(column[0], record, colours[record.images], theme)
        mark_stable(column[0], runs, theme)
        log_axis(column[0], everything)
        column[0].set_ylabel("\u03bb\u2081 (nats / parameter\u00b2, log)")
        handles: list[Handle] = [Line2D([], [], color=colours[r.images], linewidth=1.6) for r in runs]
        legend_above(column[0], name, handles, [f"{r.images:,} images" for r in runs], 3)
        time_axis(column[0], FLOW_TIME)
        first |= peak_against_size(column[1], runs, colours, theme)
    for ax in axes[:, len(networks) :].ravel():
        empty(ax, "no run with another activation", theme)
    keys, labels = stable_entries(theme)
    if first:
        keys.append(Line2D([], [], color=theme.soft, marker="^", markersize=5, linestyle="none"))
        labels.append("first value after the start")
    if any(any(at_its_end(r)) for r in records.values()):
        keys.append(Line2D([], [], color=theme.ink, marker="o", markersize=5, markerfacecolor="none", linestyle="none"))
        labels.append("open: largest at its end")
    edge_key(figure, records.values(), theme, (keys, labels))
    return figure


def curvature(record: FlowRecord) -> list[Series]:
    """lambda_1 of every seed where it was measured."""
    return [_finite(s) for s in record.over("lambda_1")]


def bounds(record: FlowRecord) -> list[Series]:
    """2 / eta of every seed and step, beyond which a curvature is unstable; steps of no length at the end are none."""
    found = record.over("rate")
    return [Series(s.t, np.divide(2, s.values, out=np.full(len(s.t), np.nan), where=s.values > 0)) for s in found]


def peak(record: FlowRecord) -> list[float]:
    """The largest lambda_1 of every seed (SING-D15); with tanh that of the peak behind the spike."""
    return record.measured(peak_curvature, start=SPIKE_ENDS if record.network.endswith("tanh") else 0.0)


def at_its_end(record: FlowRecord) -> list[bool]:
    """Of every seed, whether its largest lambda_1 is its last: then the peak may lie beyond the end of the run."""
    start = SPIKE_ENDS if record.network.endswith("tanh") else 0.0
    late = [s.values[s.t >= start] for s in curvature(record)]
    return [len(values) > 0 and bool(np.argmax(values) == len(values) - 1) for values in late]


def fitted(sizes: Sequence[float], values: Sequence[float]) -> Line | None:
    """The line through finite values at three sizes or more."""
    x, y = np.asarray(sizes, float), np.asarray(values, float)
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(set(x)) < 3:
        return None
    slope, offset = np.polyfit(x, y, 1)
    spread = float(np.sum((y - y.mean()) ** 2))
    rest = float(np.sum((y - slope * x - offset) ** 2))
    return Line(float(slope), float(offset), 1 - rest / spread if spread > 0 else float("nan"))


def line_through(runs: Sequence[FlowRecord]) -> Line | None:
    """Through the medians over seeds of the peaks of runs that differ in their size."""
    return fitted([r.images for r in runs], [float(np.median(peak(r))) for r in runs])


def lambda_over_time(ax: Axes, record: FlowRecord, colour: str, theme: Theme, *, dotted: bool = False) -> None:
    """lambda_1 and, where the step is smaller than its cap, the bound 2 / eta of that step."""
    series = curvature(record)
    seeds_curve(ax, series, colour, dotted=dotted)
    endings(ax, record, series, colour, theme)
    for one in bounds(record)[:1]:
        small = np.where(one.values > 1.001 * 2 / record.cap, one.values, np.nan)
        ax.plot(one.t, small, color=colour, linewidth=0.7, linestyle=DASHED, alpha=0.8, zorder=1.9)


def peak_against_size(ax: Axes, runs: Sequence[FlowRecord], colours: Mapping[int, str], theme: Theme) -> bool:
    """A dot a seed, the line through the medians with its slope and R squared.

    Returns:
        Whether the first values after the start are drawn as well.
    """
    tanh, first = any(r.network.endswith("tanh") for r in runs), False
    for record in runs:
        colour = colours[record.images]
        for value, rising in zip(peak(record), at_its_end(record), strict=True):
            face = theme.page if rising else colour
            ax.plot(record.images, value, "o", color=colour, markersize=5, markerfacecolor=face, zorder=3)
    line = line_through(runs)
    if line is not None:
        x = np.array([0, 1.04 * max(r.images for r in runs)])
        ax.plot(x, line.offset + line.slope * x, color=theme.soft, linewidth=1.1, zorder=2)
    told = [in_words(line) if line is not None else "too few sizes for a line"]
    highest = max((v for r in runs for v in peak(r) if np.isfinite(v)), default=1.0)
    if tanh:
        spikes = [v for r in runs for v in r.measured(opening_curvature)]
        if max(spikes) < 4 * highest:
            for record in runs:
                values = record.measured(opening_curvature)
                ax.plot([record.images] * len(values), values, "^", color=theme.soft, markersize=5, zorder=2.8)
            highest, first = max(highest, *spikes), True
        else:
            told.append(f"first value after the start, off the axis: {spread(spikes, ',.0f')}")
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1.12 * highest)
    count_axis(ax.xaxis, 5)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    ax.set_xlabel("images $n_D$")
    ax.set_ylabel("peak of \u03bb\u2081 (nats / parameter\u00b2)")
    headed(ax, f"Peak{f' after t = {SPIKE_ENDS:g}' if tanh else ''} against size", *told)
    return first


def in_words(line: Line) -> str:
    """``"2.0 per image, R\u00b2 = 0.9991"``."""
    return f"{number(line.slope, '.2g')} per image, R\u00b2 = {number(line.r_squared, '.4f')}"


def stable_entries(theme: Theme) -> Key:
    """Key entries of the bound 2 / eta, at the largest step and at smaller ones."""
    lines: list[Handle] = [
        Line2D([], [], color=theme.ink, linewidth=0.9, linestyle=DASHED),
        Line2D([], [], color=theme.soft, linewidth=0.7, linestyle=DASHED),
    ]
    return lines, ["2/\u03b7, largest step", "2/\u03b7\u2099, smaller steps"]


def mark_stable(ax: Axes, runs: Sequence[FlowRecord], theme: Theme) -> None:
    """The bound 2 / eta of the largest step."""
    for cap in {r.cap for r in runs}:
        ax.axhline(2 / cap, color=theme.ink, linewidth=0.9, linestyle=DASHED, zorder=1.5)


def _finite(series: Series) -> Series:
    known = np.isfinite(series.values)
    return Series(series.t[known], series.values[known])
