"""Curves and planes along eigenvectors, and local quadratics: Figures 8, 11 and 14 of the mining paper, and kinks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from .canvas import Handle, add_key, new_figure
from .curves_panel import LAMBDA, LOSS, curve_key, loss_axis, marks, panel_title, plain, power, round_ticks, verdict
from .gaussian_figures import plane_groups
from .panel_table import BLANK, table
from .planes_panel import kinds, plane_key, plane_panel
from .slice_records import SliceRecord
from .style import Theme

Records = Mapping[str, SliceRecord]
HALF_WIDTH = 0.05  # of a local segment, where the record does not say


def eigen_curves(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 8: for each network P.E. and N.E. over the wide view, and N.E. once more over the narrow one."""
    networks = [r for r in records.values() if r.curves("positive")]
    rows = [(r, family, scale) for r in networks for family, scale in _views(r)]
    columns = max(len(r.epochs("hessian_epoch")) for r in networks)
    shown = max(int(c.fields["draw"]) + 1 for r in networks for c in r.curves("positive"))
    colours = [theme.series[i % len(theme.series)] for i in range(shown)]
    figure = new_figure(1.24 * len(rows) + 0.2, "Loss along eigenvectors of the Hessian", note, theme)

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        record, family, scale = rows[i]
        epochs = record.epochs("hessian_epoch")
        # A network of which fewer are looked at: its last checkpoint stands with the others' last.
        j -= columns - len(epochs)
        if j < 0:
            # Said once, and not in every row of the network.
            return "no earlier checkpoint was looked at" if family == "positive" else BLANK
        curves = record.curves(family, epoch=epochs[j], scale=scale)
        for one in curves:
            colour = colours[int(one.fields["draw"])]
            ax.plot(one.at, one.loss, color=colour, linewidth=1.0, alpha=0.85, zorder=2.5)
        marks(ax, theme)
        loss_axis(ax, [c.loss for c in curves], record.random_guess, theme)
        round_ticks(ax.xaxis)
        ax.xaxis.set_major_formatter(plain)
        panel_title(ax, f"E = {epochs[j]}" if family == "positive" else "", verdict(curves))
        return ""

    names = {"positive": "P.E.", "negative": "N.E."}
    labels = [f"{r.title}\n{names[family]}, s = {scale:g}" for r, family, scale in rows]
    spec = figure.add_gridspec(1, 1)[0]
    table(figure, spec, labels, [""] * columns, panel, theme, xlabel="\u03bb (in units of |\u03b8|)", ylabel=LOSS)
    handles: list[Handle] = [Line2D([], [], color=c, linewidth=1.6) for c in colours]
    ranks = ["1st eigenvector", *(f"{i + 1}." for i in range(1, shown))]
    curve_key(figure, theme, several=False, more=(handles, ranks))
    return figure


def _views(record: SliceRecord) -> list[tuple[str, float]]:
    scales = sorted({c.fields["scale"] for c in record.curves("negative")})
    return [("positive", scales[-1]), ("negative", scales[-1]), *(("negative", s) for s in scales[:1] if scales[1:])]


def eigen_planes(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 11: a row a checkpoint, a column a pair of eigenvectors."""
    groups = [(r, g) for r in records.values() for g in plane_groups(r)]
    rows = list(dict.fromkeys((r.run, g[0].fields["epoch"]) for r, g in groups))
    pairs = list(dict.fromkeys((g[0].fields["first"], g[0].fields["second"]) for _, g in groups))
    found = {(r.run, g[0].fields["epoch"], g[0].fields["first"], g[0].fields["second"]): (r, g) for r, g in groups}
    figure = new_figure(2.12 * len(rows) + 0.3, "Planes of pairs of eigenvectors", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        key = (*rows[i], *pairs[j])
        if key not in found:
            return "not measured"
        record, planes = found[key]
        plane_panel(ax, planes[0], record.random_guess, theme, name=head, below=kinds(planes))
        ax.set_xlabel(f"\u03bb of {pairs[j][0]} (units of |\u03b8|)")
        return ""

    labels = [f"{records[run].title}\nE = {epoch:.0f}" for run, epoch in rows]
    columns = [f"{first} \u00d7 {second}" for first, second in pairs]
    axes = table(figure, figure.add_gridspec(1, 1)[0], labels, columns, panel, theme)
    for row in axes:
        for ax, (first, second) in zip(row, pairs, strict=True):
            ax.set_xlabel(f"\u03bb of {first}" if ax.axison else "")
            named = ax.get_ylabel()
            ax.set_ylabel(f"{named}\n\u03bb of {second}" if named else f"\u03bb of {second}")
    plane_key(figure, theme)
    return figure


def interpolations(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 14: a row a network; the local quadratics on the curve of the first seed."""
    networks = [r for r in records.values() if "interpolation_loss" in r.first]
    kinds_of = [str(k) for k in networks[0].first["interpolation_kind"].values]
    figure = new_figure(
        1.75 * len(networks) + 0.2, "Interpolation and Gaussian curves, with local quadratics", note, theme
    )

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        record = networks[i]
        if j >= len(record.first["interpolation_kind"]):
            return "not measured"
        at, loss = (record.first[f"interpolation_{name}"].values[j] for name in ("at", "loss"))
        ax.plot(at, loss, "o-", color=theme.series[0], markersize=2.6, linewidth=1.0, zorder=2.5)
        for data in record.datasets[1:]:
            ax.plot(at, data["interpolation_loss"].values[j], color=theme.series[0], linewidth=0.7, alpha=0.45)
        for x, y in segments(record, j):
            ax.plot(x, y, color=theme.series[1], linewidth=2.0, zorder=3, solid_capstyle="butt")
        marks(ax, theme)
        loss_axis(ax, [d["interpolation_loss"].values[j] for d in record.datasets], record.random_guess, theme)
        falling = int((np.asarray(record.first["interpolation_slope"].values[j]) < 0).sum())
        panel_title(ax, head, f"{falling} of {len(at)} segments fall")
        round_ticks(ax.xaxis, 3)
        return ""

    names = {"GMI": "Gaussian", "MLI": "from the start"}
    columns = [f"{names.get(kind, kind)} ({kind})" for kind in kinds_of]
    spec = figure.add_gridspec(1, 1)[0]
    table(figure, spec, [r.title for r in networks], columns, panel, theme, xlabel=LAMBDA, ylabel=LOSS)
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[0], marker="o", markersize=3),
        Line2D([], [], color=theme.series[1], linewidth=2.0),
    ]
    curve_key(figure, theme, several=False, more=(handles, ["loss (light: other seeds)", "local quadratic"]))
    return figure


def segments(record: SliceRecord, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The local quadratics q(x) of the first seed's curve ``index``, each over its own window (MINE-D37)."""
    data = record.first
    half = float(data["interpolation_half_width"]) if "interpolation_half_width" in data else HALF_WIDTH
    half = float(data.attrs.get("interpolation_half_width", half))
    names = ("at", "loss", "slope", "curvature")
    parts = []
    for centre, loss, slope, curvature in zip(*(data[f"interpolation_{n}"].values[index] for n in names), strict=True):
        step = np.linspace(-half, half, 9)
        parts.append((centre + step, loss + slope * step + 0.5 * curvature * step**2))
    return parts


def kinks(records: Records, note: str, theme: Theme) -> Figure:
    """Second differences against the step, and z'Hz as a horizontal line: a row a direction, a column a network."""
    networks = [r for r in records.values() if "kink_secant" in r.first]
    directions = [str(d) for d in networks[0].first["kink_direction"].values]
    figure = new_figure(1.85 * len(directions), "Second differences and the Hessian", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        record = networks[j]
        steps = record.first["kink_step"].values
        secants, hessians = (np.array(record.of_each(f"kink_{name}")) for name in ("secant", "hessian"))
        for e in range(secants.shape[1]):
            colour = theme.series[e % len(theme.series)]
            for row in secants[:, e, i]:
                ax.plot(steps, row, color=colour, linewidth=0.7, alpha=0.45, zorder=2.5)
            ax.plot(steps, np.median(secants[:, e, i], axis=0), "o-", color=colour, markersize=3, zorder=3)
            ax.axhline(
                float(np.median(hessians[:, e, i])), color=colour, linewidth=1.3, linestyle=(0, (5, 2)), zorder=2
            )
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=6))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(power)
        _curvature_axis(ax, secants[:, :, i], hessians[:, :, i])
        panel_title(ax, head)
        return ""

    columns = [_activation(r) for r in networks]
    labels = {"Gau.": "Gaussian", "P.E.1": "1st eigenvector (P.E.1)", "Neg. Grad.": "negative gradient"}
    rows = [labels.get(d, d) for d in directions]
    spec = figure.add_gridspec(1, 1)[0]
    table(
        figure,
        spec,
        rows,
        columns,
        panel,
        theme,
        xlabel="step h (distance in parameter space)",
        ylabel="nats / param.\u00b2",
    )
    epochs = networks[0].epochs("kink_epoch")
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[i], marker="o", markersize=3) for i in range(len(epochs))
    ]
    handles.append(Line2D([], [], color=theme.ink, linewidth=1.3, linestyle=(0, (5, 2))))
    names = [f"[L(h) \u2212 2L(0) + L(\u2212h)] / h\u00b2 at E = {e}" for e in epochs]
    add_key(figure, (handles, [*names, "z\u1d40Hz of the Hessian"]))
    return figure


def _activation(record: SliceRecord) -> str:
    options: Mapping[str, object] = record.parameters.get("model_options") or {}
    return f"{record.title.split(',')[0]} with {options.get('activation', 'ReLU')}"


def _curvature_axis(ax: Axes, secants: np.ndarray, hessians: np.ndarray) -> None:
    values = np.concatenate([secants.ravel(), hessians.ravel()])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() / values.min() > 30:
        ax.set_yscale("log")
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(power)
    else:
        round_ticks(ax.yaxis)
        ax.yaxis.set_major_formatter(plain)
        ax.axhline(0, linewidth=0.7, color=ax.xaxis.label.get_color(), zorder=1.2)
