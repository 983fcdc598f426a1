"""What a mining algorithm leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray


@dataclass(frozen=True)
class Mined:
    r"""A mined direction and how it came about.

    Attributes:
        direction: :math:`\epsilon` (P,), the last one whose losses were finite.
        record: over ``step`` (one mini-batch each): ``lambda`` and the losses of that batch; over ``epoch`` = 1, 2, ...
            (full epochs only): ``norm``, the length of the direction at its end, and the mean losses of its batches.
        status: "completed", or "loss became non-finite in epoch e, batch b" (or "gradient").
        epochs: completed epochs.
        gradients: what the search cost, in gradients over all n samples.
        seconds: wall time, over all the processes that worked on it.
    """

    direction: torch.Tensor
    record: xarray.Dataset
    status: str
    epochs: int
    gradients: float
    seconds: float

    @property
    def norms(self) -> np.ndarray:
        """Length of the direction at the end of each epoch (epochs,). Nothing in either algorithm bounds it."""
        return self.record["norm"].values
