"""The figures of the mining paper that rest on the Hessian, in words and measured numbers: one sentence a network."""

from __future__ import annotations

import numpy as np

from ..shapes import peak_height
from .gaussian_figures import plane_groups
from .numbers_in_words import number, percent, spread
from .planes_panel import kinds
from .slice_records import SliceRecord


def eigen_curves(record: SliceRecord) -> str:
    """Classes along P.E. and N.E., and the height of the peaks at each checkpoint, in the narrowest view."""
    positive, negative = record.curves("positive"), record.curves("negative")
    if not positive or not negative:
        return ""
    basins = float(np.mean([c.shape.label == "v-basin" for c in positive]))
    parts = [f"v-basin on {percent([basins])} of {len(positive)} curves along P.E."]
    for epoch in sorted({c.fields["epoch"] for c in negative}):
        curves = [c for c in negative if c.fields["epoch"] == epoch]
        views, scales = [], sorted({c.fields["scale"] for c in curves}, reverse=True)
        for scale in scales:
            seen = [c.shape.label == "w-peak" for c in curves if c.fields["scale"] == scale]
            views.append(f"{sum(seen)} of {len(seen)} at s = {scale:g}")
        # A wide view has few points near the peak, which looks lower there than it is, or is not seen.
        heights = spread([peak_height(c.at, c.loss) for c in curves if c.fields["scale"] == scales[-1]], ".2g")
        parts.append(f"at E = {epoch:.0f} w-peak along N.E. on {' and '.join(views)}, peaks of {heights} nats")
    return "; ".join(parts)


def eigen_planes(record: SliceRecord) -> str:
    """What kind of surface each pair gives."""
    told = []
    for group in plane_groups(record):
        f = group[0].fields
        told.append(f"{f['first']} \u00d7 {f['second']} at E = {f['epoch']:.0f} {kinds(group)} seeds")
    return "; ".join(told)


def changes(record: SliceRecord) -> str:
    """Smallest eigenvalue and trace at each checkpoint, and how often noise raises the loss and its second order."""
    parts = []
    for i, epoch in enumerate(record.epochs("density_epoch")):
        smallest = spread([float(v[i]) for v in record.of_each("smallest_ritz")], ".2g")
        traces = spread([float(v[i]) for v in record.of_each("trace")], ".3g")
        parts.append(f"at E = {epoch} the smallest eigenvalue is {smallest} and the trace {traces}")
    if not parts:
        return ""
    for m, size in enumerate(record.first["noise_lambda"].values):
        raised, modelled = (
            [float((v[:, m] > 0).mean()) for v in record.of_each(name)] for name in ("change_true", "change")
        )
        ratio = [float(np.median(v[:, m])) for v in _ratios(record)]
        parts.append(
            f"noise of \u03bb = {size:g} raises the loss in {percent(raised)} of the draws at all checkpoints and its "
            f"second-order change in {percent(modelled)}, whose variance is {spread(ratio, '.2g')} times the corrected "
            "formula's"
        )
    return "; ".join(parts)


def _ratios(record: SliceRecord) -> list[np.ndarray]:
    measured, expected = (record.of_each(f"change_{name}") for name in ("variance", "variance_corrected"))
    return [a / b for a, b in zip(measured, expected, strict=True)]


def interpolations(record: SliceRecord) -> str:
    """How many local quadratics fall towards the trained network, for GMI and for MLI, and where they are worst."""
    slopes = record.of_each("interpolation_slope")
    if not slopes:
        return ""
    kind = record.first["interpolation_kind"].values.astype(str)
    parts = []
    for name in dict.fromkeys(kind):
        falling = [float((row < 0).sum()) for seed in slopes for row in seed[kind == name]]
        parts.append(f"{spread(falling, '.0f')} of {slopes[0].shape[1]} segments fall on {name} curves")
    error = np.median(np.concatenate(_segment_errors(record)), axis=0)
    at = record.first["interpolation_at"].values[0]
    return f"{'; '.join(parts)}; the local quadratic is worst at \u03bb = {number(float(at[int(np.argmax(error))]))}"


def _segment_errors(record: SliceRecord) -> list[np.ndarray]:
    """|q(centre + half width) - L| of every seed (interpolation, centre)."""
    names = ("loss", "slope", "curvature", "ahead")
    half = float(record.first.get("interpolation_half_width", 0.05))
    tables = zip(*(record.of_each(f"interpolation_{name}") for name in names), strict=True)
    return [np.abs(loss + half * slope + half**2 * bend / 2 - ahead) for loss, slope, bend, ahead in tables]


def kinks(record: SliceRecord) -> str:
    """How far second differences lie from the Hessian at the shortest and at the longest step of each checkpoint."""
    secants, hessians = (record.of_each(f"kink_{name}") for name in ("secant", "hessian"))
    if not secants:
        return ""
    shortest, longest = (number(float(step)) for step in record.first["kink_step"].values[[0, -1]])
    parts = []
    for i, direction in enumerate(record.first["kink_direction"].values):
        told = []
        for row, epoch in enumerate(record.epochs("kink_epoch")):
            short, long = (
                spread([float(s[row, i, m] / h[row, i]) for s, h in zip(secants, hessians, strict=True)], ".2g")
                for m in (0, -1)
            )
            told.append(f"{short} and {long} at E = {epoch}")
        parts.append(f"along {direction} {', '.join(told)}")
    return f"second differences over the Hessian's, at steps of {shortest} and {longest}: {'; '.join(parts)}"
