"""Curves and planes along Gaussian directions, however normalised (Figures 2, 3, A.15, B.16 and B.17)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ... import directions, slices
from .curves import add_curve, gaussian_seed, view
from .setting import Setting
from .tables import Tables


def gaussian_curves(setting: Setting, tables: Tables, condition: Mapping[str, Any], family: str, points: int) -> None:
    """The run's draws under one condition {epoch, normalize, batchnorm, scale}, over ``points`` positions."""
    theta = setting.theta(condition["epoch"])
    for draw in range(setting.p["draws"]):
        seed = gaussian_seed(setting, draw)
        direction = directions.gaussian(setting.objective, theta, seed=seed, normalize=condition["normalize"])
        at = view(condition["scale"], points)
        add_curve(setting, tables, theta, direction, at, family=family, draw=draw, **condition)


def gaussian_plane(setting: Setting, tables: Tables, condition: Mapping[str, Any]) -> None:
    """The plane of the first two draws under one condition."""
    theta = setting.theta(condition["epoch"])
    first, second = (
        directions.gaussian(
            setting.objective, theta, seed=gaussian_seed(setting, draw), normalize=condition["normalize"]
        )
        for draw in (0, 1)
    )
    at = view(condition["scale"], setting.p["plane_points"])
    surface = slices.plane(setting.objective, theta, first, second, at, at, batchnorm=condition["batchnorm"])
    fields = {**condition, "batchnorm": condition["batchnorm"] if setting.has_batchnorm else ""}
    cosine = float(directions.cosines(torch.stack([first, second], 1))[0, 1])
    tables.plane(at, at, np.asarray(surface), first="Gau.", second="Gau.", cosine=cosine, **fields)
    setting.step()
