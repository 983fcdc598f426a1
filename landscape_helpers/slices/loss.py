"""Loss and accuracy of a point, gathered from the outputs of micro-batches of any size."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..objective import Objective
from ..predictions import Tally


class Targets:
    """The targets of an objective, and what the loss function makes of outputs for all of its samples.

    The outputs may come in other pieces than the objective's micro-batches: the loss function sees those again, as a
    function that averages in its own way over a micro-batch would notice.
    """

    def __init__(self, objective: Objective, accuracy: bool) -> None:
        self._objective = objective
        self._batches = [(share, y) for share, _, y in objective.weighted()]
        self._accuracy = accuracy

    def __call__(self, outputs: Sequence[torch.Tensor]) -> tuple[float, float]:
        """Loss and accuracy (NaN where not wanted) of outputs that come in the order of the samples."""
        whole = torch.cat(list(outputs)) if len(outputs) > 1 else outputs[0]
        loss, tally = 0.0, Tally()
        for (share, y), output in zip(self._batches, whole.split(self._objective.batch_size), strict=True):
            loss += share * float(self._objective.loss_function(output, y))
            if self._accuracy:
                tally.add(output, y)
        return loss, tally.share
