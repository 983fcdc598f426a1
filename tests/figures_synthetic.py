"""Runs to draw: descent on a quadratic whose curvature passes the limit of stability, in the experiment's shape.

Every layer has a steep and a flat coordinate. While the steep curvature is below 1/eta gradients agree; once it
hovers about 2/eta they flip at every step, which is the phenomenon the figures are made to show.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray

from landscape_helpers.descent.correlation import windowed_mean


def quadratic_run(
    *,
    steps: int = 150,
    layers: Sequence[str] = ("blocks.0", "blocks.1", "blocks.2", "head"),
    turn: float = 0.3,
    opens: str = "aligned",
    seed: int = 0,
    lr: float = 0.1,
    sharpness_every: int = 10,
    matrices_at: Sequence[int] = (5, 67),
    ends_at: int | None = None,
    status: str = "completed",
    model: str = "cnn",
    model_options: dict[str, object] | None = None,
    last_layer_turns: bool = True,
) -> xarray.Dataset:
    """A record of the experiment's shape.

    Args:
        turn: share of the run after which the curvature passes the limit (or falls below it).
        opens: "aligned" turns from + to -, "opposed" from - to +.
        ends_at: last recorded step, with ``status`` telling why.
        last_layer_turns: False leaves the last layer flat for ever, as at a small rate.
    """
    rng = np.random.default_rng(seed)
    K = steps if ends_at is None else ends_at
    L = len(layers)
    x = np.stack([rng.uniform(0.8, 1.2, L), rng.uniform(12.0, 14.0, L)], 1)
    scale = np.geomspace(3.0, 0.3, L)
    gradients, losses, curvatures = [], [], []
    for k in range(K + 1):
        past = 1.0 / (1.0 + np.exp(-(k - turn * steps) / (0.01 * steps + 0.5)))
        steep = past if opens == "aligned" else 1.0 - past
        product = 0.2 + (1.8 + 0.03 * np.cos(k / 7.0 + seed)) * steep
        curvature = np.stack([np.full(L, product / lr), np.full(L, 1.5 / (lr * steps))], 1)
        if not last_layer_turns:
            curvature[-1, 0] = 0.1 / lr
        g = curvature * x * scale[:, None]
        losses.append(0.5 * float((curvature * x**2).sum()) * 0.05)
        gradients.append(g)
        curvatures.append(product / lr)
        x = x - lr * curvature * x + 0.02 * rng.standard_normal(x.shape) * np.array([1.0, 0.0])
    g = np.array(gradients)
    dot = np.full((K + 1, L), np.nan)
    dot[1:] = (g[1:] * g[:-1]).sum(2)
    norms = np.sqrt((g**2).sum(2))
    cosine = np.full((K + 1, L), np.nan)
    cosine[1:] = dot[1:] / (norms[1:] * norms[:-1])
    whole = np.sqrt((norms**2).sum(1))
    correlation = np.full(K + 1, np.nan)
    correlation[1:] = dot[1:].sum(1) / (whole[1:] * whole[:-1])
    flat = g.reshape(K + 1, -1) / whole[:, None]
    epochs = [e for e in matrices_at if e + 4 <= K]
    stops = np.arange(0, K + 1, sharpness_every) if sharpness_every else np.arange(0)
    dataset = xarray.Dataset(
        {
            "loss": ("step", np.array(losses)),
            "gradient_norm": ("step", whole),
            "dot": ("step", dot.sum(1)),
            "correlation": ("step", correlation),
            "windowed_correlation": ("step", windowed_mean(correlation)),
            "layer_dot": (("step", "layer"), dot),
            "layer_correlation": (("step", "layer"), cosine),
            "layer_windowed_correlation": (("step", "layer"), windowed_mean(cosine)),
            "matrix": (
                ("epoch", "a", "b"),
                np.array([flat[e : e + 5] @ flat[e : e + 5].T for e in epochs]).reshape(-1, 5, 5),
            ),
            "accuracy": ((), 0.9),
        },
        coords={"step": np.arange(K + 1), "layer": list(layers), "epoch": np.array(epochs, dtype=np.int64)},
    )
    if sharpness_every:
        dataset["sharpness"] = ("stop", np.array(curvatures)[stops])
        dataset = dataset.assign_coords(stop=stops)
    parameters = {
        "data": "digits",
        "n_train": 300,
        "pool": 1,
        "model": model,
        "model_options": {"width": 8} if model_options is None else model_options,
        "lr": lr,
        "steps": steps,
        "window": 5,
        "matrices_at": list(matrices_at),
        "batch_size": None,
        "batchnorm": "batch",
        "sharpness_every": sharpness_every,
        "stop_loss": None,
        "dtype": "float32",
    }
    return dataset.assign_attrs(
        experiment="gradient_oscillation",
        parameters=json.dumps(parameters, sort_keys=True),
        profile="smoke",
        seed=seed,
        data_name="digits",
        data_sha256="0" * 64,
        data_n=300,
        model_parameters=4321,
        learning_rate=lr,
        window=5,
        package_version="0.1.0",
        torch_version="2.13.0",
        device="cpu",
        dtype="float32",
        wall_time_s=1.25 + seed,
        peak_memory_mb=200.0,
        status=status,
    )


CNN = ("blocks.0", "blocks.1", "blocks.2", "head")
VGG = (*(f"features.{i}" for i in range(13)), "head")
RESNET18 = tuple(f"layer.{i}" for i in range(38))

# What each of the catalogue's runs looks like here: options of quadratic_run.
SHAPES: dict[str, dict[str, object]] = {
    "linear": {
        "layers": ("linear",),
        "turn": 5.0,
        "model": "softmax",
        "lr": 0.01,
        "matrices_at": (),
        "model_options": {},
    },
    "cnn": {"layers": CNN, "turn": 0.02},
    "vgg16": {"layers": VGG, "turn": 0.33, "model": "vgg16", "sharpness_every": 0},
    "resnet18": {"layers": RESNET18, "turn": 0.27, "opens": "opposed", "model": "resnet18"},
    "resnet34": {"layers": RESNET18 * 2, "turn": 0.27, "opens": "opposed", "model": "resnet34"},
    "cnn-small-rate": {"layers": CNN, "lr": 0.001, "last_layer_turns": False},
    "resnet18-small-rate": {
        "layers": RESNET18,
        "turn": 0.05,
        "lr": 0.001,
        "model": "resnet18",
        "last_layer_turns": False,
    },
    "cnn-batchnorm": {"layers": CNN, "turn": 0.1},
    "vgg16-batchnorm": {"layers": VGG, "turn": 0.4, "model": "vgg16_bn"},
    "resnet18-whole-batch": {"layers": RESNET18, "turn": 0.5, "opens": "opposed", "model": "resnet18"},
    "mnist-cnn": {"layers": CNN, "turn": 0.02},
    "resnet18-rate-0.01": {"layers": RESNET18, "turn": 0.2, "lr": 0.01, "last_layer_turns": False},
}


def synthetic_runs(
    names: Sequence[str], seeds: Sequence[int] = (0, 1, 2), **changes: object
) -> dict[str, list[xarray.Dataset]]:
    """By name, one dataset a seed."""
    return {
        name: [quadratic_run(**{**SHAPES[name], **changes, "seed": seed}) for seed in seeds]  # type: ignore[arg-type]
        for name in names
        if name in SHAPES
    }
