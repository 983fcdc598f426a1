"""Curves of the loss around a checkpoint: where they are evaluated, and adding them to a run's tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ... import slices
from .setting import Setting
from .tables import Tables


def view(scale: float, points: int) -> np.ndarray:
    """``points`` positions over [-s, s]; exactly 0 in the middle of an odd number."""
    half = np.linspace(0, scale, points // 2 + 1)
    return np.concatenate([-half[:0:-1], half]) if points % 2 else np.linspace(-scale, scale, points)


def gaussian_seed(setting: Setting, draw: int) -> int:
    """The seed of a run's Gaussian direction; the same draw is the same direction in every part of the run."""
    return 10_000 * setting.seed + draw


def losses_along(setting: Setting, theta: torch.Tensor, direction: torch.Tensor, at: np.ndarray) -> np.ndarray:
    """The loss (points,) at theta + lambda direction, BatchNorm's statistics re-estimated at every point."""
    return np.asarray(slices.line(setting.objective, theta, direction, at, batchnorm="re-estimated"))


def add_curve(
    setting: Setting,
    tables: Tables,
    theta: torch.Tensor,
    direction: torch.Tensor,
    at: np.ndarray,
    batchnorm: str = "re-estimated",
    **fields: Any,
) -> None:
    """Evaluate the loss along a direction and add the curve."""
    losses = np.asarray(slices.line(setting.objective, theta, direction, at, batchnorm=batchnorm))
    tables.curve(
        at,
        losses,
        norm=float(direction.norm() / theta.norm()),
        batchnorm=batchnorm if setting.has_batchnorm else "",
        **fields,
    )
    setting.step(float(np.min(losses)))
