"""Intermediate results that several runs share, or that an interrupted run finds again: checkpoints, eigenvectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint import ArrayFile
from ...fingerprint import PACKAGE, PACKAGE_ROOT, closure_hash
from ...locking import only_process

Arrays = dict[str, np.ndarray]


class Memory:
    """Arrays by what they are of, in files of a folder, or computed anew each time where there is none.

    Args:
        folder: where the files lie; None keeps nothing beyond this object.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._held: dict[str, Arrays] = {}

    def recall(self, what: str, key: Mapping[str, Any], code: str, compute: Callable[[Path | None], Arrays]) -> Arrays:
        """What ``compute`` returns, from memory where it has been computed before by the same code.

        Args:
            what: a short name, the start of the file's.
            key: everything it depends on, as plain values.
            code: the module of this package that computes it; with any change there or in what it imports, the arrays
                are computed anew.
            compute: called with a file for its own unfinished state, or None.
        """
        text = json.dumps([what, key, closure_hash(f"{PACKAGE}.{code}", PACKAGE_ROOT)], sort_keys=True)
        name = f"{what}-{sha256(text.encode()).hexdigest()[:16]}"
        if name not in self._held:
            self._held[name] = self._recalled(name, compute)
        return self._held[name]

    def _recalled(self, name: str, compute: Callable[[Path | None], Arrays]) -> Arrays:
        if self.folder is None:
            return compute(None)
        file = ArrayFile(self.folder / f"{name}.npz")
        busy = f"{name} is being computed by another process: waiting for it"
        with only_process(file.path.with_suffix(".lock"), busy):
            arrays = file.load()
            if arrays is None:
                arrays = compute(file.path.with_suffix(".unfinished.npz"))
                file.save(arrays)
        return arrays
