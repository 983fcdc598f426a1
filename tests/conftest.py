"""What every test runs under: one thread for torch, so that a shared machine neither slows nor reorders sums."""

from __future__ import annotations

import matplotlib
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)
