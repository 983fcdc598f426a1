"""Loss and accuracy of the whole network every so often."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray

from ..accuracy import accuracy_on
from ..objective import Objective
from ..predictions import Tally
from .probe import Step


class Evaluation:
    """Records loss and accuracy on all training samples, and the accuracy on others, every so many steps.

    The training loss and accuracy are the objective's, with BatchNorm as it says; on the validation samples BatchNorm
    normalises with the statistics of the training data (:func:`~landscape_helpers.accuracy.accuracy_on`).

    Result, over ``evaluation`` (the step): ``train_loss``, ``train_accuracy``, ``validation_accuracy``.

    Args:
        every: steps between two evaluations.
        x_valid: samples (n, ...) that are not trained on.
        y_valid: their class indices (n,), or (n, d1, ...) for outputs (n, C, d1, ...).

    Raises:
        ValueError: ``every`` below 1, or not equally many samples and labels; at the start of the trajectory, an
            objective whose targets are no class indices.
    """

    history = 0

    def __init__(self, every: int, x_valid: torch.Tensor, y_valid: torch.Tensor) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        if len(x_valid) == 0 or len(x_valid) != len(y_valid):
            raise ValueError(f"x_valid and y_valid must be equally many samples, got {len(x_valid)} and {len(y_valid)}")
        self.every, self._x, self._y = every, x_valid, y_valid
        self.settings = (every, x_valid, y_valid)

    def begin(self, objective: Objective) -> None:
        if next(objective.weighted())[2].is_floating_point():
            raise ValueError("accuracy needs class indices as targets: the objective's are numbers")
        self._objective = objective
        self._rows: list[tuple[float, ...]] = []

    def observe(self, step: Step) -> None:
        if step.index % self.every:
            return
        objective = self._objective
        objective.move(step.theta)
        objective.counts.forward += 1
        loss, tally = 0.0, Tally()
        with torch.no_grad():
            for share, x, y in objective.weighted():
                outputs = objective.model(x)
                loss += share * float(objective.loss_function(outputs, y))
                tally.add(outputs, y)
        other = accuracy_on(objective, step.theta, self._x, self._y)
        self._rows.append((step.index, loss, tally.share, other))

    def result(self) -> xarray.Dataset:
        rows, share = self._table(), {"units": "1"}
        return xarray.Dataset(
            {
                "train_loss": ("evaluation", rows[:, 1], {"units": "nat", "long_name": "loss on the training set"}),
                "train_accuracy": ("evaluation", rows[:, 2], share | {"long_name": "accuracy on the training set"}),
                "validation_accuracy": ("evaluation", rows[:, 3], share | {"long_name": "accuracy on other images"}),
            },
            coords={"evaluation": ("evaluation", rows[:, 0].astype(np.int64), {"long_name": "updates before"})},
        )

    def _table(self) -> np.ndarray:
        return np.array(self._rows, dtype=np.float64).reshape(-1, 4)

    def state(self) -> Mapping[str, np.ndarray]:
        return {"rows": self._table()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rows = [tuple(row) for row in state["rows"]]
