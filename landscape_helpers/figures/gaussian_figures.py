"""Loss along Gaussian directions and over Gaussian planes: Figures 2, 3, A.15, B.16 and B.17 of the mining paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import NullLocator

from .canvas import new_figure
from .curves_panel import LAMBDA, LOSS, curve_key, curve_panel, panel_title, short
from .panel_table import table
from .planes_panel import kinds, plane_marks, plane_panel
from .slice_records import Curve, Plane, SliceRecord, labels_of, mean_count
from .style import Theme

Records = Mapping[str, SliceRecord]
Condition = tuple[str, dict[str, Any]]
NEXT_LINE = ",\n"
NORMALISATIONS = ("model", "layer", "filter")
# Rows of Figure 2; "early" is the first checkpoint after the start.
CONDITIONS: tuple[Condition, ...] = (
    ("trained, s = 1", {}),
    ("filter-normalised", {"normalize": "filter"}),
    ("BatchNorm frozen", {"batchnorm": "frozen"}),
    ("narrow view, s = 0.1", {"scale": 0.1}),
    ("wide view, s = 4", {"scale": "wide"}),
    ("early in training", {"epoch": "early"}),
)


def gaussian_curves(
    record: SliceRecord,
    *,
    epoch: float | str = "final",
    normalize: str = "model",
    batchnorm: str = "re-estimated",
    scale: float | str = 1.0,
    family: str = "gaussian",
) -> list[Curve]:
    """The Gaussian curves of one condition, of every seed and draw; without BatchNorm there is no treatment of it."""
    found = record.curves(family, epoch=checkpoint(record, epoch), normalize=normalize)
    if scale == "wide":
        # The nearest to s = 4 that there is.
        scale = min({c.fields["scale"] for c in found if c.fields["scale"] > 1}, key=lambda s: abs(s - 4), default=4.0)
    found = [c for c in found if np.isclose(c.fields["scale"], float(scale))]
    treatments = ("re-estimated", "") if batchnorm == "re-estimated" else (batchnorm,)
    return [c for c in found if c.fields["batchnorm"] in treatments]


def checkpoint(record: SliceRecord, epoch: float | str) -> float:
    """The epoch that "final" (the last) or "early" (the first after the start) stands for."""
    if epoch == "final":
        return record.final_epoch
    if epoch == "early":
        kept = sorted(int(e) for e in record.first["epoch"].values)
        return next((e for e in kept if e > 0), kept[-1])
    return float(epoch)


def plane_groups(record: SliceRecord) -> list[list[Plane]]:
    """Planes that differ in their seed only, in the order of the record."""
    groups: dict[tuple[Any, ...], list[Plane]] = {}
    for plane in record.all_planes:
        f = plane.fields
        names = ("first", "second", "epoch", "scale", "normalize", "batchnorm", "orthogonalised")
        groups.setdefault(tuple(str(f[name]) for name in names), []).append(plane)
    return list(groups.values())


def plane_row(
    figure: Figure, spec: SubplotSpec, groups: Sequence[tuple[SliceRecord, list[Plane]]], theme: Theme
) -> None:
    """Gaussian planes side by side: the first seed's, with what kind of surface all of them are."""
    grid = spec.subgridspec(1, max(len(groups), 3))
    for j, (record, planes) in enumerate(groups):
        ax = figure.add_subplot(grid[0, j])
        f = planes[0].fields
        told = [f"E = {f['epoch']:.0f}"]
        told += [f"s = {f['scale']:g}"] * (f["scale"] != 1) + ["filter"] * (f["normalize"] == "filter")
        seeds = "seed" if len(planes) == 1 else "seeds"
        name = f"{record.title.replace(', ', NEXT_LINE)}\n{', '.join(told)}"
        plane_panel(ax, planes[0], record.random_guess, theme, name=name, below=f"{kinds(planes)} {seeds}")
        ax.set_xlabel("\u03bb\u2081")
        if j == 0:
            ax.set_ylabel("\u03bb\u2082")


def conditions(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 2: a column a network, a row a condition, and the planes at the bottom."""
    networks = list(records.values())
    rows = [row for row in CONDITIONS if any(gaussian_curves(r, **row[1]) for r in networks)]
    groups = [(r, planes) for r in networks for planes in plane_groups(r)]
    height, below = 1.32 * len(rows), 1.95 * bool(groups)
    figure = new_figure(height + below, "Loss along Gaussian directions", note, theme)
    parts = figure.add_gridspec(1 + bool(groups), 1, height_ratios=[height, below][: 1 + bool(groups)])

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        name, condition = rows[i]
        curves = gaussian_curves(networks[j], **condition)
        if not curves:
            batchnorm = any(c.fields["batchnorm"] for c in networks[j].all_curves)
            return "no BatchNorm in this network" if "frozen" in name and not batchnorm else "not measured"
        f = curves[0].fields
        aside = f"E = {f['epoch']:.0f}" if "epoch" in condition else ""
        aside = f"s = {f['scale']:g}" if f["scale"] > 1 and f["scale"] != 4 else aside
        curve_panel(ax, curves, networks[j].random_guess, theme, name=head or aside)
        return ""

    names = [row[0] for row in rows]
    heads = [r.title.replace(", ", ",\n") for r in networks]
    table(figure, parts[0], names, heads, panel, theme, xlabel=LAMBDA, ylabel=LOSS)
    if groups:
        plane_row(figure, parts[1], groups, theme)
    _key(figure, theme, planes=bool(groups))
    return figure


def _key(figure: Figure, theme: Theme, planes: bool) -> None:
    handles, labels = plane_marks(theme) if planes else ([], [])
    # The cross on a plane and the vertical of a curve are both the perturbed model.
    curve_key(figure, theme, more=(handles[1:], labels[1:]))


def without_shortcuts(records: Records, note: str, theme: Theme) -> Figure:
    """Figure 3: curves on logarithmic axes, a column a condition; planes below."""
    views: tuple[Condition, ...] = (("s = 1", {}), ("filter-norm.", {"normalize": "filter"}), ("s = 4", {"scale": 4.0}))
    shown = [
        (r, name, curves) for r in records.values() for name, view in views if (curves := gaussian_curves(r, **view))
    ]
    groups = [(r, planes) for r in records.values() for planes in plane_groups(r)]
    figure = new_figure(4.7, "Without shortcuts: loss along Gaussian directions", note, theme)
    parts = figure.add_gridspec(2, 1, height_ratios=(2.3, 2.5))

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        record, name, curves = shown[j]
        curve_panel(ax, curves, record.random_guess, theme, log=True)
        reached = record.accuracy()
        learnt = f"test accuracy {100 * float(np.median(reached)):.0f}%\n" if reached else ""
        label, n = labels_of(curves)[0]
        for text in list(ax.texts):
            text.remove()
        heading = record.title.replace(", no shortcuts", "").replace(", ", "\n")
        ax.set_title(f"{heading}\n{name}", fontsize=8.5, pad=26)
        ax.annotate(
            f"{learnt}{label} {n}/{len(curves)} [{short(mean_count(curves))}]", (0, 1), xycoords="axes fraction",
            xytext=(0, 4), textcoords="offset points", fontsize=7.5, va="bottom", color=theme.soft,
        )  # fmt: skip
        return ""

    table(figure, parts[0], [""], [""] * len(shown), panel, theme, xlabel="\u03bb", ylabel="loss (nats, log scale)")
    plane_row(figure, parts[1], groups, theme)
    _key(figure, theme, planes=True)
    return figure


def epochs(records: Records, note: str, theme: Theme) -> Figure:
    """Figure A.15: a panel a checkpoint."""
    (record,) = records.values()
    kept = sorted({c.fields["epoch"] for c in gaussian_all(record) if c.fields["scale"] == 1})
    cells = [(f"E = {e:.0f}", gaussian_curves(record, epoch=e)) for e in kept]
    figure = new_figure(3.5, f"{record.title}: Gaussian directions while it is trained", note, theme)
    _flow(figure, cells, record, theme, columns=3, counted="checkpoint E")
    return figure


def scales(records: Records, note: str, theme: Theme) -> Figure:
    """Figure B.16: a panel a view scale; the last panel counts."""
    (record,) = records.values()
    views = sorted({c.fields["scale"] for c in gaussian_curves_of_final(record)})
    cells = [(f"s = {s:g}", gaussian_curves(record, scale=s)) for s in views]
    figure = new_figure(3.5, f"{record.title}: Gaussian directions from near and far", note, theme)
    _flow(figure, cells, record, theme, columns=4, counted="view scale s")
    return figure


def normalisations(records: Records, note: str, theme: Theme) -> Figure:
    """Figure B.17: a row a normalisation, a column a view scale."""
    (record,) = records.values()
    views = sorted({c.fields["scale"] for c in gaussian_curves_of_final(record)})
    figure = new_figure(4.7, f"{record.title}: Gaussian directions by scale and normalisation", note, theme)

    def panel(ax: Axes, i: int, j: int, head: str) -> str:
        curves = gaussian_curves(record, normalize=NORMALISATIONS[i], scale=views[j])
        if not curves:
            return "not measured"
        curve_panel(ax, curves, record.random_guess, theme, name=head)
        return ""

    rows = [f"{name} normalised" if name != "model" else "whole vector normalised" for name in NORMALISATIONS]
    columns = [f"s = {s:g}" for s in views]
    table(figure, figure.add_gridspec(1, 1)[0], rows, columns, panel, theme, xlabel=LAMBDA, ylabel=LOSS)
    curve_key(figure, theme)
    return figure


def gaussian_all(record: SliceRecord) -> list[Curve]:
    """Norm-scaled Gaussian curves with BatchNorm re-estimated, at every epoch and scale."""
    found = record.curves("gaussian", normalize="model")
    return [c for c in found if c.fields["batchnorm"] in ("re-estimated", "")]


def gaussian_curves_of_final(record: SliceRecord) -> list[Curve]:
    return [c for c in gaussian_all(record) if c.fields["epoch"] == record.final_epoch]


Cells = Sequence[tuple[str, list[Curve]]]


def _flow(figure: Figure, cells: Cells, record: SliceRecord, theme: Theme, columns: int, counted: str) -> None:
    """Panels in reading order; the one after the last says which share of each panel's curves is a v-basin."""
    rows = -(-(len(cells) + 1) // columns)
    names = [name for name, _ in cells]

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        index = i * columns + j
        if index < len(cells):
            curve_panel(ax, cells[index][1], record.random_guess, theme, name=names[index])
        elif index == len(cells):
            _shares(ax, cells, counted, theme)
        else:
            ax.set_visible(False)
        return ""

    spec = figure.add_gridspec(1, 1)[0]
    axes = table(figure, spec, [""] * rows, [""] * columns, panel, theme, xlabel=LAMBDA, ylabel=LOSS)
    last = axes[-1, len(cells) % columns]
    last.set_xlabel(counted)
    curve_key(figure, theme)


def _shares(ax: Axes, cells: Cells, counted: str, theme: Theme) -> None:
    shares = [sum(c.shape.label == "v-basin" for c in curves) / len(curves) for _, curves in cells]
    ax.bar(range(len(cells)), shares, width=0.6, color=theme.series[2], alpha=0.75)
    # Seven names of bars are close together in a small panel.
    ax.set_xticks(range(len(cells)), [name.split("= ")[-1] for name, _ in cells], fontsize=8 if len(cells) < 6 else 6.5)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0, 1.05)
    ax.set_yticks([0, 0.5, 1])
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    panel_title(ax, "share of v-basins")
