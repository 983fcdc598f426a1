"""What the two searches find, and planes of any two directions: Figures 9, 10 and 12 of the mining paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..shapes import classify
from .canvas import Handle, new_figure
from .curves_panel import LAMBDA, LOSS, curve_key, curve_panel, loss_axis, panel_title
from .gaussian_figures import plane_groups
from .panel_table import table
from .planes_panel import plane_key, plane_panel
from .slice_records import Plane, SliceRecord
from .style import Theme

Records = Mapping[str, SliceRecord]
NULL = (0, (4, 1.5))


def peaks(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 9: for each network the curves along what Algorithm 1 found, and its overlap with the eigenvectors."""
    networks = [r for r in records.values() if r.curves("mined")]
    columns = max(len(_mined_epochs(r)) for r in networks)
    figure = new_figure(3.05 * len(networks) + 0.2, "Directions mined by Algorithm 1", note, theme)

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        record = networks[i // 2]
        epochs = _mined_epochs(record)
        if j >= len(epochs):
            return "not measured"
        if i % 2:
            return _overlaps(ax, record, j, theme)
        mined = record.curves("mined", epoch=epochs[j])
        null = record.curves("null-peak", epoch=epochs[j])
        for one in null:
            ax.plot(one.at, one.loss, color=theme.soft, linewidth=0.9, linestyle=NULL, zorder=2.2)
        curve_panel(ax, mined, record.random_guess, theme, name=f"E = {epochs[j]:.0f}")
        loss_axis(ax, [c.loss for c in (*mined, *null)], np.nan, theme)
        return ""

    rows = [name for r in networks for name in (r.title, "overlap with the eigenvectors")]
    labels = figure.add_gridspec(1, 1)[0]
    axes = table(figure, labels, rows, [""] * columns, panel, theme, heights=(1.15, 1) * len(networks))
    for i, row in enumerate(axes):
        row[0].set_ylabel(f"{networks[i // 2].title}\n{LOSS}" if i % 2 == 0 else "|cos|")
        for ax in row:
            k = networks[i // 2].first.sizes.get("eigen", 10)
            ax.set_xlabel(LAMBDA if i % 2 == 0 else f"N.E. 1 \u2026 {k}, then P.E. {k} \u2026 1")
    handles: list[Handle] = [
        Line2D([], [], color=theme.soft, linewidth=0.9, linestyle=NULL),
        Patch(color=theme.series[1], alpha=0.75),
        Patch(color=theme.series[2], alpha=0.75),
    ]
    curve_key(figure, theme, more=(handles, ["best random direction", "N.E.", "P.E."]))
    return figure


def _mined_epochs(record: SliceRecord) -> list[float]:
    return sorted({c.fields["epoch"] for c in record.curves("mined")})


def _overlaps(ax: Axes, record: SliceRecord, index: int, theme: Theme) -> str:
    """|cos| of the mined direction with each eigenvector: bars for the median over seeds, dots for each seed."""
    negative, positive = (record.of_each(f"overlap_{end}") for end in ("negative", "positive"))
    if not negative or not positive:
        return "not measured"
    values = np.array([np.concatenate([n[index], p[index][::-1]]) for n, p in zip(negative, positive, strict=True)])
    k = negative[0].shape[1]
    colours = [theme.series[1]] * k + [theme.series[2]] * k
    x = np.arange(2 * k)
    ax.bar(x, np.nanmedian(values, axis=0), color=colours, alpha=0.75, width=0.8, zorder=2)
    if len(values) > 1:
        for row in values:
            ax.plot(x, row, ".", color=theme.ink, markersize=2.2, zorder=3)
    # The two tenths are neighbours: one number between them names both.
    ax.set_xticks([0, k - 0.5, 2 * k - 1], ["1", str(k), "1"])
    ax.set_ylim(0, max(0.05, 1.1 * float(np.nanmax(values))))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    means = (float(np.nanmean(values[:, :k])), float(np.nanmean(values[:, k:])))
    panel_title(ax, "", f"mean: N.E. {means[0]:.2g}, P.E. {means[1]:.2g}")
    return ""


def triples(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 10: a row a network and alpha, a column a gamma; theta at 0 and phi at 1."""
    networks = [r for r in records.values() if r.curves("triple")]
    settings = [(r, a) for r in networks for a in sorted({c.fields["alpha"] for c in r.curves("triple")})]
    gammas = sorted({c.fields["gamma"] for r in networks for c in r.curves("triple")})
    figure = new_figure(1.5 * len(settings) + 0.3, "Directions mined by Algorithm 2", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        record, alpha = settings[i]
        curves = record.curves("triple", alpha=alpha, gamma=gammas[j])
        if not curves:
            return "not measured"
        null = record.curves("null-triple")
        for one in null:
            ax.plot(one.at, one.loss, color=theme.soft, linewidth=0.9, linestyle=NULL, zorder=2.2)
        curve_panel(ax, curves, record.random_guess, theme, name=head, other=1.0)
        loss_axis(ax, [c.loss for c in (*curves, *null)], np.nan, theme)
        return ""

    rows = [f"{r.title}\n\u03b1 = {a:g}" for r, a in settings]
    columns = [f"\u03b3 = {g:g}" for g in gammas]
    table(figure, figure.add_gridspec(1, 1)[0], rows, columns, panel, theme, xlabel=LAMBDA, ylabel=LOSS)
    line: list[Handle] = [Line2D([], [], color=theme.soft, linewidth=0.9, linestyle=NULL)]
    curve_key(figure, theme, other="mined model \u03c6", more=(line, ["without search (\u03b3 = 0)"]))
    return figure


def planes(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 12: planes of pairs of directions, three in a row; a pair that overlaps once more with orthogonal axes."""
    shown = [(r, group) for r in records.values() for group in plane_groups(r)]
    columns = 3
    rows = -(-len(shown) // columns)
    figure = new_figure(2.45 * rows, "Planes of two directions", note, theme)

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        if i * columns + j >= len(shown):
            ax.set_visible(False)
            return ""
        record, group = shown[i * columns + j]
        plane, f = group[0], group[0].fields
        name = f"{record.title}, E = {f['epoch']:.0f}\n{f['first']} \u00d7 {f['second']}"
        plane_panel(ax, plane, record.random_guess, theme, name=name, below=_below(plane), ahead=_ahead(plane))
        return ""

    axes = table(figure, figure.add_gridspec(1, 1)[0], [""] * rows, [""] * columns, panel, theme)
    for ax, (_, group) in zip(axes.flat, shown, strict=False):
        f = group[0].fields
        ax.set_xlabel(f"\u03bb of {f['first']}")
        ax.set_ylabel(f"\u03bb of {f['second']}")
    plane_key(figure, theme, other="the other checkpoint" if any(_ahead(g[0]) for _, g in shown) else "")
    return figure


def _below(plane: Plane) -> str:
    """How far the directions overlap, and the classes of the two slices through the perturbed model."""
    told = f"|cos| {abs(plane.fields['cosine']):.2g}"
    slices = f"{axis_class(plane, 0)}, {axis_class(plane, 1)}"
    return f"{told} \u2192 0: {slices}" if plane.fields["orthogonalised"] == 1 else f"{told}: {slices}"


def _ahead(plane: Plane) -> tuple[float, float] | None:
    """Where another checkpoint stands on the plane: at 1 along the direction that leads to it."""
    if plane.fields["orthogonalised"] == 1:
        return None
    for axis, name in ((0, plane.fields["first"]), (1, plane.fields["second"])):
        if name.startswith(("E=", "E'=")):
            return (1.0, 0.0) if axis == 0 else (0.0, 1.0)
    return None


def axis_class(plane: Plane, axis: int) -> str:
    """The class of the slice of a plane along its first (0) or second (1) direction."""
    at, other = (plane.at1, plane.at2) if axis == 0 else (plane.at2, plane.at1)
    middle = int(np.argmin(np.abs(other)))
    return classify(at, plane.loss[:, middle] if axis == 0 else plane.loss[middle])
