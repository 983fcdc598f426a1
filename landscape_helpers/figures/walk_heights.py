"""Measured heights against those of a quadratic valley, a comparison that the paper does not make: WALK-X02."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..shapes import valley
from .axes import headed, log_ticks_between
from .canvas import Handle, add_key, new_figure
from .panel_table import table
from .style import Theme
from .walk_record import WalkRecord

Records = Mapping[str, WalkRecord]
COLUMNS = 3  # at most


@dataclass(frozen=True)
class Pairs:
    """Heights of the same steps: measured, and of the quadratic with the slopes at both ends.

    Attributes:
        inside: the floor lies inside the step.
    """

    measured: np.ndarray
    predicted: np.ndarray
    inside: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Both positive: what a logarithmic axis can show."""
        return (self.measured > 0) & (self.predicted > 0)

    def ratio(self) -> float:
        """Median of measured / predicted where the floor lies inside; NaN of none."""
        kept = self.usable & self.inside
        return float(np.median(self.measured[kept] / self.predicted[kept])) if kept.any() else float("nan")

    def correlation(self) -> float:
        """Of the logarithms where the floor lies inside; NaN of fewer than three."""
        kept = self.usable & self.inside
        if kept.sum() < 3:
            return float("nan")
        return float(np.corrcoef(np.log(self.measured[kept]), np.log(self.predicted[kept]))[0, 1])


def heights(records: Records, note: str, theme: Theme) -> Figure:
    """A panel a run: every sampled step of every seed, and the diagonal."""
    shown = list(records.values())
    columns = 2 if len(shown) == 4 else min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(2.75 * rows + 0.2, "Height above the floor: measured, and of a quadratic valley", note, theme)

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        if i * columns + j >= len(shown):
            return " "
        record = shown[i * columns + j]
        pairs = height_pairs(record)
        return _scatter(ax, record, pairs, theme) if pairs is not None else "slopes at the ends were not recorded"

    table(
        figure, figure.add_gridspec(1, 1)[0], [""] * rows, [""] * columns, panel, theme,
        xlabel="of the quadratic (nats)", ylabel="measured height (nats)",
    )  # fmt: skip
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[0], marker="o", markersize=3.5, linestyle="none"),
        Line2D([], [], color=theme.series[1], marker="x", markersize=4, linestyle="none"),
        Line2D([], [], color=theme.ink, linewidth=1, linestyle=(0, (4, 2))),
    ]
    add_key(figure, (handles, ["floor inside the step", "lowest at an end", "equal"]))
    return figure


def height_pairs(record: WalkRecord) -> Pairs | None:
    """Of all seeds together; None where neither slopes nor full-batch gradients are there."""
    found = [_pairs_of(record, seed) for seed in range(len(record.datasets))]
    kept = [p for p in found if p is not None]
    if not kept:
        return None
    return Pairs(*(np.concatenate([getattr(p, name) for p in kept]) for name in ("measured", "predicted", "inside")))


def _pairs_of(record: WalkRecord, seed: int) -> Pairs | None:
    data = record.datasets[seed]
    if "step_loss" not in data or not data.sizes["update"]:
        return None
    losses = data["step_loss"].values.astype(float)
    if "slope_start" in data:
        predicted = valley.predicted_height_from_slopes(data["slope_start"].values, data["slope_end"].values)
    elif record.batch is None and not record.noise:
        at = data["update"].values.astype(int)
        norm, cosine = data["gradient_norm"].values, data["cosine"].values
        predicted = valley.predicted_height(data["learning_rate"].values[at], norm[at], norm[at + 1], cosine[at + 1])
    else:
        return None
    good = np.isfinite(losses).all(axis=1) & np.isfinite(predicted)
    return Pairs(valley.height(losses)[good], np.asarray(predicted)[good], valley.interior(losses)[good])


def _scatter(ax: Axes, record: WalkRecord, pairs: Pairs, theme: Theme) -> str:
    kept = pairs.usable
    if not kept.any():
        return "no step with a height above 0"
    for which, marker, colour in ((pairs.inside, "o", theme.series[0]), (~pairs.inside, "x", theme.series[1])):
        at = kept & which
        ax.plot(
            pairs.predicted[at], pairs.measured[at], marker, color=colour, markersize=2.6, alpha=0.55, zorder=3,
            markeredgewidth=0.8 if marker == "x" else 0,
        )  # fmt: skip
    both = np.concatenate([pairs.measured[kept], pairs.predicted[kept]])
    ends = np.quantile(both, 0.002) / 1.6, both.max() * 1.6
    ax.plot(ends, ends, color=theme.ink, linewidth=1, linestyle=(0, (4, 2)), zorder=2)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    for axis in (ax.xaxis, ax.yaxis):
        log_ticks_between(axis, *ends)
    ax.grid(True, axis="both")
    told = f", measured / quadratic {pairs.ratio():.2g}" if np.isfinite(pairs.ratio()) else ""
    inside = f"{int(pairs.inside.sum()):,} of {len(kept):,} inside{told}"
    headed(ax, record.title, f"{record.method}, \u03b7 = {record.rate:g}", inside)
    return ""
