"""Interpolation between the start and the end of training, with a quadratic model at every centre (Figure 14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray

from ... import directions, slices
from ...curvature import quadratic_model
from .curves import gaussian_seed
from .setting import Setting

CENTRES, HALF_WIDTH = 11, 0.05  # Section 3 and Appendix B.3
GMI_CURVES = 3  # ours, for each network; Figure 14 has three plots of one each


def interpolation(setting: Setting) -> xarray.Dataset:
    """Loss, slope and curvature at eleven centres on [-1, 0], along Gaussians and from the start (Figure 14)."""
    final = setting.theta(setting.final_epoch)
    ways: list[tuple[str, torch.Tensor]] = [
        ("GMI", directions.gaussian(setting.objective, final, seed=gaussian_seed(setting, draw), normalize="model"))
        for draw in range(GMI_CURVES)
    ]
    ways.append(("MLI", directions.towards(setting.theta(min(setting.p["keep"])), final)))
    centres = np.linspace(-1, 0, CENTRES)
    rows: dict[str, list[Any]] = {name: [] for name in ("loss", "slope", "curvature", "ahead")}
    for _, direction in ways:
        models = [quadratic_model(setting.objective, final + float(c) * direction, direction) for c in centres]
        ahead = slices.line(setting.objective, final, direction, centres + HALF_WIDTH, batchnorm="re-estimated")
        rows["loss"].append([m.loss for m in models])
        rows["slope"].append([m.slope for m in models])
        rows["curvature"].append([m.curvature for m in models])
        rows["ahead"].append(np.asarray(ahead))
        setting.step()
    dims = ("interpolation", "centre")
    return xarray.Dataset(
        {f"interpolation_{name}": (dims, np.array(values), {"units": "nat"}) for name, values in rows.items()}
        | {
            "interpolation_at": (dims, np.tile(centres, (len(ways), 1)), {"units": "1", "long_name": "lambda"}),
            "interpolation_kind": ("interpolation", np.array([kind for kind, _ in ways])),
            "interpolation_half_width": ((), HALF_WIDTH, {"units": "1"}),
        },
    )
