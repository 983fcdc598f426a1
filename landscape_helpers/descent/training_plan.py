"""What a training by mini-batches is asked to do, checked before any work, and the batches it then takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..minibatch import MiniBatches
from ..objective import Objective
from ..objective_checks.arguments import check_whole
from .noise import IsotropicNoise
from .schedules import SCHEDULES, Schedule, constant


@dataclass(frozen=True)
class Plan:
    """The settings of a training run.

    Attributes:
        lr: the base rate.
        epochs: as asked for; None where only the number of updates is given.
        batch_size: samples a step, at most as many as there are; None for all of them through the objective's own
            micro-batches.
        updates: of the whole run.
        per_epoch: updates in an epoch.
        span: epochs over which the schedule stretches.
        schedule: factor of the base rate.
        momentum, weight_decay, seed, keep, stop_loss, noise: as :func:`~landscape_helpers.descent.sgd` takes them.
    """

    lr: float
    epochs: int | None
    batch_size: int | None
    updates: int
    per_epoch: int
    span: float
    schedule: Schedule
    momentum: float
    weight_decay: float
    seed: int
    keep: tuple[int, ...]
    stop_loss: float | None
    noise: IsotropicNoise | None

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        epoch, j = divmod(step, self.per_epoch)
        return self.lr * self.schedule((epoch + j / self.per_epoch) / self.span)

    def settings(self) -> tuple[object, ...]:
        """What tells one run from another; the schedule by a thousand of its rates."""
        # In single precision: another processor's cosine may end in another digit.
        rates = np.array([self.rate(t) for t in range(0, self.updates, max(1, self.updates // 1000))], dtype=np.float32)
        return (self.lr, self.epochs, self.batch_size, self.updates, self.momentum, self.weight_decay, rates, self.seed,
                self.keep, self.stop_loss, self.noise)  # fmt: skip


def plan_training(
    objective: Objective,
    theta: torch.Tensor,
    lr: float,
    epochs: int | None,
    batch_size: int | None,
    steps: int | None,
    momentum: float,
    weight_decay: float,
    schedule: str | Schedule,
    seed: int,
    keep: Sequence[int],
    stop_loss: float | None,
    noise: IsotropicNoise | None,
) -> Plan:
    """The plan.

    Raises:
        ValueError: a number out of range, an unknown schedule or one that ends before the run, or an epoch to keep that
            is not reached.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a finite learning rate above 0, got {lr}")
    check_whole(epochs=epochs, steps=steps, batch_size=batch_size)
    if epochs is None and steps is None:
        raise ValueError("epochs or steps must say how long to train, got neither")
    if epochs is not None and epochs < 0:
        raise ValueError(f"epochs must not be negative, got {epochs}")
    if steps is not None and steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")
    if batch_size is not None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, or None for the whole set, got {batch_size}")
        batch_size = int(min(batch_size, objective.n))
    epochs, steps = (None if number is None else int(number) for number in (epochs, steps))
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    objective.check_vector(theta)
    if isinstance(schedule, str) and schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}: expected one of {sorted(SCHEDULES)} or a function")
    factor = SCHEDULES[schedule] if isinstance(schedule, str) else schedule
    per_epoch = 1 if batch_size is None else math.ceil(objective.n / batch_size)
    updates = (epochs or 0) * per_epoch if steps is None else steps
    if epochs is not None and updates > epochs * per_epoch and factor is not constant:
        raise ValueError(
            f"the schedule ends after epochs={epochs}, which are {epochs * per_epoch} updates, but steps={steps} are "
            "asked for: raise epochs, or leave it out to stretch the schedule over the steps"
        )
    whole = updates // per_epoch
    if outside := [e for e in keep if not 0 <= e <= whole]:
        raise ValueError(f"keep names epoch {outside[0]}, but the training has epochs 0 to {whole}")
    span = epochs if epochs is not None else updates / per_epoch
    return Plan(lr, epochs, batch_size, updates, per_epoch, span, factor, momentum, weight_decay, seed,
                tuple(sorted(keep)), stop_loss, noise)  # fmt: skip


class Draws:
    """Loss and gradient of each step's batch, noise included; a function of seed and step alone."""

    def __init__(self, objective: Objective, plan: Plan) -> None:
        self._objective, self._plan = objective, plan
        self.whole = plan.batch_size is None and plan.noise is None
        self._batches = None if plan.batch_size is None else MiniBatches(objective, plan.batch_size, plan.seed)
        self._epoch = -1
        self._order: list[torch.Tensor] = []

    def __call__(self, step: int, theta: torch.Tensor) -> tuple[float, torch.Tensor, int]:
        """The loss of a step's batch at theta (P,), its gradient (P,) and how many samples it holds."""
        if self._batches is None:
            loss, gradient = self._objective.loss_and_gradient(theta)
            count = self._objective.n
        else:
            epoch, j = divmod(step, self._plan.per_epoch)
            if epoch != self._epoch:
                self._epoch, self._order = epoch, list(self._batches.epoch(epoch + 1))
            loss, gradient = self._batches.gradient(theta, self._order[j])
            count = len(self._order[j])
        if self._plan.noise is not None:
            gradient.add_(self._objective.keep_padding(self._plan.noise.draw(step, gradient)))
        return loss, gradient, count
