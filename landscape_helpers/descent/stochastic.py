r"""Stochastic gradient descent on mini-batches in a seeded order."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..minibatch import MiniBatches
from ..objective import Objective
from .checkpoint import Checkpoint, nest, unnest
from .schedules import SCHEDULES, Schedule


@dataclass(frozen=True)
class StochasticDescent:
    """A training run and the checkpoints that were kept of it.

    Attributes:
        kept: theta (P,) by epoch, for the epochs asked for; epoch 0 is the start.
        losses: (epochs run,) mean mini-batch loss of each epoch, before each step's update.
        theta: the last point (P,) whose loss is finite.
        status: "completed", or "loss became non-finite in epoch e".
        seconds: wall time, over all the processes that worked on it.
    """

    kept: dict[int, torch.Tensor]
    losses: np.ndarray
    theta: torch.Tensor
    status: str
    seconds: float


def sgd(
    objective: Objective,
    theta: torch.Tensor,
    lr: float,
    epochs: int,
    batch_size: int = 128,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    schedule: str | Schedule = "constant",
    seed: int = 0,
    keep: Sequence[int] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    progress: Callable[[int, int, float], None] | None = None,
) -> StochasticDescent:
    r"""Train by mini-batch gradients:

    .. math::

        v_{t+1}=\mu v_t+\nabla\mathcal L_{B_t}(\theta_t)+\omega\,\theta_t,\qquad \theta_{t+1}=\theta_t-\eta_t v_{t+1}

    (Sutskever et al. 2013, in the form of ``torch.optim.SGD``.) Each epoch visits every image once, in an order drawn
    from the seed and the epoch alone, so that a resumed run sees the batches it would have seen.

    Args:
        objective: what to descend on; batches are drawn from its data and evaluated in its BatchNorm mode, where
            ``"batch"`` means the statistics of the mini-batch, as in ordinary training.
        theta: the start (P,); left as it is.
        lr: the base rate :math:`\eta`, finite and above 0.
        epochs: passes over the data, at least 0.
        batch_size: images a step; the last batch of an epoch holds what is left.
        momentum: :math:`\mu` in [0, 1); none by default, as in *A Walk with SGD*.
        weight_decay: :math:`\omega`, on every parameter.
        schedule: "constant", "cosine", "step", or a function from the share of the training done, in [0, 1), to a
            factor of ``lr``; asked at every step.
        seed: of the order of the data.
        keep: epochs after which theta is kept, 0 for the start.
        checkpoint: a file in which to save state; where it exists, training goes on from it and ends where it would
            have ended. Deleted at the end.
        checkpoint_every: seconds between two saves, which happen at the end of an epoch.
        progress: called after each epoch with (epoch, epochs, mean loss).

    Raises:
        ValueError: a number out of range, a batch larger than the data, an unknown schedule, an epoch to keep that is
            not reached, or another run's checkpoint; all before any work.
    """
    factor = _check(objective, theta, lr, epochs, batch_size, momentum, weight_decay, schedule, keep)
    batches = MiniBatches(objective, batch_size, seed)
    theta = theta.detach().to(objective.device, objective.dtype, copy=True)
    velocity = torch.zeros_like(theta)
    kept = {0: theta.clone()} if 0 in keep else {}
    losses: list[float] = []
    settings = (objective.n, lr, epochs, batch_size, momentum, weight_decay, str(schedule), seed, sorted(keep))
    fingerprint = _fingerprint(theta, settings)
    file = Checkpoint(checkpoint, checkpoint_every) if checkpoint is not None else None
    started = time.perf_counter()
    if file is not None and (saved := file.load()) is not None:
        if not np.array_equal(saved["fingerprint"], fingerprint):
            raise ValueError(f"{checkpoint} was saved by another training run: delete it or choose another file")
        theta, velocity = (torch.as_tensor(saved[name]).to(objective.device) for name in ("theta", "velocity"))
        kept = {int(e): torch.as_tensor(t).to(objective.device) for e, t in unnest("kept", saved).items()}
        losses = saved["losses"].tolist()
        started -= float(saved["seconds"])

    status = "completed"
    steps = math.ceil(objective.n / batch_size)
    for epoch in range(len(losses) + 1, epochs + 1):
        total, before = 0.0, theta.clone()
        for j, batch in enumerate(batches.epoch(epoch)):
            loss, gradient = batches.gradient(theta, batch)
            total += loss * len(batch)
            if weight_decay:
                gradient.add_(theta, alpha=weight_decay)
            velocity.mul_(momentum).add_(gradient)
            theta.add_(velocity, alpha=-lr * factor((epoch - 1 + j / steps) / epochs))
        if not (math.isfinite(total) and bool(torch.isfinite(theta.sum()))):
            status, theta = f"loss became non-finite in epoch {epoch}", before
            break
        losses.append(total / objective.n)
        if epoch in keep:
            kept[epoch] = theta.clone()
        if progress is not None:
            progress(epoch, epochs, losses[-1])
        if file is not None and file.due() and epoch < epochs:
            state = {"fingerprint": fingerprint, "theta": theta.cpu().numpy(), "velocity": velocity.cpu().numpy()}
            state |= {"losses": np.array(losses), "seconds": np.array(time.perf_counter() - started)}
            file.save(state | nest("kept", {str(e): t.cpu().numpy() for e, t in kept.items()}))
    if file is not None:
        file.clear()
    return StochasticDescent(kept, np.array(losses), theta, status, time.perf_counter() - started)


def _check(
    objective: Objective,
    theta: torch.Tensor,
    lr: float,
    epochs: int,
    batch_size: int,
    momentum: float,
    weight_decay: float,
    schedule: str | Schedule,
    keep: Sequence[int],
) -> Schedule:
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a finite learning rate above 0, got {lr}")
    if epochs < 0:
        raise ValueError(f"epochs must not be negative, got {epochs}")
    if not 1 <= batch_size <= objective.n:
        raise ValueError(f"batch_size must lie between 1 and the number of images {objective.n}, got {batch_size}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    if theta.shape != (objective.parameters,):
        raise ValueError(f"theta must have shape ({objective.parameters},), got {tuple(theta.shape)}")
    if outside := [e for e in keep if not 0 <= e <= epochs]:
        raise ValueError(f"keep names epoch {outside[0]}, but the training has epochs 0 to {epochs}")
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {schedule!r}: expected one of {sorted(SCHEDULES)} or a function")
        return SCHEDULES[schedule]
    return schedule


def _fingerprint(theta: torch.Tensor, settings: tuple[object, ...]) -> np.ndarray:
    digest = hashlib.sha256(theta.cpu().numpy().tobytes())
    digest.update(repr(settings).encode())
    return np.frombuffer(digest.digest(), dtype=np.uint8)
