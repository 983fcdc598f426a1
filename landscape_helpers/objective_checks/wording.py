"""How a message names tensors, other values and errors."""

from __future__ import annotations

import torch

# theta holds real numbers and parameters are views of it, which may begin at an odd place: view_as_complex then says
# this, and the other makes complex numbers of them wherever they lie.
MISALIGNED = "storage_offset divisible by 2"
COMPLEX_OF_REAL = "torch.complex(parameter[..., 0], parameter[..., 1])"


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The shape as it is written in a message."""
    return tuple(tensor.shape)


def described(value: object) -> str:
    """Shape and dtype of a tensor, the type of anything else."""
    return f"{shape_of(value)} of {value.dtype}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
