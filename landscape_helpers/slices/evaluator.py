"""What computes the loss at points of a slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..objective import Objective


@dataclass(frozen=True)
class Span:
    r"""The points :math:`\theta+\sum_j c_j d_j` that a slice may visit.

    Attributes:
        objective: whose loss is wanted.
        theta: the point (P,) at coordinates 0.
        directions: one (P,) for a line, two for a plane.
        policy: what BatchNorm normalises with; None leaves that to the objective.
        accuracy: whether accuracies are wanted besides losses.
    """

    objective: Objective
    theta: torch.Tensor
    directions: tuple[torch.Tensor, ...]
    policy: str | None
    accuracy: bool

    def point(self, coordinates: np.ndarray, out: torch.Tensor | None = None) -> torch.Tensor:
        """The parameters (P,) at ``coordinates`` (m,)."""
        out = self.theta.clone() if out is None else out.copy_(self.theta)
        for c, direction in zip(coordinates, self.directions, strict=True):
            out.add_(direction, alpha=float(c))
        return out


class Evaluator(Protocol):
    """Computes losses and accuracies of a block of points; the last coordinate alone changes inside a block.

    Attributes:
        block: how many points to ask for at once, so that work they share is shared, and a slow model still reports and
            saves after each point.
    """

    block: int

    def __call__(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses (k,) and accuracies (k,), NaN where not asked for, at ``coordinates`` (k, m)."""
        ...
