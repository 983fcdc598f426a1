r"""The loss between consecutive iterates of a descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray

from ..checkpoint import array
from ..objective import Objective
from ..slices.batchnorm import batchnorm_modules
from ..slices.segment import Segment
from .probe import Step
from .windows import Windows


class StepLosses:
    r"""Records the full loss along updates, at :math:`\theta_t^\alpha=(1-\alpha)\theta_t+\alpha\theta_{t+1}`.

    *A Walk with SGD*, Sec. 3: uniformly spaced points between two iterates, read here as that many inside the step and
    both ends besides, on the whole training set also where the step was taken on a mini-batch.

    Result: ``step_loss`` over (``update``, ``alpha``), with the coordinates ``update`` (t), ``alpha`` (k / (points + 1)
    for k = 0 ... points + 1) and ``window`` (update), the number of the first window that holds the update.

    Args:
        windows: the updates to look at, as (first update, how many).
        points: inside each step, at least 2; 10 as in the paper.
        objective: whose loss; by default the descent's own.

    Raises:
        ValueError: no window, or an empty or negative one; fewer than 2 points; at the start of the descent, an
            objective with another number of parameters.
    """

    history = 0

    def __init__(
        self, windows: Sequence[tuple[int, int]], points: int = 10, objective: Objective | None = None
    ) -> None:
        if points < 2:
            raise ValueError(f"points must be at least 2 between two iterates to show a valley, got {points}")
        self._windows, self.points, self._given = Windows(windows), int(points), objective
        self.alpha = np.arange(points + 2) / (points + 1)
        self.settings = (self._windows.all, self.points, objective)

    def begin(self, objective: Objective) -> None:
        self._objective = self._given or objective
        if self._objective.parameters != objective.parameters:
            raise ValueError(
                f"the objective of StepLosses has {self._objective.parameters} parameters, the descent's "
                f"{objective.parameters}: make both of the same model"
            )
        # In single precision BatchNorm's own sums put the loss of a training pass off by some 1e-6 (measured on
        # ResNet-20), which would stand out as a step between the ends of an update and what lies between them.
        batch_statistics = objective.batchnorm != "frozen" and bool(batchnorm_modules(objective.model))
        rounds = batch_statistics and objective.dtype.itemsize <= 4
        self._supplied = self._objective is objective and not rounds
        self._rows: list[np.ndarray] = []
        self._updates: list[int] = []
        self._segment, self._dtype = Segment(self._objective), objective.dtype
        self._theta: torch.Tensor | None = None  # where the segment stands
        self._loss = np.nan

    def observe(self, step: Step) -> None:
        before, starts = self._windows.of(step.index - 1) is not None, self._windows.of(step.index) is not None
        if not (before or starts):
            self._theta = None
            return
        known = self._supplied and step.whole
        end = step.loss if known else np.nan
        if before and self._theta is not None:
            # The end's loss opens the next update; full-batch training has computed it anyway.
            losses = np.array([self._loss, *np.full(self.points, np.nan), end])
            missing = np.isnan(losses)
            losses[missing] = self._segment(step.theta, self.alpha[missing])
            end = float(losses[-1])
            self._updates.append(step.index - 1)
            self._rows.append(losses)
        else:
            self._segment.begin(step.theta)
        self._loss, self._theta = end, step.theta.clone() if self._theta is None else self._theta.copy_(step.theta)

    def result(self) -> xarray.Dataset:
        about = {"units": "nat", "long_name": "training loss between consecutive iterates"}
        windows = np.array([self._windows.of(t) for t in self._updates], dtype=np.int64)
        return xarray.Dataset(
            {"step_loss": (("update", "alpha"), self._table(), about)},
            coords={
                "update": ("update", np.array(self._updates, dtype=np.int64), {"long_name": "updates before"}),
                "alpha": ("alpha", self.alpha, {"units": "1", "long_name": "share of the step"}),
                "window": ("update", windows),
            },
        )

    def _table(self) -> np.ndarray:
        return np.array(self._rows, dtype=np.float64).reshape(-1, len(self.alpha))

    def state(self) -> Mapping[str, np.ndarray]:
        theta = {} if self._theta is None else {"theta": array(self._theta)}
        return {"rows": self._table(), "updates": np.array(self._updates, dtype=np.int64),
                "loss": np.array(self._loss), **theta}  # fmt: skip

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rows, self._updates = list(state["rows"]), state["updates"].tolist()
        self._loss = float(state["loss"])
        if "theta" in state:
            self._theta = torch.as_tensor(state["theta"]).to(self._objective.device, self._dtype)
            self._segment.begin(self._theta)
