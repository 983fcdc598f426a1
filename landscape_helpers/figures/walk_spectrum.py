"""The Hessian's spectral norm and the validation accuracy along a training: Figures 3 and 7 of *A Walk with SGD*."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .axes import add_range, count_axis, headed, log_ticks_between
from .canvas import Handle, add_key, curve, new_figure
from .panel_table import empty
from .style import Theme
from .walk_record import WalkRecord
from .walk_trajectory import heading_of

Records = Mapping[str, WalkRecord]
EDGE = (0, (5, 2))


def spectral_norms(records: Records, note: str, theme: Theme) -> Figure:
    """Spectral norm above, accuracy below; a column a run, with common axes."""
    figure = new_figure(4.6, heading_of(list(records.values())), note, theme)
    axes = figure.subplots(
        2, len(records), squeeze=False, sharex="col", sharey="row", gridspec_kw={"height_ratios": (1.3, 1)}
    )
    for column, record in enumerate(records.values()):
        _norms(axes[0, column], record, theme)
        _accuracies(axes[1, column], record, theme)
        axes[1, column].set_xlabel("epoch")
        count_axis(axes[1, column].xaxis, 8)
    axes[0, 0].set_ylabel("\u2016H\u2016\u2082, log scale\n(nats / parameter\u00b2)")
    axes[1, 0].set_ylabel("accuracy")
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[0], linewidth=1.6),
        Line2D([], [], color=theme.series[3], linewidth=1.1),
        Line2D([], [], color=theme.ink, linewidth=1, linestyle=EDGE),
        Line2D([], [], color=theme.series[1], linewidth=1.6),
        Line2D([], [], color=theme.series[2], linewidth=1.1, linestyle=EDGE),
    ]
    labels = ["largest |\u03bb|", "\u2212 smallest \u03bb", "2/\u03b7", "validation", "training"]
    add_range(handles, labels, records.values(), theme)
    add_key(figure, (handles, labels))
    return figure


def spectral_norm(record: WalkRecord) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and the largest eigenvalue by size, (seed, stop) (WALK-D14)."""
    stops, largest = record.over("lambda_max", "stop")
    smallest = record.over("lambda_min", "stop")[1] if record.has("lambda_min") else np.full_like(largest, np.nan)
    return stops / record.per_epoch, np.fmax(np.abs(largest), np.abs(smallest))


def _norms(ax: Axes, record: WalkRecord, theme: Theme) -> None:
    if not record.has("lambda_max"):
        empty(ax, "the spectrum was not measured", theme, record.method)
        return
    epochs, norms = spectral_norm(record)
    curve(ax, epochs, norms, theme.series[0], width=1.6)
    if len(epochs) <= 60:
        ax.plot(epochs, np.nanmedian(norms, axis=0), "o", color=theme.series[0], markersize=2.6, zorder=3)
    if record.has("lambda_min"):
        smallest = -record.over("lambda_min", "stop")[1]
        curve(ax, epochs, np.where(smallest > 0, smallest, np.nan), theme.series[3], width=1.1, band=False)
    ax.axhline(2 / record.rate, color=theme.ink, linewidth=1, linestyle=EDGE, zorder=1.8)
    ax.set_yscale("log")
    log_ticks_between(ax.yaxis, *ax.get_ylim())
    lowest = epochs[int(np.nanargmin(np.nanmedian(norms, axis=0)))]
    headed(ax, "Spectral norm of the Hessian", f"lowest at epoch {lowest:g}; BatchNorm with batch statistics")


def _accuracies(ax: Axes, record: WalkRecord, theme: Theme) -> None:
    if not record.has("validation_accuracy"):
        empty(ax, "not evaluated", theme)
        return
    steps, training = record.over("train_accuracy", "evaluation")
    validation = record.over("validation_accuracy", "evaluation")[1]
    curve(ax, steps / record.per_epoch, training, theme.series[2], width=1.1, band=False, dashed=True)
    curve(ax, steps / record.per_epoch, validation, theme.series[1], width=1.6)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    best, end = (float(np.nanmedian(f(validation))) for f in (lambda v: np.nanmax(v, 1), lambda v: v[:, -1]))
    headed(ax, "Accuracy", f"validation: best {best:.1%}, at the end {end:.1%}")
