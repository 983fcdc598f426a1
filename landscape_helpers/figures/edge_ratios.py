"""Stability ratios over time: Figures 1 and 2 of *There is a Singularity in the Loss Landscape*.

The ratio of the last pair of the top subspace bounds all of the top from below, that of the first pair of the bulk all
of the bulk from above: the gap between a solid and a dotted line of one colour is the paper's claim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..claims.edge_measures import EDGE, max_rho
from .axes import legend_above
from .canvas import Handle, new_figure
from .edge_axes import (
    DASHED,
    edge_entries,
    edge_key,
    edge_lines,
    endings,
    pair_entries,
    palette,
    ratio_axis,
    say_beyond,
    seeds_curve,
    time_axis,
)
from .edge_record import EdgeRecord, Series, common, grouped
from .numbers_in_words import number
from .style import Theme

Records = Mapping[str, EdgeRecord]
Panel = Callable[[Axes, EdgeRecord, str], str]
COLUMNS = 2
# Ratios that the panels of rates show: the claim is of what lies below the edge and at it, and the overshoot of a first
# step would press all of that to the bottom.
SHOWN = 1.7
SUBSCRIPT = str.maketrans("0123456789", "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089")


def by_rate(records: Records, note: str, theme: Theme) -> Figure:
    """A panel a network, a colour a rate: rho of the last top pair solid, of the first bulk pair dotted."""
    every = _ratios(list(records.values()))
    drawn: dict[Axes, list[EdgeRecord]] = {}

    def panel(ax: Axes, record: EdgeRecord, colour: str) -> str:
        drawn.setdefault(ax, []).append(record)
        _pair(ax, record, colour, theme)
        return f"{record.rate_in_short}: {peaks(record)}"

    tops = {record.top for record in records.values()}
    names = pair_names(tops.pop() if len(tops) == 1 else None)
    heading = f"Stability ratio \u03c1 = \u03b7\u03bb/2 \u00b7 {common(list(records.values()))}"
    figure, axes = rate_panels(records, heading, note, theme, panel)
    for ax in axes:
        edge_lines(ax, theme)
        ratio_axis(ax, every, SHOWN)
        say_beyond(ax, _ratios(drawn[ax]), theme)
    edge_key(figure, records.values(), theme, pair_entries(theme, *names), edge_entries(theme))
    return figure


def by_classes(records: Records, note: str, theme: Theme) -> Figure:
    """A colour a number of classes: the two ratios on the left, how many pairs are on the edge on the right."""
    shown = sorted(records.values(), key=lambda r: r.n_classes)
    heading = f"Ratios by number of classes \u00b7 {common(shown, _rate_in_common(shown))}"
    figure = new_figure(3.5, heading, note, theme)
    ratio, count = figure.subplots(1, 2, width_ratios=(1.25, 1))
    colours = palette(len(shown), theme)
    handles: list[Handle] = []
    for record, colour in zip(shown, colours, strict=True):
        _pair(ratio, record, colour, theme)
        ends = counts_on_edge(record)
        seeds_curve(count, ends, colour)
        count.axhline(record.top, color=colour, linewidth=1.0, linestyle=DASHED, zorder=1.8)
        endings(count, record, ends, colour, theme)
        handles.append(Line2D([], [], color=colour, linewidth=1.6))
    edge_lines(ratio, theme)
    ratio_axis(ratio, _ratios(shown))
    told = [f"{r.n_classes} classes: {peaks(r)}" for r in shown]
    legend_above(ratio, "Last top pair and first bulk pair", handles, told)
    count.set_ylim(bottom=0)
    count.set_ylabel(f"pairs with \u03c1 > {EDGE:g}")
    count.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    expected = Line2D([], [], color=theme.ink, linewidth=1.0, linestyle=DASHED)
    rows = -(-len(shown) // COLUMNS)
    legend_above(count, "Pairs on the edge", [expected], ["number of classes less 1"], 1, rows)
    for ax in (ratio, count):
        time_axis(ax)
    edge_key(figure, shown, theme, pair_entries(theme, *pair_names(None)), edge_entries(theme))
    return figure


def rate_panels(
    records: Records, heading: str, note: str, theme: Theme, draw: Panel
) -> tuple[Figure, list[Axes]]:
    """A panel a network and a colour a rate, the same in all panels.

    Args:
        draw: draws one run in its colour and says what its entry in the panel's key is.
    """
    rates = sorted({r.rate for r in records.values()}, reverse=True)
    colours = dict(zip(rates, palette(len(rates), theme), strict=True))
    networks = grouped(records.values(), lambda r: r.network)
    columns = min(COLUMNS, len(networks))
    rows = -(-len(networks) // columns)
    figure = new_figure((2.45 if columns > 1 else 3.2) * rows + 0.1, heading, note, theme)
    axes = figure.subplots(rows, columns, squeeze=False)
    drawn = []
    several = len({r.images for r in records.values()}) > 1
    for ax, (name, runs) in zip(axes.flat, networks.items(), strict=False):
        runs = sorted(runs, key=lambda r: -r.rate)
        entries = [draw(ax, record, colours[record.rate]) for record in runs]
        handles: list[Handle] = [Line2D([], [], color=colours[r.rate], linewidth=1.6) for r in runs]
        sizes = sorted({r.images for r in runs})
        images = f", {' or '.join(f'{n:,}' for n in sizes)} images" if several else ""
        legend_above(ax, name + images, handles, entries)
        time_axis(ax)
        drawn.append(ax)
    for ax in list(axes.flat)[len(drawn) :]:
        ax.set_visible(False)
    return figure, drawn


def pair_names(top: int | None) -> tuple[str, str]:
    """How the last top and the first bulk ratio are named; without their numbers where these differ."""
    first, second = ("\u03c1", "\u03c1") if top is None else (rho(top), rho(top + 1))
    return f"{first}, last of the top", f"{second}, first of the bulk"


def rho(pair: int) -> str:
    """``"\u03c1\u2089"``."""
    return "\u03c1" + str(pair).translate(SUBSCRIPT)


def peaks(record: EdgeRecord) -> str:
    """``"1.05 | 0.24"``: the largest ratio of the last top and of the first bulk pair, medians over seeds."""
    found = [np.median(record.measured(max_rho, pair=pair)) for pair in ("last top", "first bulk")]
    return " | ".join(number(float(v), ".2f") for v in found)


def counts_on_edge(record: EdgeRecord) -> list[Series]:
    """Of every seed, how many of all recorded ratios lie above the threshold."""
    found = []
    for data in record.datasets:
        counts = (data["rho"].values > EDGE).sum(axis=1).astype(float)
        found.append(Series(np.asarray(data["time"].values, float), counts))
    return found


def _pair(ax: Axes, record: EdgeRecord, colour: str, theme: Theme) -> None:
    for pair, dotted in ((record.top, False), (record.top + 1, True)):
        series = record.over("rho", pair)
        seeds_curve(ax, series, colour, dotted=dotted)
        endings(ax, record, series, colour, theme)


def _ratios(records: Sequence[EdgeRecord]) -> list[Series]:
    """All that is drawn, so that panels share one axis."""
    return [s for r in records for pair in (r.top, r.top + 1) for s in r.over("rho", pair)]


def _rate_in_common(records: Sequence[EdgeRecord]) -> str:
    rates = {r.rate for r in records}
    return f"\u03b7 = {records[0].rate_in_short}" if len(rates) == 1 else ""
