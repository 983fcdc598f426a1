"""Measures of a walk as a whole: cosines, distances, how it ends, and the Hessian's spectral norm along it."""

from __future__ import annotations

import math

import numpy as np

from .record import Array, NotRecorded, Record, mean, pearson, ranks
from .registry import register
from .valley_measures import first_update, updates_per_epoch

SMOOTHED = 5  # stops over which the spectral norm is averaged before its minimum is taken


@register
def mean_step_cosine(r: Record, *, epoch: int = 1, start: int = 0, end: int | None = None) -> float:
    """Mean cosine of consecutive gradients (WALK-D03) over the iterations ``start`` to ``end`` from an epoch on.

    Both are included; without ``end``, to the end of the run. An iteration's cosine is that with the one before.
    """
    cosine = r["cosine"]
    first = first_update(r, epoch)
    last = len(cosine) - 1 if end is None else first + end
    if last >= len(cosine):
        return _ended_early(r, last)
    return mean(cosine[first + start : last + 1])


@register
def distance_at(r: Record, *, step: int) -> float:
    """Distance from the initialisation after so many updates (WALK-D04)."""
    distance = r["distance"]
    return float(distance[step]) if step < len(distance) else _ended_early(r, step)


@register
def loss_after(r: Record, *, step: int) -> float:
    """Full training loss after so many updates, in nats."""
    steps, values = _full_losses(r)
    found = np.flatnonzero(steps == step)
    if not len(found):
        raise NotRecorded(f"the run holds no full loss after {step} updates")
    return float(values[found[0]])


@register
def distance_at_loss(r: Record, *, level: float) -> float:
    """Distance travelled when the full training loss first is at or below a level; NaN where it never is."""
    steps, values = _full_losses(r)
    below = np.flatnonzero(values <= level)
    return float(r["distance"][steps[below[0]]]) if len(below) else math.nan


@register
def final(r: Record, *, of: str) -> float:
    """The last value: of ``train_loss``, ``validation_accuracy``, ``theta_norm`` or ``distance``, for example."""
    values = r[of]
    if not values.size:
        raise NotRecorded(f"the run holds no {of}")
    return float(values[-1])


@register
def best(r: Record, *, of: str) -> float:
    """The largest value along the run."""
    return float(np.nanmax(r[of]))


# The Hessian's spectral norm, the larger size of its two extreme eigenvalues (WALK-D14, WALK-Q14)


@register
def mean_spectral_norm(r: Record, *, start: float, end: float) -> float:
    """Mean over the stops within epochs ``start`` to ``end``, both included; 0 is the initialisation."""
    epochs, norms = _spectral_norms(r)
    within = (epochs >= start) & (epochs <= end)
    if not within.any():
        raise NotRecorded(f"the spectral norm was not measured within epochs {start:g} to {end:g}")
    return mean(norms[within])


@register
def late_spectral_rise(r: Record) -> float:
    """Mean spectral norm over the last tenth of the run less the least value of its moving average."""
    epochs, norms = _spectral_norms(r)
    if len(norms) < SMOOTHED:
        raise NotRecorded(f"the spectral norm was measured {len(norms)} times, and its average takes {SMOOTHED}")
    smoothed = np.convolve(norms, np.full(SMOOTHED, 1 / SMOOTHED), mode="valid")
    return mean(norms[epochs >= 0.9 * epochs[-1]]) - float(smoothed.min())


@register
def spectral_accuracy_rho(r: Record) -> float:
    """Spearman's rho of spectral norm and validation accuracy over the stops at which both were measured."""
    stops, evaluations = r["stop"], r["evaluation"]
    _, i, j = np.intersect1d(stops, evaluations, return_indices=True)
    return pearson(ranks(_spectral_norms(r)[1][i]), ranks(r["validation_accuracy"][j]))


@register
def negative_largest_share(r: Record) -> float:
    """Share of the stops at which the eigenvalue of largest size is negative, so that norm and maximum differ."""
    return mean((np.abs(r["lambda_min"]) > np.abs(r["lambda_max"])).astype(float))


def _spectral_norms(r: Record) -> tuple[Array, Array]:
    norms = np.maximum(np.abs(r["lambda_max"]), np.abs(r["lambda_min"]))
    return r["stop"] / updates_per_epoch(r), norms


def _full_losses(r: Record) -> tuple[Array, Array]:
    """Iterations at which the full loss is known, and the loss there."""
    updates, sample = r["update"].astype(int), r["step_loss"]
    steps = np.concatenate([updates, updates + 1])
    values = np.concatenate([sample[:, 0], sample[:, -1]])
    order = np.argsort(steps, kind="stable")
    return steps[order], values[order]


def _ended_early(r: Record, step: int) -> float:
    """NaN for an iteration that the run lost by diverging.

    Raises:
        NotRecorded: the run was never meant to get there.
    """
    if r.dataset.attrs["status"] == "completed":
        raise NotRecorded(f"the run has {r.last_step:,} updates and does not reach {step:,}")
    return math.nan
