"""Runs of the singularity paper's experiments with known content, for tests of what reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray


def make_edge(
    rho: np.ndarray,
    *,
    lr: float = 0.01,
    every: int = 100,
    classes: int = 3,
    coordinate: np.ndarray | None = None,
    status: str = "completed",
    **fields: Any,
) -> xarray.Dataset:
    """A telemetry record with the stability ratios (stop, eigen) given, at stops every so many steps.

    The gradient's bulk part is 1 throughout, its top part what the coordinates give; changes and lengths can be given
    by name.
    """
    rho = np.asarray(rho, float)
    stops, k = rho.shape
    coordinate = np.ones((stops, k)) if coordinate is None else np.asarray(coordinate, float)
    step = every * np.arange(stops)
    data: dict[str, Any] = {
        "loss": ("step", np.linspace(2.3, 0.1, step[-1] + 1)),
        "rho": (("stop", "eigen"), rho),
        "eigenvalue": (("stop", "eigen"), 2 * rho / lr),
        "eigen_residual": (("stop", "eigen"), np.zeros((stops, k))),
        "coordinate": (("stop", "eigen"), coordinate),
        "top_norm": ("stop", np.sqrt((coordinate[:, : classes - 1] ** 2).sum(1))),
        "bulk_norm": ("stop", np.ones(stops)),
        "change_top": ("stop", np.zeros(stops)),
        "change_bulk": ("stop", np.full(stops, -lr)),
        "change_full": ("stop", np.full(stops, -lr)),
        "theta_norm": ("stop", np.full(stops, 10.0)),
        "products": ("stop", np.full(stops, 20)),
        "converged": ("stop", np.ones(stops, bool)),
        "smallest_eigenvalue": ((), -1.0),
        "theta_norm_start": ((), 10.0),
        "theta_norm_end": ((), 10.0),
        "accuracy": ((), 1.0),
    }
    data |= {name: ("stop", np.asarray(v)) if np.ndim(v) else ((), v) for name, v in fields.items()}
    coordinates = {"step": np.arange(step[-1] + 1), "stop": step, "eigen": np.arange(1, k + 1)}
    attributes = {"learning_rate": lr, "n_classes": classes, "status": status, "data_n": 100, "wall_time_s": 1.0}
    return xarray.Dataset(data, coordinates | {"time": ("stop", lr * step)}).assign_attrs(attributes)


def make_flow(
    lambda_1: np.ndarray,
    *,
    step: float = 0.1,
    exponent: float = 2.0,
    scale: float = 100.0,
    images: int = 100,
    status: str = "completed",
) -> xarray.Dataset:
    """A flow's record with the largest eigenvalue given, and the profile scale |Delta|^exponent at its peak."""
    lambda_1 = np.asarray(lambda_1, float)
    n = len(lambda_1)
    reach = np.array([0.003, 0.03])
    delta = np.stack([np.linspace(-r, r, 121) for r in reach])
    data: dict[str, Any] = {
        "time": ("step", step * np.arange(n)),
        "loss": ("step", np.linspace(2.3, 0.1, n)),
        "rate": ("step", np.full(n, step)),
        "lambda_1": ("step", lambda_1),
        "lambda_residual": ("step", np.zeros(n)),
        "cusp_change": (("cusp", "delta"), scale * np.abs(delta) ** exponent),
        "cusp_delta": (("cusp", "delta"), delta),
        "cusp_eigenvalue": ((), float(np.nanmax(lambda_1))),
        "cusp_residual": ((), 0.0),
        "cusp_slope": ((), 0.0),
        "theta_norm_start": ((), 10.0),
        "theta_norm_end": ((), 10.0),
        "accuracy": ((), 1.0),
    }
    attributes = {"n_classes": 10, "status": status, "data_n": images, "wall_time_s": 1.0}
    return xarray.Dataset(data, {"step": np.arange(n), "cusp": reach}).assign_attrs(attributes)
