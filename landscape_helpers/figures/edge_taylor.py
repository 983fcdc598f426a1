r"""What the second order predicts of a step along one part of the gradient, and what was measured (SING-X03, ours).

Along the eigenpairs that were recorded the prediction is :math:`\eta\sum_i d_i^2(\tfrac12\eta\lambda_i-1)` (SING-D04).
Of the bulk beyond the last recorded pair the curvature is not known and is taken as none: its first order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from ..claims.edge_measures import prediction_error
from .axes import headed
from .canvas import Handle, new_figure
from .edge_axes import edge_key, seeds_curve, time_axis
from .edge_record import EdgeRecord, Series, common, grouped
from .numbers_in_words import MINUS, SUPERSCRIPT, percent
from .style import Theme

Records = Mapping[str, EdgeRecord]
PARTS = (("top", "o"), ("bulk", "s"))


def predictions(records: Records, note: str, theme: Theme) -> Figure:
    """A column a network: measured against predicted above, what the prediction of the top misses over time below."""
    networks = grouped(records.values(), lambda r: r.network)
    heading = f"Second-order prediction and measured change \u00b7 {common(list(records.values()))}"
    figure = new_figure(5.6, heading, note, theme)
    axes = figure.subplots(2, len(networks), squeeze=False, height_ratios=(1.6, 1))
    linear = _linear(list(records.values()))
    for (name, runs), column in zip(networks.items(), axes.T, strict=True):
        rates = ", ".join(r.rate_in_words for r in runs)
        for record in runs:
            _scatter(column[0], record, theme)
            seeds_curve(column[1], misses(record), theme.series[0])
        _diagonal(column[0], linear, theme)
        headed(column[0], name, rates)
        errors = [e for r in runs for e in r.measured(prediction_error)]
        headed(column[1], "What it misses of the top", f"median {percent(errors)} of its terms")
        column[1].set_ylim(bottom=0)
        column[1].yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        column[1].yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        column[1].set_ylabel("|measured \u2212 predicted|\nover the terms")
        time_axis(column[1])
    highest = max(ax.get_ylim()[1] for ax in axes[1])
    for ax in axes[1]:
        ax.set_ylim(0, 1.05 * highest)
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[i], marker=marker, markersize=4.5, linestyle="none")
        for i, (_, marker) in enumerate(PARTS)
    ]
    labels = ["step along the top part", "along the bulk part"]
    handles.append(Line2D([], [], color=theme.soft, linewidth=0.9))
    labels.append("as predicted")
    edge_key(figure, records.values(), theme, (handles, labels), marked=False)
    return figure


def predicted(record: EdgeRecord, part: str, seed: int = 0) -> np.ndarray:
    """(stop,): the change of the loss by a step along the "top" or the "bulk" part, by the second order."""
    data, top = record.datasets[seed], record.top
    d, ratio = data["coordinate"].values, data["rho"].values
    if part == "top":
        return np.asarray((record.rate * d[:, :top] ** 2 * (ratio[:, :top] - 1)).sum(axis=1))
    bent = record.rate * (d[:, top:] ** 2 * ratio[:, top:]).sum(axis=1)
    return np.asarray(bent - record.rate * data["bulk_norm"].values ** 2)


def misses(record: EdgeRecord) -> list[Series]:
    """What the prediction of a step along the top misses, over the sum of the sizes of its terms, which may cancel."""
    found = []
    for seed, data in enumerate(record.datasets):
        d, ratio = data["coordinate"].values[:, : record.top], data["rho"].values[:, : record.top]
        scale = record.rate * np.abs(d**2 * (ratio - 1)).sum(axis=1)
        error = np.abs(data["change_top"].values - predicted(record, "top", seed))
        values = np.divide(error, scale, out=np.full(len(scale), np.nan), where=scale > 0)
        found.append(Series(np.asarray(data["time"].values, float), values))
    return found


def _scatter(ax: Axes, record: EdgeRecord, theme: Theme) -> None:
    """A mark a stop; the first seed strong, the others light."""
    for i, (part, marker) in enumerate(PARTS):
        for seed, data in enumerate(record.datasets):
            ax.plot(
                predicted(record, part, seed), data[f"change_{part}"].values, marker, color=theme.series[i],
                markersize=3.6, alpha=0.85 if seed == 0 else 0.3, markeredgewidth=0, linestyle="none",
                zorder=3 if seed == 0 else 2.5,
            )  # fmt: skip


def _linear(records: list[EdgeRecord]) -> float:
    """Changes below which the axes are linear: a power of ten near the tenth percentile of all sizes."""
    sizes = [np.abs(data[f"change_{part}"].values) for r in records for data in r.datasets for part, _ in PARTS]
    every = np.concatenate(sizes)
    every = every[np.isfinite(every) & (every > 0)]
    return float(10.0 ** np.floor(np.log10(np.quantile(every, 0.1)))) if len(every) else 1e-6


def _diagonal(ax: Axes, linear: float, theme: Theme) -> None:
    for set_scale in (ax.set_xscale, ax.set_yscale):
        set_scale("symlog", linthresh=linear, linscale=0.5)
    low = min(ax.get_xlim()[0], ax.get_ylim()[0])
    high = max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([low, high], [low, high], color=theme.soft, linewidth=0.9, zorder=1.5)
    ax.axhline(0, color=theme.rule, linewidth=0.8, zorder=1)
    ax.axvline(0, color=theme.rule, linewidth=0.8, zorder=1)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ticks = _ticks(max(-low, high), linear)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(_signed_power)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_xlabel("predicted change (nats, symmetric log scale)")
    ax.set_ylabel("measured change (nats)")


def _ticks(largest: float, linear: float) -> list[float]:
    """Zero and at most three powers of ten on either side of it."""
    decades = max(int(np.floor(np.log10(largest / linear))), 0)
    every = decades // 3 + 1
    # Names of powers next to zero would meet there.
    powers = [linear * 10.0**i for i in range(decades, min(decades, 2) - 1, -every)]
    return [-p for p in powers] + [0.0] + powers[::-1]


def _signed_power(value: float, _: object = None) -> str:
    """A power of ten with its sign."""
    if value == 0:
        return "0"
    return (MINUS if value < 0 else "") + f"10{str(round(np.log10(abs(value)))).translate(SUPERSCRIPT)}"
