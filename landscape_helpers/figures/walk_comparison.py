"""Gradient descent beside SGD, and BatchNorm on beside off: WALK-X03 and WALK-X04, which the paper does not draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator

from ..claims.record import mean
from .axes import headed
from .canvas import Handle, add_key, new_figure
from .panel_table import empty, table
from .style import Theme
from .walk_record import WalkRecord
from .walk_sweeps import stacked
from .walk_trajectory import UPDATES, loss_along, trajectory_key, windows_from

Records = Mapping[str, WalkRecord]
DASHES = (0, (5, 1.5))
SETTLED = 20  # updates after which the paper reads the cosine of full-batch descent
COLUMNS = ("loss by updates", "loss by distance", "cosine by updates", "cosine by distance")


def equal_terms(records: Records, note: str, theme: Theme) -> Figure:
    """A row a network: loss and cosine of both against updates and against the distance from the initialisation."""
    networks = by_network(records)
    height = 1.95 * len(networks) + 0.35
    figure = new_figure(height, "GD and SGD after equal updates and at equal distance", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        drawn = [_path(ax, record, j, theme) for record in networks[i][1]]
        if not any(drawn):
            return "not sampled"
        if j >= 2:
            for level in (-1.0, 0.0):
                ax.axhline(level, color=theme.soft, linewidth=0.8, zorder=1.4)
            ax.set_ylim(-1.08, max(0.4, ax.get_ylim()[1]))
            ax.yaxis.set_major_locator(FixedLocator([-1, -0.5, 0, 0.5, 1]))
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_xlabel("distance" if j % 2 else "update")
        headed(ax, head)
        return ""

    rows = [name for name, _ in networks]
    axes = table(figure, figure.add_gridspec(1, 1)[0], rows, COLUMNS, panel, theme, ylabel="loss (nats)")
    for ax in axes[:, 2]:
        ax.set_ylabel("cosine")
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[1], linewidth=1.4, linestyle=DASHES),
        Line2D([], [], color=theme.series[0], linewidth=1.4),
    ]
    add_key(figure, (handles, ["GD, the whole set", "SGD, mini-batches (loss: of the whole set; thin: other seeds)"]))
    return figure


def by_network(records: Records) -> list[tuple[str, list[WalkRecord]]]:
    """Runs that share network and data."""
    found: dict[str, list[WalkRecord]] = {}
    for record in records.values():
        found.setdefault(f"{record.title}, {record.data}", []).append(record)
    return list(found.items())


def _path(ax: Axes, record: WalkRecord, column: int, theme: Theme) -> bool:
    colour = theme.series[1 if record.batch is None else 0]
    pairs = windows_from(record, 1)
    for position, (seed, window) in enumerate(pairs):
        data = record.datasets[seed]
        at = np.append(window.updates, window.updates[-1] + 1)
        y = window.iterates if column < 2 else data["cosine"].values[at]
        x = data["distance"].values[at] if column % 2 else at
        width, alpha = (1.4, 1.0) if position == 0 else (0.7, 0.5)
        # Where both do the same, the dashes on top leave the line beneath to be seen.
        style, above = (DASHES, 0.2) if record.batch is None else ("-", 0.0)
        order = above + (3 if position == 0 else 2.5)
        ax.plot(x, y, color=colour, linewidth=width, alpha=alpha, linestyle=style, zorder=order)
    return bool(pairs)


def batchnorm(records: Records, note: str, theme: Theme) -> Figure:
    """The loss along the first steps of each run above; below, interior minima and cosines of every seed."""
    shown = sorted(records.values(), key=lambda r: (r.batch is not None, not has_batchnorm(r)))
    figure = new_figure(4.9, "The valley with and without BatchNorm", note, theme)
    rows = figure.add_gridspec(2, 1, height_ratios=(1, 1.05))
    top = rows[0].subgridspec(1, len(shown))
    for column, record in enumerate(shown):
        ax = figure.add_subplot(top[column])
        pairs = windows_from(record, 1)
        if not pairs:
            empty(ax, "no step was sampled", theme, label_of(record))
            continue
        window = pairs[0][1]
        loss_along(ax, window, theme, small=True)
        inside = f"inside on {int(window.interior.sum())} of {len(window.updates)} steps"
        headed(ax, label_of(record).replace("\n", ", "), inside)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_xlabel("iteration")
        if column:
            ax.set_ylabel("")
    low = rows[1].subgridspec(1, 2)
    shares = [[float(w.interior.mean()) for _, w in windows_from(r, 1)] for r in shown]
    settled = [settled_cosine(r) for r in shown]
    _dots(figure.add_subplot(low[0]), shown, shares, theme, "share of the steps", "Minimum inside the step", (0, 1.08))
    ax = figure.add_subplot(low[1])
    _dots(ax, shown, settled, theme, "mean cosine", f"Cosine from update {SETTLED} on", (-1.08, 0.3))
    handles, labels = trajectory_key(shown[:1], theme)
    several = any(len(r.seeds) > 1 for r in shown)
    handles = [*handles[:3], Line2D([], [], color=theme.ink, marker="o", markersize=4, linestyle="none")]
    add_key(figure, (handles, [*labels[:3], "one seed (bar: median)" if several else "one run"]))
    return figure


def has_batchnorm(record: WalkRecord) -> bool:
    """By the name of the network, or an option of it; residual networks have it unless told otherwise."""
    model = str(record.parameters.get("model", ""))
    options = dict(record.parameters.get("model_options") or {})
    if "batchnorm" in options:
        return bool(options["batchnorm"])
    return model.endswith("_bn") or model.startswith("resnet")


def label_of(record: WalkRecord) -> str:
    return f"{'GD' if record.batch is None else 'SGD'}\n{'BatchNorm' if has_batchnorm(record) else 'no BatchNorm'}"


def settled_cosine(record: WalkRecord) -> list[float]:
    """Mean cosine over updates 20 to 40 of every seed."""
    return [mean(values[SETTLED : UPDATES + 1]) for values in record.of_each("cosine")]


def _dots(
    ax: Axes,
    shown: Sequence[WalkRecord],
    values: Sequence[Sequence[float]],
    theme: Theme,
    ylabel: str,
    name: str,
    limits: tuple[float, float],
) -> None:
    values_of = stacked([np.array(v or [np.nan]) for v in values])
    colour: Callable[[WalkRecord], str] = lambda r: theme.series[1 if r.batch is None else 0]  # noqa: E731
    for i, (record, row) in enumerate(zip(shown, values_of, strict=True)):
        if not np.isfinite(row).any():
            ax.text(i, 0.02, "not\nmeasured", ha="center", va="bottom", fontsize=7.5, color=theme.soft)
            continue
        ax.bar(i, np.nanmedian(row), width=0.6, color=colour(record), alpha=0.45, zorder=2)
        ax.plot(np.full(len(row), i), row, "o", color=theme.ink, markersize=4, zorder=3, clip_on=False)
    ax.axhline(0, color=theme.soft, linewidth=0.8, zorder=1.4)
    ax.set_xticks(range(len(shown)), [label_of(r) for r in shown], fontsize=7.5)
    ax.tick_params(axis="x", length=0)
    found = values_of[np.isfinite(values_of)]
    ax.set_ylim(limits[0], max(limits[1], 1.08 * float(found.max(initial=limits[1]))))
    ax.set_ylabel(ylabel)
    headed(ax, name)
