"""What the benchmarks against public tools share: the machine's floor, and which tools are there."""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Mapping

import torch

INSTALL = "pip install -r benchmarks/requirements.txt"


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
