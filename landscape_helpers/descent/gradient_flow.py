r"""Gradient flow :math:`\dot\theta=-\nabla L(\theta)`, followed with steps well below the edge of stability.

*There is a Singularity in the Loss Landscape*, Section 4.2: Euler's method with
:math:`\eta_n=\min(\text{cap},\,c/\lambda_1(\theta_n))`, which keeps :math:`\rho_1=\eta\lambda_1/2` at most c/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray

from ..checkpoint import Checkpoint, array, nest, unnest
from ..curvature import EigenTracker, OverflowedCurvature
from ..identity import Identity
from ..objective import Objective
from ..objective_checks.arguments import check_whole
from ..progress import Progress

METHODS = ("euler", "rk4")
COLUMNS = ("time", "loss", "rate", "lambda_1", "lambda_residual", "products", "converged")
# Calls after which a larger eigenvalue is looked for: one vector is followed, at each of tens of thousands of steps.
RENEW = 100


@dataclass(frozen=True)
class Peak:
    """A point where lambda_1 was largest: its step (-1 for none), lambda_1 there, and theta (P,)."""

    step: int
    lambda_1: float
    theta: torch.Tensor


@dataclass(frozen=True)
class Flow:
    """An approximate solution of the gradient flow.

    Attributes:
        record: over ``step``: ``time``, ``loss``, ``rate`` (of the step that follows), ``lambda_1`` with
            ``lambda_residual``, ``converged`` and Hessian ``products``. Where lambda_1 was not asked for, it and its
            residual are NaN, ``products`` 0.
        theta: the last point (P,) whose loss is finite; the start where no loss is.
        peak: the peak of lambda_1 among the steps where it was measured.
        snapshot_peak: that among the multiples of ``snapshot_every``, which is what the paper goes back to (Section
            5.4).
        status: "completed", "stopped: loss below ... at step n", or "loss became non-finite at step n" (or
            "curvature").
        steps: the number of the last recorded step; -1 where there is none.
        seconds: wall time, over all the processes that worked on it.
    """

    record: xarray.Dataset
    theta: torch.Tensor
    peak: Peak
    snapshot_peak: Peak
    status: str
    steps: int
    seconds: float


def gradient_flow(
    objective: Objective,
    theta: torch.Tensor,
    cap: float = 0.001,
    c: float = 0.5,
    time: float | None = None,
    stop_loss: float | None = None,
    steps: int | None = None,
    method: str = "euler",
    lambda_every: int = 1,
    *,
    tol: float = 1e-2,
    max_products: int = 100,
    snapshot_every: int = 100,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    keep_checkpoint: bool = False,
    progress: Progress | None = None,
) -> Flow:
    r"""Follow the gradient flow from theta by steps of :math:`\min(\text{cap}, c/\lambda_1)`.

    Where :math:`\lambda_1` is not above 0 the step is the cap. Steps differ, so time is their sum and not a multiple of
    one of them. The same rule with ``"rk4"``, the classical Runge-Kutta method of fourth order at four gradients a
    step, tells what Euler's error is.

    Args:
        objective: what to descend on.
        theta: the start (P,); left as it is.
        cap: the largest step, 0.001 in the paper.
        c: 0.5 in the paper; the method is stable below 2 (Euler) or 2.78 (rk4).
        time: end at the first step at or beyond this time.
        stop_loss: end once the loss is below this.
        steps: the most steps. At least one of these three is needed.
        method: "euler", as in the paper, or "rk4".
        lambda_every: steps between two measurements of lambda_1, 1 in the paper; in between the last one sets the step.
        tol: relative residual of lambda_1; see :class:`~landscape_helpers.curvature.EigenTracker`.
        max_products: Hessian products a measurement may take, 100 by our choice; one that has not converged is recorded
            as such.
        snapshot_every: see :attr:`Flow.snapshot_peak`; 100 in the paper.
        checkpoint: a file in which to save state, as for :func:`gradient_descent`.
        checkpoint_every, keep_checkpoint: likewise.
        progress: called after each step with (step, steps, loss); steps is 0 where no number of steps is given.

    Raises:
        TypeError: theta that is no tensor.
        ValueError: a number out of range, theta of the wrong length, an unknown method, no end to the flow, an
            objective in 16 bits, or a checkpoint of another flow, other data or another loss, or with more steps or
            time behind it; all before any work.
    """
    _check(objective, theta, cap, c, time, stop_loss, steps, method, lambda_every, snapshot_every)
    theta = theta.detach().to(objective.device, objective.dtype, copy=True)
    tracker = EigenTracker(objective, 1, tol, max_products, renew=RENEW)
    kind = "flow (start, settings, micro-batches or BatchNorm policy differ)"
    settings = (cap, c, method, lambda_every, tol, max_products, snapshot_every)
    file = Checkpoint(checkpoint, checkpoint_every, Identity(kind, objective, [theta], settings))
    rows: list[list[float]] = []
    t, lambda_1 = 0.0, math.nan
    peaks = [Peak(-1, -math.inf, theta.clone()) for _ in range(2)]
    if (saved := file.load()) is not None:
        theta, *tops = (torch.as_tensor(saved[n]).to(theta) for n in ("theta", "peak0", "peak1"))
        rows, (t, lambda_1) = saved["rows"].tolist(), saved["now"].tolist()
        file.refuse(steps is not None and len(rows) > steps, f"step {len(rows)}", f"steps={steps}")
        file.refuse(time is not None and rows[-1][0] >= time, f"time {t:g}", f"time={time}")
        peaks = [Peak(int(n), float(v), top) for (n, v), top in zip(saved["peaks"], tops, strict=True)]
        tracker.restore(unnest("tracker", saved))

    previous, status = theta, "completed"
    while True:
        n = len(rows)
        loss, gradient = objective.loss_and_gradient(theta)
        if not (math.isfinite(loss) and bool(torch.isfinite(gradient.sum()))):
            status, theta = f"loss became non-finite at step {n}", previous
            break
        if rows and file.due():  # only at a point known to be finite, as in gradient_descent
            state = {"theta": array(theta), "rows": np.array(rows)}
            state |= {"now": np.array([t, lambda_1]), "peaks": np.array([[p.step, p.lambda_1] for p in peaks])}
            state |= {f"peak{i}": array(p.theta) for i, p in enumerate(peaks)}
            file.save(state | nest("tracker", tracker.state()))
        measured = [math.nan, math.nan, 0.0, 0.0]
        if n % lambda_every == 0:
            try:
                pair = tracker.at(theta)
            except OverflowedCurvature:
                status = f"curvature became non-finite at step {n}"
                break
            lambda_1 = float(pair.values[0])
            measured = [lambda_1, float(pair.residuals[0]), pair.products, pair.converged]
            for i, counts in enumerate((True, n % snapshot_every == 0)):
                if counts and lambda_1 > peaks[i].lambda_1:
                    peaks[i] = Peak(n, lambda_1, theta.clone())
        rate = min(cap, c / lambda_1) if lambda_1 > 0 else cap
        rows.append([t, loss, rate, *measured])
        if progress is not None:
            progress(n, steps or 0, loss)
        if stop_loss is not None and loss < stop_loss:
            status = f"stopped: loss below {stop_loss:g} at step {n}"
            break
        if n == steps or (time is not None and t >= time):
            break
        previous, theta, t = theta, _step(objective, theta, gradient, rate, method), t + rate
    file.clear(keep_checkpoint)
    record = _record(rows, status, cap, c, method)
    return Flow(record, theta, peaks[0], peaks[1], status, len(rows) - 1, file.seconds)


def _step(objective: Objective, theta: torch.Tensor, gradient: torch.Tensor, rate: float, method: str) -> torch.Tensor:
    if method == "euler":
        return torch.add(theta, gradient, alpha=-rate)
    second = objective.gradient(torch.add(theta, gradient, alpha=-rate / 2))
    third = objective.gradient(torch.add(theta, second, alpha=-rate / 2))
    fourth = objective.gradient(torch.add(theta, third, alpha=-rate))
    return torch.add(theta, gradient + 2 * (second + third) + fourth, alpha=-rate / 6)


def _record(rows: list[list[float]], status: str, cap: float, c: float, method: str) -> xarray.Dataset:
    table = np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS))
    curvature = {"units": "nat / parameter^2", "long_name": "largest Hessian eigenvalue"}
    attrs: dict[str, dict[str, str]] = {
        "time": {"units": "1", "long_name": "sum of the steps"},
        "loss": {"units": "nat", "long_name": "training loss"},
        "rate": {"units": "1", "long_name": "length of the step in time"},
        "lambda_1": curvature,
        "lambda_residual": {"units": "nat / parameter^2"},
        "products": {"units": "1", "long_name": "Hessian-vector products"},
        "converged": {"long_name": "lambda_1 was asked for and within tolerance"},
    }
    kinds: dict[str, type] = {"products": np.int64, "converged": bool}
    return xarray.Dataset(
        {
            name: ("step", table[:, i].astype(kinds.get(name, np.float64)), attrs[name])
            for i, name in enumerate(COLUMNS)
        },
        coords={"step": ("step", np.arange(len(table)), {"long_name": "step of the integrator"})},
        attrs={"status": status, "cap": cap, "c": c, "method": method},
    )


def _check(
    objective: Objective,
    theta: torch.Tensor,
    cap: float,
    c: float,
    time: float | None,
    stop_loss: float | None,
    steps: int | None,
    method: str,
    lambda_every: int,
    snapshot_every: int,
) -> None:
    objective.check_vector(theta)
    for name, value in (("cap", cap), ("c", c)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, got {value}")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: expected one of {list(METHODS)}")
    if time is None and stop_loss is None and steps is None:
        raise ValueError("the flow has no end: give time, stop_loss or steps")
    check_whole(steps=steps)
    if (time is not None and not time >= 0) or (steps is not None and steps < 0):
        raise ValueError(f"time and steps must not be negative, got time={time} and steps={steps}")
    if lambda_every < 1 or snapshot_every < 1:
        raise ValueError(
            f"lambda_every and snapshot_every must be at least 1 step, got {lambda_every} and {snapshot_every}"
        )
