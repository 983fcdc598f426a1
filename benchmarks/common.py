"""What the benchmarks against public tools share: the floor, the tools that are there, a network and its training."""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

INSTALL = "pip install -r benchmarks/requirements.txt"


class PlainMLP(nn.Module):
    """The MLP as a user might write it: nothing to be seen from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3072, 128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(F.relu(self.a(x.flatten(1))))


def train(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, lr: float = 0.05, momentum: float = 0.5, batch_size: int = 50
) -> None:
    """Five epochs of SGD: away from the initial point, where loss and curvature are special."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    order = torch.Generator().manual_seed(0)
    for _ in range(5):
        for batch in torch.randperm(len(x), generator=order).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()


def memory(reset: bool = False) -> float:
    """The most memory this process has held, in MiB; with ``reset``, what it holds now, and the count starts here."""
    if reset and Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matmul_rate() -> float:
    """Floating-point operations a second of a float32 matrix product: the best of six."""
    a = torch.randn(2048, 2048)
    rates = []
    for _ in range(6):
        start = time.process_time()
        a @ a
        rates.append(2 * 2048**3 / (time.process_time() - start))
    return max(rates)


def installed(requested: str, known: Mapping[str, str], parser: argparse.ArgumentParser) -> list[str]:
    """The peers of a comma-separated list that can be imported; those that cannot are named.

    Args:
        known: by the peer's name here, the module to import.
        parser: refuses a name that is not known.
    """
    peers = [peer for peer in requested.split(",") if peer]
    if unknown := sorted(set(peers) - set(known)):
        parser.error(f"unknown peers {', '.join(unknown)}: expected some of {', '.join(known)}")
    for peer in [peer for peer in peers if importlib.util.find_spec(known[peer]) is None]:
        print(f"{peer} is not installed and is left out: {INSTALL}")
        peers.remove(peer)
    return peers


def write_rows(
    path: Path, rows: list[dict[str, Any]], name: str = "rows", known_by: Sequence[str] = ("workload",), **about: Any
) -> None:
    """Write the rows and what they were measured on; those of workloads that did not run this time stay.

    Args:
        name: what the file calls the rows.
        known_by: what tells a row's workload from others.
        about: what all rows share beside the version of PyTorch. Rows measured on anything else do not stay.
    """
    about = {"torch": torch.__version__} | about
    ran = {tuple(row[part] for part in known_by) for row in rows}
    before = json.loads(path.read_text()) if path.exists() else {}
    kept = before[name] if about == {what: before.get(what) for what in about} else []
    rows = [row for row in kept if tuple(row[part] for part in known_by) not in ran] + rows
    path.write_text(json.dumps(about | {name: rows}, indent=1) + "\n")
