"""The loss along every update with the valley's floor, over the cosine of consecutive gradients and the distance.

The main picture of *A Walk with SGD* (Figures 1, 2 and 9 to 21): iterations run to the right, and between two of them
the loss of the whole training set is drawn at every sampled point of the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from .axes import count_axis, headed
from .canvas import Handle, Key, absent, add_key, new_figure
from .numbers_in_words import SUPERSCRIPT
from .style import Theme
from .trajectories import over_seeds
from .walk_record import WalkRecord, Window

Records = Mapping[str, WalkRecord]
UPDATES = 40  # that the paper draws
FLOOR = (0, (3.5, 1.6))
FULL = (0, (1.2, 1.2))
DIFFERENT_SCALES = 4.0  # a ratio of loss ranges above which two columns do not share an axis


def trajectory(epoch: float, records: Records, note: str, theme: Theme) -> Figure:
    """One column a run: 40 steps from the start of an epoch on."""
    shown = [(record, *next(iter(windows_from(record, epoch)), (0, None))) for record in records.values()]
    figure = new_figure(5.5, heading_of(list(records.values())), note, theme)
    axes = figure.subplots(3, len(shown), squeeze=False, sharex="col", gridspec_kw={"height_ratios": (1.75, 1, 0.85)})
    for column, (record, seed, window) in enumerate(shown):
        if window is None:
            for ax in axes[:, column]:
                ax.set_axis_off()
            absent(axes[0, column], f"{record.method}: no step from epoch {epoch:g} on was sampled", theme)
            continue
        _column(list(axes[:, column]), record, seed, window, theme, several=len(shown) > 1)
    _share_axes(axes, [window for _, _, window in shown])
    add_key(figure, trajectory_key(list(records.values()), theme))
    return figure


def windows_from(record: WalkRecord, epoch: float) -> list[tuple[int, Window]]:
    """Of each seed that got there its index and the first 40 steps from the start of an epoch on.

    Of full-batch descent, whose epoch is one step, the first ones.
    """
    found = [(s, record.window(1.0 if record.batch is None else epoch, s)) for s in range(len(record.datasets))]
    return [(seed, window.first_steps(UPDATES)) for seed, window in found if window is not None]


def heading_of(records: Sequence[WalkRecord]) -> str:
    """What the runs have in common; of one run all there is to say."""
    if len(records) == 1:
        return records[0].heading
    parts = zip(*((r.title, r.data, f"\u03b7 = {r.rate:g}") for r in records), strict=True)
    return " \u00b7 ".join(same[0] for part in parts if len(same := list(set(part))) == 1)


def _column(
    axes: Sequence[Axes], record: WalkRecord, seed: int, window: Window, theme: Theme, *, several: bool
) -> None:
    loss_along(axes[0], window, theme)
    when, (inside, *rest) = _when(record, window), in_numbers(window)
    when += f", seed {record.seeds[seed]}" if seed else ""
    if several:
        headed(axes[0], f"{record.method}, {when}", inside, ", ".join(rest))
    else:
        headed(axes[0], "Training loss along the steps", f"{when}: {', '.join((inside, *rest))}")
        shorten_ticks(axes[0])
    cosines(axes[1], record, seed, window, theme)
    distances(axes[2], record, seed, window, theme)
    n = len(window.updates)
    for ax in axes:
        ax.set_xlim(-0.02 * n, 1.02 * n)
        count_axis(ax.xaxis, 8)
    since = f" (0: update {window.start:,})" if window.start else ""
    axes[2].set_xlabel(f"iteration{since}")


def _when(record: WalkRecord, window: Window) -> str:
    n = len(window.updates)
    return f"first {n} updates" if record.batch is None else f"{n} updates from epoch {window.epoch:g} on"


def in_numbers(window: Window) -> list[str]:
    """``"minimum inside 38 of 40 steps"``, ``"floor rises 12 of 39 times"``, ``"no barrier crossed"``."""
    n, crossed = len(window.updates), int(window.crossed.sum())
    barriers = f"{crossed or 'no'} barrier{'s' if crossed > 1 else ''} crossed"
    rises = [f"floor rises {int(window.rises.sum())} of {n - 1} times"] if n > 1 else []
    return [f"minimum inside {int(window.interior.sum())} of {n} steps", *rises, barriers]


def loss_along(ax: Axes, window: Window, theme: Theme, *, small: bool = False) -> None:
    """Every step as a thin arc, iterates as dots, the floors joined; a cross over a step that crosses a barrier."""
    t = np.arange(len(window.updates))
    across = ax.get_xaxis_transform()
    ax.vlines(np.arange(len(t) + 1), 0, 1, transform=across, color=theme.rule, linewidth=0.5, zorder=0.5)
    x = (t[:, None] + window.alpha).ravel()
    ax.plot(x, window.losses.ravel(), color=theme.series[0], linewidth=0.9 if small else 1.1, zorder=2.5)
    iterates = window.iterates
    ax.plot(np.arange(len(iterates)), iterates, "o", color=theme.ink, markersize=1.6 if small else 2.6, zorder=3)
    ax.plot(window.floor_at, window.floor, color=theme.series[1], linewidth=1.1, linestyle=FLOOR, zorder=2.8)
    inside = window.interior
    ax.plot(
        window.floor_at[inside], window.floor[inside], "D", color=theme.series[1], markersize=1.5 if small else 2.2,
        zorder=2.9,
    )  # fmt: skip
    over = window.crossed
    if over.any():
        top = window.losses[over].max(axis=1)
        ax.plot(t[over] + 0.5, top, "X", color=theme.alarm, markersize=6, markeredgecolor=theme.page, zorder=4)
    low, high = float(window.losses.min()), float(window.losses.max())
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - room, high + room)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_ylabel("loss, whole training set (nats)" if not small else "loss (nats)")


def shorten_ticks(ax: Axes) -> None:
    """Losses far below one in a power of ten of the unit."""
    exponent = int(np.floor(np.log10(ax.get_ylim()[1])))
    if exponent < -2:
        ax.yaxis.set_major_formatter(lambda value, _: f"{value / 10.0**exponent:.4g}")
        ax.set_ylabel(f"loss, whole training set\n(10{str(exponent).translate(SUPERSCRIPT)} nats)")


def cosines(ax: Axes, record: WalkRecord, seed: int, window: Window, theme: Theme) -> None:
    """Cosine with the gradient before: of the gradients that were taken, and of full-batch ones where recorded."""
    for level in (-1.0, 0.0):
        ax.axhline(level, color=theme.soft, linewidth=0.8, zorder=1.4)
    start, n = window.start, len(window.updates)
    _spread(ax, *_within(record, "cosine", start, n), seed, theme.series[0], theme)
    if record.batch is not None and record.has("full_cosine"):
        updates, values = record.over("full_cosine", "update")
        kept = (updates >= start) & (updates < start + n)
        _spread(ax, updates[kept] - start + 1, values[:, kept], seed, theme.series[2], theme, dashed=True)
    ax.set_ylim(-1.08, max(0.25, ax.get_ylim()[1]))
    ax.yaxis.set_major_locator(FixedLocator([-1, -0.5, 0, 0.5, 1]))
    ax.set_ylabel("cosine with the\ngradient before")


def distances(ax: Axes, record: WalkRecord, seed: int, window: Window, theme: Theme) -> None:
    """Distance from the initialisation."""
    _spread(ax, *_within(record, "distance", window.start, len(window.updates)), seed, theme.series[0], theme)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.set_ylabel("distance from\ninitialisation")


def _within(record: WalkRecord, name: str, start: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions from 0 and values (seed, m) at the iterates of a window."""
    steps, values = record.over(name)
    kept = (steps >= start) & (steps <= start + n)
    return steps[kept] - start, values[:, kept]


def _spread(
    ax: Axes, x: np.ndarray, values: np.ndarray, seed: int, colour: str, theme: Theme, *, dashed: bool = False
) -> None:
    """One seed as a line with dots, all seeds as a band."""
    if len(values) > 1:
        _, low, high = over_seeds(values)
        ax.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0, zorder=2)
    ax.plot(x, values[seed], color=colour, linewidth=1.2, linestyle=FULL if dashed else "-", zorder=3)
    if not dashed:
        ax.plot(x, values[seed], "o", color=theme.ink, markersize=2, zorder=3.1)


def _share_axes(axes: np.ndarray, windows: Sequence[Window | None]) -> None:
    """One scale for all columns of a row; losses whose ranges are far apart keep their own."""
    ranges = [float(np.ptp(w.losses)) for w in windows if w is not None]
    if len(ranges) < 2:
        return
    alike = max(ranges) <= DIFFERENT_SCALES * max(min(ranges), 1e-12)
    for i, row in enumerate(axes):
        drawn = [ax for ax, window in zip(row, windows, strict=True) if window is not None]
        if i == 0 and not alike:
            continue
        limits = np.array([ax.get_ylim() for ax in drawn])
        for ax in drawn:
            ax.set_ylim(limits[:, 0].min(), limits[:, 1].max())
    for ax in axes[:, 1:].ravel():
        ax.set_ylabel("")


def trajectory_key(records: Sequence[WalkRecord], theme: Theme) -> Key:
    """Step, iterate, floor, and what line and band are in the panels below."""
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[0], linewidth=1.1),
        Line2D([], [], color=theme.ink, marker="o", markersize=3, linestyle="none"),
        Line2D([], [], color=theme.series[1], marker="D", markersize=2.5, linewidth=1.1, linestyle=FLOOR),
    ]
    labels = ["along the step", "iterate", "floor (diamond: inside)"]
    if any(r.batch is not None and r.has("full_cosine") for r in records):
        handles.append(Line2D([], [], color=theme.series[2], linewidth=1.2, linestyle=FULL))
        labels.append("full-batch gradients")
    seeds = max(len(r.seeds) for r in records)
    if seeds > 1:
        line = Line2D([], [], color=theme.series[0], linewidth=1.2)
        handles.append((Patch(color=theme.series[0], alpha=0.22, linewidth=0), line))
        labels.append(f"first seed, range of {seeds}")
    return handles, labels
