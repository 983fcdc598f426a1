"""Runs of known content, shaped as the experiment's, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from landscape_helpers.catalogue import RunSpec


def trailing(correlation: np.ndarray, window: int = 5) -> np.ndarray:
    """Mean of the window - 1 adjacent pairs that end at each step, by the definition's double sum."""
    result = np.full(correlation.shape, np.nan)
    for k in range(window - 1, len(correlation)):
        result[k] = sum(correlation[j] for j in range(k - window + 2, k + 1)) / (window - 1)
    return result


def make_run(
    loss: Sequence[float] | np.ndarray,
    correlation: Sequence[float] | np.ndarray,
    *,
    layers: Mapping[str, np.ndarray] | None = None,
    layer_dots: Mapping[str, np.ndarray] | None = None,
    matrices: Mapping[int, np.ndarray] | None = None,
    sharpness: Mapping[int, float] | None = None,
    windowed: bool = False,
    **attributes: Any,
) -> xarray.Dataset:
    """A dataset of the experiment's shape.

    Args:
        correlation: mu(k-1, k), or the windowed mean itself where ``windowed``.
        layers: the same for each layer; two layers equal to the global one by default.
        layer_dots: dot products of each layer; by default each layer's correlation.
    """
    loss, correlation = np.asarray(loss, float), np.asarray(correlation, float)
    layers = {"first": correlation, "last": correlation} if layers is None else layers
    smooth = (lambda c: np.where(np.arange(len(c)) < 4, np.nan, c)) if windowed else trailing
    per_layer = np.stack(list(layers.values()), 1)
    dots = per_layer if layer_dots is None else np.stack([layer_dots[name] for name in layers], 1)
    matrices = matrices or {}
    data: dict[str, Any] = {
        "loss": ("step", loss),
        "correlation": ("step", correlation),
        "windowed_correlation": ("step", smooth(correlation)),
        "gradient_norm": ("step", np.ones_like(loss)),
        "dot": ("step", dots.sum(1)),
        "layer_dot": (("step", "layer"), dots),
        "layer_correlation": (("step", "layer"), per_layer),
        "layer_windowed_correlation": (("step", "layer"), np.stack([smooth(c) for c in per_layer.T], 1)),
        "matrix": (("epoch", "a", "b"), np.array(list(matrices.values())).reshape(-1, 5, 5)),
        "accuracy": ((), 1.0),
    }
    coordinates: dict[str, Any] = {
        "step": np.arange(len(loss)),
        "layer": list(layers),
        "epoch": np.array(list(matrices), dtype=int),
    }
    if sharpness is not None:
        data["sharpness"] = ("stop", np.array(list(sharpness.values())))
        coordinates["stop"] = np.array(list(sharpness), dtype=int)
    given = {"learning_rate": 0.1, "window": 5, "status": "completed", "wall_time_s": 1.5, **attributes}
    return xarray.Dataset(data, coordinates).assign_attrs(given)


def oscillation(steps: int, turn: int, direction: int, level: float = 0.9) -> np.ndarray:
    """A windowed correlation that is -direction * level before ``turn`` and direction * level from it on."""
    return np.where(np.arange(steps + 1) < turn, -direction * level, direction * level).astype(float)


def spec(run: str = "cnn", profile: str = "smoke", steps: int = 20, **changes: Any) -> RunSpec:
    """A run specification that needs no catalogue."""
    parameters = {"data": "digits", "n_train": 10, "pool": 1, "model": "cnn", "model_options": {}, "lr": 0.1}
    parameters |= {"steps": steps, "window": 5}
    given: dict[str, Any] = {"seeds": (0,), "note": "tiny", **changes}
    return RunSpec(run, profile, "gradient_oscillation", "simple CNN", parameters, **given)
