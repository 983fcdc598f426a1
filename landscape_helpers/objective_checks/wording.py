"""How a message names tensors, other values and errors."""

from __future__ import annotations

import torch


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The shape as it is written in a message."""
    return tuple(tensor.shape)


def described(value: object) -> str:
    """Shape and dtype of a tensor, the type of anything else."""
    return f"{shape_of(value)} of {value.dtype}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
