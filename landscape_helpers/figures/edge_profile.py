"""The loss along the leading eigenvector where the flow's curvature peaks: Figure 6 of the singularity paper.

Beside the paper's curves stand the numbers that tell a cusp from a kink and from a smooth minimum (SING-Q09): the
exponent of |change| = c |distance|^p, and the steepest slope within balls of two sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from ..claims.flow_measures import FAR, NEAR, cusp_slope
from ..shapes import PowerLaw, power_law
from .axes import headed, log_ticks
from .canvas import Handle, new_figure
from .curves_panel import plain
from .edge_axes import DASHED, edge_key, log_axis, seeds_curve
from .edge_record import FlowRecord, Series, common
from .numbers_in_words import number
from .panel_table import empty
from .style import Theme

Records = Mapping[str, FlowRecord]
WIDE = 10.0  # how much further out the second view reaches
SHAPES = ((1.0, "kink"), (2.0, "parabola"))
RANGES = ((NEAR, FAR), (WIDE * NEAR, WIDE * FAR))
DISTANCE = "\u0394, along h\u2081"


def profiles(records: Records, note: str, theme: Theme) -> Figure:
    """The change of the loss within 0.003 and ten times as far; below on logarithmic axes, exponents, and slopes."""
    runs = sorted(records.values(), key=lambda r: r.images)
    heading = f"The loss at the peak of curvature \u00b7 {common(runs)}"
    figure = new_figure(5.9, heading, note, theme)
    rows = figure.add_gridspec(2, 1, height_ratios=(1.15, 1))
    above, below = rows[0].subgridspec(1, 2), rows[1].subgridspec(1, 3, width_ratios=(1.25, 1, 1))
    near, far = (figure.add_subplot(above[i]) for i in range(2))
    both, exponents, slopes = (figure.add_subplot(below[i]) for i in range(3))
    colours = theme.shades(len(runs))
    for ax, reach in ((near, FAR), (far, WIDE * FAR)):
        _changes(ax, runs, colours, reach, theme)
    _logarithmic(both, runs, colours, theme)
    _exponents(exponents, runs, theme)
    _slopes(slopes, runs, theme)
    handles: list[Handle] = [Line2D([], [], color=colour, linewidth=1.6) for colour in colours]
    labels = [f"{r.images:,} images" for r in runs]
    edge_key(figure, runs, theme, (handles, labels), marked=False)
    return figure


def profile_series(record: FlowRecord, reach: float) -> list[Series]:
    """The change over the distance, of every seed that was sampled so far out."""
    found = [record.profile(reach, seed) for seed in range(len(record.datasets))]
    return [Series(*one) for one in found if one is not None]


def fits(record: FlowRecord, low: float, high: float) -> list[PowerLaw]:
    """The power of every seed that was sampled so far out, on both sides of the point."""
    return [power_law(s.t, s.values, low, high) for s in profile_series(record, high)]


def _changes(ax: Axes, runs: Sequence[FlowRecord], colours: Sequence[str], reach: float, theme: Theme) -> None:
    drawn = False
    for record, colour in zip(runs, colours, strict=True):
        series = profile_series(record, reach)
        seeds_curve(ax, series, colour, width=1.3)
        drawn |= bool(series)
    if not drawn:
        empty(ax, f"not sampled as far as {reach:g}", theme)
        return
    ax.axhline(0, color=theme.soft, linewidth=0.8, zorder=1.4)
    ax.axvline(0, color=theme.soft, linewidth=0.8, zorder=1.4)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(plain)
    ax.xaxis.set_major_formatter(plain)
    ax.set_xlabel(DISTANCE)
    ax.set_ylabel("change of the loss (nats)")
    headed(ax, f"Within {reach:g}" + (", as in the paper" if reach == FAR else ", ten times as far"))


def _logarithmic(ax: Axes, runs: Sequence[FlowRecord], colours: Sequence[str], theme: Theme) -> None:
    """|change| over |distance| of the first seed, both sides, with the fitted powers where they are fitted."""
    shown: list[np.ndarray] = []
    for record, colour in zip(runs, colours, strict=True):
        for series in profile_series(record, FAR)[:1]:
            for side, marker in ((series.t > 0, ">"), (series.t < 0, "<")):
                x, y = np.abs(series.t[side]), np.abs(series.values[side])
                kept = (x >= NEAR) & (y > 0)
                ax.plot(x[kept], y[kept], marker, color=colour, markersize=1.9, linestyle="none", alpha=0.7, zorder=2.5)
                shown.append(y[kept])
            law, x = power_law(series.t, series.values, NEAR, FAR), np.array([NEAR, FAR])
            for fit in (law.left, law.right):
                ax.plot(x, fit.coefficient * x**fit.exponent, color=colour, linewidth=1.0, zorder=3)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator([1e-4, 1e-3]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(plain)
    log_axis(ax, shown)
    log_ticks(ax.yaxis, 5)
    ax.set_xlabel("|\u0394| (log scale)")
    ax.set_ylabel("|change| (nats, log scale)")
    headed(ax, "Fitted powers", "right > and left <, first seed")


def _exponents(ax: Axes, runs: Sequence[FlowRecord], theme: Theme) -> None:
    for level, name in SHAPES:
        ax.axhline(level, color=theme.soft, linewidth=0.9, linestyle=DASHED, zorder=1.5)
        ax.annotate(name, (1, level), xycoords=ax.get_yaxis_transform(), xytext=(0, 2), textcoords="offset points",
                    ha="right", va="bottom", fontsize=7.5, color=theme.soft)  # fmt: skip
    highest = 2.2
    for (low, high), colour, marker in zip(RANGES, theme.series, "os", strict=False):
        found = [fits(record, low, high) for record in runs]
        middles = [float(np.median([law.exponent for law in laws])) if laws else float("nan") for laws in found]
        sizes = [r.images for r in runs]
        ax.plot(sizes, middles, color=colour, linewidth=1, zorder=2.5)
        for size, laws, middle in zip(sizes, found, middles, strict=True):
            if np.isfinite(middle):
                error = 2 * max(law.error for law in laws)
                ax.errorbar(size, middle, yerr=error, color=colour, linewidth=1, capsize=2, zorder=2.6)
            ax.plot([size] * len(laws), [law.exponent for law in laws], marker, color=colour, markersize=4.2,
                    markeredgecolor=theme.page, markeredgewidth=0.5, zorder=3,
                    label=f"{plain(low)} to {plain(high)}")  # fmt: skip
        highest = max([highest, *(m + 0.1 for m in middles if np.isfinite(m))])
    ax.set_ylim(0, highest + 0.75)
    _sizes(ax, runs)
    ax.set_ylabel("exponent p")
    _legend(ax, theme)
    headed(ax, "Exponent", "bar: two standard errors")


def _slopes(ax: Axes, runs: Sequence[FlowRecord], theme: Theme) -> None:
    shown = []
    for within, colour, marker in zip((FAR, FAR / 10), theme.series, "os", strict=False):
        found = [record.measured(cusp_slope, within=within) for record in runs]
        shown += [np.asarray(values) for values in found]
        ax.plot([r.images for r in runs], [float(np.median(v)) for v in found], color=colour, linewidth=1, zorder=2.5)
        for record, values in zip(runs, found, strict=True):
            ax.plot([record.images] * len(values), values, marker, color=colour, markersize=4.2,
                    markeredgecolor=theme.page, markeredgewidth=0.5, zorder=3,
                    label=f"|\u0394| < {plain(within)}")  # fmt: skip
    _sizes(ax, runs)
    log_axis(ax, shown)
    ax.set_ylim(top=ax.get_ylim()[1] * (ax.get_ylim()[1] / ax.get_ylim()[0]) ** 0.35)
    ax.set_ylabel("largest |slope| (log scale)")
    _legend(ax, theme)
    headed(ax, "Slope near the peak", "largest between neighbours")


def _legend(ax: Axes, theme: Theme) -> None:
    """One entry a label, above the points."""
    entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    ax.legend(entries.values(), entries.keys(), loc="upper left", fontsize=7, frameon=True, facecolor=theme.page,
              edgecolor="none", framealpha=0.75)  # fmt: skip


def _sizes(ax: Axes, runs: Sequence[FlowRecord]) -> None:
    sizes = [r.images for r in runs]
    ax.set_xscale("log")
    ax.set_xlim(0.75 * min(sizes), 1.35 * max(sizes))
    ax.xaxis.set_major_locator(FixedLocator(sizes[:: 2 if len(sizes) > 4 else 1]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: number(value, ",.0f"))
    ax.set_xlabel("images $n_D$ (log scale)")
