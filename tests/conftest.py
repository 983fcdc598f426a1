"""What every test runs under: one thread for torch, so that a shared machine neither slows nor reorders sums."""

from __future__ import annotations

import os

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)
# These run in a process of their own, which test_accelerator.py starts.
collect_ignore = [] if "ACCELERATOR_TESTS" in os.environ else ["accelerator"]


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """Data sets are looked for in the test's own folders, and not in the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "unused-cache"))
    monkeypatch.delenv("LANDSCAPE_DATA", raising=False)
