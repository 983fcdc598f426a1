r"""Stochastic gradient descent on mini-batches in a seeded order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import xarray

from ..checkpoint import Checkpoint, array, nest, unnest
from ..identity import Identity
from ..objective import Objective
from ..progress import Progress
from .noise import IsotropicNoise
from .probe import Probe
from .probes import Probes
from .schedules import Schedule
from .training_plan import Draws, Plan, plan_training


@dataclass(frozen=True)
class StochasticDescent:
    """A training run and the checkpoints that were kept of it.

    Attributes:
        kept: theta (P,) by epoch, for the epochs asked for; epoch 0 is the start.
        losses: (whole epochs run,) mean mini-batch loss of each epoch, before each step's update.
        theta: the last point (P,); where the loss became non-finite, the start of the last epoch that began with a
            finite one.
        status: "completed", "stopped: loss below ... in epoch e", or "loss became non-finite in epoch e (step k)".
        seconds: wall time, over all the processes that worked on it.
        record: over ``step`` = 0 ... K: ``batch_loss``, the loss at theta_k of the batch that step k takes, and its
            ``learning_rate``; and what the probes measured. At K, where no step is taken, the rate is NaN, and the
            loss, which only probes ask for, is NaN without any.
        steps: K, the number of updates made.
    """

    kept: dict[int, torch.Tensor]
    losses: np.ndarray
    theta: torch.Tensor
    status: str
    seconds: float
    record: xarray.Dataset
    steps: int


def sgd(
    objective: Objective,
    theta: torch.Tensor,
    lr: float,
    epochs: int | None = None,
    batch_size: int | None = 128,
    *,
    steps: int | None = None,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    schedule: str | Schedule = "constant",
    seed: int = 0,
    keep: Sequence[int] = (),
    probes: Sequence[Probe] = (),
    noise: IsotropicNoise | None = None,
    stop_loss: float | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    keep_checkpoint: bool = False,
    progress: Progress | None = None,
) -> StochasticDescent:
    r"""Train by mini-batch gradients:

    .. math::

        v_{t+1}=\mu v_t+\nabla\mathcal L_{B_t}(\theta_t)+\xi_t+\omega\,\theta_t,\qquad
        \theta_{t+1}=\theta_t-\eta_t v_{t+1}

    (Sutskever et al. 2013, in the form of ``torch.optim.SGD``; with neither momentum, weight decay nor noise, eq. 1 of
    *A Walk with SGD*.) Each epoch visits every image once, in an order drawn from the seed and the epoch alone, so that
    a resumed run sees the batches it would have seen.

    Args:
        objective: what to descend on; batches are drawn from its data and evaluated in its BatchNorm mode, where
            ``"batch"`` means the statistics of the mini-batch, as in ordinary training.
        theta: the start (P,); left as it is.
        lr: the base rate :math:`\eta`, finite and above 0.
        epochs: passes over the data, at least 0. With ``steps`` it is only what the schedule stretches over, and may
            be left out.
        batch_size: images a step, all n where there are fewer; the last batch of an epoch holds what is left. 128 is
            the mining paper's (App. A.1). None takes the gradient of the whole objective at each step, and an epoch is
            one step.
        steps: the number of updates, K, where they are not whole epochs.
        momentum: :math:`\mu` in [0, 1); none by default, as in *A Walk with SGD*.
        weight_decay: :math:`\omega`, on every parameter; none by default.
        schedule: "constant" (default), "cosine", "step", or a function from the share of the training done, in [0, 1),
            to a factor of ``lr``; asked at every step.
        seed: of the order of the data.
        keep: epochs after which theta is kept, 0 for the start.
        probes: what to measure at :math:`\theta_0,\dots,\theta_K`, in this order. They see the loss and gradient of
            the batch that the step takes, with noise and without momentum and weight decay; at K those of the batch
            that would be taken next. :meth:`~landscape_helpers.descent.probes.Probes.record` says how their results
            share the record.
        noise: :math:`\xi_t`, added to every gradient; none by default.
        stop_loss: end after an epoch whose mean loss is below this.
        checkpoint: a file in which to save state; where it exists, training goes on from it and ends where it would
            have ended, with the same record. Deleted at the end.
        checkpoint_every: seconds between two saves, which happen between two steps.
        keep_checkpoint: as for :func:`.gradient_descent`.
        progress: called after each epoch with (epoch, epochs, mean loss).

    Raises:
        TypeError: a probe by itself instead of a list, or theta that is no tensor.
        ValueError: a number out of range, neither epochs nor steps, theta of the wrong length, an unknown schedule or
            one that ends before the run, an epoch to keep that is not reached, batches that BatchNorm cannot take, or a
            checkpoint of another run, other data or another loss; all before any work.
    """
    plan = plan_training(
        objective, theta, lr, epochs, batch_size, steps, momentum, weight_decay, schedule, seed, keep, stop_loss, noise
    )
    draw = Draws(objective, plan)
    theta = theta.detach().to(objective.device, objective.dtype, copy=True)
    kind = "training run (start, settings, micro-batches, BatchNorm policy or probes differ)"
    watching = Probes(probes, objective)
    identity = Identity(kind, objective, [theta], (plan.settings(), watching.settings))
    file = Checkpoint(checkpoint, checkpoint_every, identity)
    run = _Run(theta, torch.zeros_like(theta), theta.clone())
    if 0 in keep:
        run.kept[0] = theta.clone()
    if (saved := file.load()) is not None:
        run.restore(saved, theta)
        watching.restore(saved)

    epochs_in_all = math.ceil(plan.updates / plan.per_epoch)
    status, last = run.finished(plan), plan.updates
    while True:
        t, (epoch, j) = run.step, divmod(run.step, plan.per_epoch)
        ended = t == last or status is not None
        if ended and not watching:
            break
        loss, gradient, count = draw(t, run.theta)
        if not (math.isfinite(loss) and bool(torch.isfinite(gradient.sum()))):
            status, run.theta = f"loss became non-finite in epoch {epoch + 1} (step {t})", run.before
            break
        run.batch_losses.append(loss)
        watching.observe(t, run.theta, loss, gradient, draw.whole)
        if ended:
            break
        if j == 0:
            run.before, run.total = run.theta.clone(), 0.0
        run.total += loss * count
        watching.remember(gradient)
        run.update(gradient, plan)
        if j + 1 == plan.per_epoch:
            if not bool(torch.isfinite(run.theta.sum())):
                status, run.theta = f"loss became non-finite in epoch {epoch + 1} (step {t + 1})", run.before
                break
            run.losses.append(run.total / objective.n)
            if epoch + 1 in keep:
                run.kept[epoch + 1] = run.theta.clone()
            if progress is not None:
                progress(epoch + 1, epochs_in_all, run.losses[-1])
            status = run.finished(plan)
        if file.due() and (watching or run.step < last):
            file.save(run.state() | watching.state())
    file.clear(keep_checkpoint)
    status = status or "completed"
    record = _record(run, plan, watching, status)
    return StochasticDescent(run.kept, np.array(run.losses), run.theta, status, file.seconds, record, run.step)


@dataclass
class _Run:
    """Where a training run stands: theta_t after t = ``step`` updates, and what led there."""

    theta: torch.Tensor
    velocity: torch.Tensor
    before: torch.Tensor  # at the start of the epoch
    step: int = 0
    total: float = 0.0  # of the epoch's losses so far
    kept: dict[int, torch.Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    batch_losses: list[float] = field(default_factory=list)

    def update(self, gradient: torch.Tensor, plan: Plan) -> None:
        """Take the step: theta changes in place, the gradient stays as it is."""
        if plan.weight_decay:
            gradient = gradient.add(self.theta, alpha=plan.weight_decay)
        self.velocity.mul_(plan.momentum).add_(gradient)
        self.theta.add_(self.velocity, alpha=-plan.rate(self.step))
        self.step += 1

    def finished(self, plan: Plan) -> str | None:
        """Why the run ends here although updates are left, or None."""
        if plan.stop_loss is not None and self.losses and self.losses[-1] < plan.stop_loss:
            return f"stopped: loss below {plan.stop_loss:g} in epoch {len(self.losses)}"
        return None

    def state(self) -> dict[str, np.ndarray]:
        arrays = {name: array(getattr(self, name)) for name in ("theta", "velocity", "before")}
        arrays |= {name: np.array(getattr(self, name)) for name in ("step", "total", "losses", "batch_losses")}
        return arrays | nest("kept", {str(e): array(t) for e, t in self.kept.items()})

    def restore(self, saved: dict[str, np.ndarray], like: torch.Tensor) -> None:
        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(values).to(like)

        self.theta, self.velocity, self.before = (tensor(saved[name]) for name in ("theta", "velocity", "before"))
        self.step, self.total = int(saved["step"]), float(saved["total"])
        self.losses, self.batch_losses = saved["losses"].tolist(), saved["batch_losses"].tolist()
        self.kept = {int(e): tensor(t) for e, t in unnest("kept", saved).items()}


def _record(run: _Run, plan: Plan, watching: Probes, status: str) -> xarray.Dataset:
    failed = status.startswith("loss became")
    losses = np.array([*run.batch_losses, *([] if watching or failed else [np.nan])])
    points = len(losses)
    rates = np.array([plan.rate(t) if t < run.step else np.nan for t in range(points)])
    base = xarray.Dataset(
        {
            "batch_loss": ("step", losses, {"units": "nat", "long_name": "loss of the batch that the step takes"}),
            "learning_rate": ("step", rates, {"units": "parameter^2 / nat", "long_name": "learning rate of the step"}),
        },
        coords={"step": ("step", np.arange(points), {"long_name": "updates before"})},
    )
    return watching.record(base).assign_attrs(learning_rate=plan.lr, status=status)

