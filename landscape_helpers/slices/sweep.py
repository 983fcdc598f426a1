"""Walking over the grid of a slice: blocks of points, progress, and a file from which to go on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..descent.checkpoint import Checkpoint
from ..descent.identity import NAME, objective_digest, refuse_another, update
from .choose import choose
from .evaluator import Span

Progress = Callable[[int, int], None]


def sweep(
    span: Span,
    grid: tuple[np.ndarray, ...],
    progress: Progress | None,
    checkpoint: str | Path | None,
    checkpoint_every: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Losses and accuracies, each of the shape of the grid, in the order of its values.

    Each row is walked in the same direction, so that no point can end up in its neighbour's place. Which points are
    done is kept beside the values: any number, NaN included, may be a loss, and none is computed twice.
    """
    shape = tuple(len(values) for values in grid)
    losses, accuracies = np.full(shape, np.nan), np.full(shape, np.nan)
    computed = np.zeros(shape, dtype=bool)
    file = Checkpoint(checkpoint, checkpoint_every) if checkpoint is not None else None
    identity: dict[str, np.ndarray] = {}
    if file is not None:
        identity = {"fingerprint": _fingerprint(span, grid), NAME: objective_digest(span.objective)}

    def save() -> None:
        if file is not None:
            file.save({"losses": losses, "accuracies": accuracies, "computed": computed} | identity)

    if file is not None and (saved := file.load()) is not None:
        refuse_another(saved, identity[NAME], file.path)
        if not np.array_equal(saved["fingerprint"], identity["fingerprint"]):
            raise ValueError(
                f"{file.path} was saved by another slice (point, directions, grid, buffers or policy differ): delete "
                "it or choose another file"
            )
        losses, accuracies, computed = saved["losses"], saved["accuracies"], saved["computed"]
    if progress is not None and computed.any():
        progress(int(computed.sum()), computed.size)
    if computed.all():
        return losses, accuracies

    try:
        with torch.inference_mode():
            evaluate = choose(span)
            for row in np.ndindex(shape[:-1]):
                missing = np.flatnonzero(~computed[row])
                for start in range(0, len(missing), evaluate.block):
                    columns = missing[start : start + evaluate.block]
                    outer = [grid[axis][i] for axis, i in enumerate(row)]
                    coordinates = np.array([[*outer, grid[-1][j]] for j in columns])
                    losses[row][columns], accuracies[row][columns] = evaluate(coordinates)
                    computed[row][columns] = True
                    span.objective.counts.forward += len(columns)
                    if progress is not None:
                        progress(int(computed.sum()), computed.size)
                    if file is not None and file.due():
                        save()
    except BaseException:
        # An interruption by hand or by a full disk loses nothing that was computed.
        if computed.any():
            save()
        raise
    if file is not None:
        file.clear()
    return losses, accuracies


def _fingerprint(span: Span, grid: tuple[np.ndarray, ...]) -> np.ndarray:
    """Identifies a slice of an objective: where, along what, with which buffers and what of BatchNorm."""
    objective = span.objective
    digest = hashlib.sha256(repr((objective.batch_size, objective.batchnorm, span.policy, span.accuracy)).encode())
    for tensor in (span.theta, *span.directions, *objective.model.buffers()):
        update(digest, tensor)
    for values in grid:
        digest.update(values.tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)
