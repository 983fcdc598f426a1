"""Saving a computation half-way, so that a killed run goes on where it stood."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from .archive import read_arrays
from .identity import Identity, differing

OWN = "checkpoint"  # the prefix of what a checkpoint saves beside the arrays it is given
SAVING = 1 / 30  # the most of its time that a computation spends on saving: states of gigabytes are saved less often


class ArrayFile:
    """A file of plain arrays, replaced atomically: a reader sees the last complete state or none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(partial, self.path)

    def load(self) -> dict[str, np.ndarray] | None:
        """The saved arrays, or None where nothing has been saved.

        Raises:
            ValueError: the file holds something else.
        """
        if not self.path.exists():
            return None
        try:
            arrays = read_arrays(self.path)
            if len(arrays) != (written := self._written()):
                raise ValueError(f"{len(arrays)} of {written} arrays are there")
        except ValueError as error:
            raise ValueError(
                f"{self.path} is not a readable checkpoint ({error}): delete it to start afresh"
            ) from error
        return arrays

    def _written(self) -> int:
        """How many arrays the end of the file tells of: a damaged directory can hide some, which zipfile lets pass."""
        with self.path.open("rb") as file:
            file.seek(-22, os.SEEK_END)  # the end of a zip file without a comment, as NumPy writes it
            return int.from_bytes(file.read()[10:12], "little")


class Checkpoint:
    """The state of one computation in a file, and the time it has taken in all the processes that worked on it.

    Args:
        path: the file; None saves nothing, and nothing is asked of the identity.
        every: seconds between two saves, at least 0. A save that takes long makes the next one wait for longer, so
            that saving costs a thirtieth of the time at most; with 0 each is made.
        identity: what the state belongs to, as it is now. What was saved for anything else is refused.

    Raises:
        ValueError: a negative ``every``.
        TypeError: an identity that no file can hold, as :meth:`.Identity.marks` says.
    """

    def __init__(self, path: str | Path | None, every: float, identity: Identity) -> None:
        if every < 0:
            raise ValueError(f"seconds between checkpoints must not be negative, got {every}")
        self._file = None if path is None else ArrayFile(path)
        self._what = identity.what
        self._marks = {} if path is None else identity.marks()
        self._every = self._pause = every
        self._started = self._saved = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall time since the computation began, without the time between its processes."""
        return time.perf_counter() - self._started

    def due(self) -> bool:
        """Whether it is time to save."""
        return self._file is not None and time.perf_counter() - self._saved >= self._pause

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        if self._file is None:
            return
        own = self._marks | {"seconds": np.array(self.seconds)}
        before = time.perf_counter()
        self._file.save({**arrays, **nest(OWN, own)})
        self._saved = time.perf_counter()
        if self._every > 0:
            self._pause = max(self._every, (self._saved - before) / SAVING)

    def load(self) -> dict[str, np.ndarray] | None:
        """The saved arrays, or None where nothing has been saved; the clock goes on from the time they took.

        Raises:
            ValueError: the file is no checkpoint, or one of another computation or another objective.
        """
        saved = None if self._file is None else self._file.load()
        if self._file is None or saved is None:
            return None
        own = unnest(OWN, saved)
        other = differing(own, self._marks)
        if other == "objective":
            raise ValueError(
                f"{self._file.path} was saved for another objective (its data, loss or model differ), or by another "
                "version of this package: going on from it would mix two functions; delete it or choose another file"
            )
        if other == "run":
            raise ValueError(f"{self._file.path} was saved by another {self._what}: delete it or choose another file")
        self._started -= float(own["seconds"])
        return {name: values for name, values in saved.items() if not name.startswith(f"{OWN}/")}

    def refuse(self, beyond: bool, stands: str, asked: str) -> None:
        """Do not go on from a state that lies beyond the end asked for.

        Raises:
            ValueError: it does.
        """
        if self._file is not None and beyond:
            raise ValueError(
                f"{self._file.path} stands at {stands}, beyond the {asked} asked for: ask for at least as much, delete "
                "it or choose another file"
            )

    def clear(self, keep: bool = False) -> None:
        """The computation has ended: delete the file, unless its caller keeps it for what it computes from the end."""
        if self._file is not None and not keep:
            self._file.path.unlink(missing_ok=True)


def array(tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor as they are; in single precision where NumPy has no such type, as for bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def nest(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays under names that begin with ``prefix/``."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def unnest(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the arrays that :func:`nest` put under the prefix, by the names they had."""
    start = prefix + "/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
