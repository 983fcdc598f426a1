"""Measures of a gradient flow: its images, its largest curvature, and the profile of the loss where that peaks."""

from __future__ import annotations

import math

import numpy as np

from ..shapes import PowerLaw, max_slope_near_zero, power_law
from .record import Array, NotRecorded, Record
from .registry import register

NEAR, FAR = 1e-4, 3e-3  # distances between which the exponent is fitted

# The images


@register
def number_of_images(r: Record) -> float:
    """Number of images whose mean the loss is, n_D (Section 4.2): those that are left when classes are dropped.

    Raises:
        NotRecorded: the run does not say.
    """
    if "data_n" not in r.dataset.attrs:
        raise NotRecorded("the run does not hold its number of images")
    return float(r.dataset.attrs["data_n"])


# The curvature


@register
def peak_curvature(r: Record, *, start: float = 0.0) -> float:
    """Largest lambda_1 from a time t on (SING-D15)."""
    values = r["lambda_1"][r["time"] >= start]
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


@register
def peak_rise(r: Record) -> float:
    """Largest lambda_1 over the one at the start: 1 where it never rises above it."""
    values = r["lambda_1"]
    return float(np.nanmax(values) / values[0])


@register
def opening_curvature(r: Record) -> float:
    """The first lambda_1 that was measured after the start."""
    later = r["lambda_1"][1:]
    known = later[np.isfinite(later)]
    return float(known[0]) if known.size else math.nan


@register
def flow_time(r: Record, *, loss: float) -> float:
    """The time at which the training loss has fallen to a value for the first time, interpolated.

    Raises:
        NotRecorded: the flow ended before.
    """
    below = np.flatnonzero(r["loss"] <= loss)
    if not below.size:
        raise NotRecorded(f"the flow ends at a loss of {r['loss'][-1]:.3g} and does not reach {loss:g}")
    first = max(int(below[0]), 1)
    return float(np.interp(-loss, -r["loss"][first - 1 : first + 1], r["time"][first - 1 : first + 1]))


# The profile


@register
def cusp_positive_share(r: Record) -> float:
    """Share of the distances but 0 at which the loss is larger than at the peak of curvature, on either side."""
    delta, change = profile_of(r, FAR)
    return float(np.mean(change[delta != 0] > 0))


@register
def cusp_slope(r: Record, *, within: float = FAR) -> float:
    """Largest |dL/dDelta| between neighbouring points no further from the peak of curvature than ``within``."""
    return max_slope_near_zero(*profile_of(r, within), within=within)


@register
def cusp_exponent(r: Record, *, low: float = NEAR, high: float = FAR) -> float:
    """p of |change| = c |Delta|^p over a range of distances, the mean of both sides (SING-F06)."""
    return _fit(r, low, high).exponent


@register
def cusp_exponent_error(r: Record, *, low: float = NEAR, high: float = FAR) -> float:
    """Standard error of :func:`cusp_exponent`."""
    return _fit(r, low, high).error


def profile_of(r: Record, far: float) -> tuple[Array, Array]:
    """Distances up to ``far`` and the change of the loss there, from the narrowest range that reaches so far."""
    reach = r["cusp"]
    wide = np.flatnonzero(reach >= far * (1 - 1e-9))
    if not len(wide):
        raise NotRecorded(f"the profile reaches to {np.max(reach):g} and not to {far:g}")
    row = wide[np.argmin(reach[wide])]
    delta, change = r["cusp_delta"][row], r["cusp_change"][row]
    inside = np.abs(delta) <= far * (1 + 1e-9)
    return delta[inside], change[inside]


def _fit(r: Record, low: float, high: float) -> PowerLaw:
    return power_law(*profile_of(r, high), low=low, high=high)
