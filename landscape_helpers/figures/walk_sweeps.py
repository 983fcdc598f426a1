"""Cosine of consecutive gradients by batch size and by rate: Figures 4 and 22 to 24 of *A Walk with SGD*."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator

from ..claims.record import mean
from .axes import count_axis, headed, legend_above
from .canvas import Handle, add_key, new_figure
from .decimate import envelope, extremes
from .panel_table import empty
from .style import Theme
from .trajectories import over_seeds
from .walk_record import WalkRecord, moving_average
from .walk_trajectory import heading_of

Records = Mapping[str, WalkRecord]
SMOOTHED = 100  # iterations; WALK-D20 leaves the window open
LEAST_SHARE = 4  # a run shorter than so many windows is smoothed less
NAMES = ("batch size", "learning rate \u03b7")


@dataclass(frozen=True)
class Sweep:
    """Runs that differ in one setting, ascending in it.

    Attributes:
        kept: the other setting, which is the same for all, in words.
    """

    name: str
    kept: str
    records: Sequence[WalkRecord]
    values: Sequence[float]

    def means(self) -> np.ndarray:
        """(record, seed): mean cosine over the whole run; NaN for a seed that another run does not have."""
        return stacked([mean_cosine(record) for record in self.records])


def cosines_by_setting(records: Records, note: str, theme: Theme) -> Figure:
    """Smoothed curves by batch size and by rate above, the means over the whole run below; one axis of cosines."""
    window = smoothing(list(records.values()))
    figure = new_figure(4.7, heading_of(list(records.values())), note, theme)
    axes = figure.subplots(2, 2, sharey="row", gridspec_kw={"height_ratios": (1.35, 1)})
    for column, (name, sweep) in enumerate(zip(NAMES, sweeps(records), strict=True)):
        if len(sweep.records) < 2:
            for ax in axes[:, column]:
                empty(ax, f"fewer than two runs that differ in their {name} alone", theme, name)
            continue
        _curves(axes[0, column], sweep, window, theme)
        _means(axes[1, column], sweep, theme)
    axes[0, 0].set_ylabel("cosine with the gradient before")
    axes[1, 0].set_ylabel("mean cosine")
    limits = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(max(-1.04, limits[0]), limits[1])
    handles: list[Handle] = [Line2D([], [], color=theme.ink, linewidth=1.3)]
    labels = [f"moving average of {window} iterations" if window > 1 else "every iteration"]
    seeds = max(len(r.seeds) for r in records.values())
    if seeds > 1:
        handles.append(Patch(color=theme.ink, alpha=0.22, linewidth=0))
        labels.append(f"median line, range of {seeds} seeds; below each seed a dot")
    add_key(figure, (handles, labels))
    return figure


def sweeps(records: Records) -> tuple[Sweep, Sweep]:
    """The runs that share the most frequent rate, by batch size; and those that share the batch size, by rate."""
    found = [r for r in records.values() if r.batch is not None]
    return (
        _sweep(found, NAMES[0], lambda r: float(r.batch or 0), lambda r: r.rate, "\u03b7 = {:g}"),
        _sweep(found, NAMES[1], lambda r: r.rate, lambda r: float(r.batch or 0), "batches of {:g}"),
    )


def _sweep(
    records: Sequence[WalkRecord],
    name: str,
    varied: Callable[[WalkRecord], float],
    kept: Callable[[WalkRecord], float],
    words: str,
) -> Sweep:
    # Of the settings that could be held fixed, the one with the most values of the other beside it.
    pairs = {(kept(r), varied(r)): r for r in records}
    if not pairs:
        return Sweep(name, "", [], [])
    fixed = Counter(k for k, _ in pairs).most_common(1)[0][0]
    chosen = sorted(((v, r) for (k, v), r in pairs.items() if k == fixed), key=lambda pair: pair[0])
    return Sweep(name, words.format(fixed), [r for _, r in chosen], [v for v, _ in chosen])


def smoothing(records: Sequence[WalkRecord]) -> int:
    """Iterations of the moving average: 100, less where the shortest run has too few."""
    shortest = min(len(r.over("cosine")[0]) - 1 for r in records)
    return max(1, min(SMOOTHED, shortest // LEAST_SHARE))


def mean_cosine(record: WalkRecord) -> np.ndarray:
    """(seed,): over all updates of the run."""
    return np.array([mean(row) for row in record.over("cosine")[1]])


def stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of different length as one array, filled with NaN."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for full, row in zip(table, rows, strict=True):
        full[: len(row)] = row
    return table


def _curves(ax: Axes, sweep: Sweep, window: int, theme: Theme) -> None:
    ax.axhline(0, color=theme.soft, linewidth=0.8, zorder=1.4)
    handles: list[Handle] = []
    for record, colour in zip(sweep.records, theme.shades(len(sweep.values)), strict=True):
        steps, cosines = record.over("cosine")
        smooth = moving_average(cosines[:, 1:], window)
        x = steps[1:][: smooth.shape[1]] + (window - 1) / 2
        median, low, high = over_seeds(smooth)
        if len(smooth) > 1:
            ax.fill_between(*envelope(x, low, high), color=colour, alpha=0.22, linewidth=0, zorder=2)
        handles += ax.plot(*extremes(x, median), color=colour, linewidth=1.3, zorder=3)
    ax.margins(x=0.01)
    count_axis(ax.xaxis, 5)
    ax.set_xlabel("iteration (middle of the average)" if window > 1 else "iteration")
    values = [f"{value:g}" for value in sweep.values]
    legend_above(ax, f"By {sweep.name} ({sweep.kept})", handles, values, len(values))


def _means(ax: Axes, sweep: Sweep, theme: Theme) -> None:
    means = sweep.means()
    ax.axhline(0, color=theme.soft, linewidth=0.8, zorder=1.4)
    ax.plot(sweep.values, np.nanmedian(means, axis=1), color=theme.soft, linewidth=1, zorder=2)
    for value, row, colour in zip(sweep.values, means, theme.shades(len(sweep.values)), strict=True):
        ax.plot(np.full(len(row), value), row, "o", color=colour, markersize=5, alpha=0.85, zorder=3)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(list(sweep.values)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel(f"{sweep.name} (log scale)")
    middle = np.nanmedian(means, axis=1)
    headed(ax, "Mean over the run", f"the medians over seeds span {np.ptp(middle):.2g}")
