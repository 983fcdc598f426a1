"""Where the picture of the singularity paper holds: its numbers over images and rates (SING-X01, ours)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..claims.edge_measures import EDGE, edge_share, max_rho, rho_gap
from .axes import headed
from .canvas import Handle, add_key, new_figure
from .edge_record import EdgeRecord, common
from .numbers_in_words import number
from .style import Theme, ink_on

Records = Mapping[str, EdgeRecord]


@dataclass(frozen=True)
class Number:
    """One number of a run, as a map over images and rates.

    Attributes:
        measure: of the ledger. ``form``: how it is written. ``holds``: whether it is as the paper says.
        condition: that in words.
    """

    name: str
    measure: Callable[..., float]
    form: str
    holds: Callable[[float], bool]
    condition: str


BULK, GAP = 0.6, 2.0  # conditions of the checks of Figures 2 and 1
NUMBERS = (
    Number(
        "Largest \u03c1 of the last top pair", partial(max_rho, pair="last top"), ".2f", lambda v: v > EDGE,
        f"above {EDGE:g}",
    ),
    Number(
        "Largest \u03c1 of the first bulk pair", partial(max_rho, pair="first bulk"), ".2f", lambda v: v < BULK,
        f"below {BULK:g}",
    ),
    Number("Share of the stops on the edge", edge_share, ".0%", lambda v: v > 0.5, "above half"),
    Number(
        "\u03c1 of the last top over the first bulk pair", rho_gap, ".2g", lambda v: v > GAP,
        f"above {GAP:g}, median from the edge on",
    ),
)  # fmt: skip


def verdicts(records: Records, note: str, theme: Theme) -> Figure:
    """A map a number: rows are numbers of images, columns rates; a frame where it is as the paper says."""
    runs = list(records.values())
    figure = new_figure(4.7, f"The edge by images and rate \u00b7 {common(runs)}", note, theme)
    axes = figure.subplots(2, 2)
    for ax, quantity in zip(axes.flat, NUMBERS, strict=True):
        _map(ax, quantity, runs, theme)
    handles: list[Handle] = [Rectangle((0, 0), 1, 1, facecolor="none", edgecolor=theme.series[1], linewidth=1.8)]
    several = max(len(r.seeds) for r in runs) > 1
    labels = ["as the paper says, by the condition over the map" + ("; medians over seeds" if several else "")]
    add_key(figure, (handles, labels))
    return figure


def table_of(quantity: Number, records: list[EdgeRecord]) -> tuple[list[int], list[float], np.ndarray]:
    """Numbers of images, ascending; rates, descending; and the number (images, rate), NaN where there is no run.

    Medians over the seeds.
    """
    sizes, rates = sorted({r.images for r in records}), sorted({r.rate for r in records}, reverse=True)
    values = np.full((len(sizes), len(rates)), np.nan)
    for record in records:
        values[sizes.index(record.images), rates.index(record.rate)] = np.median(record.measured(quantity.measure))
    return sizes, rates, values


def _map(ax: Axes, quantity: Number, records: list[EdgeRecord], theme: Theme) -> None:
    sizes, rates, values = table_of(quantity, records)
    run = {(r.images, r.rate) for r in records}
    colours = _shades(theme)
    finite = values[np.isfinite(values)]
    high = float(finite.max(initial=0)) or 1.0
    ax.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=0, vmax=high, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            text, colour = number(value, quantity.form), ink_on(colours(value / high), 0.22)
        else:
            text, colour = "never on\nthe edge" if (sizes[i], rates[j]) in run else "not run", theme.soft
        ax.text(j, i, text, ha="center", va="center", fontsize=8.5, color=colour)
        if np.isfinite(value) and quantity.holds(float(value)):
            corner = (j - 0.46, i - 0.44)
            ax.add_patch(Rectangle(corner, 0.92, 0.88, facecolor="none", edgecolor=theme.series[1], linewidth=1.8))
    ax.set_xticks(range(len(rates)), [_rate(rate, records) for rate in rates])
    ax.set_yticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("learning rate \u03b7")
    ax.set_ylabel("images $n_D$")
    headed(ax, quantity.name, f"framed: {quantity.condition}")


def _rate(rate: float, records: list[EdgeRecord]) -> str:
    """The rate, and in a second line the one of the paper that it stands for."""
    record = next(r for r in records if r.rate == rate)
    return record.rate_in_words.removeprefix("\u03b7 = ").replace(" for ", "\nfor ")


def _shades(theme: Theme) -> Any:
    """From the page's own tone to a strong one."""
    ends = ("#eef2f6", "#0072b2") if theme.name == "light" else ("#222831", "#56b4e9")
    return mpl.colors.LinearSegmentedColormap.from_list(f"map-{theme.name}", ends)
