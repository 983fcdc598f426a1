"""Computations that end before their time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path


class Interrupted(Exception):
    """What a progress function of a test raises."""


def stop_at(step: int) -> Callable[..., None]:
    """A progress function that interrupts once a computation has come to a step."""

    def progress(now: int, *_: object) -> None:
        if now >= step:
            raise Interrupted

    return progress


def run_until_killed(program: str, step: int, file: Path) -> None:
    """Run a program in a process of its own, which its progress function ``die`` kills at a step.

    Args:
        program: may import what stands beside this file, and saves its state to ``file``.
    """
    before = f"""
        import os, signal, sys
        import torch
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        torch.set_num_threads(1)
        file = {str(file)!r}
        def die(now, *_):
            if now == {step}:
                os.kill(os.getpid(), signal.SIGKILL)
        """
    script = textwrap.dedent(before) + textwrap.dedent(program)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert file.exists()
