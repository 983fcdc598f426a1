"""Records shaped as the walk experiments', from descent on a quadratic bowl, for tests of what reads them.

Everything but the accuracies and the spectrum is computed from the same bowl and the same steps, so that the heights,
floors, cosines and slopes belong together: the loss along a step is a parabola, and no barrier is crossed unless one is
asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.experiments import quadratic_bowl, walk

CLASSES = 10
LOG_C = float(np.log(CLASSES))
D = 30
Parameters = Mapping[str, Any]


def walk_runs(names: Sequence[str], seeds: Sequence[int] = (0, 1)) -> dict[str, list[xarray.Dataset]]:
    """By name, one dataset a seed; for a run of the catalogue that smoke scale lacks, with VGG-11's parameters."""
    return {name: [run_of(name, seed) for seed in seeds] for name in names}


def run_of(name: str, seed: int = 0, **options: Any) -> xarray.Dataset:
    """One seed of a run of the catalogue."""
    runs = load_catalogue().runs
    likeness = name if "smoke" in runs[name].scales else name.replace("tiny", "vgg11")
    parameters = runs[likeness].scales["smoke"].parameters
    if runs[name].experiment == "hessian_covariance":
        return covariance_run(parameters, seed)
    if runs[name].experiment == "quadratic_bowl":
        return quadratic_bowl.run(parameters, seed=seed).assign_attrs(profile="smoke")
    return walk_run(parameters, seed, **options)


def walk_run(parameters: Parameters, seed: int = 0, *, barriers: Sequence[int] = (), **changes: Any) -> xarray.Dataset:
    """One seed of one run.

    Args:
        barriers: updates whose recorded losses carry a bump over both ends.
        changes: parameters that replace those given.
    """
    p = {**walk.DEFAULTS, **parameters, **changes}
    n = p["n_train"]
    per_epoch = walk.iterations_per_epoch(p, n)
    path = _path(p, np.random.default_rng([seed, int(1000 * p["lr"]), int(p["batch_size"] or 0)]))
    parts = [_travel(path)]
    if p["windows"]:
        parts.append(_steps(p, path, per_epoch, barriers))
    if p["evaluate_every"]:
        parts.append(_evaluations(p, path, per_epoch))
    if p["spectrum_every"]:
        parts.append(_spectrum(p, path, per_epoch))
    variance = {"noise_variance": ((), 0.28 * p["noise"]), "largest_gradient_variance": ((), 0.28)}
    return xarray.merge([*parts, xarray.Dataset(variance)], join="exact").assign_attrs(
        **attributes("walk", p, seed),
        iterations_per_epoch=per_epoch,
        batch_size=p["batch_size"] or n,
        learning_rate=p["lr"],
    )


def attributes(experiment: str, parameters: Parameters, seed: int) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "parameters": json.dumps(parameters, sort_keys=True),
        "profile": "smoke",
        "seed": seed,
        "data_name": "digits",
        "data_sha256": "0" * 64,
        "data_n": parameters["n_train"],
        "random_guess": LOG_C,
        "model_parameters": D,
        "package_version": "0.1.0",
        "torch_version": "2.13.0",
        "device": "cpu",
        "dtype": "float32",
        "wall_time_s": 1.5,
        "peak_memory_mb": 200.0,
        "status": "completed",
    }


def eigenvalues(rate: float) -> np.ndarray:
    """Of the bowl: one just below 2 / rate, so that every rate bounces off the walls of its valley."""
    return np.concatenate([[19.6], np.geomspace(6.0, 0.05, D - 1)]) * 0.1 / rate


def _path(p: Parameters, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Iterates (K + 1, D), the gradients taken there, the full gradients, rates and the bowl's eigenvalues."""
    lambdas = eigenvalues(p["lr"])
    total = walk.updates_of(p, p["n_train"])
    theta = rng.standard_normal(D)
    theta[0] = 0.2
    theta *= np.sqrt(2 * LOG_C / np.sum(lambdas * theta**2))
    rates = p["lr"] * np.array([_factor(p, k / max(total, 1)) for k in range(total + 1)])
    thetas, taken, full = [], [], []
    for k in range(total + 1):
        gradient = lambdas * theta
        noise = np.zeros(D)
        if p["batch_size"]:
            noise = np.sqrt(lambdas / p["batch_size"]) * rng.standard_normal(D)
        if p["noise"]:
            noise = np.sqrt(20 * p["noise"]) * rng.standard_normal(D)
        thetas.append(theta)
        taken.append(gradient + noise)
        full.append(gradient)
        theta = theta - rates[k] * taken[-1]
    arrays = {"theta": thetas, "taken": taken, "full": full, "rates": rates, "lambdas": lambdas}
    return {name: np.array(values) for name, values in arrays.items()}


def _factor(p: Parameters, share: float) -> float:
    if p["schedule"] == "cyclical":
        return 0.1 + 0.9 * (1 - abs(2 * ((3 * share) % 1) - 1))
    if p["schedule"] == "trapezoid":
        return float(np.interp(share, [0, 0.2, 0.7, 1], [0.1, 1, 1, 0.01]))
    if p["schedule"] == "steps_at":
        return 1.0 if share < 0.5 else 0.1 if share < 0.75 else 0.01
    return 1.0


def _loss(path: Mapping[str, np.ndarray], theta: np.ndarray) -> np.ndarray:
    """Of the bowl, over the last axis."""
    return 0.02 + 0.5 * np.sum(path["lambdas"] * theta**2, axis=-1)


def _travel(path: Mapping[str, np.ndarray]) -> xarray.Dataset:
    theta, taken = path["theta"], path["taken"]
    columns = {
        "batch_loss": _loss(path, theta),
        "learning_rate": path["rates"],
        "cosine": np.concatenate([[np.nan], _cosines(taken)]),
        "gradient_norm": np.linalg.norm(taken, axis=1),
        "distance": np.linalg.norm(theta - theta[0], axis=1),
        "theta_norm": 20 + np.linalg.norm(theta, axis=1),
    }
    return xarray.Dataset({k: ("step", v) for k, v in columns.items()}, coords={"step": np.arange(len(theta))})


def _cosines(g: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(g, axis=1)
    return np.sum(g[:-1] * g[1:], axis=1) / np.maximum(norms[:-1] * norms[1:], 1e-300)


def _steps(p: Parameters, path: Mapping[str, np.ndarray], per_epoch: int, bumps: Sequence[int]) -> xarray.Dataset:
    theta, full = path["theta"], path["full"]
    alpha = np.arange(p["points"] + 2) / (p["points"] + 1)
    kept: dict[int, tuple[int, float]] = {}
    for index, (epoch, n) in enumerate(p["windows"]):
        start = round((epoch - 1) * per_epoch)
        for t in range(start, min(start + n, len(theta) - 1)):
            kept.setdefault(t, (index, float(epoch)))
    updates = np.array(sorted(kept), dtype=int)
    step = theta[updates + 1] - theta[updates]
    losses = _loss(path, theta[updates, None] + alpha[:, None] * step[:, None])
    for row, t in zip(losses, updates, strict=True):
        if t in bumps:
            row[5] = 1.02 * max(row[0], row[-1])
    found = {"step_loss": (("update", "alpha"), losses)}
    if p["full_gradients"]:
        columns = {
            "full_cosine": _cosines(full)[updates],
            "full_gradient_norm": np.linalg.norm(full, axis=1)[updates],
            "full_gradient_norm_next": np.linalg.norm(full, axis=1)[updates + 1],
            "slope_start": np.sum(full[updates] * step, axis=1),
            "slope_end": np.sum(full[updates + 1] * step, axis=1),
        }
        found |= {name: ("update", values) for name, values in columns.items()}
    return xarray.Dataset(
        found,
        coords={
            "update": updates,
            "alpha": alpha,
            "window": ("update", [kept[t][0] for t in updates.tolist()]),
            "update_epoch": ("update", [kept[t][1] for t in updates.tolist()]),
        },
    )


def _evaluations(p: Parameters, path: Mapping[str, np.ndarray], per_epoch: int) -> xarray.Dataset:
    steps = np.arange(0, len(path["theta"]), p["evaluate_every"] * per_epoch)
    loss = _loss(path, path["theta"][steps])
    accuracy = 0.1 + 0.88 * np.exp(-loss)
    columns = {"train_loss": loss, "train_accuracy": accuracy, "validation_accuracy": 0.93 * accuracy}
    return xarray.Dataset({k: ("evaluation", v) for k, v in columns.items()}, coords={"evaluation": steps})


def _spectrum(p: Parameters, path: Mapping[str, np.ndarray], per_epoch: int) -> xarray.Dataset:
    """Falls for most of the run and rises at its end."""
    stops = np.arange(0, len(path["theta"]), max(p["spectrum_every"] * per_epoch, 1))
    share = stops / max(stops[-1], 1)
    largest = 30 * np.exp(-2.5 * share) + 8 * np.clip(share - 0.8, 0, None)
    columns = {
        "lambda_max": largest,
        "lambda_min": -0.2 * largest,
        "lambda_max_residual": 0.01 * largest,
        "lambda_min_residual": 0.01 * largest,
    }
    return xarray.Dataset({k: ("stop", v) for k, v in columns.items()}, coords={"stop": stops})


def covariance_run(parameters: Parameters, seed: int = 0) -> xarray.Dataset:
    """The covariance takes over the Hessian as the residual falls faster than either."""
    rng = np.random.default_rng(seed)
    updates = np.array(parameters["checkpoints"], dtype=float)
    late = np.linspace(0, 1, len(updates))
    hessian = 3 * np.exp(-2 * late) * rng.uniform(0.9, 1.1)
    residual = hessian * (0.95 - 0.8 * late)
    columns = {
        "loss": LOG_C * np.exp(-3 * late),
        "gradient_norm": np.exp(-4 * late),
        "hessian_norm": hessian,
        "covariance_norm": 0.9 * hessian,
        "mean_outer_norm": np.exp(-8 * late),
        "residual_norm": residual,
        "hessian_spectral_norm": 0.7 * hessian,
        "residual_spectral_norm": 0.7 * residual,
        "identity_error": np.full(len(updates), 1e-15),
        "alignment": 0.2 + 0.7 * late,
    }
    dataset = xarray.Dataset(
        {name: ("checkpoint", values) for name, values in columns.items()},
        coords={"update": ("checkpoint", updates.astype(int))},
    )
    return dataset.assign_attrs(attributes("hessian_covariance", parameters, seed), learning_rate=parameters["lr"])
