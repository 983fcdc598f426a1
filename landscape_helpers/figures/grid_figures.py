"""Two questions that the mining paper leaves open: what the count depends on (X02), and what a plane misses (X03)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..shapes import Confidence, confidence
from .canvas import Handle, add_key, new_figure
from .curves_panel import panel_title
from .gaussian_figures import plane_groups
from .panel_table import empty
from .slice_records import Curve, Plane, SliceRecord
from .style import Theme

Records = Mapping[str, SliceRecord]


def agreement(record: SliceRecord) -> Confidence | None:
    """Class and count of the Gaussian curves on the fine grid against every other point of it."""
    fine = record.curves("gaussian-fine")
    fine = [c for c in fine if np.array_equal(c.at, fine[0].at)]
    return confidence(fine[0].at, np.array([c.loss for c in fine])) if fine else None


def counts(records: Records, note: str, theme: Theme) -> Figure:
    """Stationary points of the same curves on two grids, and how far their class outlives seeds and grids."""
    found = {r.run: a for r in records.values() if (a := agreement(r)) is not None}
    networks = [records[run] for run in found]
    figure = new_figure(2.9, "What the count of stationary points counts", note, theme)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.15, 1)})
    for i, record in enumerate(networks):
        fine = record.curves("gaussian-fine")
        _paired(left, i, fine, theme)
        shares = (found[record.run].seeds, found[record.run].grids, found[record.run].value)
        for k, share in enumerate(shares):
            right.bar(i + 0.26 * (k - 1), share, width=0.23, color=theme.series[k], alpha=0.8)
        right.text(i, 1.03, found[record.run].label, ha="center", va="bottom", fontsize=8, color=theme.soft)
    names = [r.title.replace(", ", ",\n") for r in networks]
    for ax in (left, right):
        ax.set_xticks(range(len(networks)), names)
        ax.set_xlim(-0.6, len(networks) - 0.4)
        ax.tick_params(axis="x", length=0)
    left.set_ylabel("stationary points of a curve")
    left.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    left.set_ylim(0, 1 + np.ceil(left.get_ylim()[1]))
    right.set_ylim(0, 1.15)
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.set_ylabel("share of curves")
    points = _grid_sizes(networks)
    panel_title(left, f"Count on {points[0]} and on {points[1]} points")
    panel_title(right, "Confidence in the class")
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[0], marker="o", markersize=4, linewidth=0.8),
        Line2D([], [], color=theme.ink, marker="_", markersize=10, markeredgewidth=2, linestyle="none"),
        *(Patch(color=theme.series[k], alpha=0.8) for k in range(3)),
    ]
    labels = ["one curve", "mean (the paper's number)", "same class over seeds", "on both grids", "both"]
    add_key(figure, (handles, labels))
    return figure


def _paired(ax: Axes, place: int, fine: list[Curve], theme: Theme) -> None:
    """Each curve's count on every other point (left) and on all (right)."""
    pairs = np.array([[_coarse(c).shape.count, c.shape.count] for c in fine], dtype=float)
    jitter = np.linspace(-0.06, 0.06, len(pairs)) if len(pairs) > 1 else np.zeros(1)
    for (a, b), shift in zip(pairs, jitter, strict=True):
        ax.plot(
            [place - 0.2 + shift, place + 0.2 + shift], [a, b], "o-", color=theme.series[0], markersize=3,
            linewidth=0.7, alpha=0.6, zorder=2,
        )  # fmt: skip
    for side, mean in zip((-0.2, 0.2), pairs.mean(axis=0), strict=True):
        ax.plot(place + side, mean, "_", color=theme.ink, markersize=16, markeredgewidth=2, zorder=4)
        ax.annotate(
            f"{mean:.3g}", (place + side, mean), xytext=(13 if side > 0 else -13, 0), textcoords="offset points",
            ha="left" if side > 0 else "right", va="center", fontsize=8, color=theme.ink,
        )  # fmt: skip


def _coarse(curve: Curve) -> Curve:
    """Every other point of a curve, the one nearest the origin among them."""
    half = slice(int(np.argmin(np.abs(curve.at))) % 2, None, 2)
    return Curve(curve.seed, curve.at[half], curve.loss[half], curve.fields)


def _grid_sizes(networks: list[SliceRecord]) -> tuple[str, str]:
    fine = [c for r in networks for c in r.curves("gaussian-fine")]
    sizes = sorted({(len(_coarse(c).at), len(c.at)) for c in fine})
    return ("/".join(str(a) for a, _ in sizes), "/".join(str(b) for _, b in sizes))


def told_planes(record: SliceRecord) -> list[list[Plane]]:
    """Planes that know how far checkpoints stand off them; one drawn again with orthogonal axes is the same plane."""
    groups = plane_groups(record)
    return [g for g in groups if any(p.off for p in g) and g[0].fields["orthogonalised"] != 1]


def off_plane(records: Records, note: str, theme: Theme) -> Figure:
    """For each plane how far every other checkpoint stands off it, as a share of the way there."""
    networks = list(records.values())
    groups = {r.run: told_planes(r) for r in networks}
    lengths = [max(len(groups[r.run]), 2) for r in networks]
    epochs = sorted({e for planes in groups.values() for g in planes for p in g for e in p.off})
    colours = {epoch: theme.series[k % len(theme.series)] for k, epoch in enumerate(epochs)}
    height = 0.26 * sum(lengths) + 0.62 * len(networks)
    figure = new_figure(height, "How far a plane is from the training", note, theme)
    axes = figure.subplots(len(networks), 1, squeeze=False, gridspec_kw={"height_ratios": lengths})[:, 0]
    for ax, record in zip(axes, networks, strict=True):
        planes = groups[record.run]
        if not planes:
            empty(ax, "the distance of checkpoints from planes is not recorded", theme, record.title)
            continue
        for row, group in enumerate(planes):
            for plane in group:
                for epoch, share in plane.off.items():
                    ax.plot(share, row, "o", color=colours[epoch], markersize=4.5, alpha=0.75, clip_on=False)
        ax.set_yticks(range(len(planes)), [_named(g[0].fields) for g in planes])
        ax.set_ylim(len(planes) - 0.4, -0.6)
        ax.set_xlim(0, 1.02)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        ax.grid(visible=True, axis="both")
        panel_title(ax, record.title)
    axes[-1].set_xlabel("part of the way to a checkpoint that stands perpendicular to the plane (0%: in the plane)")
    handles: list[Handle] = [
        Line2D([], [], color=colour, marker="o", linestyle="none", markersize=4.5) for colour in colours.values()
    ]
    add_key(figure, (handles, [f"to E = {epoch}" for epoch in epochs]))
    return figure


def _named(fields: Mapping[str, object]) -> str:
    return f"E = {fields['epoch']:.0f}: {fields['first']} \u00d7 {fields['second']}"
