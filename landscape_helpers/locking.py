"""One process at a time on one file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock; processes there are not kept apart
    fcntl = None  # type: ignore[assignment]


@contextmanager
def only_process(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; the system releases it when a process dies.

    Args:
        busy: what to log where another process holds it, before waiting.
    """
    if fcntl is None:
        yield
        return
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_CREAT | os.O_RDWR)
        except FileNotFoundError:
            continue  # its last holder removed the folder just now: make it again
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger(__name__).warning(busy)
            fcntl.flock(file, fcntl.LOCK_EX)
        if _still_there(path, file):
            break
        os.close(file)  # its last holder removed it: take the lock on the new file, if any
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
        # Leave no empty folder behind. It is not empty while there is something to resume, and gone where a process
        # that waited has tidied up first.
        with suppress(OSError):
            path.parent.rmdir()


def _still_there(path: Path, file: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False
