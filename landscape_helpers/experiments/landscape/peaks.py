"""Algorithm 1: directions along which the loss falls on both sides, and what they owe to the Hessian (Figure 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from ... import mining, shapes
from .curves import losses_along, view
from .search import as_arrays, on_evaluation_images, recalled, training_loss
from .setting import Setting
from .tables import Tables


def peaks(setting: Setting, tables: Tables) -> xarray.Dataset:
    """Algorithm 1 at the checkpoints of ``mine_at``, its null model, and the overlap with the eigenvectors."""
    p, k = setting.p, setting.p["eigenpairs"]
    rows: dict[str, list[Any]] = {
        name: []
        for name in (
            "mined_norm", "mined_loss", "overlap_positive", "overlap_negative",
            "mined_height", "null_height", "null_draws", "negative_height",
        )
    }  # fmt: skip
    at = view(1.0, p["points"])
    for epoch in p["mine_at"]:
        theta = setting.theta(epoch)
        direction, record = mined_peak(setting, epoch)
        heights = {}
        losses = losses_along(setting, theta, direction, at)
        tables.curve(at, losses, family="mined", epoch=epoch, scale=1.0, norm=float(direction.norm() / theta.norm()))
        heights["mined_height"] = shapes.peak_height(at, losses)
        setting.step(float(np.nanmin(losses)))

        null = mining.null_w_peak(
            setting.objective,
            theta,
            direction,
            at,
            budget=on_evaluation_images(setting, record["gradients"]),
            curve=lambda d, theta=theta: losses_along(setting, theta, d, at),  # type: ignore[misc]
            seed=setting.seed,
        )
        losses = losses_along(setting, theta, null.direction, at)
        tables.curve(at, losses, family="null-peak", epoch=epoch, scale=1.0, norm=float(null.norm / theta.norm()))
        heights["null_height"] = shapes.peak_height(at, losses)
        rows["null_draws"].append(len(null.scores))
        setting.step(float(np.nanmin(losses)))

        vectors = setting.eigenvectors(epoch, k)
        unit = direction / direction.norm() if direction.norm() > 0 else direction
        overlaps = {name: abs(float(unit @ v)) for name, v in vectors.items()}
        for family, prefix in (("positive", "P.E."), ("negative", "N.E.")):
            rows[f"overlap_{family}"].append([overlaps[f"{prefix}{i + 1}"] for i in range(k)])
        # The same view for the eigenvectors of negative eigenvalues: as long as the mined direction, for a fair height.
        heights["negative_height"] = max(
            shapes.peak_height(at, losses_along(setting, theta, v * direction.norm(), at))
            for name, v in vectors.items()
            if name.startswith("N.E.")
        )
        setting.step()
        for name, height in heights.items():
            rows[name].append(height)
        rows["mined_norm"].append(record["norm"])
        rows["mined_loss"].append(record["mean_loss"])
    dims = {"mined_norm": "mining_epoch", "mined_loss": "mining_epoch"}
    dims |= {"overlap_positive": "eigen", "overlap_negative": "eigen"}
    units = {"mined_norm": "1", "overlap_positive": "1", "overlap_negative": "1", "null_draws": "1"}
    return xarray.Dataset(
        {
            name: (
                ("mined_epoch", *([dims[name]] if name in dims else [])),
                np.array(values),
                {"units": units.get(name, "nat")},
            )
            for name, values in rows.items()
        },
        coords={"mined_epoch": np.array(p["mine_at"]), "eigen": np.arange(1, k + 1)},
    )


def mined_peak(setting: Setting, epoch: int) -> tuple[torch.Tensor, dict[str, Any]]:
    """The direction that Algorithm 1 finds at a checkpoint, and the record of its search; found once."""
    p, theta = setting.p, setting.theta(epoch)

    def compute(unfinished: Path | None) -> dict[str, np.ndarray]:
        found = mining.w_peak(
            training_loss(setting),
            theta,
            p["mining_epochs"],
            p["mining_lr"],
            p["mining_batch"],
            seed=setting.seed,
            checkpoint=unfinished,
        )
        return as_arrays(found, p["mining_epochs"])

    key = {name: p[name] for name in ("mining_epochs", "mining_lr", "mining_batch")}
    return recalled(setting, "mined", {**key, "epoch": epoch}, "mining.w_peak", compute)
