"""Descent directions and lines between checkpoints: Figures 4 to 7 of the mining paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .canvas import Handle, add_key, new_figure
from .curves_panel import (
    LAMBDA,
    LOSS,
    curve_key,
    curve_panel,
    lines,
    loss_axis,
    marks,
    panel_title,
    plain,
    round_ticks,
)
from .panel_table import table
from .slice_records import Curve, SliceRecord
from .style import DOTTED, Theme

Records = Mapping[str, SliceRecord]
ANGLES = (
    ("angle_gradient", "\u2212 batch gradient"),
    ("angle_later", "next checkpoint"),
    ("angle_final", "last checkpoint"),
)
REPORTED = (89.75, 90.25)  # degrees; Section 2.3
FAMILIES = (("gradient", "along the negative gradient"), ("later", "towards a later checkpoint"))


def descents(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 4: a column a checkpoint; above along the negative gradient, below towards a later checkpoint."""
    shown = [(r, e) for r in records.values() for e in sorted({c.fields["epoch"] for c in r.curves("gradient")})]
    figure = new_figure(3.7, "Loss along descent directions", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        record, epoch = shown[j]
        family = FAMILIES[i][0]
        curves = record.curves(family, epoch=epoch)
        if not curves:
            return "the last checkpoint has none after it"
        target = curves[0].fields["target"]
        curve_panel(ax, curves, record.random_guess, theme, name=head, other=1.0 if family == "later" else None)
        if family == "later":
            panel_title(ax, f"to E = {target:.0f}", ax.texts[-1].get_text())
            ax.texts[0].remove()
        return ""

    rows = [name for _, name in FAMILIES]
    columns = [f"{r.title}\nE = {e:.0f}" for r, e in shown]
    table(figure, figure.add_gridspec(1, 1)[0], rows, columns, panel, theme, xlabel=LAMBDA, ylabel=LOSS)
    curve_key(figure, theme, other="later checkpoint")
    return figure


def angles(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 5: angles of Gaussian directions above, of batch gradients below."""
    networks = [r for r in records.values() if r.epochs("angle_epoch")]
    figure = new_figure(3.9, "Angles to descent directions", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        record = networks[j]
        expected = np.degrees(1 / np.sqrt(record.size)) if record.size else np.nan
        if i == 0:
            _histogram(ax, [_pooled(record, name) for name, _ in ANGLES], theme.series)
            ax.axvspan(*REPORTED, color=theme.oscillating, alpha=theme.band_opacity, linewidth=0, zorder=0.5)
            spread = float(np.std(np.concatenate([_pooled(record, name) for name, _ in ANGLES])))
            below = f"s.d. {spread:.2g}\u00b0 ({expected:.2g}\u00b0 expected)"
        else:
            found = _pooled(record, "angle_descent")
            if not len(found):
                return "not measured"
            _histogram(ax, [found], theme.series[3:])
            below = f"median {np.median(found):.1f}\u00b0"
        ax.axvline(90, color=theme.ink, linewidth=1, linestyle=DOTTED)
        round_ticks(ax.xaxis, 3)
        ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        panel_title(ax, head, below)
        return ""

    rows = ["Gaussian directions", "batch gradients, to the last checkpoint"]
    columns = [f"{r.title}, E = {', '.join(map(str, r.epochs('angle_epoch')))}" for r in networks]
    spec = figure.add_gridspec(1, 1)[0]
    table(figure, spec, rows, columns, panel, theme, xlabel="angle (degrees)", ylabel="count")
    handles: list[Handle] = [Patch(color=c, alpha=0.6) for c, _ in zip(theme.series, ANGLES, strict=False)]
    handles += [
        Patch(color=theme.oscillating, alpha=theme.band_opacity),
        Line2D([], [], color=theme.ink, linestyle=DOTTED),
    ]
    add_key(figure, (handles, [*(name for _, name in ANGLES), "range in the paper", "right angle"]))
    return figure


def _pooled(record: SliceRecord, name: str) -> np.ndarray:
    """The finite values of every seed and checkpoint."""
    values = [v.ravel() for v in record.of_each(name)]
    flat = np.concatenate(values) if values else np.array([])
    return flat[np.isfinite(flat)]


def _histogram(ax: Axes, samples: list[np.ndarray], colours: tuple[str, ...]) -> None:
    """Histograms on common bins, as outlines over a light fill."""
    pooled = np.concatenate(samples)
    if not len(pooled):
        return
    most = max(map(len, samples))
    bins = np.histogram_bin_edges(pooled, bins=min(20, max(6, most // 6))).tolist()
    for values, colour in zip(samples, colours, strict=False):
        ax.hist(values, bins=bins, color=colour, alpha=0.12, zorder=2)
        ax.hist(values, bins=bins, histtype="step", color=colour, linewidth=1.4, zorder=3)


def best_of_gaussians(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 6: a row a network, a column a view; the Gaussian's positions are ten times as far out."""
    networks = [r for r in records.values() if r.curves("gradient-view")]
    scales = sorted({c.fields["scale"] for r in networks for c in r.curves("gradient-view")})
    figure = new_figure(1.65 * len(networks) + 0.4, "The negative gradient and the best of the Gaussians", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        record = networks[i]
        pair = [record.curves(family, scale=scales[j]) for family in ("gradient-view", "best-gaussian")]
        if not all(pair):
            return "not measured"
        stretch = float(pair[1][0].at[-1] / pair[0][0].at[-1])
        lines(ax, pair[0], theme.series[1])
        lines(ax, pair[1], theme.series[0], stretch=stretch)
        marks(ax, theme)
        loss_axis(ax, [c.loss for curves in pair for c in curves], record.random_guess, theme)
        falls = [float(np.median([fall(c) for c in curves])) for curves in pair]
        panel_title(ax, head, f"falls by {short_number(falls[0])} and {short_number(falls[1])} nats")
        round_ticks(ax.xaxis)
        ax.xaxis.set_major_formatter(plain)
        return ""

    rows = [f"{r.title}\nE = {r.curves('gradient-view')[0].fields['epoch']:.0f}" for r in networks]
    columns = [f"s = {s:g}" for s in scales]
    xlabel = "\u03bb (the Gaussian's: 10 \u03bb)"
    table(figure, figure.add_gridspec(1, 1)[0], rows, columns, panel, theme, xlabel=xlabel, ylabel=LOSS)
    lines_of = [Line2D([], [], color=theme.series[i], linewidth=1.6) for i in (1, 0)]
    more: list[Handle] = list(lines_of)
    key = (more, ["\u2212 batch gradient", "best of the Gaussians, same length, ten times as far"])
    curve_key(figure, theme, several=False, more=key)
    return figure


def short_number(value: float) -> str:
    """Two digits."""
    return plain(float(f"{value:.2g}"))


def fall(curve: Curve) -> float:
    """How far the loss falls below that of the perturbed model, in nats; 0 where it does not."""
    finite = curve.loss[np.isfinite(curve.loss)]
    return max(0.0, curve.shape.loss - float(finite.min())) if len(finite) else 0.0


def independent(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 7: a row a network, a column a pair of checkpoints of two trainings."""
    networks = [r for r in records.values() if r.curves("independent")]
    pairs = {r.run: _pairs(r) for r in networks}
    columns = max(len(p) for p in pairs.values())
    figure = new_figure(1.62 * len(networks) + 0.3, "Lines between independently trained networks", note, theme)

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        record = networks[i]
        if j >= len(pairs[record.run]):
            return "not measured"
        epoch, target = pairs[record.run][j]
        curves = record.curves("independent", epoch=epoch, target=target)
        name = f"E = {epoch:.0f}, E\u2032 = {target:.0f}"
        curve_panel(ax, curves, record.random_guess, theme, name=name, other=1.0)
        return ""

    rows = [r.title for r in networks]
    table(figure, figure.add_gridspec(1, 1)[0], rows, [""] * columns, panel, theme, xlabel=LAMBDA, ylabel=LOSS)
    curve_key(figure, theme, other="the other network")
    return figure


def _pairs(record: SliceRecord) -> list[tuple[float, float]]:
    fields = [c.fields for c in record.curves("independent")]
    return list(dict.fromkeys((f["epoch"], f["target"]) for f in fields))
