"""Directions of descent: the loss along them, their angles (Figures 4 to 6), and what a random one makes of them."""

from __future__ import annotations

import numpy as np
import torch
import xarray

from ... import directions
from ...minibatch import MiniBatches
from ...objective import Objective
from .curves import add_curve, gaussian_seed, view
from .setting import Setting
from .tables import Tables

STRETCH = 10.0  # the best Gaussian's view is this much wider than the gradient's (Section 2.3)


def descent_curves(setting: Setting, tables: Tables, epoch: int, later: int | None) -> None:
    """Along the negative gradient, unscaled, so that lambda is a learning rate; and towards a later checkpoint."""
    theta = setting.theta(epoch)
    gradient = setting.objective.gradient(theta)
    at = view(1.0, setting.p["points"])
    slope = -float(gradient @ gradient)
    add_curve(setting, tables, theta, -gradient, at, family="gradient", epoch=epoch, slope=slope, scale=1.0)
    if later is not None:
        direction = directions.towards(theta, setting.theta(later))
        slope = float(gradient @ direction)
        add_curve(
            setting, tables, theta, direction, at, family="later", epoch=epoch, target=later, slope=slope, scale=1.0
        )
    else:
        setting.step()


def angles(setting: Setting, tables: Tables) -> xarray.Dataset:
    """Angles of Gaussian directions and of batch gradients (Figure 5), and the best of the Gaussians (Figure 6)."""
    p, final = setting.p, setting.theta(setting.final_epoch)
    training = Objective(setting.objective.model, setting.task.x, setting.task.y, device=setting.device)
    batches = MiniBatches(training, min(p["train_batch"], training.n), seed=setting.seed)
    rows: dict[str, list[np.ndarray]] = {
        name: [] for name in ("angle_gradient", "angle_later", "angle_final", "angle_descent", "gradient_norm_batch")
    }
    for epoch in p["angle_epochs"]:
        theta = setting.theta(epoch)
        gradients = _batch_gradients(batches, theta, p["batches"])
        later = min((e for e in p["keep"] if e > epoch), default=None)
        ways = {
            "angle_gradient": -gradients[0],
            "angle_later": None if later is None else directions.towards(theta, setting.theta(later)),
            "angle_final": None if epoch == setting.final_epoch else directions.towards(theta, final),
        }
        found = {name: np.full(p["angle_draws"], np.nan) for name in ways}
        best, overlap = torch.zeros_like(theta), -np.inf
        for draw in range(p["angle_draws"]):
            noise = directions.gaussian(setting.objective, theta, seed=gaussian_seed(setting, draw), normalize=None)
            for name, way in ways.items():
                if way is not None:
                    found[name][draw] = directions.angle(noise, way)
            # The most overlapped with the negative gradient on the objective's own images, along which loss is drawn.
            if (cosine := -found["angle_gradient"][draw]) > overlap:
                best, overlap = noise, cosine
        for name, values in found.items():
            rows[name].append(values)
        way = ways["angle_final"]
        rows["angle_descent"].append(
            np.array([np.nan if way is None else directions.angle(-g, way) for g in gradients])
        )
        rows["gradient_norm_batch"].append(np.array([float(g.norm()) for g in gradients]))
        setting.step()
        _best_gaussian(setting, tables, epoch, -gradients[0], best)
    by_batch = ("angle_descent", "gradient_norm_batch")
    dims = {name: ("angle_epoch", "batch" if name in by_batch else "draw") for name in rows}
    units = {name: "nat" if name == "gradient_norm_batch" else "degree" for name in rows}
    return xarray.Dataset(
        {name: (dims[name], np.stack(values), {"units": units[name]}) for name, values in rows.items()},
        coords={"angle_epoch": np.array(p["angle_epochs"])},
    )


def _batch_gradients(batches: MiniBatches, theta: torch.Tensor, count: int) -> list[torch.Tensor]:
    gradients: list[torch.Tensor] = []
    epoch = 0
    while len(gradients) < count:
        epoch += 1
        for batch in batches.epoch(epoch):
            if len(gradients) < count:
                gradients.append(batches.gradient(theta, batch)[1].clone())
    return gradients


def _best_gaussian(setting: Setting, tables: Tables, epoch: int, descent: torch.Tensor, best: torch.Tensor) -> None:
    """Along the negative batch gradient, and along the best Gaussian of the same length over a ten times wider view."""
    theta = setting.theta(epoch)
    gaussian = best * (descent.norm() / best.norm())
    for scale in setting.p["best_scales"]:
        at = view(scale, setting.p["points"])
        add_curve(setting, tables, theta, descent, at, family="gradient-view", epoch=epoch, scale=scale)
        add_curve(setting, tables, theta, gaussian, STRETCH * at, family="best-gaussian", epoch=epoch, scale=scale)
