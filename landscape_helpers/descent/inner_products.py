"""Inner products of gradients: in their own precision where that can hold them, in double precision where it cannot.

Squares of single-precision numbers leave the range of single precision above 1e19, where a run diverges, and below
1e-19, where it has fitted its data to the last sample. Both are recorded, so neither may turn into infinity or zero.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from .probe import at_least_single


def least(size: int, dtype: torch.dtype) -> float:
    """The magnitude of an inner product of ``size`` terms below which terms that vanish could matter.

    Each that leaves the range at its lower end costs at most the smallest normal number; all of them together cost less
    than the rounding of a sum that is larger than this.
    """
    info = torch.finfo(dtype)
    return size * info.tiny / info.eps


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """The inner product of two vectors (P,) of one dtype."""
    a, b = at_least_single(a), at_least_single(b)
    # In main memory by NumPy everywhere, so that all probes record equal norms.
    value = float(np.vdot(a.numpy(), b.numpy())) if a.device.type == "cpu" else float(torch.dot(a, b))
    return dot(a.double(), b.double()) if lost(value, a, b) else value


def norm(a: torch.Tensor) -> float:
    """The norm of a vector (P,)."""
    return math.sqrt(dot(a, a))


def lost(value: float, a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether the inner product of a and b, computed in their own precision, has left its range."""
    if a.dtype == torch.float64:
        return False
    if abs(value) < least(len(a), a.dtype):
        return bool(a.any()) and bool(b.any())
    return not math.isfinite(value)
