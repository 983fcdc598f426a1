"""Records shaped as the singularity paper's experiments', in closed form, for tests of what reads them.

On the edge the top eigenvalues rise to 2 / eta and stay; the coordinates of the gradient along them burst when they get
there; steps along one part change the loss by the second-order prediction, which of a ReLU network misses a share. The
flow's curvature has a peak proportional to the size of the data set, and the profile there is a power.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray

from landscape_helpers.catalogue import load_catalogue

CLASSES = 10
SHARED: dict[str, Any] = {
    "data": "digits", "n_train": 300, "pool": 1, "classes": None, "model": "alexnet",
    "model_options": {"init": "kaiming"}, "batch_size": None, "dtype": "float32", "t_max": 40.0, "stop_loss": 0.1,
    "max_steps": None,
}  # fmt: skip
EDGE: dict[str, Any] = {**SHARED, "lr": 0.001, "telemetry_every": None, "k": 20, "tol": 0.01, "max_products": 1000}
FLOW: dict[str, Any] = {
    **SHARED, "cap": 0.001, "c": 0.5, "lambda_every": 1, "snapshot_every": 100, "method": "euler", "tol": 0.01,
    "delta_points": 121, "delta_ranges": [0.003, 0.03],
}  # fmt: skip
BULK = 400.0  # first eigenvalue of the bulk at the paper's rates
MISSED = 0.2  # of a ReLU network's change by a step along the top, by the second order


def run_of(run: str, seed: int = 0, profile: str = "smoke", **changes: Any) -> xarray.Dataset:
    """One seed of a run of the catalogue; a reduced rate is as far below the bulk's edge as the one it stands for."""
    scales = load_catalogue().runs[run].scales
    p = dict(scales[profile].parameters)
    if load_catalogue().runs[run].experiment == "gradient_flow":
        return flow_run(seed, profile=profile, **{**p, **changes})
    stands_for = scales["paper"].parameters["lr"]
    burst = 0.6 * np.sqrt(0.001 / stands_for)
    return edge_run(seed, profile=profile, bulk=BULK * stands_for / p["lr"], burst=burst, **{**p, **changes})


def edge_run(
    seed: int = 0,
    *,
    profile: str = "smoke",
    ends: str = "completed",
    bulk: float = BULK,
    burst: float = 0.6,
    **changes: Any,
) -> xarray.Dataset:
    """One seed of one descent.

    Args:
        bulk: first eigenvalue of the bulk.
        burst: size of a coordinate of the gradient on the edge.
        ends: the status; with "stopped" or "non-finite" in it the last quarter of the stops is missing.
        changes: parameters of the experiment that differ from the defaults.
    """
    p = {**EDGE, **changes}
    eta, classes = p["lr"], p["classes"] or CLASSES
    top, k = classes - 1, p["k"]
    rng = np.random.default_rng([seed, classes, round(1e6 * eta), p["n_train"]])
    every = p["telemetry_every"] or round(1 / eta)
    steps = min(round(p["t_max"] / eta), p["max_steps"] or 10**9)
    stops = np.arange(0, steps + 1, every)
    t = stops * eta
    entry = entry_times(top)
    scale = steps * eta / 1.6 if p["max_steps"] else min(1.0, p["t_max"] / 4)
    rise = 1 / (1 + np.exp(-(t[:, None] - scale * entry) / (0.06 * scale)))
    wobble = 1 + 0.06 * rng.standard_normal((len(t), k))
    values = np.empty((len(t), k))
    reached = 0.5 if p["model_options"].get("init") == "default" else 1.0
    values[:, :top] = 2 / eta * reached * (0.05 + rise * np.linspace(1.1, 0.9, top)) * wobble[:, :top]
    values[:, top:] = bulk * (1 - np.exp(-t / 2))[:, None] * np.linspace(1, 0.5, k - top) * wobble[:, top:] + 1
    values = -np.sort(-values, axis=1)
    rho = eta * values / 2
    size = 0.02 + (rho[:, :top] > 0.9) * burst
    coordinate = np.full((len(t), k), 0.01)
    coordinate[:, :top] = size
    coordinate *= 1 + 0.3 * rng.random((len(t), k))
    length = 0.3 * np.exp(-t / 30) + 0.05
    terms = eta * coordinate**2 * (rho - 1)
    change_top = terms[:, :top].sum(1)
    if str(p["model_options"].get("activation", "relu")) == "relu":
        change_top += MISSED * np.abs(terms[:, :top]).sum(1)
    change_bulk = -eta * length**2 * (1 - 0.1 * rng.random(len(t)))
    last = len(t) if ends == "completed" else max(2, (3 * len(t)) // 4)
    norm = 20.0
    columns: dict[str, np.ndarray] = {
        "eigenvalue": values,
        "eigen_residual": 0.01 * values,
        "rho": rho,
        "coordinate": coordinate,
        "top_norm": np.linalg.norm(coordinate[:, :top], axis=1),
        "bulk_norm": length,
        "change_top": change_top,
        "change_bulk": change_bulk,
        "change_full": change_top + change_bulk,
        "theta_norm": norm * (1 + 1e-4 * t),
        "products": np.full(len(t), 80),
        "converged": np.ones(len(t), dtype=bool),
    }
    dims = {name: ("stop", "eigen") if v.ndim == 2 else ("stop",) for name, v in columns.items()}
    at = np.arange(stops[last - 1] + 1) if last < len(t) else np.arange(steps + 1)
    dataset = xarray.Dataset(
        {
            "loss": ("step", np.log(classes) * np.exp(-at * eta / 12) + 0.05),
            **{name: (dims[name], v[:last]) for name, v in columns.items()},
            "accuracy": ((), 0.97),
            "smallest_eigenvalue": ((), -20.0),
            "theta_norm_start": ((), norm),
            "theta_norm_end": ((), norm * 1.004),
        },
        coords={"step": at, "stop": stops[:last], "time": ("stop", t[:last]), "eigen": np.arange(1, k + 1)},
    )
    return dataset.assign_attrs(**attributes("edge_of_stability", p, seed, profile, classes, ends), learning_rate=eta)


def entry_times(top: int) -> np.ndarray:
    """When each pair of the top reaches the edge, in units of the run's own scale of time."""
    return 0.25 + 0.9 * np.arange(top) / max(top - 1, 1)


def flow_run(seed: int = 0, *, profile: str = "smoke", power: float = 2.0, **changes: Any) -> xarray.Dataset:
    """One seed of one flow; its times are even, whatever its steps.

    Args:
        power: exponent of the profile.
    """
    p = {**FLOW, **changes}
    tanh = p["model_options"].get("activation") == "tanh"
    steps = min(round(p["t_max"] / p["cap"]), p["max_steps"] or 2000)
    time = np.linspace(0, p["t_max"], steps + 1)
    peak = peak_of(p["n_train"], tanh) * (1 + 0.02 * seed)
    middle, breadth = 0.5 * p["t_max"], 0.15 * p["t_max"]
    curvature = 20 + (peak - 20) * np.exp(-(((time - middle) / breadth) ** 2) / 2)
    if p["method"] != "euler":
        curvature = curvature * 1.01
    if tanh:
        curvature[1] = 30000.0
    rate = np.minimum(p["cap"], p["c"] / curvature)
    delta = np.stack([np.linspace(-far, far, p["delta_points"]) for far in p["delta_ranges"]])
    change = peak / 2 * 1e-3**2 * np.abs(delta / 1e-3) ** power
    dataset = xarray.Dataset(
        {
            "time": ("step", time),
            "loss": ("step", np.log(CLASSES) * np.exp(-time / 10) + 0.05),
            "rate": ("step", rate),
            "lambda_1": ("step", curvature),
            "lambda_residual": ("step", 0.01 * curvature),
            "cusp_change": (("cusp", "delta"), change),
            "cusp_delta": (("cusp", "delta"), delta),
            "cusp_eigenvalue": ((), peak),
            "cusp_residual": ((), 0.01 * peak),
            "cusp_slope": ((), -1e-3),
            "accuracy": ((), 0.97),
            "theta_norm_start": ((), 20.0),
            "theta_norm_end": ((), 20.05),
        },
        coords={"step": np.arange(steps + 1), "cusp": np.array(p["delta_ranges"])},
    )
    return dataset.assign_attrs(attributes("gradient_flow", p, seed, profile, CLASSES, "completed"))


def peak_of(n: int, tanh: bool = False) -> float:
    """Peak curvature, linear in the size of the data set."""
    return (100 + 0.5 * n) if tanh else (200 + 2.0 * n)


def attributes(
    experiment: str, p: Mapping[str, Any], seed: int, profile: str, classes: int, status: str
) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "parameters": json.dumps(p, sort_keys=True),
        "profile": profile,
        "seed": seed,
        "n_classes": classes,
        "data_name": p["data"],
        "data_sha256": "0" * 64,
        "data_n": p["n_train"],
        "model_parameters": 5000,
        "package_version": "0.1.0",
        "torch_version": "2.13.0",
        "device": "cpu",
        "dtype": p["dtype"],
        "wall_time_s": 1.5,
        "peak_memory_mb": 200.0,
        "status": status,
    }
