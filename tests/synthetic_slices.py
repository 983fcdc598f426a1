"""Records shaped as the landscape experiments', with losses in closed form, for tests of what reads them.

Parameters are the catalogue's, so that conditions, grids and epochs are those of the real runs. The loss along every
Parameters are the catalogue's, so that conditions, grids and epochs are those of the real runs. The loss along every
for negative eigenvectors, three wells for one setting of Algorithm 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.experiments.landscape.tables import Tables

CLASSES = 10
LOG_C = float(np.log(CLASSES))
P = 2000


def slice_run(run: str, seed: int = 0, profile: str | None = None) -> xarray.Dataset:
    """One seed of one run of the catalogue, at the lowest profile that it has unless one is named."""
    catalogue = load_catalogue()
    entry = catalogue.runs[run]
    profile = profile or next(name for name in ("smoke", "laptop", "paper") if name in entry.scales)
    p = dict(entry.scales[profile].parameters)
    rng = np.random.default_rng([seed, sum(map(ord, run))])
    build = {"landscape_slices": _slices, "landscape_curvature": _curvature, "landscape_mining": _mining}
    tables = Tables()
    parts = build[entry.experiment](p, tables, rng, "noskip" in run)
    dataset = xarray.merge([_checkpoints(p, rng, "deep" in run), *parts, tables.dataset()])
    if "plane_loss" in dataset and entry.experiment == "landscape_mining":
        shape = (dataset.sizes["plane"], dataset.sizes["checkpoint"])
        off = np.sqrt(1 - rng.uniform(0, 0.2, shape))
        off[dataset["plane_epoch"].values[:, None] == dataset["epoch"].values] = np.nan
        dataset["plane_off"] = (("plane", "checkpoint"), off)
    return dataset.assign_attrs(
        experiment=entry.experiment,
        parameters=json.dumps(p, sort_keys=True),
        profile=profile,
        seed=seed,
        data_name="digits",
        data_sha256="0" * 64,
        data_n=300,
        n_eval=300,
        n_classes=CLASSES,
        random_guess=LOG_C,
        model_parameters=P,
        package_version="0.1.0",
        torch_version="2.13.0",
        device="cpu",
        dtype="float32",
        wall_time_s=1.5,
        peak_memory_mb=200.0,
        status="completed",
    )


def slice_runs(names: Sequence[str], seeds: Sequence[int] = (0, 1, 2)) -> dict[str, list[xarray.Dataset]]:
    """By name, one dataset a seed."""
    return {name: [slice_run(name, seed) for seed in seeds] for name in names}


def _view(scale: float, points: int) -> np.ndarray:
    return np.linspace(-scale, scale, points)


def _loss_at(p: dict[str, Any], epoch: float) -> float:
    """Loss of the checkpoint: from log C down."""
    return LOG_C * float(np.exp(-4 * epoch / max(p["keep"]))) + 0.01


def _basin(at: np.ndarray, least: float, width: float) -> np.ndarray:
    return least + 3 * (at / width) ** 2 / (1 + 0.05 * (at / width) ** 2)


def _checkpoints(p: dict[str, Any], rng: np.random.Generator, fails: bool) -> xarray.Dataset:
    epochs = np.array(sorted(p["keep"]))
    loss = np.array([_loss_at(p, e) for e in epochs])
    accuracy = np.full(len(epochs), 0.1) if fails else 1 - 0.9 * loss / loss.max()
    columns = {
        "train_loss": loss * 1.02,
        "eval_loss": loss,
        "train_accuracy": accuracy,
        "test_accuracy": 0.95 * accuracy,
        "gradient_norm": loss,
        "theta_norm": 10 + np.arange(len(epochs)) + 0.1 * rng.standard_normal(len(epochs)),
        "distance": 3.0 * np.arange(len(epochs)),
    }
    return xarray.Dataset(
        {name: ("checkpoint", values) for name, values in columns.items()}, coords={"epoch": ("checkpoint", epochs)}
    )


def _slices(p: dict[str, Any], tables: Tables, rng: np.random.Generator, ragged: bool) -> list[xarray.Dataset]:
    batchnorm = p["model"] != "mlp"
    grids = [("gaussian", c, p["points"]) for c in p["conditions"]]
    if p["fine"] and p["conditions"]:
        grids.insert(1, ("gaussian-fine", p["conditions"][0], 2 * p["points"] - 1))
    for family, condition, points in grids:
        for draw in range(p["draws"]):
            at = _view(condition["scale"], points)
            loss = _basin(at, _loss_at(p, condition["epoch"]), rng.uniform(0.7, 0.9))
            if ragged:
                loss = loss * np.where(loss > LOG_C, np.exp(2 * np.abs(at) * rng.standard_normal(points)), 1)
            tables.curve(at, loss, family=family, draw=draw, norm=1.0, **_treated(condition, batchnorm))
    for condition in p["planes"]:
        at = _view(condition["scale"], p["plane_points"])
        loss = _basin(np.hypot(at[:, None], at), _loss_at(p, condition["epoch"]), 0.8)
        if ragged:
            loss = loss * np.where(loss > LOG_C, np.exp(2 * rng.standard_normal(loss.shape)), 1)
        tables.plane(at, at, loss, first="Gau.", second="Gau.", cosine=0.01, **_treated(condition, batchnorm))
    at = _view(1.0, p["points"])
    for descent in p["descents"]:
        here = _loss_at(p, descent["epoch"])
        fields = {"epoch": descent["epoch"], "scale": 1.0, "slope": -here}
        tables.curve(at, here + 2 * (at - 0.2) ** 2 - 0.08, family="gradient", **fields)
        if descent["later"] is not None:
            loss = 0.05 + here * (1 - at) ** 2 * (1 + 0.1 * rng.uniform())
            tables.curve(at, loss, family="later", target=descent["later"], **fields)
    for start, target in p["barriers"]:
        at = np.linspace(-1, 2, 3 * (p["points"] - 1) // 2 + 1)
        tables.curve(
            at, 0.05 + 20 * (at * (at - 1)) ** 2 / (1 + at**2), family="independent", epoch=start, target=target
        )
    return [*_angles(p, tables, rng), *_interpolation(p)]


def _treated(condition: dict[str, Any], batchnorm: bool) -> dict[str, Any]:
    return {**condition, "batchnorm": condition["batchnorm"] if batchnorm else ""}


def _angles(p: dict[str, Any], tables: Tables, rng: np.random.Generator) -> list[xarray.Dataset]:
    if not p["angle_epochs"]:
        return []
    for epoch in p["angle_epochs"]:
        here = _loss_at(p, epoch)
        for scale in p["best_scales"]:
            at = _view(scale, p["points"])
            tables.curve(at, here * np.exp(-at), family="gradient-view", epoch=epoch, scale=scale)
            tables.curve(10 * at, here - 0.002 * at + at**2, family="best-gaussian", epoch=epoch, scale=scale)
    n = len(p["angle_epochs"])
    gaussian = {
        f"angle_{name}": (("angle_epoch", "draw"), 90 + np.degrees(rng.standard_normal((n, p["angle_draws"])) / P**0.5))
        for name in ("gradient", "later", "final")
    }
    by_batch = {
        "angle_descent": (("angle_epoch", "batch"), rng.uniform(87.5, 90, (n, p["batches"]))),
        "gradient_norm_batch": (("angle_epoch", "batch"), rng.uniform(1, 2, (n, p["batches"]))),
    }
    return [xarray.Dataset(gaussian | by_batch, coords={"angle_epoch": np.array(p["angle_epochs"])})]


def _interpolation(p: dict[str, Any]) -> list[xarray.Dataset]:
    if not p["interpolation"]:
        return []
    at = np.linspace(-1, 0, 11)
    loss, slope = 2.3 * (1 - np.exp(-3 * at**2)) + 0.01, 13.8 * at * np.exp(-3 * at**2)
    curvature = (13.8 - 82.8 * at**2) * np.exp(-3 * at**2)
    names = {"at": at, "loss": loss, "slope": slope, "curvature": curvature, "ahead": loss + 0.05 * slope}
    dims = ("interpolation", "centre")
    data = {f"interpolation_{name}": (dims, np.tile(values, (4, 1))) for name, values in names.items()}
    kinds = np.array(["GMI", "GMI", "GMI", "MLI"])
    return [xarray.Dataset(data | {"interpolation_kind": ("interpolation", kinds), "interpolation_half_width": 0.05})]


def _curvature(p: dict[str, Any], tables: Tables, rng: np.random.Generator, _: bool) -> list[xarray.Dataset]:
    k, epochs = p["eigenpairs"], p["hessian_at"]
    for e, epoch in enumerate(epochs):
        here, depth = _loss_at(p, epoch), 0.4 / (1 + 3 * e)
        for draw in range(p["shown"]):
            for scale in p["scales"]:
                at = _view(scale, p["points"])
                wide = _basin(at, here, 0.5 + 0.05 * draw)
                tables.curve(at, wide, family="positive", epoch=epoch, draw=draw, scale=scale, norm=1.0)
                peak = wide - depth * np.sin(np.pi * np.minimum(np.abs(at) / (0.06 + 0.02 * draw), 1)) ** 2
                tables.curve(at, peak, family="negative", epoch=epoch, draw=draw, scale=scale, norm=1.0)
    at = _view(p["plane_scale"], p["plane_points"])
    x, y = at[:, None] / p["plane_scale"], at[None] / p["plane_scale"]
    for epoch in p["planes_at"]:
        here = _loss_at(p, epoch)
        surfaces = {
            ("P.E.1", "P.E.2"): here + x**2 + 0.5 * y**2,
            ("N.E.1", "N.E.2"): here - 0.3 * (x**2 + y**2) + 0.2 * (x**2 + y**2) ** 2,
            ("P.E.1", "N.E.1"): here + x**2 - 0.2 * y**2,
        }
        for (first, second), loss in surfaces.items():
            fields = {"epoch": epoch, "scale": p["plane_scale"], "cosine": 1e-6}
            tables.plane(at, at, loss, first=first, second=second, **fields)
    n = len(epochs)
    values = np.geomspace(30, 1, k) * (1 + 0.1 * rng.standard_normal())
    pairs = xarray.Dataset(
        {
            "eigenvalue_positive": (("hessian_epoch", "eigen"), np.tile(values, (n, 1))),
            "eigenvalue_negative": (("hessian_epoch", "eigen"), -np.outer(1 / np.arange(1.0, n + 1), values / 20)),
            "residual_positive": (("hessian_epoch", "eigen"), np.full((n, k), 1e-4)),
            "residual_negative": (("hessian_epoch", "eigen"), np.full((n, k), 1e-4)),
            "eigen_products": ("hessian_epoch", np.full(n, 120)),
            "eigen_orthogonality": ("hessian_epoch", np.full(n, 1e-6)),
        },
        coords={"hessian_epoch": np.array(epochs), "eigen": np.arange(1, k + 1)},
    )
    return [pairs, _spectrum(p, rng), *_kinks(p)]


def _spectrum(p: dict[str, Any], rng: np.random.Generator) -> xarray.Dataset:
    epochs, lambdas, steps = p["density_at"], np.array(p["noise_lambdas"]), p["lanczos_steps"]
    n, m = len(epochs), len(lambdas)
    smallest = -3.0 / np.arange(1, n + 1)
    inner = np.concatenate([np.linspace(-1, 1, steps - 5) * 0.2, np.geomspace(1, 30, 4)])
    nodes = np.stack([np.stack([np.append(low, inner)] * p["probes"]) for low in smallest])
    weights = np.exp(-np.abs(nodes)) + 1e-6
    weights /= weights.sum(-1, keepdims=True)
    trace = np.full(n, 40.0)
    mean = 0.5 * lambdas**2 * trace[:, None]
    variance = lambdas**2 * 4.0 + 0.5 * lambdas**4 * 900
    change = mean[..., None] + np.sqrt(variance)[:, None] * rng.standard_normal((n, m, p["noise_draws"]))
    draws = ("density_epoch", "noise_lambda", "draw")
    scalars = {
        "trace": trace, "trace_error": 0.1 * trace, "trace_exact": np.zeros(n), "smallest_ritz": smallest,
        "largest_ritz": np.full(n, 30.0),
    }  # fmt: skip
    moments = {
        "mean": change.mean(-1),
        "mean_error": change.std(-1, ddof=1) / np.sqrt(p["noise_draws"]),
        "mean_expected": mean,
        "variance": change.var(-1, ddof=1),
        "variance_corrected": np.tile(variance, (n, 1)),
        "variance_printed": np.tile(lambdas * 4.0 + 0.5 * lambdas**2 * 900, (n, 1)),
        "displacement": np.tile(lambdas * P**0.5 / 12, (n, 1)),
    }
    return xarray.Dataset(
        {
            "density_node": (("density_epoch", "probe", "ritz"), nodes),
            "density_weight": (("density_epoch", "probe", "ritz"), weights),
            "change": (draws, change),
            "change_true": (draws, 1.01 * change),
        }
        | {name: ("density_epoch", values) for name, values in scalars.items()}
        | {f"change_{name}": (draws[:2], values) for name, values in moments.items()},
        coords={"density_epoch": np.array(epochs), "noise_lambda": lambdas},
    )


def _kinks(p: dict[str, Any]) -> list[xarray.Dataset]:
    """The slope jumps by ``jump`` at distance 0.02 on either side of a ReLU network; tanh has a quartic term alone."""
    if not p["kink_at"]:
        return []
    steps = np.array(p["kink_steps"])
    hessian = np.array([0.02, 25.0, 3.0])
    smooth = (p["model_options"] or {}).get("activation") == "tanh"
    jump = np.where(steps > 0.02, (steps - 0.02) / steps**2, 0)
    secant = hessian[:, None] + (-0.1 * hessian[:, None] * steps**2 if smooth else 0.3 * hessian[:, None] * jump)
    ratio = 1 + 0.5 * np.arange(len(p["kink_at"]))
    dims = ("kink_epoch", "kink_direction", "kink_step")
    return [
        xarray.Dataset(
            {
                "kink_secant": (dims, np.stack([r * secant for r in ratio])),
                "kink_hessian": (dims[:2], np.outer(ratio, hessian)),
            },
            coords={
                "kink_epoch": np.array(p["kink_at"]),
                "kink_direction": np.array(["Gau.", "P.E.1", "Neg. Grad."]),
                "kink_step": steps,
            },
        )
    ]


def _mining(p: dict[str, Any], tables: Tables, rng: np.random.Generator, _: bool) -> list[xarray.Dataset]:
    at = _view(1.0, p["points"])
    for e, epoch in enumerate(p["mine_at"]):
        depth = 1.0 / (1 + 4 * e)
        w = _loss_at(p, epoch) + depth * (8 * at**4 - 4 * at**2 * rng.uniform(0.9, 1.1))
        tables.curve(at, w, family="mined", epoch=epoch, norm=0.6)
        tables.curve(at, _loss_at(p, epoch) + 2 * at**2, family="null-peak", epoch=epoch, norm=0.6)
    if p["triple_at"] is not None:
        at = np.linspace(-0.5, 1.5, p["points"])
        wells = (at * (at - 1)) ** 2 * 16
        fields = {"epoch": p["triple_at"], "target": np.nan}
        for alpha in p["alphas"]:
            for gamma in p["gammas"]:
                third = alpha == 0 and gamma == min(p["gammas"])
                loss = 0.02 + wells - (0.8 * np.exp(-(((at - 0.5) / 0.12) ** 2)) if third else 0)
                tables.curve(at, loss, family="triple", alpha=alpha, gamma=gamma, **fields)
        tables.curve(at, 0.02 + 1.3 * wells, family="null-triple", gamma=0.0, **fields)
    at = _view(p["plane_scale"], p["plane_points"])
    x, y = at[:, None], at[None]
    for epoch, first, second in p["planes"]:
        overlaps = first.startswith("E=") and second.startswith("E'=")
        loss = _loss_at(p, epoch) + _along(first, x) + _along(second, y)
        fields = {"first": first, "second": second, "epoch": epoch, "scale": p["plane_scale"]}
        tables.plane(at, at, loss, cosine=0.4 if overlaps else 0.02, **fields)
        if overlaps:
            tables.plane(at, at, loss + 0.2 * x * y, cosine=0.4, orthogonalised=1, **fields)
    return [_searches(p, rng)]


def _along(name: str, at: np.ndarray) -> np.ndarray:
    kind = name.split(".")[0]
    if kind == "N" or name == "Mine":
        return 3 * at**4 - 1.5 * at**2
    if name.startswith("E'="):
        return 8 * (at * (at - 1)) ** 2
    return 2 * (at - 0.3) ** 2 - 0.18 if kind == "Neg" or name.startswith("E=") else 2 * at**2


def _searches(p: dict[str, Any], rng: np.random.Generator) -> xarray.Dataset:
    n, k = len(p["mine_at"]), p["eigenpairs"]
    mined = ("mined_epoch", "mining_epoch")
    eigen = ("mined_epoch", "eigen")
    steps = np.arange(1, p["mining_epochs"] + 1)
    return xarray.Dataset(
        {
            "mined_norm": (mined, np.tile(0.1 * steps, (n, 1))),
            "mined_loss": (mined, np.tile(1.0 / steps, (n, 1))),
            "overlap_positive": (eigen, rng.uniform(0, 0.1, (n, k))),
            "overlap_negative": (eigen, rng.uniform(0, 0.2, (n, k))),
            "mined_height": ("mined_epoch", 0.5 / (1 + 4 * np.arange(n))),
            "null_height": ("mined_epoch", np.zeros(n)),
            "negative_height": ("mined_epoch", 0.3 / (1 + 4 * np.arange(n))),
        },
        coords={"mined_epoch": np.array(p["mine_at"]), "mining_epoch": steps, "eigen": np.arange(1, k + 1)},
    )
