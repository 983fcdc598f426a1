"""Measures of the classes of curves and of their stationary points, one by one and by panel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..shapes import classify, count_stationary
from .record import Array, Record
from .registry import register, register_selecting
from .slices import CURVE_SELECTORS, Curve, as_list, curves, panels, random_guess

_selecting = register_selecting(*CURVE_SELECTORS)


@_selecting
def curve_count(r: Record, **selection: Any) -> float:
    """Number of the selected curves."""
    return float(len(curves(r, **selection)))


@_selecting
def class_count(r: Record, *, label: str, **selection: Any) -> float:
    """Number of curves of a class; a w-peak may be weak."""
    return float(sum(_is(curve, label) for curve in curves(r, **selection)))


@_selecting
def share_of_class(r: Record, *, label: str, **selection: Any) -> float:
    """Share of the curves that are of a class; a w-peak may be weak."""
    return _share([_is(curve, label) for curve in curves(r, **selection)])


@_selecting
def smallest_panel_share(r: Record, *, label: str, **selection: Any) -> float:
    """Of all panels the smallest share of curves of a class."""
    return min(_share([_is(curve, label) for curve in panel]) for panel in panels(r, **selection))


@_selecting
def panels_below(r: Record, *, label: str, share: float, **selection: Any) -> float:
    """Number of panels in which less than a share of the curves is of a class."""
    shares = [_share([_is(curve, label) for curve in panel]) for panel in panels(r, **selection)]
    return float(sum(s < share for s in shares))


@_selecting
def panel_count(r: Record, **selection: Any) -> float:
    """Number of panels: curves that differ in their draw only stand in one."""
    return float(len(panels(r, **selection)))


@_selecting
def panels_with_count(r: Record, *, count: float, **selection: Any) -> float:
    """Number of panels with this mean count of stationary points, the number that the paper prints in brackets."""
    return float(sum(_mean_count(panel) == count for panel in panels(r, **selection)))


@_selecting
def largest_panel_mean(r: Record, **selection: Any) -> float:
    """Of all panels the largest mean count of stationary points."""
    return max(_mean_count(panel) for panel in panels(r, **selection))


@_selecting
def mean_stationary_points(r: Record, **selection: Any) -> float:
    """Mean count of stationary points (MINE-D10)."""
    return _mean_count(curves(r, **selection))


@_selecting
def count_with(r: Record, *, count: int | list[int], **selection: Any) -> float:
    """Number of curves with one of these counts of stationary points."""
    return float(sum(len(c.stationary) in as_list(count) for c in curves(r, **selection)))


@_selecting
def share_with_count(r: Record, *, count: int | list[int], **selection: Any) -> float:
    """Share of the curves with one of these counts of stationary points."""
    return _share([len(c.stationary) in as_list(count) for c in curves(r, **selection)])


@_selecting
def count_exceeding(r: Record, *, count: int, **selection: Any) -> float:
    """Number of curves with more stationary points than ``count`` after cutting losses off at log C."""
    ceiling = random_guess(r)
    return float(sum(count_stationary(np.fmin(c.loss, ceiling)) > count for c in curves(r, **selection)))


@_selecting
def extra_points(r: Record, *, besides: str = "origin", **selection: Any) -> float:
    """Number of stationary points besides the one at the "origin" (to one grid step) or besides the "lowest"."""
    return float(sum(len(_extra(c, besides)) for c in curves(r, **selection)))


@_selecting
def extra_points_above_guess(
    r: Record, *, besides: str = "origin", near_chance: float | None = None, **selection: Any
) -> float:
    """Number of the :func:`extra_points` that lie above log C.

    Args:
        near_chance: count also those of a checkpoint whose test accuracy is at most this many times 1 / C.
    """
    guess = random_guess(r)
    total = 0
    for curve in curves(r, **selection):
        extra = _extra(curve, besides)
        poor = near_chance is not None and _accuracy(r, curve) <= near_chance * math.exp(-guess)
        total += len(extra) if poor else int(np.count_nonzero(~(curve.loss[extra] <= guess)))
    return float(total)


@_selecting
def share_argmin_at_zero(r: Record, **selection: Any) -> float:
    """Share of the curves with one stationary point whose lowest loss is at the origin, to one grid step."""
    single = [c for c in curves(r, **selection) if len(c.stationary) == 1]
    return _share([c.is_at_origin(int(np.nanargmin(c.loss))) for c in single]) if single else math.nan


@_selecting
def distinct_values(r: Record, *, of: str, **selection: Any) -> float:
    """How many values of a field, such as "scale", the selected curves have."""
    return float(len({c.fields[of] for c in curves(r, **selection)}))


@register
def share_unchanged_when_refined(r: Record) -> float:
    """Share of the curves on the finer grid that have the class and the count of the same curve on the plain grid."""
    fine = curves(r, family="gaussian-fine")
    plain = {c.fields["draw"]: c for c in panels(r, family="gaussian")[0]}  # the finer grid repeats the first panel
    pairs = [(c, plain[c.fields["draw"]]) for c in fine]
    return _share([a.shape.label == b.shape.label and len(a.stationary) == len(b.stationary) for a, b in pairs])


@register
def synthetic_labels_right(r: Record) -> float:
    """Number of classes that the classifier recognises in their :func:`synthetic_curves`, on the run's own grids."""
    return float(sum(classify(at, loss) == label for label, (at, loss) in synthetic_curves(_points(r)).items()))


@register
def synthetic_count(r: Record, *, label: str) -> float:
    """Count of stationary points of the synthetic curve of a class."""
    return float(count_stationary(synthetic_curves(_points(r))[label][1]))


def synthetic_curves(points: int) -> dict[str, tuple[Array, Array]]:
    """One curve of each class in the view in which the paper shows it: polynomials and cosines of known extrema."""
    narrow, middle = np.linspace(-1, 1, points), np.linspace(-0.5, 1.5, points)
    wide = np.linspace(-1, 2, 3 * (points - 1) // 2 + 1)
    return {
        "v-basin": (narrow, narrow**2),
        "v-side": (narrow, (narrow - 0.6) ** 2),
        "w-basin": (wide, (wide * (wide - 1)) ** 2),
        "w-peak": (narrow, (narrow**2 - 0.25) ** 2),
        "vvv-basin": (middle, (middle * (middle - 0.5) * (middle - 1)) ** 2),
    }


def _points(r: Record) -> int:
    return len(curves(r, family="gaussian")[0].at)


def _is(curve: Curve, label: str) -> bool:
    return curve.shape.label == label


def _share(truths: list[bool]) -> float:
    return float(np.mean(truths))


def _mean_count(group: list[Curve]) -> float:
    return float(np.mean([len(c.stationary) for c in group]))


def _extra(curve: Curve, besides: str) -> Array:
    """Indices of the stationary points but one."""
    points = curve.stationary
    if besides == "origin":
        near = [i for i in points if curve.is_at_origin(int(i))]
        main = min(near, key=lambda i: abs(curve.at[i]), default=None)
    elif besides == "lowest":
        main = min(points, key=lambda i: curve.loss[i], default=None)
    else:
        raise ValueError(f"besides must be 'origin' or 'lowest', got {besides!r}")
    return points if main is None else points[points != main]


def _accuracy(r: Record, curve: Curve) -> float:
    found = np.isclose(r["epoch"], float(curve.fields["epoch"]))
    return float(r["test_accuracy"][found][0])
