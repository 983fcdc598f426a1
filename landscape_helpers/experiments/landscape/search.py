"""What both searches for directions share: the loss they descend, their cost, and keeping what they have found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import mining
from ...objective import Objective
from ..parameters import DTYPES
from .setting import Setting


def training_loss(setting: Setting) -> Objective:
    """The loss that is mined on: mini-batches of all training images, BatchNorm with each batch's statistics."""
    task, model = setting.task, setting.objective.model
    return Objective(model, task.x, task.y, device=setting.device, dtype=DTYPES[setting.p["dtype"]])


def on_evaluation_images(setting: Setting, gradients: float) -> float:
    """A cost in gradients over the training images, in gradients over those on which curves are evaluated."""
    return gradients * len(setting.task.x) / setting.objective.n


def as_arrays(found: mining.Mined, epochs: int) -> dict[str, np.ndarray]:
    """A search as plain arrays; one that ended early is filled with NaN."""

    def filled(values: np.ndarray) -> np.ndarray:
        return np.pad(np.asarray(values, dtype=np.float64), (0, epochs - len(values)), constant_values=np.nan)

    record = found.record
    return {
        "direction": found.direction.cpu().numpy(),
        "norm": filled(record["norm"].values),
        "mean_loss": filled(record["mean_loss"].values),
        "gradients": np.array(found.gradients),
    }


def recalled(
    setting: Setting,
    what: str,
    key: Mapping[str, Any],
    code: str,
    compute: Callable[[Path | None], dict[str, np.ndarray]],
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The direction that a search ended with and its record, from the run's memory where it has been made before.

    Args:
        setting: the run.
        what: a short name of the search.
        key: what it depends on besides the training.
        code: the module that searches.
        compute: the search, its result :func:`as_arrays`.
    """
    found = setting.memory.recall(what, {**setting.training_key(setting.seed), **key}, code, compute)
    direction = torch.as_tensor(found["direction"]).to(setting.objective.device, setting.objective.dtype)
    return direction, {"norm": found["norm"], "mean_loss": found["mean_loss"], "gradients": float(found["gradients"])}
