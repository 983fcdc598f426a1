r"""Numbers that claims are decided on: each a function of one run's record and keyword arguments.

:math:`\bar\mu_k` is the windowed correlation (GO-D04), trailing, so that it exists from step 4 on; *oscillating* means
:math:`\bar\mu_k<0`. One epoch is one step. A number that does not exist, such as the epoch of a turn that never comes,
is NaN, and no predicate is satisfied by it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .phases import phases
from .record import Array, NotRecorded, Record, mean, median, pearson, ranks

Measure = Callable[..., float]
MEASURES: dict[str, Measure] = {}
DIRECTIONS = {"up": 1, "down": -1}
REDUCE: dict[str, Callable[..., Any]] = {"min": np.nanmin, "max": np.nanmax, "median": np.nanmedian}


def _register(function: Measure) -> Measure:
    MEASURES[function.__name__] = function
    return function


def measure(name: str, record: Record, **arguments: Any) -> float:
    """The number that the measure ``name`` takes from ``record``.

    Raises:
        ValueError: an unknown measure, or arguments it does not take.
        NotRecorded: the run does not hold the quantity.
    """
    check_arguments(name, arguments)
    return float(MEASURES[name](record, **arguments))


def check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise ValueError where the measure does not exist or does not take these arguments."""
    if name not in MEASURES:
        raise ValueError(f"unknown measure {name!r}: expected one of {', '.join(sorted(MEASURES))}")
    try:
        inspect.signature(MEASURES[name]).bind(None, **arguments)
    except TypeError as error:
        raise ValueError(f"measure {name}: {error}") from error


# The loss


@_register
def loss_at(r: Record, *, epoch: float) -> float:
    """Training loss at an epoch, in nats; NaN where the run ended before."""
    return float(r["loss"][int(epoch)]) if r.reaches(int(epoch)) else math.nan


@_register
def largest_loss_increase(r: Record) -> float:
    """max over k of L(k+1) - L(k); negative where the loss falls at every step."""
    loss = r["loss"]
    return float(np.diff(loss).max()) if len(loss) > 1 else math.nan


@_register
def decrease_share(r: Record, *, smoothed: bool = False) -> float:
    r"""Share of the loss decrease made while oscillating (GO-D10).

    .. math:: R=\frac{\sum_{k:\bar\mu_k<0}(L_k-L_{k+1})}{L_0-L_K}

    The first h - 1 steps have no :math:`\bar\mu_k` and count as not oscillating. R can leave [0, 1]: single steps of an
    oscillating run raise the loss. NaN where the loss did not decrease at all.

    Args:
        smoothed: replace the loss by its trapezoidal mean over three points, :math:`(L_{k-1}+2L_k+L_{k+1})/4`
            (ends kept), which takes out exactly the period-2 bounce.
    """
    loss, correlation = r["loss"], r["windowed_correlation"]
    if smoothed and len(loss) > 2:
        loss = np.concatenate([loss[:1], (loss[:-2] + 2 * loss[1:-1] + loss[2:]) / 4, loss[-1:]])
    oscillating = correlation[:-1] < 0
    return _ratio(float(-np.diff(loss)[oscillating].sum()), float(loss[0] - loss[-1]))


@_register
def decrease_share_between(r: Record, *, start: float, end: float | None = None) -> float:
    r"""Share of the loss decrease between two epochs, :math:`(L_a-L_b)/(L_0-L_K)`; to the end where ``end`` is None."""
    loss, steps = r["loss"], r.window(start, end)
    if steps.stop <= steps.start:
        return math.nan
    return _ratio(float(loss[steps.start] - loss[steps.stop - 1]), float(loss[0] - loss[-1]))


# The correlation


@_register
def mean_correlation(
    r: Record,
    *,
    start: float | None = None,
    end: float | None = None,
    first: float | None = None,
    last: float | None = None,
    layer: str | None = None,
) -> float:
    """Mean windowed correlation over epochs, or the first or last share of the run; of one layer if named."""
    return mean(_curve(r, layer)[r.window(start, end, first, last)])


@_register
def min_correlation(r: Record, *, start: float | None = None, end: float | None = None) -> float:
    """Smallest windowed correlation over a window of epochs."""
    values = _curve(r)[r.window(start, end)]
    return float(np.nanmin(values)) if np.isfinite(values).any() else math.nan


@_register
def oscillating_share(r: Record, *, below: float = 0.0, layer: str | None = None) -> float:
    """Share of the steps with a windowed correlation at which it lies below a value."""
    curve = _curve(r, layer)
    return mean((curve[np.isfinite(curve)] < below).astype(float))


@_register
def transition_epoch(r: Record, *, direction: str) -> float:
    """Epoch of the first lasting sign change (GO-D11, see :mod:`.phases`), "up" (- to +) or "down" (+ to -)."""
    return _turn(_curve(r), direction)


@_register
def lasting_changes(r: Record) -> float:
    """Number of lasting sign changes, in either direction."""
    return float(len(phases(_curve(r)).changes))


@_register
def opening_sign(r: Record) -> float:
    """Sign of the first phase."""
    return float(phases(_curve(r)).opening or math.nan)


@_register
def closing_sign(r: Record) -> float:
    """Sign of the last phase."""
    return float(phases(_curve(r)).closing or math.nan)


@_register
def phase_mean(r: Record, *, direction: str, side: str) -> float:
    """Mean windowed correlation "before" or "after" (to the end) the first lasting change; NaN where there is none."""
    curve = _curve(r)
    turn = _turn(curve, direction)
    if side not in ("before", "after"):
        raise ValueError(f"side must be 'before' or 'after', got {side!r}")
    if math.isnan(turn):
        return math.nan
    k = int(turn)
    return mean(curve[:k] if side == "before" else curve[k:])


@_register
def matrix_entries(r: Record, *, epoch: float, reduce: str, lag: int | None = None) -> float:
    """Smallest or largest entry of the correlation matrix at an epoch (GO-D05): off-diagonal, or at one lag."""
    epochs, matrix = list(r["epoch"]), r["matrix"]
    if epoch not in epochs:
        if not r.reaches(int(epoch) + matrix.shape[-1] - 1):
            return math.nan  # the run ended before the window was full
        raise NotRecorded(f"no correlation matrix was recorded at epoch {epoch:,}")
    m = matrix[epochs.index(epoch)]
    distance = np.abs(np.subtract.outer(np.arange(len(m)), np.arange(len(m))))
    return float(REDUCE[reduce](m[distance > 0 if lag is None else distance == lag]))


@_register
def sharpness_ratio(r: Record, *, phase: str) -> float:
    r"""Median of :math:`\eta\lambda_{\max}/2` over the stops that are "oscillating" or "stable" (all others)."""
    if "sharpness" not in r.dataset or not r.dataset.sizes.get("stop"):
        raise NotRecorded("the sharpness was not measured")
    if phase not in ("oscillating", "stable"):
        raise ValueError(f"phase must be 'oscillating' or 'stable', got {phase!r}")
    stops, curve = r["stop"].astype(int), _curve(r)
    known = np.isfinite(curve[stops])
    wanted = known & ((curve[stops] < 0) == (phase == "oscillating"))
    return median(r["sharpness"][wanted]) * float(r.dataset.attrs["learning_rate"]) / 2


# The layers


@_register
def layer_mean_correlation(r: Record, *, start: float, end: float, reduce: str, layers: str = "all") -> float:
    """Smallest or largest, over layers, of the mean windowed correlation in a window of epochs."""
    curves = r["layer_windowed_correlation"][r.window(start, end)]
    return _reduce(reduce, [mean(curves[:, i]) for i in r.layer_indices(layers)])


@_register
def sign_agreement(r: Record, *, layers: str = "all", reference: str = "global") -> float:
    """Smallest, over layers, share of epochs at which the layer's windowed correlation has the reference's sign.

    Args:
        reference: "global", or a layer such as "first".
    """
    curves = r["layer_windowed_correlation"]
    against = _curve(r, None if reference == "global" else reference)
    shares = []
    for i in r.layer_indices(layers):
        known = np.isfinite(curves[:, i]) & np.isfinite(against)
        shares.append(mean((np.sign(curves[known, i]) == np.sign(against[known])).astype(float)))
    return _reduce("min", shares)


@_register
def dot_ratio(r: Record, *, numerator: str = "first", denominator: str = "last") -> float:
    """Median over epochs of |dot| of one layer over |dot| of another (GO-D07)."""
    dots = np.abs(r["layer_dot"])
    (a,), (b,) = r.layer_indices(numerator), r.layer_indices(denominator)
    return median(_divide(dots[:, a], dots[:, b]))


@_register
def largest_dot_ratio(r: Record, *, layers: str = "all") -> float:
    """Largest, over ordered pairs of layers, median over epochs of the ratio of their |dot|; 1 for equal layers."""
    chosen = r.layer_indices(layers)
    dots = np.abs(r["layer_dot"][:, chosen])
    n = len(chosen)
    return _reduce("max", [median(_divide(dots[:, i], dots[:, j])) for i in range(n) for j in range(n) if i != j])


@_register
def layer_sum_error(r: Record) -> float:
    r"""Largest relative error of the sum identity, :math:`\max_k |\sum_l p^{(l)}_k - p_k| / \sum_l |p^{(l)}_k|`.

    The scale is the sum's natural one: where layers cancel, the global dot product itself may be arbitrarily small
    while rounding is not.
    """
    dot, layer_dot = r["dot"], r["layer_dot"]
    error = _divide(np.abs(layer_dot.sum(1) - dot), np.abs(layer_dot).sum(1))
    return float(np.nanmax(error)) if np.isfinite(error).any() else math.nan


@_register
def layer_transition_spread(r: Record, *, direction: str, layers: str = "all") -> float:
    """Epochs between the first and the last layer's turn; NaN where a layer does not turn."""
    turns = [_turn(r["layer_windowed_correlation"][:, i], direction) for i in r.layer_indices(layers)]
    return max(turns) - min(turns) if not any(map(math.isnan, turns)) else math.nan


@_register
def single_change_share(r: Record, *, direction: str, layers: str = "all") -> float:
    """Share of layers with exactly one lasting sign change, in this direction."""
    sign = _sign(direction)
    found = [phases(r["layer_windowed_correlation"][:, i]).changes for i in r.layer_indices(layers)]
    return mean(np.array([float(len(c) == 1 and c[0].sign == sign) for c in found]))


@_register
def first_dominance(r: Record, *, direction: str) -> float:
    """Median, over the epochs after the global turn, of the first layer's |dot| over the largest of the others."""
    turn = _turn(_curve(r), direction)
    if math.isnan(turn):
        return math.nan
    dots = np.abs(r["layer_dot"][int(turn) :])
    return median(_divide(dots[:, 0], dots[:, 1:].max(1)))


@_register
def first_largest_share(r: Record) -> float:
    """Share of epochs at which the first layer's |dot| is the largest of all."""
    dots = np.abs(r["layer_dot"])
    known = np.isfinite(dots).all(1)
    return mean((dots[known].argmax(1) == 0).astype(float))


@_register
def layer_pearson(r: Record, *, layer: str) -> float:
    """Pearson's r, over epochs, between the windowed correlation of a layer and of the whole network."""
    return pearson(_curve(r, layer), _curve(r))


@_register
def layer_gap(r: Record) -> float:
    """Mean windowed correlation of the last layer minus that of the first, over the oscillating epochs."""
    oscillating = _curve(r) < 0
    return mean(_curve(r, "last")[oscillating]) - mean(_curve(r, "first")[oscillating])


@_register
def depth_order(r: Record) -> float:
    """Spearman's rank correlation between a layer's depth and its mean windowed correlation."""
    curves = r["layer_windowed_correlation"]
    means = np.array([mean(curves[:, i]) for i in r.layer_indices("all")])
    known = np.isfinite(means)
    return pearson(ranks(np.flatnonzero(known).astype(float)), ranks(means[known]))


def _curve(r: Record, layer: str | None = None) -> Array:
    if layer is None:
        return r["windowed_correlation"]
    (i,) = r.layer_indices(layer)
    return r["layer_windowed_correlation"][:, i]


def _turn(curve: Array, direction: str) -> float:
    step = phases(curve).first_change(_sign(direction))
    return math.nan if step is None else float(step)


def _sign(direction: str) -> int:
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be 'up' (- to +) or 'down' (+ to -), got {direction!r}")
    return DIRECTIONS[direction]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 and math.isfinite(whole) else math.nan


def _divide(a: Array, b: Array) -> Array:
    result = np.full(np.shape(a), np.nan)
    np.divide(a, b, out=result, where=np.isfinite(b) & (b > 0))
    return result


def _reduce(how: str, values: list[float]) -> float:
    """The extreme value; NaN as soon as one layer has none, so that "every layer" cannot hold by omission."""
    return math.nan if not values or any(map(math.isnan, values)) else float(REDUCE[how](values))
