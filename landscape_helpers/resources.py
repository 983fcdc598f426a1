"""What a computation may take of the machine, and what it took."""

from __future__ import annotations

import resource
import sys

import torch

SAMPLE_GRADIENTS = 2**26  # numbers that explicit gradients of samples may take at once: 256 MB in float32


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in 10^6 bytes: of the accelerator where one is used, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
