"""Measures of the loss, of the global correlation and of the sharpness of a run."""

from __future__ import annotations

import math

import numpy as np

from .phases import phases
from .record import Array, NotRecorded, Record, mean, median
from .registry import REDUCE, curve_of, ratio_of, register, turn_of, turn_until

# The loss


@register
def loss_at(r: Record, *, epoch: float) -> float:
    """Training loss at an epoch, in nats; NaN where the run ended before."""
    return float(r["loss"][int(epoch)]) if r.reaches(int(epoch)) else math.nan


@register
def largest_loss_increase(r: Record) -> float:
    """max over k of L(k+1) - L(k); negative where the loss falls at every step."""
    loss = r["loss"]
    return float(np.diff(loss).max()) if len(loss) > 1 else math.nan


@register
def decrease_share(r: Record, *, smoothed: bool = False) -> float:
    r"""Share of the loss decrease made while oscillating (GO-D10), the last value of :func:`decrease_under`.

    Args:
        smoothed: replace the loss by its trapezoidal mean over three points, :math:`(L_{k-1}+2L_k+L_{k+1})/4`
            (ends kept), which takes out exactly the period-2 bounce.
    """
    loss = r["loss"]
    if smoothed and len(loss) > 2:
        loss = np.concatenate([loss[:1], (loss[:-2] + 2 * loss[1:-1] + loss[2:]) / 4, loss[-1:]])
    return float(decrease_under(loss, r["windowed_correlation"])[-1])


def decrease_under(loss: Array, windowed: Array) -> Array:
    r"""Cumulative share of the total loss decrease made at steps whose windowed correlation is negative (GO-D10).

    .. math:: R_k=\frac{\sum_{j<k:\,\bar\mu_j<0}(L_j-L_{j+1})}{L_0-L_K}

    The first h - 1 steps have no :math:`\bar\mu_k` and count as not oscillating. R can leave [0, 1]: single steps of an
    oscillating run raise the loss.

    Args:
        loss: (K + 1,); NaN past the last recorded step.
        windowed: (K + 1,), :math:`\bar\mu`.

    Returns:
        (K + 1,) with 0 in front, NaN past the last recorded step, and all NaN where the loss did not decrease.
    """
    share = np.full(len(loss), np.nan)
    last = int(np.isfinite(loss).sum()) - 1
    if last < 1 or not loss[0] > loss[last]:
        return share
    made = np.where(windowed[:last] < 0, loss[:last] - loss[1 : last + 1], 0.0)
    share[0] = 0.0
    share[1 : last + 1] = np.cumsum(made) / (loss[0] - loss[last])
    return share


@register
def decrease_share_between(r: Record, *, start: float, end: float | None = None) -> float:
    r"""Share of the loss decrease between two epochs, :math:`(L_a-L_b)/(L_0-L_K)`; to the end where ``end`` is None."""
    loss, steps = r["loss"], r.window(start, end)
    if steps.stop <= steps.start:
        return math.nan
    return ratio_of(float(loss[steps.start] - loss[steps.stop - 1]), float(loss[0] - loss[-1]))


# The correlation


@register
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
    return mean(curve_of(r, layer)[r.window(start, end, first, last)])


@register
def min_correlation(r: Record, *, start: float | None = None, end: float | None = None) -> float:
    """Smallest windowed correlation over a window of epochs."""
    values = curve_of(r)[r.window(start, end)]
    return float(np.nanmin(values)) if np.isfinite(values).any() else math.nan


@register
def oscillating_share(r: Record, *, below: float = 0.0, layer: str | None = None) -> float:
    """Share of the steps with a windowed correlation at which it lies below a value."""
    curve = curve_of(r, layer)
    return mean((curve[np.isfinite(curve)] < below).astype(float))


@register
def transition_epoch(r: Record, *, direction: str, until: float | None = None) -> float:
    """Epoch of the first lasting sign change (GO-D11, see :mod:`.phases`), "up" (- to +) or "down" (+ to -).

    Args:
        until: the epoch up to which a change is accepted.

    Raises:
        NotRecorded: the run was planned to end before ``until`` and has not changed its sign: whether it would have
            is open.
    """
    return turn_until(r, direction, until)


@register
def lasting_changes(r: Record) -> float:
    """Number of lasting sign changes, in either direction."""
    return float(len(phases(curve_of(r)).changes))


@register
def opening_sign(r: Record) -> float:
    """Sign of the first phase."""
    return float(phases(curve_of(r)).opening or math.nan)


@register
def closing_sign(r: Record) -> float:
    """Sign of the last phase."""
    return float(phases(curve_of(r)).closing or math.nan)


@register
def phase_mean(r: Record, *, direction: str, side: str) -> float:
    """Mean windowed correlation "before" or "after" (to the end) the first lasting change; NaN where there is none."""
    curve = curve_of(r)
    turn = turn_of(curve, direction)
    if side not in ("before", "after"):
        raise ValueError(f"side must be 'before' or 'after', got {side!r}")
    if math.isnan(turn):
        return math.nan
    k = int(turn)
    return mean(curve[:k] if side == "before" else curve[k:])


@register
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


@register
def sharpness_ratio(r: Record, *, phase: str) -> float:
    r"""Median of :math:`\eta\lambda_{\max}/2` over the stops that are "oscillating" or "stable" (all others)."""
    if "sharpness" not in r.dataset or not r.dataset.sizes.get("stop"):
        raise NotRecorded("the sharpness was not measured")
    if phase not in ("oscillating", "stable"):
        raise ValueError(f"phase must be 'oscillating' or 'stable', got {phase!r}")
    stops, curve = r["stop"].astype(int), curve_of(r)
    known = np.isfinite(curve[stops])
    wanted = known & ((curve[stops] < 0) == (phase == "oscillating"))
    return median(r["sharpness"][wanted]) * float(r.dataset.attrs["learning_rate"]) / 2
