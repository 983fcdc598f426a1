"""The panels that figures are made of; each draws one quantity of one network's runs into one axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator

from .canvas import OTHERS, Marks, curve, draw_marks, epoch_axis, is_log, key_above, mark_endings, shade, title
from .decimate import extremes, parts_of
from .numbers_in_words import MINUS
from .style import Theme, ink_on
from .trajectories import Trajectories, negative_fraction, over_seeds

CELLS = 300  # of a heat map in a row: about two pixels each, below which a cell cannot be seen


def loss(ax: Axes, runs: Trajectories, marks: Marks, theme: Theme) -> None:
    """Training loss. Logarithmic only where a spike would flatten everything else."""
    values = runs.values("loss")
    start = float(np.nanmax(values[:, 0]))
    spiky = float(np.nanmax(values)) > 4 * start
    epoch_axis(ax, runs, marks)
    shade(ax, runs.steps, runs.oscillating, theme)
    curve(ax, runs.steps, values, theme.series[0])
    if spiky:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.06 * float(np.nanmax(values)))
    ax.set_ylabel("training loss (nats" + (", log scale)" if spiky else ")"))
    mark_endings(ax, runs, values, theme, text=True)
    draw_marks(ax, marks, theme)
    title(ax, "Training loss", marks)


def correlation(
    ax: Axes,
    runs: Trajectories,
    marks: Marks,
    theme: Theme,
    *,
    layer: int | None = None,
    colour: str = "",
    heading: str = "Windowed correlation of adjacent gradients",
    ylabel: str = "windowed correlation",
    zoom: bool = False,
) -> None:
    """Windowed correlation of the whole gradient, or of one layer with the whole one behind it."""
    whole = runs.values("windowed_correlation")
    values = whole if layer is None else runs.of_layer("layer_windowed_correlation", layer)
    epoch_axis(ax, runs, marks)
    shade(ax, runs.steps, negative_fraction(values), theme)
    ax.axhline(0, color=theme.soft, linewidth=0.7, zorder=1.4)
    if layer is not None:
        curve(ax, runs.steps, whole, theme.soft, width=0.8, band=False)
    curve(ax, runs.steps, values, colour or theme.series[0])
    correlation_axis(ax, ylabel)
    mark_endings(ax, runs, values, theme)
    draw_marks(ax, marks, theme)
    title(ax, heading, marks)
    if zoom:
        _zoom(ax, runs, values, marks, theme)


def correlation_axis(ax: Axes, ylabel: str) -> None:
    ax.set_ylim(-1.08, 1.08)
    ax.yaxis.set_major_locator(FixedLocator([-1, -0.5, 0, 0.5, 1]))
    ax.set_ylabel(ylabel)


def _zoom(ax: Axes, runs: Trajectories, values: np.ndarray, marks: Marks, theme: Theme) -> None:
    """An inset over the first steps, where the paper's first epoch is too early to be seen on the whole axis."""
    last = max(runs.last_steps)
    first = min(marks.positions(), default=np.inf)
    until = int(np.ceil(5 * first)) if np.isfinite(first) else 0
    if marks.log or not (12 <= until < 0.25 * last):
        return
    # The inset stands where the curve is not: over or under the line of zero.
    late = np.nanmean(values[:, runs.steps > 0.4 * last])
    inset = ax.inset_axes((0.40, 0.58 if late < 0 else 0.10, 0.55, 0.36))
    inset.set_xlim(0, until)
    inset.set_ylim(-1.15, 1.15)
    kept = runs.steps <= until
    shade(inset, runs.steps[kept], negative_fraction(values)[kept], theme)
    inset.axhline(0, color=theme.soft, linewidth=0.7, zorder=1.4)
    curve(inset, runs.steps[kept], values[:, kept], theme.series[0], width=1.3)
    draw_marks(inset, marks, theme, labels=False)
    inset.set_facecolor(theme.page)
    inset.set_yticks([-1, 0, 1])
    inset.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    inset.tick_params(labelsize=7)
    inset.spines[["top", "right"]].set_visible(True)
    inset.text(
        0.03 if values[:, kept][:, -1].mean() < 0 else 0.97, 0.08, f"first {until} epochs", fontsize=7,
        color=theme.soft, transform=inset.transAxes, ha="left" if values[:, kept][:, -1].mean() < 0 else "right",
    )  # fmt: skip


def share(ax: Axes, runs: Trajectories, marks: Marks, theme: Theme) -> None:
    """Cumulative share of the loss decrease made while the windowed correlation is negative."""
    losses = runs.values("loss")
    last = np.array([losses[i, step] for i, step in enumerate(runs.last_steps)])
    fallen = losses[:, 0] - last
    progress = np.full_like(losses, np.nan)
    decreased = fallen > 0
    progress[decreased] = (losses[decreased, :1] - losses[decreased]) / fallen[decreased, None]
    epoch_axis(ax, runs, marks)
    shade(ax, runs.steps, runs.oscillating, theme)
    title(ax, "Share of the loss decrease", marks, "(not in the paper)", key=bool(decreased.any()))
    ax.set_ylabel("share of total decrease")
    draw_marks(ax, marks, theme)
    if not decreased.any():
        ax.set_ylim(0, 1)
        ax.text(0.5, 0.5, "the loss did not decrease", transform=ax.transAxes, ha="center", color=theme.alarm)
        return
    ax.axhline(0.5, color=theme.soft, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1.4)
    curve(ax, runs.steps, progress, theme.soft, width=1.0, band=False, label="all steps")
    curve(ax, runs.steps, runs.share, theme.progress, label="at correlation < 0")
    mark_endings(ax, runs, runs.share, theme)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -0.04), max(high, 1.06))
    median, least, largest = over_seeds(runs.final_share)
    told = int(np.isfinite(runs.final_share).sum())
    text = f"{median:.0%}" + (f" ({least:.0%} to {largest:.0%})" if f"{least:.0%}" != f"{largest:.0%}" else "")
    text += f", {told} of {len(runs.seeds)} seeds" if told < len(runs.seeds) else ""
    handles, labels = ax.get_legend_handles_labels()
    labels[-1] += f": {text.replace('-', MINUS)}"
    key_above(ax, handles, labels, marks)


def matrix(ax: Axes, runs: Trajectories, index: int, paper_epoch: int | None, theme: Theme) -> None:
    """Pairwise correlations in one window, medians over seeds, with their numbers."""
    values = over_seeds(runs.data["matrix"].transpose("seed", "epoch", "a", "b").values[:, index].astype(float))[0]
    epoch = int(runs.data["epoch"].values[index])
    steps = [epoch + i for i in range(len(values))]
    colour_map = theme.correlation_map
    image = ax.imshow(values, cmap=colour_map, vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        colour = ink_on(colour_map((value + 1) / 2 if np.isfinite(value) else 0.5), 0.18)
        text = f"{value:.2f}".replace("-", MINUS) if np.isfinite(value) else "\u2013"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(steps)), [f"{s:,}" for s in steps])
    ax.set_yticks(range(len(steps)), [f"{s:,}" for s in steps])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("epoch k")
    ax.set_ylabel("epoch j")
    theirs = f"(paper: {paper_epoch:,}\u2013{paper_epoch + len(steps) - 1:,})" if paper_epoch is not None else ""
    title(ax, f"Correlations, epochs {epoch:,}\u2013{steps[-1]:,}", aside=theirs if paper_epoch != epoch else "")
    # Beside the square, in the room that the square leaves in its cell.
    ax.set_anchor("W")
    beside = ax.inset_axes((1.05, 0.0, 0.045, 1.0))
    bar = ax.figure.colorbar(image, cax=beside, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("\u03bc(j, k)")
    bar.outline.set_visible(False)


def dots(
    ax: Axes, runs: Trajectories, layer: int, marks: Marks, theme: Theme, colour: str, *, absolute: bool = False
) -> None:
    """Inner product of adjacent gradients of one layer: signed on a symmetric log scale, or its size on a log scale."""
    values = runs.of_layer("layer_dot", layer)
    epoch_axis(ax, runs, marks)
    shade(ax, runs.steps, negative_fraction(runs.of_layer("layer_windowed_correlation", layer)), theme)
    if absolute:
        size = np.abs(values)
        curve(ax, runs.steps, np.where(size > 0, size, np.nan), colour)
        # The other layers, so that a layer that dominates is seen to dominate all of them and not the shown ones only.
        others = [np.abs(runs.of_layer("layer_dot", i)) for i in range(len(runs.layers)) if i != layer]
        if others:
            largest, _, _ = over_seeds(np.fmax.reduce(others))
            points = extremes(runs.steps, largest, log=is_log(ax))
            ax.plot(*points, color=theme.soft, linewidth=0.7, linestyle=OTHERS, zorder=2.5)
        ax.set_yscale("log")
    else:
        ax.axhline(0, color=theme.soft, linewidth=0.7, zorder=1.4)
        curve(ax, runs.steps, values, colour)
    mark_endings(ax, runs, np.abs(values) if absolute else values, theme)
    draw_marks(ax, marks, theme, labels=False)


def dots_scale(axes: Sequence[Axes], runs: Trajectories, layers: Sequence[int]) -> None:
    """One symmetric log scale for all panels: linear below a thousandth of the typical product, so that zero is one."""
    sizes = [np.abs(runs.of_layer("layer_dot", layer)) for layer in layers]
    finite = np.concatenate([s[np.isfinite(s) & (s > 0)] for s in sizes])
    if len(finite) == 0:
        return
    linear = 10.0 ** np.floor(np.log10(np.quantile(finite, 0.1)))
    largest = float(finite.max())
    decades = max(int(np.ceil(np.log10(largest / linear))), 1)
    every = int(np.ceil(decades / 3))
    powers = [linear * 10.0**i for i in range(decades, 0, -every)]
    for ax in axes:
        ax.set_yscale("symlog", linthresh=linear, linscale=0.6)
        ax.set_ylim(-2 * largest, 2 * largest)
        ax.yaxis.set_major_locator(FixedLocator([-p for p in powers] + [0.0] + powers[::-1]))
        ax.yaxis.set_minor_locator(FixedLocator([]))


def heat_map(ax: Axes, runs: Trajectories, marks: Marks, theme: Theme) -> None:
    """Windowed correlation of every layer at every step: rows from the input layer (top) to the output layer."""
    rows = np.array([over_seeds(runs.of_layer("layer_windowed_correlation", i))[0] for i in range(len(runs.layers))])
    last = max(runs.last_steps)
    epoch_axis(ax, runs, marks)
    cells = parts_of(runs.steps, CELLS, is_log(ax))
    means = np.array([_mean(rows[:, cell]) for cell in cells]).T
    edges = [float(runs.steps[cell[0]]) - 0.5 for cell in cells] + [last + 0.5]
    image = ax.pcolormesh(
        edges, np.arange(len(rows) + 1) + 0.5, np.ma.masked_invalid(means), cmap=theme.correlation_map, vmin=-1, vmax=1,
        edgecolors="none", antialiased=False, rasterized=True,
    )  # fmt: skip
    ax.set_ylim(len(rows) + 0.5, 0.5)
    ax.set_ylabel("layer")
    ax.grid(False)
    many = len(rows) > 8
    ticks = [1, *[t for t in range(5, len(rows) - 1, 5)], len(rows)] if many else list(range(1, len(rows) + 1))
    telling = [not many and any(map(str.isalpha, runs.layers[t - 1])) for t in ticks]
    names = [f"{t} {runs.layers[t - 1]}" if told else str(t) for t, told in zip(ticks, telling, strict=True)]
    ax.set_yticks(ticks, names)
    draw_marks(ax, marks, theme)
    title(ax, "Windowed correlation of every layer", marks, "(not in the paper)")
    # Above the map, level with its title, so that the map has the whole width.
    above = ax.inset_axes((0.76, 1.07, 0.235, 0.05))
    bar = ax.figure.colorbar(image, cax=above, orientation="horizontal", ticks=[-1, -0.5, 0, 0.5, 1])
    above.xaxis.set_ticks_position("top")
    above.tick_params(labelsize=7, pad=1, length=2)
    bar.outline.set_visible(False)


def _mean(columns: np.ndarray) -> np.ndarray:
    """(layer,) mean over the finite entries of (layer, step); NaN where there is none."""
    known = np.isfinite(columns).sum(1)
    total = np.nansum(columns, 1)
    return np.divide(total, known, out=np.full(len(columns), np.nan), where=known > 0)
