"""Measures of the layers of a run, on their own and against each other."""

from __future__ import annotations

import math

import numpy as np

from .phases import phases
from .record import Record, mean, median, pearson, ranks
from .registry import curve_of, divide, extreme, register, sign_of, turn_of, turn_until


@register
def layer_mean_correlation(r: Record, *, start: float, end: float, reduce: str, layers: str = "all") -> float:
    """Smallest or largest, over layers, of the mean windowed correlation in a window of epochs."""
    curves = r["layer_windowed_correlation"][r.window(start, end)]
    return extreme(reduce, [mean(curves[:, i]) for i in r.layer_indices(layers)])


@register
def sign_agreement(r: Record, *, layers: str = "all", reference: str = "global") -> float:
    """Smallest, over layers, share of epochs at which the layer's windowed correlation has the reference's sign.

    Args:
        reference: "global", or a layer such as "first".
    """
    curves = r["layer_windowed_correlation"]
    against = curve_of(r, None if reference == "global" else reference)
    shares = []
    for i in r.layer_indices(layers):
        known = np.isfinite(curves[:, i]) & np.isfinite(against)
        shares.append(mean((np.sign(curves[known, i]) == np.sign(against[known])).astype(float)))
    return extreme("min", shares)


@register
def dot_ratio(r: Record, *, numerator: str = "first", denominator: str = "last") -> float:
    """Median over epochs of |dot| of one layer over |dot| of another (GO-D07)."""
    dots = np.abs(r["layer_dot"])
    (a,), (b,) = r.layer_indices(numerator), r.layer_indices(denominator)
    return median(divide(dots[:, a], dots[:, b]))


@register
def largest_dot_ratio(r: Record, *, layers: str = "all") -> float:
    """Largest, over ordered pairs of layers, median over epochs of the ratio of their |dot|; 1 for equal layers."""
    chosen = r.layer_indices(layers)
    dots = np.abs(r["layer_dot"][:, chosen])
    n = len(chosen)
    return extreme("max", [median(divide(dots[:, i], dots[:, j])) for i in range(n) for j in range(n) if i != j])


@register
def layer_sum_error(r: Record) -> float:
    r"""Largest relative error of the sum identity, :math:`\max_k |\sum_l p^{(l)}_k - p_k| / \sum_l |p^{(l)}_k|`.

    The scale is the sum's natural one: where layers cancel, the global dot product itself may be arbitrarily small
    while rounding is not.
    """
    dot, layer_dot = r["dot"], r["layer_dot"]
    error = divide(np.abs(layer_dot.sum(1) - dot), np.abs(layer_dot).sum(1))
    return float(np.nanmax(error)) if np.isfinite(error).any() else math.nan


@register
def layer_transition_spread(r: Record, *, direction: str, layers: str = "all") -> float:
    """Epochs between the first and the last layer's turn; NaN where a layer does not turn."""
    turns = [turn_of(r["layer_windowed_correlation"][:, i], direction) for i in r.layer_indices(layers)]
    return max(turns) - min(turns) if not any(map(math.isnan, turns)) else math.nan


@register
def single_change_share(r: Record, *, direction: str, layers: str = "all") -> float:
    """Share of layers with exactly one lasting sign change, in this direction."""
    sign = sign_of(direction)
    found = [phases(r["layer_windowed_correlation"][:, i]).changes for i in r.layer_indices(layers)]
    return mean(np.array([float(len(c) == 1 and c[0].sign == sign) for c in found]))


@register
def first_dominance(r: Record, *, direction: str, until: float | None = None) -> float:
    """Median, over the epochs after the global turn, of the first layer's |dot| over the largest of the others.

    NaN where there is no turn.

    Args:
        until: the epoch up to which a turn is awaited.

    Raises:
        NotRecorded: the run was planned to end before ``until`` and has not turned.
    """
    turn = turn_until(r, direction, until)
    if math.isnan(turn):
        return math.nan
    dots = np.abs(r["layer_dot"][int(turn) :])
    return median(divide(dots[:, 0], dots[:, 1:].max(1)))


@register
def first_largest_share(r: Record) -> float:
    """Share of epochs at which the first layer's |dot| is the largest of all."""
    dots = np.abs(r["layer_dot"])
    known = np.isfinite(dots).all(1)
    return mean((dots[known].argmax(1) == 0).astype(float))


@register
def layer_pearson(r: Record, *, layer: str) -> float:
    """Pearson's r, over epochs, between the windowed correlation of a layer and of the whole network."""
    return pearson(curve_of(r, layer), curve_of(r))


@register
def layer_gap(r: Record, *, until: float | None = None) -> float:
    """Mean windowed correlation of the last layer minus that of the first, over the oscillating epochs.

    NaN where there is none.

    Args:
        until: the epoch up to which oscillation is awaited.

    Raises:
        NotRecorded: the run was planned to end before ``until`` and has not oscillated.
    """
    oscillating = curve_of(r) < 0
    if until is not None and not oscillating.any():
        r.reaches(int(until))
    return mean(curve_of(r, "last")[oscillating]) - mean(curve_of(r, "first")[oscillating])


@register
def depth_order(r: Record) -> float:
    """Spearman's rank correlation between a layer's depth and its mean windowed correlation."""
    curves = r["layer_windowed_correlation"]
    means = np.array([mean(curves[:, i]) for i in r.layer_indices("all")])
    known = np.isfinite(means)
    return pearson(ranks(np.flatnonzero(known).astype(float)), ranks(means[known]))
