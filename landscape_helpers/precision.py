"""Single precision that is single precision: TF32 switched off.

On NVIDIA's GPUs PyTorch rounds what goes into a float32 convolution to TF32, ten bits of mantissa for twenty-three,
unless told not to. A training does not notice. Losses that differ in their fifth digit between two iterates, residuals
of 1e-3 and Hessian products do.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch


def _switches() -> list[tuple[Any, str, Any]]:
    """Where torch keeps what it does to float32: (holder, attribute, value for full precision).

    From torch 2.9 on there are two ways, and reading the older one is an error where only the newer has been used: what
    cannot be read is left alone, and the older is set first, so that whoever reads either finds them agree.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    switches: list[tuple[Any, str, Any]] = []
    for holder in (cudnn, matmul):
        with contextlib.suppress(RuntimeError):
            _ = holder.allow_tf32
            switches.append((holder, "allow_tf32", False))
    newer = [getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None), matmul]
    return switches + [(holder, "fp32_precision", "ieee") for holder in newer if hasattr(holder, "fp32_precision")]


def rounds_to_tf32(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether convolutions, recurrent layers or matrix products of this dtype may be rounded to TF32 on this device."""
    if device.type != "cuda" or dtype != torch.float32:
        return False
    return any(getattr(holder, name) in ("tf32", True) for holder, name, _ in _switches())


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within it nothing is rounded to TF32; torch's settings are put back afterwards."""
    before = [(holder, name, getattr(holder, name), value) for holder, name, value in _switches()]
    try:
        for holder, name, _, value in before:
            setattr(holder, name, value)
        yield
    finally:
        for holder, name, value, _ in before:
            setattr(holder, name, value)


def warn_of_tf32(device: torch.device, dtype: torch.dtype) -> None:
    """Say so where an objective is going to be computed in TF32."""
    if rounds_to_tf32(device, dtype):
        warnings.warn(
            "float32 is rounded to TF32 on this device, 10 bits for 23: small differences of losses and tight "
            "tolerances drown in it. Work inside landscape_helpers.precision.full_precision()",
            stacklevel=3,
        )
