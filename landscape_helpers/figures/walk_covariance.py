"""The Hessian beside the covariance of the gradients along a training, which the paper leaves open: WALK-X01."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from .axes import add_range, headed, log_ticks
from .canvas import Handle, add_key, new_figure
from .run_record import RunRecord
from .style import Theme
from .trajectories import over_seeds

Records = Mapping[str, RunRecord]
MATRICES = (
    ("hessian_norm", "H", "o"),
    ("covariance_norm", "C", "s"),
    ("residual_norm", "R", "D"),
    ("mean_outer_norm", "g g\u1d40", "^"),
)


def covariance(records: Records, note: str, theme: Theme) -> Figure:
    """Norms of the four matrices of H = C + g g' + R above; below how far H and C are aligned, and ||R|| / ||H||."""
    figure = new_figure(4.6, "Is the Hessian the covariance of the gradients? H = C + g g\u1d40 + R", note, theme)
    axes = figure.subplots(2, len(records), squeeze=False, sharex="col", gridspec_kw={"height_ratios": (1.4, 1)})
    for column, record in enumerate(records.values()):
        at = np.arange(len(record.first["update"]))
        _norms(axes[0, column], record, at, theme)
        _relations(axes[1, column], record, at, theme)
        axes[1, column].xaxis.set_major_locator(FixedLocator(at.tolist()))
        updates = record.first["update"].values
        axes[1, column].xaxis.set_major_formatter(lambda i, _, u=updates: f"{u[int(i)]:,}" if 0 <= i < len(u) else "")
        axes[1, column].set_xlabel("checkpoint, after so many full-batch updates")
    axes[0, 0].set_ylabel("Frobenius norm (log scale)")
    axes[1, 0].set_ylabel("ratio")
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[i], marker=marker, markersize=4) for i, (_, _, marker) in enumerate(MATRICES)
    ]
    labels = [name for _, name, _ in MATRICES]
    handles += [
        Line2D([], [], color=theme.series[1], marker="s", markersize=3, linewidth=1.5),
        Line2D([], [], color=theme.series[2], marker="D", markersize=3, linestyle=(0, (4, 1.5))),
    ]
    labels += ["cosine of H and C", "\u2016R\u2016 / \u2016H\u2016"]
    add_range(handles, labels, records.values(), theme)
    add_key(figure, (handles, labels))
    return figure


def _norms(ax: Axes, record: RunRecord, at: np.ndarray, theme: Theme) -> None:
    for i, (name, _, marker) in enumerate(MATRICES):
        _spread(ax, at, np.array(record.of_each(name)), theme.series[i], marker)
    ax.set_yscale("log")
    log_ticks(ax.yaxis)
    error = max(float(np.max(v)) for v in record.of_each("identity_error"))
    headed(ax, record.title, f"{record.size:,} parameters; the identity holds to {error:.0e} of \u2016H\u2016")


def _relations(ax: Axes, record: RunRecord, at: np.ndarray, theme: Theme) -> None:
    aligned = np.array(record.of_each("alignment"))
    residual = np.array(record.of_each("residual_norm")) / np.array(record.of_each("hessian_norm"))
    for level in (0.0, 1.0):
        ax.axhline(level, color=theme.soft, linewidth=0.8, zorder=1.4)
    _spread(ax, at, aligned, theme.series[1], "s")
    _spread(ax, at, residual, theme.series[2], "D")
    ax.lines[-1].set_linestyle((0, (4, 1.5)))
    losses = np.median(np.array(record.of_each("loss")), axis=0)
    headed(ax, "Relations", f"loss from {losses[0]:.3g} to {losses[-1]:.2g} nats")


def _spread(ax: Axes, x: np.ndarray, values: np.ndarray, colour: str, marker: str) -> None:
    median, low, high = over_seeds(values)
    if len(values) > 1:
        ax.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0, zorder=2)
    ax.plot(x, median, color=colour, marker=marker, markersize=4, linewidth=1.5, zorder=3)
