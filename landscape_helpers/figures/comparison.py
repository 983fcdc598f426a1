"""Figures that put several networks side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..catalogue import load_catalogue
from ..catalogue.naming import listed
from .canvas import Handle, Key, Marks, absent, add_key, curve, epoch_axis, mark_endings, new_figure, title
from .numbers_in_words import MINUS
from .panels import correlation, correlation_axis
from .style import Theme
from .trajectories import Trajectories, over_seeds

# The two choices in each pair: what the paper leaves open, and the other reading.
PAIRS: tuple[tuple[str, str, str, str, str], ...] = (
    ("Simple CNN", "cnn", "without BatchNorm", "cnn-batchnorm", "with BatchNorm"),
    ("VGG-16", "vgg16", "without BatchNorm", "vgg16-batchnorm", "with BatchNorm"),
    ("ResNet-18", "resnet18", "statistics: micro-batch", "resnet18-whole-batch", "statistics: whole batch"),
)


def batchnorm(runs: Mapping[str, Trajectories], scale_note: str, theme: Theme, log: bool = True) -> Figure:
    """Does the conclusion depend on BatchNorm? Correlation curves over the share of the decrease under oscillation."""
    figure = new_figure(5.4, "BatchNorm and the conclusion", scale_note, theme)
    axes = figure.subplots(2, 3, sharey="row", gridspec_kw={"height_ratios": (1.15, 1)})
    for column, (network, *pair) in enumerate(PAIRS):
        choices = ((pair[0], pair[1]), (pair[2], pair[3]))
        _pair_of_curves(axes[0, column], network, choices, runs, theme, log)
        _pair_of_bars(axes[1, column], choices, runs, theme)
        if column:
            axes[0, column].set_ylabel("")
    axes[1, 0].set_ylabel("share of loss decrease\nmade while correlation < 0")
    key: Key = ([Line2D([], [], color=theme.soft, linewidth=0.8, linestyle=(0, (4, 3)))], ["half of the decrease"])
    if any(len(r.seeds) > 1 for r in runs.values()):
        key[0].append(Line2D([], [], color=theme.ink, marker="o", markersize=4, linestyle="none"))
        key[1].append("one seed (line and bar: median; band: range)")
    add_key(figure, key)
    return figure


def _pair_of_curves(
    ax: Axes,
    network: str,
    choices: Sequence[tuple[str, str]],
    runs: Mapping[str, Trajectories],
    theme: Theme,
    log: bool,
) -> None:
    present = [(name, label, i) for i, (name, label) in enumerate(choices) if name in runs]
    if not present:
        title(ax, network)
        absent(ax, "not run at this scale", theme)
        return
    longest = max((runs[name] for name, _, _ in present), key=lambda r: max(r.last_steps))
    epoch_axis(ax, longest, Marks((), longest.planned_steps, log=log), label="epoch")
    ax.axhline(0, color=theme.soft, linewidth=0.7, zorder=1.4)
    for name, label, i in present:
        values = runs[name].values("windowed_correlation")
        curve(ax, runs[name].steps, values, theme.series[i], label=label, dashed=i > 0)
        mark_endings(ax, runs[name], values, theme)
    correlation_axis(ax, "windowed correlation")
    title(ax, network)
    # Above the axes: the curves fill them from top to bottom.
    ax.set_title(network, pad=31)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.99), borderpad=0, handlelength=1.4, labelspacing=0.2)


def _pair_of_bars(ax: Axes, choices: Sequence[tuple[str, str]], runs: Mapping[str, Trajectories], theme: Theme) -> None:
    ax.set_xlim(-0.6, 1.6)
    ax.axhline(0.5, color=theme.soft, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1.4)
    ax.axhline(0, color=theme.soft, linewidth=0.7, zorder=1.4)
    labels = []
    for i, (name, label) in enumerate(choices):
        labels.append(label.replace("statistics: ", "").replace(" BatchNorm", "\nBatchNorm"))
        shares = runs[name].final_share if name in runs else np.array([np.nan])
        if not np.isfinite(shares).any():
            reason = "the loss did\nnot decrease" if name in runs else "not run"
            ax.text(i, 0.04, reason, ha="center", va="bottom", fontsize=8, color=theme.soft)
            continue
        median, least, largest = (float(v) for v in over_seeds(shares))
        ax.bar(i, median, width=0.62, color=theme.series[i], alpha=0.55, zorder=2)
        if len(shares) > 1:
            ax.plot(np.full(len(shares), i), shares, "o", markersize=4, color=theme.ink, zorder=4, clip_on=False)
        ax.text(
            i, max(largest, 0) + 0.1, f"{median:.0%}".replace("-", MINUS), ha="center", va="bottom", fontsize=8.5,
            color=theme.ink, zorder=5,
        )  # fmt: skip
        ax.update_datalim([(i, min(least, 0)), (i, max(largest, 1) + 0.24)])
    ax.autoscale_view(scalex=False)
    ax.set_xticks([0, 1], labels)
    ax.tick_params(axis="x", length=0)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def grid(runs: Mapping[str, Trajectories], expected: Sequence[str], scale_note: str, theme: Theme) -> Figure:
    """Windowed correlation of every combination the paper reports without showing; first and last layer behind it."""
    catalogue = load_catalogue()
    absent_runs = [catalogue.runs[name].network for name in expected if name not in runs]
    sentences = [scale_note.rstrip("."), f"Not run: {listed(absent_runs)}" if absent_runs else ""]
    note = ". ".join(filter(None, sentences))
    columns = 4
    rows = -(-len(runs) // columns)
    figure = new_figure(1.95 * rows, "The combinations the paper reports without showing them", note, theme)
    axes = figure.subplots(rows, columns, squeeze=False)
    for position, (name, run) in enumerate(runs.items()):
        ax = axes.flat[position]
        label = "windowed corr." if position % columns == 0 else ""
        correlation(ax, run, Marks((), run.planned_steps), theme, ylabel=label)
        ax.set_xlabel("epoch")
        for layer, colour in ((0, theme.series[2]), (-1, theme.series[1])):
            values = run.of_layer("layer_windowed_correlation", layer)
            curve(ax, run.steps, values, colour, width=0.9, band=False)
        network = catalogue.runs[name].network
        ax.set_title(network.replace(" at rate ", ", \u03b7 = ").replace(" on ", ", "), fontsize=8)
    for ax in axes.flat[len(runs) :]:
        ax.set_visible(False)
    lines = ((0, 1.5, "whole gradient (median, range over seeds)"), (2, 0.9, "first layer"), (1, 0.9, "last layer"))
    handles: list[Handle] = [Line2D([], [], color=theme.series[i], linewidth=width) for i, width, _ in lines]
    add_key(figure, (handles, [label for _, _, label in lines]))
    return figure
