"""What the integrator does to the flow's curvature: the paper's rule beside Runge-Kutta (SING-X04, ours)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .axes import headed
from .canvas import Handle, new_figure
from .edge_axes import DOTTED, FLOW_TIME, edge_key, log_axis, seeds_curve, time_axis
from .edge_flow import bounds, curvature, lambda_over_time, mark_stable, peak, stable_entries
from .edge_record import FlowRecord, Series, common, grouped
from .numbers_in_words import number
from .panel_table import empty
from .style import Theme

Records = Mapping[str, FlowRecord]
METHODS = {"euler": "paper's rule (Euler)", "rk4": "Runge-Kutta"}


def integrators(records: Records, note: str, theme: Theme) -> Figure:
    """lambda_1 over time by the paper's rule and by Runge-Kutta above, the rule's deviation below; a column a size."""
    sizes = grouped(records.values(), lambda r: (r.network, r.images))
    heading = f"The paper's rule and Runge-Kutta \u00b7 {common(list(records.values()))}"
    figure = new_figure(4.6, heading, note, theme)
    axes = figure.subplots(2, len(sizes), squeeze=False, sharex="col", height_ratios=(1.7, 1))
    methods = {"euler": (theme.series[0], False), "rk4": (theme.series[1], True)}
    for ((_, images), runs), column in zip(sizes.items(), axes.T, strict=True):
        for record in runs:
            colour, dotted = methods.get(record.method, (theme.series[2], False))
            lambda_over_time(column[0], record, colour, theme, dotted=dotted)
        mark_stable(column[0], runs, theme)
        log_axis(column[0], [s.values for r in runs for s in (*curvature(r), *bounds(r))])
        column[0].set_ylabel("\u03bb\u2081 (nats / param.\u00b2, log)")
        told = [f"{METHODS.get(r.method, r.method)} {number(float(np.nanmedian(peak(r))), '.4g')}" for r in runs]
        headed(column[0], f"{images:,} images", f"peak: {', '.join(told)}")
        if not _deviation(column[1], runs, theme):
            column[0].tick_params(labelbottom=True)
            time_axis(column[0], FLOW_TIME)
    shown = {r.method for r in records.values()}
    handles: list[Handle] = [
        Line2D([], [], color=colour, linewidth=1.4, linestyle=DOTTED if dotted else "-")
        for name, (colour, dotted) in methods.items()
        if name in shown
    ]
    labels = [METHODS[name] for name in methods if name in shown]
    edge_key(figure, records.values(), theme, (handles, labels), stable_entries(theme))
    return figure


def deviation(runs: Sequence[FlowRecord]) -> list[Series]:
    """Of every seed that both methods ran, the rule's lambda_1 relative to Runge-Kutta's, less 1."""
    by_method = {r.method: r for r in runs}
    if not {"euler", "rk4"} <= set(by_method):
        return []
    rule, check = by_method["euler"], by_method["rk4"]
    ours, theirs = (dict(zip(r.seeds, curvature(r), strict=True)) for r in (rule, check))
    found = []
    for seed in [s for s in rule.seeds if s in theirs and len(theirs[s].t)]:
        t = ours[seed].t[ours[seed].t <= theirs[seed].t[-1]]
        values = ours[seed].values[: len(t)] / np.interp(t, theirs[seed].t, theirs[seed].values) - 1
        found.append(Series(t, values))
    return found


def _deviation(ax: Axes, runs: Sequence[FlowRecord], theme: Theme) -> bool:
    """Whether there was anything to draw."""
    series = deviation(runs)
    if not series:
        empty(ax, "one method only", theme)
        return False
    ax.axhline(0, color=theme.soft, linewidth=0.8, zorder=1.4)
    seeds_curve(ax, series, theme.series[0], width=1.0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%".replace("-", "\u2212"))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_ylabel("rule over\nRunge-Kutta")
    time_axis(ax, FLOW_TIME)
    return True
