"""Measures of what the mining algorithms find, against eigenvectors and random directions."""

from __future__ import annotations

import math

import numpy as np

from .record import Record
from .registry import register
from .slices import curves, row_of


@register
def largest_overlap(r: Record) -> float:
    """Largest |cos| of a mined direction with any one eigenvector, over all checkpoints."""
    return float(max(np.nanmax(r["overlap_positive"]), np.nanmax(r["overlap_negative"])))


@register
def smallest_tilt(r: Record) -> float:
    """Mean |cos| with N.E. less that with P.E., the least over checkpoints with a mined w-peak; NaN without one."""
    peaks = {float(c.fields["epoch"]) for c in curves(r, family="mined") if c.shape.label == "w-peak"}
    tilts = r["overlap_negative"].mean(1) - r["overlap_positive"].mean(1)
    return min((float(t) for t, e in zip(tilts, r["mined_epoch"], strict=True) if float(e) in peaks), default=math.nan)


@register
def mining_height(r: Record, *, of: str, epoch: float) -> float:
    """Height of the peak at E: "mined", of the best "random" direction, or of the best "negative" eigenvector."""
    names = {"mined": "mined_height", "random": "null_height", "negative": "negative_height"}
    if of not in names:
        raise ValueError(f"of must be one of {', '.join(names)}, got {of!r}")
    return float(r[names[of]][row_of(r, "mined_epoch", epoch)])
