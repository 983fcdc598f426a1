"""Full-batch descent with and without isotropic noise: Figures 5, 25 and 26 of *A Walk with SGD*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from .axes import add_range, count_axis, headed, log_ticks_between
from .canvas import Handle, add_key, curve, new_figure
from .numbers_in_words import number
from .style import Theme
from .walk_record import WalkRecord, moving_average
from .walk_sweeps import stacked
from .walk_trajectory import heading_of

Records = Mapping[str, WalkRecord]
SMOOTHED = 20  # iterations, of the cosine alone
SPIKE = 6.0  # losses beyond so many times the first one ask for a logarithmic axis
DASHES = ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))


def noise(records: Records, note: str, theme: Theme) -> Figure:
    """Training loss, validation accuracy, cosine and distance over the updates; final norms under the last title."""
    figure = new_figure(4.9, heading_of(list(records.values())), note, theme)
    (top_left, top_right), (low_left, low_right) = figure.subplots(2, 2)
    runs = in_order(records)
    _losses(top_left, runs, theme)
    _accuracies(top_right, runs, theme)
    _cosines(low_left, runs, theme)
    _distances(low_right, runs, theme)
    # A run by mini-batches for comparison may be longer: it is shown as far as the others go.
    last = max(int(r.over("cosine")[0][-1]) for r in (full_batch(runs) or runs))
    for ax in (top_left, top_right, low_left, low_right):
        ax.set_xlim(-0.01 * last, 1.01 * last)
        count_axis(ax.xaxis, 5)
        ax.set_xlabel("update")
    handles: list[Handle] = [_line(i, theme) for i in range(len(runs))]
    labels = [name_of(r) for r in runs]
    add_range(handles, labels, runs, theme)
    add_key(figure, (handles, labels))
    return figure


def in_order(records: Records) -> list[WalkRecord]:
    """Without noise first, then with more and more of it, then mini-batches."""
    return sorted(records.values(), key=lambda r: (r.batch is not None, r.noise))


def full_batch(runs: Sequence[WalkRecord]) -> list[WalkRecord]:
    """Those whose gradients are of the whole set."""
    return [r for r in runs if r.batch is None]


def name_of(record: WalkRecord) -> str:
    """``"GD + noise, variance 0.014"``: its variance, which is kappa times the largest of the gradients (WALK-D11)."""
    if not record.noise:
        return record.method
    variances = [float(v) for v in record.of_each("noise_variance")]
    return f"GD + noise, variance {np.median(variances):.2g}" if variances else f"GD + noise, \u03ba = {record.noise:g}"


def final_norms(record: WalkRecord) -> list[float]:
    """Norms of the last parameters of every seed (WALK-D19)."""
    return [float(v[np.flatnonzero(np.isfinite(v))[-1]]) for v in record.of_each("theta_norm") if np.isfinite(v).any()]


def norms_in_words(runs: Sequence[WalkRecord]) -> str:
    """``"87, 369, 443"``: medians over seeds."""
    return ", ".join(number(float(np.median(final_norms(r))), ".3g") for r in runs)


def losses(record: WalkRecord) -> tuple[np.ndarray, np.ndarray]:
    """Loss of the whole training set: at every update of full-batch descent, at the evaluations of another run."""
    return record.over("batch_loss") if record.batch is None else record.over("train_loss", "evaluation")


def _style(index: int, theme: Theme) -> tuple[str, Any]:
    return theme.series[index % len(theme.series)], DASHES[index % len(DASHES)]


def _line(index: int, theme: Theme) -> Line2D:
    colour, dashes = _style(index, theme)
    return Line2D([], [], color=colour, linestyle=dashes, linewidth=1.5)


def _draw(ax: Axes, x: np.ndarray, values: np.ndarray, index: int, theme: Theme) -> None:
    colour, dashes = _style(index, theme)
    curve(ax, x, values, colour)
    ax.lines[-1].set_linestyle(dashes)


def _losses(ax: Axes, runs: list[WalkRecord], theme: Theme) -> None:
    start, top = 0.0, 0.0
    for i, record in enumerate(runs):
        x, values = losses(record)
        _draw(ax, x, values, i, theme)
        start = max(start, float(np.nanmax(values[:, 0])))
        top = max(top, float(np.nanmax(np.where(np.isfinite(values), values, np.nan))))
    if top > SPIKE * start:
        ax.set_yscale("log")
        log_ticks_between(ax.yaxis, *ax.get_ylim())
    else:
        ax.set_ylim(bottom=0)
    ax.set_ylabel("training loss (nats" + (", log scale)" if top > SPIKE * start else ")"))
    headed(ax, "Training loss")


def _accuracies(ax: Axes, runs: list[WalkRecord], theme: Theme) -> None:
    for i, record in enumerate(runs):
        if record.has("validation_accuracy"):
            _draw(ax, *record.over("validation_accuracy", "evaluation"), i, theme)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    ax.set_ylabel("validation accuracy")
    headed(ax, "Validation accuracy")


def _cosines(ax: Axes, runs: list[WalkRecord], theme: Theme) -> None:
    shortest = min(len(r.over("cosine")[0]) for r in runs)
    window = max(1, min(SMOOTHED, shortest // 10))
    for level in (-1.0, 0.0):
        ax.axhline(level, color=theme.soft, linewidth=0.8, zorder=1.4)
    for i, record in enumerate(runs):
        steps, values = record.over("cosine")
        smooth = moving_average(values[:, 1:], window)
        _draw(ax, steps[1:][: smooth.shape[1]] + (window - 1) / 2, smooth, i, theme)
    ax.set_ylim(-1.08, max(0.3, ax.get_ylim()[1]))
    ax.yaxis.set_major_locator(FixedLocator([-1, -0.5, 0, 0.5, 1]))
    ax.set_ylabel("cosine")
    headed(ax, "Cosine of consecutive gradients", f"moving average of {window} iterations" if window > 1 else "")


def _distances(ax: Axes, runs: list[WalkRecord], theme: Theme) -> None:
    reached = stacked([np.nanmax(r.over("distance")[1], axis=1) for r in runs])
    medians = np.nanmedian(reached, axis=1)
    for i, record in enumerate(runs):
        steps, values = record.over("distance")
        _draw(ax, steps[1:], values[:, 1:], i, theme)  # at the start it is 0, which no logarithmic axis has
    if medians.max() > 20 * max(medians.min(), 1e-12):
        ax.set_yscale("log")
        lowest = min(float(np.nanmin(r.over("distance")[1][:, 1])) for r in runs)
        ax.set_ylim(max(lowest / 1.3, medians.max() / 1e4), medians.max() * 1.6)
        log_ticks_between(ax.yaxis, *ax.get_ylim())
    else:
        ax.set_ylim(bottom=0)
    ax.set_ylabel("distance from\ninitialisation" + (" (log scale)" if ax.get_yscale() == "log" else ""))
    headed(ax, "Distance", f"final \u2016\u03b8\u2016 as in the key: {norms_in_words(runs)}")
