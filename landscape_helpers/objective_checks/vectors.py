"""Vectors handed to an objective: refused by their names where they have another length or hold no finite numbers."""

from __future__ import annotations

import torch

from .wording import shape_of


def check_length(vector: torch.Tensor, parameters: int, name: str) -> None:
    """Refuse what is no tensor of shape (P,), P the number of parameters.

    Raises:
        TypeError: not a tensor.
        ValueError: a tensor of another shape.
    """
    if not isinstance(vector, torch.Tensor):
        raise TypeError(f"{name} must be a tensor of shape ({parameters},), got {type(vector).__name__}")
    if vector.shape != (parameters,):
        raise ValueError(f"{name} must have shape ({parameters},), got {shape_of(vector)}")


def columns_of(vectors: torch.Tensor, parameters: int, name: str) -> torch.Tensor:
    """``vectors`` of shape (P,) or (P, k) as columns (P, k).

    Raises:
        ValueError: another shape.
    """
    if vectors.dim() not in (1, 2) or vectors.shape[0] != parameters:
        raise ValueError(f"{name} must have shape ({parameters},) or ({parameters}, k), got {shape_of(vectors)}")
    return vectors if vectors.dim() == 2 else vectors[:, None]


def check_finite(vector: torch.Tensor, name: str) -> None:
    """Refuse NaN and infinite values, among them those that were finite in a wider dtype.

    Raises:
        ValueError: there are some.
    """
    if not bool((finite := torch.isfinite(vector)).all()):
        raise ValueError(
            f"{name} holds {int((~finite).sum())} NaN or infinite values in {vector.dtype}: expected "
            f"{vector.numel()} finite numbers"
        )
