"""Learning-rate schedules and what they reach: Figures 6 and 27 of *A Walk with SGD*."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .axes import add_range, count_axis, headed, log_ticks_between
from .canvas import Handle, add_key, curve, new_figure
from .style import Theme
from .trajectories import over_seeds
from .walk_record import WalkRecord
from .walk_trajectory import heading_of

Records = Mapping[str, WalkRecord]
KINDS = {"cyclical": "cyclical", "steps_at": "stepwise", "trapezoid": "trapezoid", "constant": "constant"}
TRAINING = (0, (2, 1.3))


def schedules(records: Records, note: str, theme: Theme) -> Figure:
    """Accuracies of the best run of every schedule above, the schedules below; the rest of the grid lightly."""
    figure = new_figure(5.2, heading_of(list(records.values())), note, theme)
    accuracy, detail, rate = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": (1.2, 1.2, 0.85)})
    handles: list[Handle] = []
    labels: list[str] = []
    for i, (kind, runs) in enumerate(by_kind(records).items()):
        colour = theme.series[i % len(theme.series)]
        best = runs[0]
        for record in runs[1:]:
            _accuracy(accuracy, record, colour, theme, light=True)
            _rates(rate, record, colour, light=True)
        _accuracy(accuracy, best, colour, theme)
        _loss(detail, best, colour)
        _rates(rate, best, colour)
        handles.append(Line2D([], [], color=colour, linewidth=1.6))
        labels.append(f"{KINDS.get(kind, kind)}, peak {best.rate:g}: best {best_accuracy(best):.1%}")
    accuracy.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    accuracy.set_ylabel("validation accuracy")
    headed(accuracy, "Validation accuracy", "each schedule at its best peak rate; thin: the other peaks of the grid")
    detail.set_yscale("log")
    log_ticks_between(detail.yaxis, *detail.get_ylim())
    detail.set_ylabel("training loss\n(nats, log scale)")
    headed(detail, "Training loss")
    rate.set_ylabel("learning rate \u03b7")
    rate.set_ylim(bottom=0)
    headed(rate, "Schedule")
    rate.set_xlabel("epoch")
    count_axis(rate.xaxis, 8)
    add_range(handles, labels, records.values(), theme)
    add_key(figure, (handles, labels))
    return figure


def by_kind(records: Records) -> dict[str, list[WalkRecord]]:
    """The runs of every schedule, the best first: that of the highest best validation accuracy, in the median."""
    kinds: dict[str, list[WalkRecord]] = {}
    for record in records.values():
        kinds.setdefault(str(record.parameters.get("schedule", "constant")), []).append(record)
    return {kind: sorted(runs, key=lambda r: -best_accuracy(r)) for kind, runs in kinds.items()}


def best_accuracy(record: WalkRecord) -> float:
    """The highest validation accuracy of a run, median over its seeds."""
    return float(np.median([np.nanmax(values) for values in record.of_each("validation_accuracy")]))


def _epochs(record: WalkRecord, steps: np.ndarray) -> np.ndarray:
    return steps / record.per_epoch


def _accuracy(ax: Axes, record: WalkRecord, colour: str, theme: Theme, *, light: bool = False) -> None:
    steps, values = record.over("validation_accuracy", "evaluation")
    if light:
        ax.plot(_epochs(record, steps), over_seeds(values)[0], color=colour, linewidth=0.6, alpha=0.5, zorder=2)
    else:
        curve(ax, _epochs(record, steps), values, colour, width=1.6)


def _loss(ax: Axes, record: WalkRecord, colour: str) -> None:
    steps, values = record.over("train_loss", "evaluation")
    curve(ax, _epochs(record, steps), values, colour, width=1.6)


def _rates(ax: Axes, record: WalkRecord, colour: str, *, light: bool = False) -> None:
    steps, values = record.over("learning_rate")
    width, alpha = (0.6, 0.5) if light else (1.6, 1.0)
    ax.plot(_epochs(record, steps), values[0], color=colour, linewidth=width, alpha=alpha, zorder=3)
