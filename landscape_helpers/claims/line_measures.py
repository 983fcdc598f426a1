"""Measures of where curves rise and fall: slopes, decreases, peaks, wells, interpolations, angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..shapes import barrier_height, peak_height
from .record import Array, NotRecorded, Record
from .registry import REDUCE, extreme, ratio_of, register, register_selecting
from .slices import CURVE_SELECTORS, Curve, as_list, checkpoint_value, curves, strings

_selecting = register_selecting(*CURVE_SELECTORS)


@register
def checkpoint_accuracy(r: Record, *, epoch: float, of: str = "test") -> float:
    """Accuracy at a checkpoint, "test" or "train"."""
    return checkpoint_value(r, f"{of}_accuracy", epoch)


# Slopes and decreases


@_selecting
def largest_slope(r: Record, **selection: Any) -> float:
    r"""Of the selected curves the largest slope :math:`g^T\epsilon` at the origin."""
    return extreme("max", [float(c.fields["slope"]) for c in curves(r, **selection)])


@_selecting
def largest_change(r: Record, *, at: float, **selection: Any) -> float:
    r"""Of the selected curves the largest :math:`L(\lambda)-L(0)` at one :math:`\lambda`."""
    return extreme("max", [float(np.interp(at, c.at, c.loss)) - _at_origin(c) for c in curves(r, **selection)])


@_selecting
def smallest_decrease(r: Record, **selection: Any) -> float:
    r"""Of the selected curves the smallest :math:`L(0)-\min L`."""
    return extreme("min", [_decrease(c) for c in curves(r, **selection)])


@register
def largest_decrease_ratio(r: Record) -> float:
    """Of all views the largest decrease along the best Gaussian relative to that along the negative gradient."""
    gradients = {(c.fields["epoch"], c.fields["scale"]): _decrease(c) for c in curves(r, family="gradient-view")}
    ratios = [
        ratio_of(_decrease(c), gradients[c.fields["epoch"], c.fields["scale"]])
        for c in curves(r, family="best-gaussian")
    ]
    return extreme("max", ratios)


# Peaks and wells


@_selecting
def mean_peak_height(r: Record, *, relative: bool = False, **selection: Any) -> float:
    """Mean height of the peak at the origin (MINE-D39, the lower side), in nats or relative to the loss there."""
    heights = [_height(c) / (_at_origin(c) if relative else 1.0) for c in curves(r, **selection)]
    return float(np.mean(heights))


@_selecting
def share_between_wells(r: Record, *, tolerance: float, **selection: Any) -> float:
    """Share of the curves whose extrema are a minimum near 0, a maximum between 0 and 1 and a minimum near 1."""
    return _share_with_wells(curves(r, **selection), (0.0, 1.0), tolerance)


@_selecting
def share_of_three_wells(r: Record, *, tolerance: float, **selection: Any) -> float:
    """Share of the curves whose minima lie near 0, 0.5 and 1, with one maximum between each two."""
    return _share_with_wells(curves(r, **selection), (0.0, 0.5, 1.0), tolerance)


@_selecting
def share_with_one_barrier(r: Record, **selection: Any) -> float:
    """Share of the curves with exactly one local maximum between 0 and 1."""
    counts = [sum(0 < place < 1 for place in c.shape.maxima) for c in curves(r, **selection)]
    return float(np.mean([count == 1 for count in counts]))


@_selecting
def largest_sag(r: Record, **selection: Any) -> float:
    r"""Of the selected curves the largest sag at the middle, relative to the barrier between 0 and 1.

    .. math:: \frac{\tfrac12[L(0.25)+L(0.75)]-L(0.5)}{\max_{[0,1]}(L-\text{chord})}

    Negative on a plain barrier that is highest in the middle, positive with a dip or a shoulder there.
    """
    sags = []
    for c in curves(r, **selection):
        left, middle, right = np.interp([0.25, 0.5, 0.75], c.at, c.loss)
        sags.append(ratio_of(float((left + right) / 2 - middle), barrier_height(c.at, c.loss)))
    known = [sag for sag in sags if not math.isnan(sag)]
    return max(known, default=math.nan)


# Interpolations (MINE-D37): eleven centres with slope and curvature along the way


@register
def most_rising_steps(r: Record, *, kind: str) -> float:
    """Of the curves of a kind, "GMI" or "MLI", the largest number of steps towards the trained network that rise."""
    return float((np.diff(_interpolation(r, "loss", kind)) > 0).sum(1).max())


@register
def fewest_falling_segments(r: Record, *, kind: str) -> float:
    """Of the curves of a kind the smallest number of local quadratics that fall over their window."""
    return float((_interpolation(r, "slope", kind) < 0).sum(1).min())


@register
def error_rank_at_start(r: Record, *, kind: str) -> float:
    r"""Rank of the local quadratic's error at the first centre, 1 the largest; the worst of the curves of a kind.

    The error is :math:`|q(\lambda+h)-L(\lambda+h)|` with h the half-width of the window.
    """
    h = float(r["interpolation_half_width"])
    loss, slope, curvature = (_interpolation(r, name, kind) for name in ("loss", "slope", "curvature"))
    errors = np.abs(loss + slope * h + curvature * h**2 / 2 - _interpolation(r, "ahead", kind))
    if not np.isfinite(errors).all():
        return math.nan
    return float(1 + (errors > errors[:, :1]).sum(1).max())


def _interpolation(r: Record, name: str, kind: str) -> Array:
    chosen = [held == kind for held in strings(r, "interpolation_kind")]
    if not any(chosen):
        raise NotRecorded(f"the run holds no interpolation of kind {kind}")
    return r[f"interpolation_{name}"][chosen]


# Angles (MINE-D23), in degrees


@register
def angle_extreme(r: Record, *, of: str | list[str], reduce: str) -> float:
    """The smallest ("min") or largest ("max") angle.

    Args:
        of: Gaussians with a way, "gradient", "later" or "final"; batch gradients with the way to the end, "descent".
    """
    return float(REDUCE[reduce](_angles(r, of)))


@register
def median_angle(r: Record, *, of: str | list[str]) -> float:
    """Median of the angles named as in :func:`angle_extreme`."""
    return float(np.median(_angles(r, of)))


@register
def angle_spread_ratio(r: Record, *, of: str | list[str]) -> float:
    r"""Standard deviation of the angles over the expected :math:`(180/\pi)/\sqrt P` degrees."""
    return float(np.std(_angles(r, of), ddof=1) / (math.degrees(1) / math.sqrt(_parameters(r))))


@register
def largest_angle_deviation(r: Record, *, of: str | list[str], parameters: int | None = None) -> float:
    r"""Largest deviation of an angle from 90 degrees.

    Args:
        parameters: P of a network that the deviation is brought up to, as it scales with :math:`1/\sqrt P`; a larger
            network is taken as it is.
    """
    scale = 1.0 if parameters is None else min(1.0, math.sqrt(_parameters(r) / parameters))
    return float(np.abs(_angles(r, of) - 90).max()) * scale


def _angles(r: Record, of: str | list[str]) -> Array:
    values = np.concatenate([r[f"angle_{name}"].ravel() for name in as_list(of)])
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise NotRecorded(f"the run holds no angles of {', '.join(as_list(of))}")
    return finite


def _parameters(r: Record) -> float:
    return float(r.dataset.attrs["model_parameters"])


def _at_origin(curve: Curve) -> float:
    return float(np.interp(0.0, curve.at, curve.loss))


def _decrease(curve: Curve) -> float:
    return _at_origin(curve) - float(np.fmin.reduce(curve.loss))


def _height(curve: Curve) -> float:
    return peak_height(curve.at, curve.loss) if math.isfinite(_at_origin(curve)) else math.nan


def _share_with_wells(chosen: list[Curve], places: tuple[float, ...], tolerance: float) -> float:
    return float(np.mean([_has_wells(c, places, tolerance) for c in chosen]))


def _has_wells(curve: Curve, places: tuple[float, ...], tolerance: float) -> bool:
    minima, maxima = curve.shape.minima, curve.shape.maxima
    if len(minima) != len(places) or len(maxima) != len(places) - 1:
        return False
    near = all(abs(found - place) <= tolerance for found, place in zip(minima, places, strict=True))
    # They alternate, so that each maximum lies between two minima; it must also lie between the two networks.
    return near and all(0 < place < 1 for place in maxima)
