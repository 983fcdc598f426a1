"""Saving a trajectory half-way, so that a killed run goes on where it stood."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch


class Checkpoint:
    """A file of plain arrays, replaced atomically, at most once every so many seconds.

    A reader sees the last complete state or none: the arrays go to a neighbouring file that then takes the name.
    """

    def __init__(self, path: str | Path, every: float) -> None:
        if every < 0:
            raise ValueError(f"seconds between checkpoints must not be negative, got {every}")
        self.path = Path(path)
        self.every = every
        self._last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._last >= self.every

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(partial, self.path)
        self._last = time.monotonic()

    def load(self) -> dict[str, np.ndarray] | None:
        """The saved arrays, or None where nothing has been saved."""
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(
                f"{self.path} is not a readable checkpoint ({error}): delete it to start afresh"
            ) from error

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


def array(tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor as they are; in single precision where NumPy has no such type, as for bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def nest(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def unnest(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    start = prefix + "/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
