"""The loop that both mining algorithms share: epochs, batches, a random lambda each, records, resuming."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import xarray

from ..checkpoint import Checkpoint, array
from ..identity import Identity
from ..minibatch import MiniBatches
from ..objective import Objective
from ..progress import Progress
from .result import Mined

Update = Callable[[torch.Tensor, torch.Tensor, float, torch.Tensor], tuple[float, ...]]


@dataclass(frozen=True)
class Algorithm:
    """One mining algorithm.

    Attributes:
        theta: the point (P,) that stays fixed.
        start: where the vector (P,) that is updated starts.
        is_point: the vector is a point, and the direction leads from theta to it; else it is the direction.
        interval: epoch (from 0) -> the ends between which lambda is drawn uniformly.
        update: (vector, batch, lambda, out) -> the batch's losses, the updated vector written to ``out``.
        losses: name -> meaning of each loss that ``update`` returns.
        gradients: gradients a batch.
        settings: all that the trajectory depends on besides its vectors and data.
    """

    theta: torch.Tensor
    start: torch.Tensor
    is_point: bool
    interval: Callable[[int], tuple[float, float]]
    update: Update
    losses: Mapping[str, str]
    gradients: int
    settings: tuple[object, ...]

    def direction(self, vector: torch.Tensor) -> torch.Tensor:
        return vector - self.theta if self.is_point else vector


@dataclass
class _Log:
    """What has been recorded so far."""

    lambdas: list[float] = field(default_factory=list)
    losses: list[tuple[float, ...]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)


def mine(
    algorithm: Algorithm,
    batches: MiniBatches,
    epochs: int,
    progress: Progress | None,
    checkpoint: str | Path | None,
    checkpoint_every: float,
) -> Mined:
    """Run an algorithm for its epochs, or until a loss is not finite."""
    kind = "search (point, rate, epochs, seed, batch size or BatchNorm policy differ)"
    settings = (batches.batch_size, batches.seed, epochs, algorithm.settings)
    identity = Identity(kind, batches.objective, [algorithm.theta, algorithm.start], settings)
    file = Checkpoint(checkpoint, checkpoint_every, identity)
    previous, log = algorithm.start.clone(), _Log()
    vector, out = previous.clone(), torch.empty_like(previous)
    if (saved := file.load()) is not None:
        _resume(saved, log, previous, vector)
    size, status = math.ceil(batches.objective.n / batches.batch_size), "completed"
    for epoch in range(len(log.norms), epochs):
        draws, order = _lambdas(algorithm, batches.seed, epoch, size), list(batches.epoch(epoch + 1))
        for b in range(len(log.lambdas) - epoch * size, size):
            losses = algorithm.update(vector, order[b], draws[b], out)
            finite = all(map(math.isfinite, losses))
            if not (finite and bool(torch.isfinite(out.sum()))):
                what = "gradient" if finite else "loss"
                status = f"{what} became non-finite in epoch {epoch + 1}, batch {b + 1}"
                vector = vector if finite else previous
                break
            log.lambdas.append(draws[b])
            log.losses.append(losses)
            previous, vector, out = vector, out, previous
            if b + 1 == size:
                log.norms.append(float(algorithm.direction(vector).double().norm()))
            if progress is not None:
                progress(len(log.lambdas), epochs * size, losses[0])
            if file.due():
                file.save(_state(log, previous, vector))
        if status != "completed":
            break
    file.clear()
    return Mined(
        direction=algorithm.direction(vector),
        record=_record(algorithm, log, size, status),
        status=status,
        epochs=len(log.norms),
        gradients=algorithm.gradients * _passes(len(log.lambdas), size, batches),
        seconds=file.seconds,
    )


def check(objective: Objective, theta: torch.Tensor, epochs: int, lr: float, seed: int) -> torch.Tensor:
    """Refuse what no mining can start from; return a copy of theta (P,) on the objective's device, of its dtype."""
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a finite learning rate above 0, got {lr}")
    return objective.finite_vector(theta).clone()


def _lambdas(algorithm: Algorithm, seed: int, epoch: int, batches: int) -> list[float]:
    """One a batch, from a generator that seed and epoch alone decide, other than the one that orders the data."""
    low, high = algorithm.interval(epoch)
    return np.random.default_rng([seed, epoch]).uniform(low, high, batches).tolist()


def _passes(steps: int, size: int, batches: MiniBatches) -> float:
    """Passes over the data that so many batches make, ``size`` an epoch."""
    epochs, rest = divmod(steps, size)
    return epochs + rest * batches.batch_size / batches.objective.n


def _record(algorithm: Algorithm, log: _Log, size: int, status: str) -> xarray.Dataset:
    losses = np.array(log.losses, dtype=np.float64).reshape(-1, len(algorithm.losses))
    epochs = len(log.norms)
    means = losses[: epochs * size].reshape(epochs, size, len(algorithm.losses)).mean(axis=1)
    variables: dict[str, tuple[str, np.ndarray, dict[str, str]]] = {
        "lambda": ("step", np.array(log.lambdas), {"units": "1", "long_name": "place on the line"}),
        "norm": ("epoch", np.array(log.norms), {"units": "parameter", "long_name": "length of the direction"}),
    }
    for i, (name, meaning) in enumerate(algorithm.losses.items()):
        variables[name] = ("step", losses[:, i], {"units": "nat", "long_name": meaning})
        variables[f"mean_{name}"] = ("epoch", means[:, i], {"units": "nat", "long_name": f"{meaning}, epoch's mean"})
    coords = {"step": np.arange(len(losses)), "epoch": np.arange(1, epochs + 1)}
    return xarray.Dataset(variables, coords=coords, attrs={"status": status})


def _state(log: _Log, previous: torch.Tensor, vector: torch.Tensor) -> dict[str, np.ndarray]:
    return {
        "previous": array(previous),
        "vector": array(vector),
        "lambdas": np.array(log.lambdas),
        "losses": np.array(log.losses),
        "norms": np.array(log.norms),
    }


def _resume(saved: dict[str, np.ndarray], log: _Log, previous: torch.Tensor, vector: torch.Tensor) -> None:
    log.lambdas.extend(saved["lambdas"].tolist())
    log.losses.extend(tuple(row) for row in saved["losses"].tolist())
    log.norms.extend(saved["norms"].tolist())
    previous.copy_(torch.as_tensor(saved["previous"]))
    vector.copy_(torch.as_tensor(saved["vector"]))
