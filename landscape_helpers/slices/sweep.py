"""Walking over the grid of a slice: blocks of points, progress, and a file from which to go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..identity import Identity
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
    objective = span.objective
    kind = "slice (point, directions, grid, micro-batches or policy differ)"
    settings = (grid, span.policy, span.accuracy)
    identity = Identity(kind, objective, [span.theta, *span.directions], settings)
    file = Checkpoint(checkpoint, checkpoint_every, identity)

    def save() -> None:
        file.save({"losses": losses, "accuracies": accuracies, "computed": computed})

    if (saved := file.load()) is not None:
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
                    objective.counts.forward += len(columns)
                    if progress is not None:
                        progress(int(computed.sum()), computed.size)
                    if file.due():
                        save()
    except BaseException:
        # An interruption by hand or by a full disk loses nothing that was computed.
        if computed.any():
            save()
        raise
    file.clear()
    return losses, accuracies

