"""What a trajectory shows its probes at every step, and what it asks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import xarray

from ..objective import Objective


@dataclass(frozen=True)
class Step:
    """One point of a trajectory. Tensors are the trajectory's own: look, copy, but do not write.

    Attributes:
        index: k, counted from 0 at the starting point.
        theta: the point (P,).
        loss: its loss.
        gradient: its gradient (P,).
        past: earlier gradients, the latest first: ``past[0]`` is that of step k - 1.
        whole: whether loss and gradient are those of the objective over all its samples, without noise.
    """

    index: int
    theta: torch.Tensor
    loss: float
    gradient: torch.Tensor
    past: Sequence[torch.Tensor]
    whole: bool = True


def at_least_single(vector: torch.Tensor) -> torch.Tensor:
    """The vector, widened from 16 bits: squares of such numbers leave their range, and NumPy has no bfloat16."""
    return vector if vector.dtype.itemsize >= 4 else vector.float()


class Probe(Protocol):
    """Something that watches a trajectory.

    Attributes:
        history: how many earlier gradients it wants to see; the trajectory keeps the most that any probe asks for.
        settings: optional; numbers, text, arrays, tensors or objectives that its results depend on, so that a
            checkpoint of other ones is refused.
    """

    history: int

    def begin(self, objective: Objective) -> None:
        """Forget any earlier trajectory and get ready for one on ``objective``."""

    def observe(self, step: Step) -> None:
        """Measure. Called once a step, in order, with finite loss and gradient."""

    def result(self) -> xarray.Dataset:
        """What was measured so far, with named dimensions and units."""

    def state(self) -> Mapping[str, np.ndarray]:
        """Everything needed to go on in another process, as plain arrays."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` returned; called after :meth:`begin`."""
