"""The loss along one straight step after another, each beginning where the last one ended."""

from __future__ import annotations

import numpy as np
import torch

from ..objective import Objective
from .affine import RowPoints
from .choose import choose
from .evaluator import Evaluator, Span


class Segment:
    r"""Evaluates the objective between the consecutive points of a trajectory.

    The model is traced and its evaluator chosen once, at the first step. What belongs to an iterate, the first layer's
    product with the data, is computed once, when the trajectory reaches it; its change along the step is the difference
    of the products at the two ends. Everything is a function of the two ends alone, so a trajectory that is taken up
    again in another process gives the same numbers to the last bit.

    Args:
        objective: whose loss is wanted, BatchNorm as it says.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        # Anchored at the step's end: theta_end + (alpha - 1) (theta_end - theta_start).
        self._span = Span(objective, objective.theta, (torch.zeros_like(objective.theta),), None, False)
        self._evaluator: Evaluator | None = None

    def begin(self, theta: torch.Tensor) -> None:
        """Stand at theta (P,), the start of the next step."""
        self._span.theta.copy_(theta)
        self._advance()

    def __call__(self, theta: torch.Tensor, alpha: np.ndarray) -> np.ndarray:
        r"""Losses (k,) at shares ``alpha`` (k,) of the step to theta (P,), where the next step begins."""
        span, way = self._span, self._span.directions[0]
        torch.sub(theta, span.theta, out=way)
        with torch.inference_mode():
            if self._evaluator is None:
                self._evaluator = choose(span)
            span.theta.copy_(theta)
            self._advance()
            coordinates = np.asarray(alpha, dtype=np.float64)[:, None] - 1
            # Blocks of a size that does not depend on the time they take: it may show in the last bit.
            size = self._evaluator.most if isinstance(self._evaluator, RowPoints) else 1
            blocks = np.split(coordinates, range(size, len(coordinates), size))
            losses = np.concatenate([self._evaluator(block)[0] for block in blocks])
        self._objective.counts.forward += len(losses)
        return losses

    def _advance(self) -> None:
        if isinstance(self._evaluator, RowPoints):
            with torch.inference_mode():
                self._evaluator.advance()
