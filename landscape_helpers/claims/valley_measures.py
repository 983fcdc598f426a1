r"""Measures of the loss between consecutive iterates of a walk: floors, heights and barriers.

Which updates a number is taken over is said as the paper says it: the updates ``start`` (included) to ``end`` (not
included) of those that follow the beginning of an ``epoch``; without ``end``, all that the run sampled there. Shares
and not counts are compared, for an epoch of fewer images has fewer updates (WALK-Q06).
"""

from __future__ import annotations

import json

import numpy as np

from ..shapes import valley
from .record import Array, NotRecorded, Record, mean, median
from .registry import register

UPDATES = 450  # an epoch of Table 1


def updates_per_epoch(r: Record) -> int:
    return int(r.dataset.attrs["iterations_per_epoch"])


def first_update(r: Record, epoch: float) -> int:
    """The update that begins an epoch, both as the paper counts them: epochs from 1, updates from 0."""
    return round((epoch - 1) * updates_per_epoch(r))


def sampled(r: Record, epoch: int, start: int = 0, end: int | None = None) -> Array:
    """Positions along ``update`` of a part of an epoch's window.

    Raises:
        NotRecorded: the run did not sample all of it.
    """
    if end is None:
        lengths = [int(n) for e, n in json.loads(r.dataset.attrs["parameters"])["windows"] if e == epoch]
        if not lengths:
            raise NotRecorded(f"the run has no losses between the iterates of epoch {epoch}")
        end = max(lengths)
    updates = r["update"]
    begin = first_update(r, epoch)
    found = np.flatnonzero((updates >= begin + start) & (updates < begin + end))
    if len(found) < end - start:
        raise NotRecorded(f"the run sampled {len(found)} of the updates {start} to {end} from epoch {epoch}")
    return found


def losses(r: Record, epoch: int, start: int = 0, end: int | None = None) -> Array:
    """(updates, points) of a part of an epoch's window."""
    return r["step_loss"][sampled(r, epoch, start, end)]


@register
def interior_share(r: Record, *, epoch: int = 1, start: int = 0, end: int | None = None) -> float:
    """Share of updates whose floor lies inside the step, below both ends (WALK-D05)."""
    return mean(valley.interior(losses(r, epoch, start, end)).astype(float))


@register
def floor_rise_share(r: Record, *, epoch: int = 1, start: int = 0, end: int | None = None) -> float:
    """Share of updates whose floor is higher than that of the update before (WALK-D09)."""
    floors = valley.floor(losses(r, epoch, start, end))
    return mean(valley.floor_rises(floors).astype(float))


@register
def smallest_fit(r: Record, *, epoch: int = 1, start: int = 0, end: int | None = None) -> float:
    """Of all updates the smallest R^2 of a parabola through the losses along the step."""
    quality, _, _ = valley.quadratic_fit(r["alpha"], losses(r, epoch, start, end))
    return float(np.min(quality))


@register
def mean_height(r: Record, *, epoch: int, start: int = 0, end: int | None = None, inside: bool = False) -> float:
    """Mean height above the floor (WALK-D06), in nats.

    Args:
        inside: only of updates with an interior floor; of the others the height is half the change of the loss
            (WALK-Q17).
    """
    sample = losses(r, epoch, start, end)
    heights = valley.height(sample)
    return mean(heights[valley.interior(sample)] if inside else heights)


@register
def barrier_share(
    r: Record, *, epoch: int = 1, start: int = 0, end: int | None = None, tolerance: float = 0.0
) -> float:
    """Share of updates that cross a barrier: an interior loss above both ends (WALK-D07, WALK-Q01).

    Args:
        tolerance: how much above, relative to the higher end.
    """
    return mean(valley.crossed(losses(r, epoch, start, end), tolerance).astype(float))


@register
def barriers_per_epoch(r: Record, *, epoch: int, tolerance: float = 0.0) -> float:
    """Barriers crossed in 450 updates at the share of the sampled ones, the unit of Table 1."""
    return UPDATES * barrier_share(r, epoch=epoch, tolerance=tolerance)


@register
def clear_epochs(r: Record, *, first: int = 1, last: int = 40) -> float:
    """Number of epochs in which no sampled update crosses a barrier."""
    return float(sum(not crossed.any() for crossed in _crossed(r, first, last)))


@register
def largest_barrier_share(r: Record, *, first: int = 1, last: int = 40, least: int = 40) -> float:
    """Of all epochs the largest share of sampled updates that cross a barrier.

    Args:
        least: epochs are taken together until they hold so many sampled updates; what is left at the end joins them.
            In an epoch of ten updates a single barrier would be a share of 10%, which no threshold below can judge.
    """
    groups: list[list[Array]] = [[]]
    for crossed in _crossed(r, first, last):
        groups[-1].append(crossed)
        if sum(map(len, groups[-1])) >= least:
            groups.append([])
    *whole, rest = groups
    if whole:
        whole[-1] += rest
    return max(mean(np.concatenate(group).astype(float)) for group in (whole or [rest]))


@register
def barrier_height_ratio(r: Record, *, first: int = 1, last: int = 40) -> float:
    """Median height of the barriers crossed (WALK-D08) relative to the loss before the update; 0 without a barrier."""
    sample = r["step_loss"][_between(r, first, last)]
    crossed = valley.crossed(sample)
    ratios = valley.barrier_height(sample)[crossed] / sample[crossed, 0]
    return median(ratios) if len(ratios) else 0.0


@register
def height_error(r: Record, *, by: str, epoch: int = 1, start: int = 0, end: int | None = None) -> float:
    r"""Median relative error of the height that a quadratic valley would have.

    Args:
        by: "gradients": from the rate, the norms and the cosine of consecutive full-batch gradients; "slopes": from
            the slopes of the full loss along the step, for any step.
    """
    rows = sampled(r, epoch, start, end)
    measured = valley.height(r["step_loss"][rows])
    if by == "slopes":
        predicted = valley.predicted_height_from_slopes(r["slope_start"][rows], r["slope_end"][rows])
    elif by == "gradients":
        steps = r["update"][rows].astype(int)
        norm, rate = r["gradient_norm"], r["learning_rate"]
        predicted = valley.predicted_height(rate[steps], norm[steps], norm[steps + 1], r["cosine"][steps + 1])
    else:
        raise ValueError(f"by must be 'gradients' or 'slopes', got {by!r}")
    with np.errstate(divide="ignore", invalid="ignore"):
        return median(np.abs(predicted / measured - 1))


def _between(r: Record, first: int, last: int) -> Array:
    """Positions along ``update`` of everything sampled from the first to the last epoch, both included."""
    updates = r["update"]
    return np.flatnonzero((updates >= first_update(r, first)) & (updates < first_update(r, last + 1)))


def _crossed(r: Record, first: int, last: int) -> list[Array]:
    """By epoch which of the sampled updates cross a barrier.

    Raises:
        NotRecorded: an epoch of which no update was sampled.
    """
    held = []
    for epoch in range(first, last + 1):
        rows = _between(r, epoch, epoch)
        if not len(rows):
            raise NotRecorded(f"the run has no losses between the iterates of epoch {epoch}")
        held.append(valley.crossed(r["step_loss"][rows]))
    return held
