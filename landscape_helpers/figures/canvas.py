"""A figure with a heading, a scale note and a key, and the marks that all panels share."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.transforms import ScaledTranslation

from .decimate import binned_mean, envelope, extremes
from .style import LINE_STYLES, Theme
from .trajectories import Trajectories, over_seeds

WIDTH = 8.0  # inches
EPOCH = "epoch (one full-batch step)"
MARKS_PAD = 11  # points that the names of marked epochs take above the axes
OTHERS = (0, (3, 1.5))  # dashes of what the other layers do
Handle = Artist | tuple[Artist, ...]
Key = tuple[list[Handle], list[str]]


@dataclass(frozen=True)
class Marks:
    """The epochs that the paper names, on the axis of our run.

    A step is an epoch at the same learning rate, so that they stand where they are; those a shorter run does not
    reach are left out.

    Attributes:
        epochs: as the paper prints them.
        steps: length of our run.
        log: a logarithmic axis of epochs, linear up to epoch 1 so that 0 is on it.
    """

    epochs: tuple[int, ...]
    steps: int
    log: bool = False

    def positions(self) -> list[int]:
        """The epochs that our run reaches."""
        return [epoch for epoch in self.epochs if epoch <= self.steps]


def new_figure(height: float, heading: str, scale_note: str, theme: Theme) -> Figure:
    """A transparent figure WIDTH wide whose top says what was run, and at which scale."""
    note = lines_of(scale_note)
    top = 0.30 + 0.17 * len(note)
    bottom = 0.34
    figure = Figure(figsize=(WIDTH, height + top + bottom), layout="constrained")
    FigureCanvasAgg(figure)
    total = height + top + bottom
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(
        rect=(0, bottom / total, 1, height / total), w_pad=0.06, h_pad=0.06, wspace=0.02, hspace=0.02
    )
    figure.text(0.012, 1 - 0.06 / total, heading, va="top", fontsize=10, fontweight="bold", color=theme.ink)
    if note:
        where = 1 - 0.27 / total
        figure.text(0.012, where, "\n".join(note), va="top", fontsize=8, color=theme.soft, linespacing=1.25)
    return figure


def lines_of(text: str, widest: int = 118) -> list[str]:
    """A note in as few lines as it needs, drawn in where one or two words would be left to the last of them."""
    lines = textwrap.wrap(text, widest, break_on_hyphens=False)
    for width in range(widest - 2, 2 * widest // 3, -2):
        if len(lines) < 2 or len(lines[-1]) > widest // 4:
            break
        narrower = textwrap.wrap(text, width, break_on_hyphens=False)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def add_key(figure: Figure, key: Key) -> None:
    """One row at the bottom that says what lines, bands and shades mean, drawn closer where it would be too long."""
    handles, labels = key
    legend = figure.legend(  # type: ignore[call-overload]  # a tuple of artists is one entry
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 0.0),
        ncols=max(len(handles), 1),
        columnspacing=1.1,
        handlelength=1.8,
        handletextpad=0.6,
    )
    # At another resolution the same text is a few per cent longer.
    while legend.get_window_extent().width > 0.94 * figure.bbox.width:
        size = legend.get_texts()[0].get_fontsize()
        if size < 6:
            break
        for text in legend.get_texts():
            text.set_fontsize(0.97 * size)


def key_of_lines(names: Sequence[str], theme: Theme) -> Key:
    """Entries for curves that have the theme's colours and :data:`LINE_STYLES` in their order."""
    handles: list[Handle] = [
        Line2D([], [], color=colour, linestyle=style)  # type: ignore[arg-type]  # dashes of a tuple
        for _, colour, style in zip(names, theme.series, LINE_STYLES, strict=False)
    ]
    return handles, list(names)


def key_above(ax: Axes, handles: Sequence[Artist], labels: Sequence[str], marks: Marks) -> None:
    """The panel's own key in one row between its title and its axes, where it covers no data."""
    figure = ax.get_figure()
    assert figure is not None
    lift = ScaledTranslation(0, (MARKS_PAD if marks.positions() else 2) / 72, figure.dpi_scale_trans)
    ax.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0, 1), bbox_transform=ax.transAxes + lift, borderpad=0,
        borderaxespad=0, ncols=len(handles), fontsize=7.5, handlelength=1.4, handletextpad=0.5, columnspacing=1.0,
    )  # fmt: skip


def key_of(runs: Trajectories, marks: Marks, theme: Theme, *, layers: bool = False, others: bool = False) -> Key:
    """Entries of the key: the line, the range over seeds, the shade, the paper's epochs."""
    seeds = len(runs.seeds)
    handles: list[Handle] = []
    labels: list[str] = []
    if seeds > 1:
        line = Line2D([], [], color=theme.ink, linewidth=1.5)
        handles.append((Patch(color=theme.ink, alpha=0.22, linewidth=0), line))
        labels.append(f"median, range of {seeds} seeds")
    handles.append(Patch(color=theme.oscillating, alpha=theme.band_opacity, linewidth=0))
    labels.append("correlation < 0" + (" (denser: more seeds)" if seeds > 1 else ""))
    if marks.positions():
        handles.append(Line2D([], [], color=theme.soft, linewidth=1, linestyle=(0, (1, 2))))
        labels.append("paper's epochs")
    if layers:
        handles.append(Line2D([], [], color=theme.soft, linewidth=0.8))
        labels.append("whole gradient")
    if others:
        handles.append(Line2D([], [], color=theme.soft, linewidth=0.8, linestyle=OTHERS))
        labels.append("largest other layer")
    return handles, labels


def epoch_axis(ax: Axes, runs: Trajectories, marks: Marks, *, label: str = EPOCH) -> None:
    """Scale, limits, ticks and label of an axis over the recorded steps."""
    last = max(max(runs.last_steps), 1)
    if marks.log:
        ax.set_xscale("symlog", linthresh=1, linscale=0.3)
        powers = [10**i for i in range(int(np.log10(last)) + 1)]
        ax.set_xlim(-0.1, last * 1.1)
        ax.xaxis.set_major_locator(FixedLocator([0, *powers]))
        ax.xaxis.set_minor_locator(FixedLocator([p * m for p in powers for m in range(2, 10)]))
    else:
        ax.set_xlim(-0.015 * last, 1.015 * last)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if marks.log:
        label = "epoch (one full-batch step, log scale)" if label == EPOCH else f"{label} (log)"
    ax.set_xlabel(label)


def is_log(ax: Axes) -> bool:
    """Whether the axis of epochs is logarithmic."""
    return bool(ax.get_xscale() != "linear")


def shade(ax: Axes, steps: np.ndarray, fraction: np.ndarray, theme: Theme) -> None:
    """Tint the steps at which gradients oscillate, the denser the more seeds do."""
    edges, density = binned_mean(steps.astype(float), fraction, log=is_log(ax))
    clear = (*to_rgb(theme.oscillating), 0.0)
    full = (*to_rgb(theme.oscillating), theme.band_opacity)
    ax.pcolormesh(
        edges,
        [0, 1],
        density[None, :],
        cmap=LinearSegmentedColormap.from_list("oscillating", [clear, full]),
        vmin=0,
        vmax=1,
        transform=ax.get_xaxis_transform(),
        zorder=0.1,
        edgecolors="none",
        antialiased=False,
    )


def draw_marks(ax: Axes, marks: Marks, theme: Theme, labels: bool = True) -> None:
    """Faint vertical lines at the paper's epochs, named above the axes."""
    left, right = ax.get_xlim()
    positions = marks.positions()
    for epoch in positions:
        if not left <= epoch <= right:
            continue
        ax.axvline(epoch, color=theme.soft, linewidth=1, linestyle=(0, (1, 2)), zorder=1.5)
        if labels:
            # Names of neighbours would meet: they turn away from each other.
            near = [other - epoch for other in positions if 0 < abs(other - epoch) < 0.25 * (right - left)]
            ha = "center" if not near else "right" if min(near) > 0 else "left"
            ax.annotate(
                f"{epoch:,}", (epoch, 1), xycoords=ax.get_xaxis_transform(), xytext=(0, 1.5),
                textcoords="offset points", ha=ha, va="bottom", fontsize=7, color=theme.soft,
            )  # fmt: skip


def title(ax: Axes, text: str, marks: Marks | None = None, aside: str = "", *, key: bool = False) -> None:
    """Panel title, raised where epoch names stand between it and the axes; an aside follows in plain type.

    ``key`` leaves room for :func:`key_above` too.
    """
    pad = (13 if marks is not None and marks.positions() else 6) + 12 * key
    # With y given, a title stays where it is instead of making way for ticks above the axes.
    drawn = ax.set_title(text, pad=pad, y=1.0)
    if aside:
        note = ax.annotate(f"  {aside}", (1, 0), xycoords=drawn, va="bottom", fontsize=8, color=_soft(ax))
        note.set_in_layout(False)


def curve(
    ax: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    colour: str,
    *,
    width: float = 1.5,
    band: bool = True,
    label: str = "",
    dashed: bool = False,
) -> None:
    """Median of values (seed, step) as a line, their range as a band."""
    median, low, high = over_seeds(values)
    if band and len(values) > 1:
        ax.fill_between(*envelope(steps, low, high, log=is_log(ax)), color=colour, alpha=0.22, linewidth=0, zorder=2)
    # A thick line over a dense oscillation would only blot.
    width = min(width, 0.9) if len(steps) > 1000 else width
    style = (0, (4, 1.2)) if dashed else "-"
    points = extremes(steps, median, log=is_log(ax))
    ax.plot(*points, color=colour, linewidth=width, linestyle=style, label=label or None, zorder=3)


def absent(ax: Axes, text: str, theme: Theme) -> None:
    """An empty panel that says why it is empty."""
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, "\n".join(textwrap.wrap(text, 34)), transform=ax.transAxes, ha="center", va="center",
        color=theme.soft, fontsize=8.5,
    )  # fmt: skip


def mark_end(ax: Axes, x: float, y: float, failed: bool, theme: Theme) -> None:
    """A cross where a run became non-finite, a dot where a rule stopped it."""
    ax.plot(
        x, y, marker="X" if failed else "o", markersize=6, color=theme.alarm, markeredgecolor=theme.page,
        markeredgewidth=0.7, clip_on=False, zorder=5, linestyle="none",
    )  # fmt: skip


def mark_endings(ax: Axes, runs: Trajectories, values: np.ndarray, theme: Theme, text: bool = False) -> None:
    """A cross where a seed became non-finite, a dot where a rule stopped it, and on request what happened.

    Args:
        values: (seed, step), the curves of this panel.
    """
    for ending in runs.endings:
        row = values[runs.seeds.index(ending.seed)]
        finite = np.flatnonzero(np.isfinite(row))
        if len(finite):
            mark_end(ax, ending.step, row[finite[-1]], ending.failed, theme)
    if text and runs.endings:
        lines = textwrap.wrap(endings_in_words(runs), 44)
        ax.text(
            0.97, 0.96, "\n".join(lines[:5]), transform=ax.transAxes, ha="right", va="top", fontsize=7.5,
            color=theme.alarm, bbox={"facecolor": theme.page, "alpha": 0.8, "edgecolor": "none", "pad": 1.5}, zorder=6,
        )  # fmt: skip


def endings_in_words(runs: Trajectories) -> str:
    """``"seed 1: loss became non-finite at step 37"``; seeds with the same story are told together."""
    told: dict[str, list[int]] = {}
    for ending in runs.endings:
        told.setdefault(ending.status, []).append(ending.seed)
    if len(runs.seeds) == 1:
        return "; ".join(told)
    parts = []
    for status, seeds in told.items():
        who = "every seed" if len(seeds) == len(runs.seeds) else "seed" + "s" * (len(seeds) > 1)
        names = "" if who == "every seed" else " " + ", ".join(map(str, seeds))
        parts.append(f"{who}{names}: {status}")
    return "; ".join(parts)


def _soft(ax: Axes) -> str:
    return str(ax.xaxis.label.get_color())
