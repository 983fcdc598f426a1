"""Measures of the Hessian: its spectrum, its eigenvectors, the loss change under noise, and kinks."""

from __future__ import annotations

import math

import numpy as np

from .record import Array, NotRecorded, Record
from .registry import REDUCE, register
from .slices import row_of, strings

# Below this share of the largest node of the same density a Ritz value is zero for what single precision resolves.
ZERO = 1e-5


@register
def smallest_mass_near_zero(r: Record, *, within: float) -> float:
    r"""Of all checkpoints the smallest spectral mass with :math:`|t|\le` a share of the largest eigenvalue."""
    rows = range(len(r["density_epoch"]))
    return min(_mass(r, k, np.abs(nodes) <= within * np.nanmax(nodes)) for k in rows for nodes in [_nodes(r, k)])


@register
def negative_mass(r: Record, *, epoch: float) -> float:
    """Spectral mass below zero at E, leaving out what single precision cannot tell from zero."""
    k = row_of(r, "density_epoch", epoch)
    nodes = _nodes(r, k)
    return _mass(r, k, nodes < -ZERO * np.nanmax(np.abs(nodes)))


@register
def smallest_eigenvalue(r: Record, *, epoch: float) -> float:
    """The smallest eigenvalue at E; from the eigenpairs."""
    return float(r["eigenvalue_negative"][row_of(r, "hessian_epoch", epoch)].min())


@register
def smallest_outlier_ratio(r: Record) -> float:
    """Of all checkpoints with eigenpairs the smallest ratio of the largest eigenvalue to the size of the smallest."""
    smallest = np.abs(r["eigenvalue_negative"].min(1))
    return float((r["eigenvalue_positive"].max(1) / smallest).min())


@register
def largest_curvature_ratio(r: Record) -> float:
    """Of all checkpoints the largest size of the curvature along N.E.1 relative to that along P.E.1."""
    return float((np.abs(r["eigenvalue_negative"][:, 0]) / np.abs(r["eigenvalue_positive"][:, 0])).max())


@register
def largest_eigenvector_cosine(r: Record) -> float:
    """Largest |cos| between any two of the eigenvectors of one checkpoint."""
    return float(r["eigen_orthogonality"].max())


@register
def smallest_trace(r: Record) -> float:
    """Of all trained checkpoints the smallest trace of the Hessian."""
    return float(r["trace"][_trained(r)].min())


# The loss change under noise (MINE-D22, MINE-D36)


@register
def positive_share(r: Record, *, noise_lambda: float, reduce: str) -> float:
    r"""Share of positive second-order loss changes at one :math:`\lambda`; of trained checkpoints "min" or "max"."""
    changes = r["change"][_trained(r), _noise(r, noise_lambda)]
    return float(REDUCE[reduce]((changes > 0).mean(1)))


@register
def largest_mean_deviation(r: Record) -> float:
    r"""Largest deviation of the mean change from :math:`\tfrac12\lambda^2\mathrm{tr}H`, in standard errors.

    The standard error is that of the mean over draws, and that of the trace where it is an estimate; sigma is 1.
    """
    change, lambdas = r["change"], r["noise_lambda"]
    half = lambdas**2 / 2
    expected = np.multiply.outer(r["trace"], half)
    error = np.hypot(change.std(2, ddof=1) / math.sqrt(change.shape[2]), np.multiply.outer(r["trace_error"], half))
    return float((np.abs(change.mean(2) - expected) / error).max())


@register
def variance_factor(r: Record, *, of: str, noise_lambda: float, reduce: str) -> float:
    """Factor, at least 1, between the variance over draws and the "corrected" or the "printed" formula (MINE-Q03).

    Of trained checkpoints the "min" or the "max".
    """
    rows, column = _trained(r), _noise(r, noise_lambda)
    ratio = r[f"change_variance_{of}"][rows, column] / r["change"][rows, column].var(1, ddof=1)
    return float(REDUCE[reduce](np.maximum(ratio, 1 / ratio)))


# Kinks


@register
def kink_factor(r: Record, *, epoch: float, direction: str, step: float) -> float:
    r"""Factor, at least 1, between second difference and :math:`u^THu` along a unit u; infinite if signs differ."""
    directions, steps = strings(r, "kink_direction"), r["kink_step"]
    row, column = row_of(r, "kink_epoch", epoch), np.flatnonzero(np.isclose(steps, step))
    if direction not in directions or not len(column):
        raise NotRecorded(f"the run holds no second difference along {direction} with step {step:g}")
    place = directions.index(direction)
    hessian, secant = float(r["kink_hessian"][row, place]), float(r["kink_secant"][row, place, column[0]])
    if not (math.isfinite(hessian) and math.isfinite(secant)):
        return math.nan
    return max(secant / hessian, hessian / secant) if secant * hessian > 0 else math.inf


def _nodes(r: Record, k: int) -> Array:
    return r["density_node"][k]


def _mass(r: Record, k: int, where: Array) -> float:
    """Mean over probes of the weight of the nodes where a condition holds."""
    return float(np.nansum(r["density_weight"][k] * where, axis=1).mean())


def _trained(r: Record) -> Array:
    rows = np.flatnonzero(r["density_epoch"] > 0)
    if not len(rows):
        raise NotRecorded("the run holds no spectrum of a trained checkpoint")
    return rows


def _noise(r: Record, noise_lambda: float) -> int:
    found = np.flatnonzero(np.isclose(r["noise_lambda"], noise_lambda))
    if not len(found):
        raise NotRecorded(f"the run holds no loss change at lambda = {noise_lambda:g}")
    return int(found[0])
