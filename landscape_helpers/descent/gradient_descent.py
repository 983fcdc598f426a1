r"""Full-batch gradient descent, :math:`\theta_{k+1}=\theta_k-\eta\nabla\mathcal L_n(\theta_k)`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray

from ..checkpoint import Checkpoint, array
from ..identity import Identity
from ..objective import Objective
from ..objective_checks.arguments import check_whole
from ..progress import Progress
from .probe import Probe
from .probes import Probes


@dataclass(frozen=True)
class Descent:
    """A trajectory and what was measured on it.

    Attributes:
        record: over ``step`` = 0 ... K: ``loss`` and what the probes measured.
        theta: the last point (P,) whose loss is finite; the start where no loss is.
        status: "completed", "stopped: loss below ... at step k", or "loss became non-finite at step k".
        steps: K, the number of the last recorded step; -1 where there is none.
        seconds: wall time, over all the processes that worked on it.
    """

    record: xarray.Dataset
    theta: torch.Tensor
    status: str
    steps: int
    seconds: float


def gradient_descent(
    objective: Objective,
    theta: torch.Tensor,
    lr: float,
    steps: int,
    probes: Sequence[Probe] = (),
    *,
    stop_loss: float | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    keep_checkpoint: bool = False,
    progress: Progress | None = None,
) -> Descent:
    r"""Descend from theta with a constant rate, no momentum, one full-batch gradient a step.

    *Exploring Gradient Oscillation*, eq. 1. One epoch is one step. Loss, gradient and probes are evaluated at
    :math:`\theta_0,\dots,\theta_K`. A loss or gradient that is not finite ends the trajectory at that step: all earlier
    records are kept and ``status`` says where.

    Args:
        objective: what to descend on.
        theta: the start (P,); left as it is.
        lr: the learning rate :math:`\eta`, finite and above 0.
        steps: K, the number of updates, at least 0.
        probes: what to measure, in this order; :meth:`~landscape_helpers.descent.probes.Probes.record` says how their
            results share the record.
        stop_loss: end once the loss is below this; never by default.
        checkpoint: a file in which to save state. Where it exists, the trajectory goes on from it and ends with the
            record it would have had without the interruption; it is deleted at the end.
        checkpoint_every: seconds between two saves, more where a save takes seconds itself; it writes theta, the kept
            gradients and the record.
        keep_checkpoint: leave the file as it was saved last, for a caller that has more to compute from the end and
            deletes it then.
        progress: called after each step with (step, steps, loss).

    Raises:
        TypeError: a probe by itself instead of a list, or theta that is no tensor.
        ValueError: a learning rate or number of steps out of range, a number of steps that is not whole, theta of the
            wrong length, a negative ``checkpoint_every``, or a checkpoint that belongs to another trajectory, other
            data or another loss, or has more steps behind it; all before any work. What a probe refuses when the
            trajectory begins.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a finite learning rate above 0, got {lr}")
    check_whole(steps=steps)
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")
    objective.check_vector(theta)
    steps = int(steps)

    theta = theta.detach().to(objective.device, objective.dtype, copy=True)
    watching = Probes(probes, objective)
    kind = "trajectory (start, rate, micro-batches, BatchNorm policy or probes differ)"
    identity = Identity(kind, objective, [theta], (float(lr), watching.settings))
    file = Checkpoint(checkpoint, checkpoint_every, identity)
    losses: list[float] = []
    if (saved := file.load()) is not None:
        losses.extend(saved["losses"].tolist())
        file.refuse(len(losses) > steps, f"step {len(losses)}", f"steps={steps}")
        theta = torch.as_tensor(saved["theta"]).to(theta)
        watching.restore(saved)

    previous, spare = theta, None
    status = "completed"
    for k in range(len(losses), steps + 1):
        loss, gradient = objective.loss_and_gradient(theta, out=spare)
        if not (math.isfinite(loss) and bool(torch.isfinite(gradient.sum()))):
            status, theta = f"loss became non-finite at step {k}", previous
            break
        if losses and file.due():  # only at a point known to be finite: from any other there would be no way back
            file.save({"theta": array(theta), "losses": np.array(losses), **watching.state()})
        losses.append(loss)
        watching.observe(k, theta, loss, gradient)
        if progress is not None:
            progress(k, steps, loss)
        if stop_loss is not None and loss < stop_loss:
            status = f"stopped: loss below {stop_loss:g} at step {k}"
            break
        if k == steps:
            break
        previous = theta
        theta = torch.add(theta, gradient, alpha=-lr)
        spare = watching.remember(gradient)
    file.clear(keep_checkpoint)
    record = watching.record(record_of_losses(losses, "full-batch step"))
    record = record.assign_attrs(learning_rate=lr, status=status)
    return Descent(record, theta, status, len(losses) - 1, file.seconds)


def record_of_losses(losses: Sequence[float], step: str) -> xarray.Dataset:
    """``loss`` over ``step``, which counts what ``step`` names."""
    return xarray.Dataset(
        {"loss": ("step", np.array(losses), {"units": "nat", "long_name": "training loss"})},
        coords={"step": ("step", np.arange(len(losses)), {"long_name": step})},
    )
