"""Algorithm 2: three wells in a row, for every alpha and gamma, against plain training and random lines (Figure 10)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import xarray

from ... import mining, shapes
from .curves import losses_along
from .search import as_arrays, on_evaluation_images, recalled, training_loss
from .setting import Setting
from .tables import Tables
from .training import INDEPENDENT, start_model


def triples(setting: Setting, tables: Tables, settings: list[tuple[float, float]]) -> xarray.Dataset:
    """Algorithm 2 for every alpha and gamma, plain training from the same start (gamma = 0), and a null model.

    The null model, random directions at the cost of the search, is computed for the first pair of alpha and gamma.
    """
    p, epoch = setting.p, setting.p["triple_at"]
    theta = setting.theta(epoch)
    start = start_model(p, setting.images, setting.seed + INDEPENDENT, setting.device)
    phi = torch.nn.utils.parameters_to_vector(q for q in start.parameters() if q.requires_grad).detach()
    at = np.linspace(-0.5, 1.5, p["points"] + (p["points"] - 1) // 2)  # 0, 0.5 and 1 are points where points is 4 n + 1
    losses, norms, wells = [], [], []
    for alpha, gamma in [*settings, (0.0, 0.0)]:

        def compute(unfinished: Path | None, alpha: float = alpha, gamma: float = gamma) -> dict[str, np.ndarray]:
            found = mining.vvv_basin(
                training_loss(setting),
                theta,
                phi,
                p["triple_epochs"],
                p["triple_lr"],
                alpha,
                gamma,
                p["mining_batch"],
                seed=setting.seed,
                checkpoint=unfinished,
            )
            return as_arrays(found, p["triple_epochs"])

        key = {name: p[name] for name in ("triple_epochs", "triple_lr", "mining_batch")}
        key |= {"epoch": epoch, "alpha": alpha, "gamma": gamma}
        direction, record = recalled(setting, "triple", key, "mining.vvv_basin", compute)
        curve = losses_along(setting, theta, direction, at)
        family = "triple" if (alpha, gamma) in settings else "null-triple"
        norm = float(direction.norm() / theta.norm())
        tables.curve(at, curve, family=family, epoch=epoch, alpha=alpha, gamma=gamma, norm=norm)
        setting.step(float(np.nanmin(curve)))
        if family == "triple":
            losses.append(record["mean_loss"])
            norms.append(record["norm"])
            wells.append(shapes.middle_well(at, curve))
        if (alpha, gamma) == settings[0]:
            null = mining.null_vvv_basin(
                setting.objective,
                theta,
                direction,
                at,
                budget=on_evaluation_images(setting, record["gradients"]),
                curve=lambda d: losses_along(setting, theta, d, at),
                seed=setting.seed,
            )
            curve = losses_along(setting, theta, null.direction, at)
            norm = float(null.norm / theta.norm())
            tables.curve(at, curve, family="random-triple", epoch=epoch, alpha=alpha, gamma=gamma, norm=norm)
            setting.step(float(np.nanmin(curve)))
    dims = ("triple", "triple_epoch")
    return xarray.Dataset(
        {
            "triple_loss": (dims, np.stack(losses), {"units": "nat"}),
            "triple_norm": (dims, np.stack(norms), {"units": "1"}),
            "triple_well": ("triple", np.array(wells), {"units": "nat", "long_name": "depth of the middle well"}),
            "null_well": ((), null.score, {"units": "nat"}),
            "triple_alpha": ("triple", np.array([alpha for alpha, _ in settings])),
            "triple_gamma": ("triple", np.array([gamma for _, gamma in settings])),
        }
    )
