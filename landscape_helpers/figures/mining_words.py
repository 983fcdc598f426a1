"""The figures of *Visualizing, Rethinking, and Mining the Loss Landscape* in words and measured numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..shapes import LABELS, barrier_height, middle_well, near_origin, peak_height, stationary_points
from . import classes_figure
from .descent_figures import ANGLES, fall
from .findings import Findings
from .gaussian_figures import CONDITIONS, NORMALISATIONS, gaussian_all, gaussian_curves, gaussian_curves_of_final
from .gaussian_figures import plane_groups as groups_of
from .grid_figures import agreement, told_planes
from .hessian_words import changes, eigen_curves, eigen_planes, interpolations, kinks
from .mining_landscape import select
from .numbers_in_words import number, percent, spread
from .planes_panel import kinds
from .search_figures import axis_class
from .selection import Runs
from .slice_records import Curve, SliceRecord, labels_of, mean_count

Record = SliceRecord
# The families of the record that Figure 1 looks for its examples in.
WAYS = {
    "gaussian": "a Gaussian direction",
    "positive": "a positive eigenvector",
    "later": "towards a later checkpoint",
    "gradient": "along the negative gradient",
    "independent": "towards an independent training",
    "mined": "along a direction that Algorithm 1 found",
    "negative": "a negative eigenvector",
    "triple": "towards what Algorithm 2 found",
}


def findings(figure_id: str, runs: Runs) -> Findings:
    """What a figure is about, then one sentence a network with what was measured."""
    records = select(figure_id, runs)
    if figure_id == "MINE-F01":
        return Findings(LEADS[figure_id], _classes(records))
    told = [(record, SENTENCES[figure_id](record)) for record in records.values()]
    each = [f"{record.title}: {(text or 'not measured').rstrip('.')}." for record, text in told]
    return Findings(LEADS[figure_id], each)


def share(curves: Sequence[Curve], label: str = "v-basin") -> float:
    """How many of the curves have a class, as a share; NaN of none."""
    return float(np.mean([c.shape.label == label for c in curves])) if curves else float("nan")


def _classes(records: Mapping[str, Record]) -> list[str]:
    told = []
    for kind, example in classes_figure.examples(records):
        if example is None:
            view, count = f"{kind.view[0]:g} to {kind.view[1]:g}", len(kind.extrema) - 2
            told.append(f"{kind.label}: drawn, not measured, over {view}; stationary points: {count}.")
        else:
            record, curve = example
            where = f"{record.title} at E = {curve.fields['epoch']:.0f}, {WAYS[curve.fields['family']]}"
            told.append(f"{kind.label}: measured, {where}; stationary points: {curve.shape.count}.")
    return told


def _conditions(record: Record) -> str:
    named = [(name, c) for name, condition in CONDITIONS if (c := gaussian_curves(record, **condition))]
    return _over(named) + _surfaces(record)


def _over(named: Sequence[tuple[str, Sequence[Curve]]]) -> str:
    """Share of v-basins over all conditions, the worst condition, and the range of mean counts."""
    if not named:
        return ""
    every = [c for _, curves in named for c in curves]
    worst = min(named, key=lambda pair: share(pair[1]))
    counts = [mean_count(curves) for _, curves in named]
    least = f" (least, {worst[0]}: {percent([share(worst[1])])})" if share(worst[1]) < 1 else ""
    count = f"{number(min(counts))} to {number(max(counts))}" if max(counts) > min(counts) else number(counts[0])
    return (
        f"v-basin on {percent([share(every)])} of {len(every)} curves in {len(named)} conditions{least}; mean count of "
        f"stationary points {count}"
    )


def _surfaces(record: Record) -> str:
    return "".join(f"; surface at E = {g[0].fields['epoch']:.0f}: {kinds(g)}" for g in groups_of(record))


def _ragged(record: Record) -> str:
    parts = []
    if record.accuracy():
        parts.append(f"test accuracy {percent(record.accuracy())}")
    for scale in sorted({c.fields["scale"] for c in gaussian_curves_of_final(record)}):
        curves = gaussian_curves(record, scale=scale)
        text = f"at s = {scale:g} a mean count of {number(mean_count(curves))}"
        above = [loss > record.random_guess for c in curves for loss in _losses_off_origin(c)]
        if above:
            text += f", {percent([float(np.mean(above))])} of the stationary points off the origin above log C"
        top = max(float(np.max(c.loss[np.isfinite(c.loss)], initial=0)) for c in curves)
        parts.append(f"{text}, losses up to {number(top, '.2g' if top < 1e4 else '.1e')} nats")
    return "; ".join(parts)


def _losses_off_origin(curve: Curve) -> list[float]:
    """Losses at the stationary points that lie more than a step of the grid from the origin."""
    near = near_origin(curve.at)
    return [float(curve.loss[i]) for i in stationary_points(curve.loss) if not near[i]]


def classes_in_words(curves: Sequence[Curve]) -> str:
    """``"v-side on 3 of 3 curves"``."""
    label, n = labels_of(curves)[0]
    return f"{label} on {n} of {len(curves)} curves"


def _descents(record: Record) -> str:
    parts = []
    for family, way in (("gradient", "along the negative gradient"), ("later", "towards a later checkpoint")):
        curves = record.curves(family)
        if curves:
            falls = spread([fall(c) for c in curves], ".2g")
            parts.append(
                f"{way} from E = {curves[0].fields['epoch']:.0f} {classes_in_words(curves)}, falling {falls} nats"
            )
    return "; ".join(parts)


def _angles(record: Record) -> str:
    values = [v.ravel() for name, _ in ANGLES for v in record.of_each(name)]
    if not values:
        return ""
    gaussian = np.concatenate(values)
    gaussian = gaussian[np.isfinite(gaussian)]
    text = (
        f"Gaussian directions stand at {gaussian.min():.2f}\u00b0 to {gaussian.max():.2f}\u00b0, standard deviation "
        f"{gaussian.std():.2g}\u00b0 for {record.size:,} parameters"
    )
    batch = [float(np.nanmedian(v)) for v in record.of_each("angle_descent") if np.isfinite(v).any()]
    return text + (
        f"; batch gradients at a median of {spread(batch, '.1f')}\u00b0 to the last checkpoint" if batch else ""
    )


def _best(record: Record) -> str:
    parts = []
    for scale in sorted({c.fields["scale"] for c in record.curves("gradient-view")}):
        pair = [[fall(c) for c in record.curves(f, scale=scale)] for f in ("gradient-view", "best-gaussian")]
        parts.append(
            f"at s = {scale:g} the gradient falls {spread(pair[0], '.2g')} and the Gaussian {spread(pair[1], '.2g')}"
        )
    return "; ".join(parts) + (" nats" if parts else "")


def _independent(record: Record) -> str:
    curves = record.curves("independent")
    if not curves:
        return ""
    barriers = [barrier_height(c.at, c.loss) for c in curves]
    count, height = number(mean_count(curves)), spread(barriers, ".2g")
    return f"{classes_in_words(curves)}, mean count {count}, barriers of {height} nats"


def _peaks(record: Record) -> str:
    parts = []
    for epoch in sorted({c.fields["epoch"] for c in record.curves("mined")}):
        found = record.curves("mined", epoch=epoch)
        height = spread([peak_height(c.at, c.loss) for c in found], ".2g")
        null = [peak_height(c.at, c.loss) for c in record.curves("null-peak", epoch=epoch)]
        against = f" against {spread(null, '.2g')} for the best random direction" if null else ""
        parts.append(f"at E = {epoch:.0f} {classes_in_words(found)}, peaks of {height} nats{against}")
    if not parts:
        return ""
    means = [[float(np.nanmean(v)) for v in record.of_each(f"overlap_{end}")] for end in ("negative", "positive")]
    if all(means):
        parts.append(f"mean |cos| {spread(means[0], '.2g')} with N.E. and {spread(means[1], '.2g')} with P.E.")
    return "; ".join(parts)


def _triples(record: Record) -> str:
    curves = record.curves("triple")
    if not curves:
        return ""
    wells = [c for c in curves if c.shape.label == "vvv-basin"]
    told = f"vvv-basin on {len(wells)} of {len(curves)} curves; "
    best = max(curves, key=lambda c: middle_well(c.at, c.loss))
    depth = middle_well(best.at, best.loss)
    if depth <= 0:
        return f"{told}none has a middle well"
    where = f"\u03b1 = {best.fields['alpha']:g}, \u03b3 = {best.fields['gamma']:g}"
    return f"{told}the deepest middle well is {number(depth, '.2g')} nats deep, at {where}"


def _planes(record: Record) -> str:
    groups = groups_of(record)
    if not groups:
        return ""
    cosines = [abs(p.fields["cosine"]) for g in groups for p in g]
    pairs = {(g[0].fields["first"], g[0].fields["second"]) for g in groups}
    again = sum(g[0].fields["orthogonalised"] == 1 for g in groups)
    named = "one pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    slices = [axis_class(p, axis) for g in groups for p in g for axis in (0, 1)]
    found = ", ".join(f"{label} on {slices.count(label)}" for label in LABELS if label in slices)
    return (
        f"{named} of directions, |cos| up to {number(max(cosines), '.2g')}, {again} drawn again orthogonal; of "
        f"{len(slices)} slices along an axis {found}"
    )


def _epochs(record: Record) -> str:
    kept = sorted({c.fields["epoch"] for c in gaussian_all(record)})
    return _over([(f"E = {e:.0f}", gaussian_curves(record, epoch=e)) for e in kept])


def _scales(record: Record) -> str:
    views = sorted({c.fields["scale"] for c in gaussian_curves_of_final(record)})
    return _over([(f"s = {s:g}", gaussian_curves(record, scale=s)) for s in views])


def _normalisations(record: Record) -> str:
    views = sorted({c.fields["scale"] for c in gaussian_curves_of_final(record)})
    cells = [
        (f"{n} at s = {s:g}", gaussian_curves(record, normalize=n, scale=s)) for n in NORMALISATIONS for s in views
    ]
    return _over([(name, curves) for name, curves in cells if curves])


def _counts(record: Record) -> str:
    found = agreement(record)
    if found is None:
        return ""
    points = len(record.curves("gaussian-fine")[0].at)
    return (
        f"a mean count of {number(found.coarse_count)} on {points // 2 + 1} points and {number(found.fine_count)} on "
        f"{points}; {found.label}, the same over seeds and on both grids for {percent([found.value])} of curves"
    )


def _off(record: Record) -> str:
    shares = [value for g in told_planes(record) for p in g for value in p.off.values()]
    return f"{percent(shares)} of the way to a checkpoint stands perpendicular to a plane" if shares else ""


LEADS: dict[str, str] = {
    "MINE-F01": "Five classes of curves, each with an example.",
    "MINE-F02": "Loss along Gaussian directions under several conditions.",
    "MINE-F03": "Loss along Gaussian directions of networks without shortcuts.",
    "MINE-F04": "Loss along the negative gradient and towards a later checkpoint.",
    "MINE-F05": "Histograms of angles to descent directions.",
    "MINE-F06": "Loss along the negative gradient and along the best Gaussian of the same length, ten times as far.",
    "MINE-F07": "Loss on the line between two independently trained networks.",
    "MINE-F08": "Loss along the eigenvectors of the largest (P.E.) and smallest (N.E.) eigenvalues.",
    "MINE-F09": "Loss along the directions that Algorithm 1 found, and their overlap with the eigenvectors.",
    "MINE-F10": "Loss on the line from a trained network to the one that Algorithm 2 found.",
    "MINE-F11": "Loss over planes of pairs of eigenvectors.",
    "MINE-F12": "Loss over planes of two directions.",
    "MINE-F13": "Density of the Hessian's eigenvalues, and histograms of the loss change under Gaussian noise.",
    "MINE-F14": "Loss on the way into a trained network, with local quadratics at eleven points.",
    "MINE-A15": "Loss along Gaussian directions at every checkpoint.",
    "MINE-B16": "Loss along Gaussian directions at several view scales.",
    "MINE-B17": "Loss along Gaussian directions by view scale and normalisation.",
    "MINE-X01": "Second differences of the loss against their step, beside the curvature that the Hessian gives.",
    "MINE-X02": "Stationary points of the same curves counted on two grids.",
    "MINE-X03": "How much of the way to each checkpoint is not on a plane.",
}
SENTENCES: dict[str, Callable[[Record], str]] = {
    "MINE-F02": _conditions,
    "MINE-F03": _ragged,
    "MINE-F04": _descents,
    "MINE-F05": _angles,
    "MINE-F06": _best,
    "MINE-F07": _independent,
    "MINE-F08": eigen_curves,
    "MINE-F09": _peaks,
    "MINE-F10": _triples,
    "MINE-F11": eigen_planes,
    "MINE-F12": _planes,
    "MINE-F13": changes,
    "MINE-F14": interpolations,
    "MINE-A15": _epochs,
    "MINE-B16": _scales,
    "MINE-B17": _normalisations,
    "MINE-X01": kinks,
    "MINE-X02": _counts,
    "MINE-X03": _off,
}
