"""What a slice refuses before any work, and the vectors and grid values it then works with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..objective import Objective

POLICIES = ("re-estimated", "frozen", "interpolated")
# The sine of the angle below which two directions span no plane: float32 directions that are multiples of each other
# differ by about 1e-7 of their length, independent ones by nearly all of it.
PARALLEL = 1e-5

Values = Sequence[float] | np.ndarray


def check_direction(objective: Objective, direction: torch.Tensor, name: str) -> torch.Tensor:
    direction = objective.finite_vector(direction, name)
    if float(direction.abs().max()) == 0:
        raise ValueError(f"{name} has norm 0: a slice needs a direction to go in")
    return direction


def check_values(at: Values, name: str) -> np.ndarray:
    """The grid values (k,) as float64, in the order given."""
    values = np.asarray(at, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"{name} must hold at least two grid values in one dimension, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must hold finite grid values, got {values[~np.isfinite(values)][0]}")
    return values


def check_policy(policy: str | None, directions: int) -> None:
    if policy is not None and policy not in POLICIES:
        raise ValueError(
            f"unknown batchnorm policy {policy!r}: expected one of {list(POLICIES)} or None; 'batch' "
            "and 'whole' are policies of an Objective"
        )
    if policy == "interpolated" and directions > 1:
        raise ValueError(
            "batchnorm='interpolated' is linear between the statistics at lambda=0 and lambda=1 and needs a line: "
            "choose 're-estimated' or 'frozen' for a plane"
        )


def check_targets(objective: Objective, accuracy: bool) -> None:
    if accuracy:
        _, _, y = next(iter(objective.weighted()))
        if y.is_floating_point():
            raise ValueError(f"accuracy=True needs class indices as targets, got targets of dtype {y.dtype}")


def norm(vector: torch.Tensor) -> float:
    return float(vector.double().norm())


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """The cosine of two directions that span a plane; parallel ones are refused."""
    a, b = first.double() / norm(first), second.double() / norm(second)
    value = float(a @ b)
    # The sine taken from the difference: 1 - cos^2 would lose it to rounding.
    if float((b - value * a).norm()) <= PARALLEL:
        raise ValueError(
            f"the two directions are parallel (cosine {value:.9g}) and span no plane: take a line along one of them, "
            "or another direction"
        )
    return max(-1.0, min(1.0, value))


def relative(length: float, whole: float) -> float:
    return length / whole if whole > 0 else math.nan
