"""The spectrum of the Hessian and the loss change under noise: Figure 13 of the mining paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .canvas import Handle, add_key, new_figure
from .curves_panel import panel_title, plain, power, round_ticks
from .numbers_in_words import MINUS, SUPERSCRIPT
from .panel_table import BLANK, table
from .slice_records import SliceRecord
from .style import DOTTED, Theme

Records = Mapping[str, SliceRecord]
WIDTH = 0.01  # of the Gaussian that stands for each Ritz value, as a share of the spectrum's extent
FLOOR = 1e-7  # densities below this share of the largest are left out: the tails of those Gaussians
POINTS = 600  # of a density
PRINTED = (0, (3, 2))


def spectra(records: Records, note: str, theme: Theme) -> Figure:
    """For each network a row of densities and a row of histograms for every size of noise; a column a checkpoint."""
    networks = [r for r in records.values() if r.epochs("density_epoch")]
    rows = [row for r in networks for row in ((r, None), *((r, m) for m in range(_sizes(r))))]
    columns = max(len(r.epochs("density_epoch")) for r in networks)
    figure = new_figure(1.42 * len(rows), "Spectrum of the Hessian, and the loss change under noise", note, theme)

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        record, size = rows[i]
        epochs = record.epochs("density_epoch")
        j -= columns - len(epochs)
        if j < 0:
            return "no other checkpoint was looked at" if size is None else BLANK
        if size is None:
            density(ax, record, j, theme)
            return ""
        return histogram(ax, record, j, size, theme)

    labels = [r.title if size is None else f"noise, \u03bb = {_lambdas(r)[size]:g}" for r, size in rows]
    # Every panel names its own axis: histograms differ in their power of ten.
    axes = table(figure, figure.add_gridspec(1, 1)[0], labels, [""] * columns, panel, theme)
    for line, (_, size) in zip(axes, rows, strict=True):
        line[0].set_ylabel(f"{line[0].get_ylabel()}\n{'density (log)' if size is None else 'draws'}")
    handles: list[Handle] = [
        Line2D([], [], color=theme.ink, linewidth=1.2),
        Line2D([], [], color=theme.series[2], linewidth=1.6),
        Line2D([], [], color=theme.series[1], linewidth=1.6, linestyle=PRINTED),
    ]
    add_key(
        figure, (handles, ["\u00bd\u03bb\u00b2 tr H", "\u00b11 s.d., corrected formula", "\u00b11 s.d., as printed"])
    )
    return figure


def _lambdas(record: SliceRecord) -> np.ndarray:
    return np.asarray(record.first["noise_lambda"].values) if "noise_lambda" in record.first.coords else np.array([])


def _sizes(record: SliceRecord) -> int:
    return len(_lambdas(record))


def smoothed(nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density over the spectrum's extent from Ritz values and weights (probes, steps), NaN where a probe has none."""
    on = np.isfinite(nodes)
    low, high = float(nodes[on].min()), float(nodes[on].max())
    extent = (high - low) or 1.0
    width = WIDTH * extent
    grid = np.linspace(low - 4 * width, high + 4 * width, POINTS)
    share = np.where(on, weights, 0.0) / len(nodes)
    bells = np.exp(-0.5 * ((grid[:, None] - nodes[on]) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return grid, bells @ share[on]


def density(ax: Axes, record: SliceRecord, index: int, theme: Theme) -> None:
    """Logarithmic density of eigenvalues of every seed; in the title the smallest eigenvalue."""
    smallest = []
    peak = 0.0
    for data in record.datasets:
        nodes, weights = (np.asarray(data[f"density_{name}"].values[index]) for name in ("node", "weight"))
        if not np.isfinite(nodes).any():
            continue
        grid, values = smoothed(nodes, weights)
        peak = max(peak, float(values.max()))
        ax.fill_between(grid, np.maximum(values, 1e-300), 1e-300, color=theme.series[0], alpha=0.12, linewidth=0)
        ax.plot(grid, np.maximum(values, 1e-300), color=theme.series[0], linewidth=1.0, zorder=3)
        smallest.append(float(data["smallest_ritz"].values[index]))
    ax.set_yscale("log")
    if peak:
        ax.set_ylim(peak * FLOOR, peak * 3)
    ax.yaxis.set_major_locator(LogLocator(numticks=4))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.axvline(0, color=theme.ink, linewidth=1.0, linestyle=DOTTED, zorder=2)
    ax.yaxis.set_major_formatter(power)
    round_ticks(ax.xaxis, 3)
    ax.set_xlabel("eigenvalue (nats / param.\u00b2)", fontsize=8)
    told = f" [{np.median(smallest):.2g}]".replace("-", MINUS) if smallest else ""
    panel_title(ax, f"E = {record.epochs('density_epoch')[index]}{told}")


def histogram(ax: Axes, record: SliceRecord, index: int, size: int, theme: Theme) -> str:
    """Second-order loss changes of the first seed; mean expected, and one standard deviation by either formula."""
    data = record.first
    values = np.asarray(data["change"].values[index, size], dtype=float)
    values = values[np.isfinite(values)]
    if not len(values):
        return "no finite loss change"
    centre = float(data["change_mean_expected"].values[index, size])
    ax.hist(values, bins=min(20, max(8, len(values) // 5)), color=theme.series[0], alpha=0.55, zorder=2)
    ax.axvline(centre, color=theme.ink, linewidth=1.2, zorder=3)
    top = ax.get_ylim()[1]
    spreads = [
        (float(np.sqrt(max(float(data[f"change_variance_{kind}"].values[index, size]), 0.0))), colour, style, height)
        for kind, colour, style, height in (
            ("corrected", theme.series[2], "-", 1.08), ("printed", theme.series[1], PRINTED, 1.22),
        )
    ]  # fmt: skip
    low, high = float(min(values.min(), centre)), float(max(values.max(), centre))
    reach = max(high - centre, centre - low, spreads[0][0])
    for spread, colour, style, height in spreads:
        # The printed one can be hundreds of times too wide: it then runs out of the panel on both sides.
        shown = min(spread, 1.6 * reach)
        ax.plot([centre - shown, centre + shown], [height * top] * 2, color=colour, linestyle=style, linewidth=1.8)
        if spread > shown:
            for side, marker in ((-1, "<"), (1, ">")):
                ax.plot(centre + side * shown, height * top, marker, color=colour, markersize=3.5)
    ax.set_ylim(0, 1.32 * top)
    ax.axvline(0, color=theme.soft, linewidth=0.9, linestyle=DOTTED, zorder=1.5)
    round_ticks(ax.xaxis, 3)
    ax.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    exponent = int(np.floor(np.log10(max(map(abs, ax.get_xlim())) or 1)))
    if -2 <= exponent <= 3:
        ax.set_xlabel("loss change (nats)", fontsize=8)
        ax.xaxis.set_major_formatter(plain)
    else:
        ax.set_xlabel(f"loss change (10{str(exponent).translate(SUPERSCRIPT)} nats)", fontsize=8)
        ax.xaxis.set_major_formatter(lambda value, _: plain(value / 10.0**exponent))
    panel_title(ax, "", f"{100 * float((values > 0).mean()):.0f}% above 0")
    return ""
