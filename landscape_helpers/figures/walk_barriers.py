"""Barriers that updates cross, epoch by epoch: Figure 8 of *A Walk with SGD*."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .axes import count_axis, headed, log_ticks_between
from .canvas import Handle, add_key, new_figure
from .panel_table import empty
from .style import Theme
from .walk_record import WalkRecord, Window
from .walk_trajectory import heading_of

Records = Mapping[str, WalkRecord]
EPOCHS = 40  # that the paper shows
BOUND = 0.05  # of the updates of an epoch


def barriers(records: Records, note: str, theme: Theme) -> Figure:
    """Share of the updates of each epoch that cross a barrier above; heights as shares of the loss below."""
    figure = new_figure(4.6, heading_of(list(records.values())), note, theme)
    axes = figure.subplots(
        2, len(records), squeeze=False, sharex="col", sharey="row", gridspec_kw={"height_ratios": (1, 1.1)}
    )
    for column, record in enumerate(records.values()):
        if not record.epochs(EPOCHS):
            for ax in axes[:, column]:
                empty(ax, "no step was sampled", theme, record.method)
            continue
        _counts(axes[0, column], record, theme)
        _heights(axes[1, column], record, theme)
        axes[1, column].set_xlabel("epoch")
        count_axis(axes[1, column].xaxis, 9)
    axes[0, 0].set_ylabel("updates that\ncross a barrier")
    axes[1, 0].set_ylabel("height / loss\n(log scale)")
    handles: list[Handle] = [
        Patch(color=theme.series[1], alpha=0.7),
        Line2D([], [], color=theme.ink, marker="o", markersize=3, linestyle="none"),
        Line2D([], [], color=theme.soft, linewidth=1, linestyle=(0, (4, 2))),
        Line2D([], [], color=theme.series[1], marker="X", markersize=5, linestyle="none"),
        Line2D([], [], color=theme.series[0], linewidth=1.5),
    ]
    labels = ["median over seeds", "one seed", "5% of the updates", "a barrier", "median height above the floor"]
    add_key(figure, (handles, labels))
    return figure


def by_epoch(record: WalkRecord) -> dict[int, list[Window]]:
    """What was sampled of each of the first 40 epochs, one window a seed."""
    found: dict[int, list[Window]] = {}
    for seed in range(len(record.datasets)):
        for epoch, window in record.epochs(EPOCHS, seed).items():
            found.setdefault(epoch, []).append(window)
    return dict(sorted(found.items()))


def relative_barriers(window: Window) -> np.ndarray:
    """Heights of the barriers (WALK-D08) as shares of the loss before the update."""
    over = window.crossed
    return np.asarray(window.barriers[over] / window.losses[over, 0])


def relative_heights(window: Window) -> np.ndarray:
    """Heights above the floor (WALK-D06) as shares of the loss before the update."""
    return np.asarray(window.heights / window.losses[:, 0])


def _counts(ax: Axes, record: WalkRecord, theme: Theme) -> None:
    told = by_epoch(record)
    shares = {epoch: [float(w.crossed.mean()) for w in windows] for epoch, windows in told.items()}
    ax.bar(list(shares), [float(np.median(v)) for v in shares.values()], width=0.8, color=theme.series[1], alpha=0.7)
    for epoch, values in shares.items():
        ax.plot(np.full(len(values), epoch), values, "o", color=theme.ink, markersize=2.4, zorder=3, clip_on=False)
    ax.axhline(BOUND, color=theme.soft, linewidth=1, linestyle=(0, (4, 2)), zorder=1.8)
    ax.set_ylim(0, max(1.3 * BOUND, 1.1 * max(max(v) for v in shares.values())))
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    none = sum(float(np.median(v)) == 0 for v in shares.values())
    updates = sorted({len(w.updates) for windows in told.values() for w in windows})
    several = f"{updates[0]:,}" if len(updates) == 1 else f"{updates[0]:,} to {updates[-1]:,}"
    headed(ax, "Barriers crossed", f"none in {none} of {len(shares)} epochs; {several} updates sampled in each")


def _heights(ax: Axes, record: WalkRecord, theme: Theme) -> None:
    told = by_epoch(record)
    above = [float(np.median([np.median(relative_heights(w)) for w in windows])) for windows in told.values()]
    style = "o-" if len(told) < 30 else "-"
    ax.plot(list(told), above, style, color=theme.series[0], linewidth=1.5, markersize=3, zorder=2.5)
    heights: list[float] = []
    for epoch, windows in told.items():
        found = np.concatenate([relative_barriers(w) for w in windows])
        ax.plot(np.full(len(found), epoch), found, "X", color=theme.series[1], markersize=4.5, alpha=0.8, zorder=3)
        heights += found.tolist()
    ax.set_yscale("log")
    log_ticks_between(ax.yaxis, *ax.get_ylim())
    text = f"{len(heights):,} barriers of all seeds, median {np.median(heights):.2g} of the loss" if heights else ""
    headed(ax, "How high they are", text or "no barrier was crossed; for comparison the height above the floor")
