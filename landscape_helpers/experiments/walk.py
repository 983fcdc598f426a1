"""*A Walk with SGD*: one descent, by the whole set or by mini-batches, and the valley that its updates cross.

Every figure of the paper but the last shows such a run: losses between consecutive iterates, cosines of consecutive
gradients, the distance travelled, the Hessian's largest eigenvalue, or the effect of isotropic noise or of a schedule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from ..descent import Evaluation, FullGradients, Spectrum, StepLosses, Travel, sgd
from ..descent.noise import IsotropicNoise, largest_gradient_variance
from ..descent.schedules import SCHEDULE_FACTORIES, SCHEDULES, Schedule, named_schedule
from ..models import build_model
from ..objective import BATCHNORM_POLICIES, Objective
from ..progress import Progress
from .images import read_images
from .parameters import DTYPES, check_counts, check_one_of, check_rates, completed, is_count, is_list, is_number
from .provenance import with_provenance

DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "n_train": None,  # before classes are dropped; null: all images of the set, less those held out
    "n_valid": None,  # training images held out behind the first n_train; null: the test set instead
    "classes": None,  # the first so many classes; null for all
    "pool": 1,  # side of the square over which pixels are averaged
    "model": "vgg11_bn",
    "model_options": {},
    "lr": 0.1,  # Section 3
    "batch_size": 100,  # Section 3; null: the whole set, and an epoch is one update
    "epochs": 100,  # Section 3.1
    "steps": None,  # updates in all, where they are not whole epochs
    "schedule": "constant",  # Section 3
    "schedule_options": {},
    "noise": 0.0,  # kappa: variance of isotropic noise relative to the largest gradient variance (Section 4)
    "noise_images": 2000,  # over which that variance is taken; not stated
    "windows": [[1, 40]],  # [epoch, updates from its start] between whose iterates the loss is sampled (Figure 1)
    "points": 10,  # between two iterates (Section 3)
    "batchnorm": "batch",
    "eval_batch": None,  # images a pass of the full loss; matters to the function only through BatchNorm
    "full_gradients": False,  # full-batch gradients at the ends of the sampled updates too
    "evaluate_every": 1,  # epochs; 0: never
    "spectrum_every": 0,  # epochs; 0: never
    "spectrum_images": None,  # the first so many training images; null for all
    "stop_loss": None,
    "dtype": "float32",
}
# What must come out again where only the instruments have changed (see landscape_helpers.verify).
REPEATS = {"batch_loss": 0.0, "distance": 1e-6, "cosine": 1e-5, "step_loss": 1e-5}
REPEATED_STEPS = 20


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cheap part of a run: its first updates, the losses between them included."""
    p = {**DEFAULTS, **parameters}
    sampled = [[1, min(REPEATED_STEPS, updates)] for epoch, updates in p["windows"][:1] if epoch == 1]
    none = {"full_gradients": False, "evaluate_every": 0, "spectrum_every": 0}
    steps = REPEATED_STEPS if p["steps"] is None else min(REPEATED_STEPS, p["steps"])
    return {**p, **none, "windows": sampled, "steps": steps}


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    check_rates(p, "lr")
    check_counts(p, {"pool": 1, "epochs": 1, "noise_images": 2, "points": 2, "evaluate_every": 0, "spectrum_every": 0})
    check_counts(p, {"n_train": 1, "batch_size": 1, "eval_batch": 1, "spectrum_images": 1}, null="for all")
    check_counts(p, {"n_valid": 1}, null="for the test set")
    check_counts(p, {"classes": 2}, null="for all")
    check_counts(p, {"steps": 1}, null="for whole epochs")
    check_one_of(p, "schedule", [*SCHEDULES, *SCHEDULE_FACTORIES])
    check_one_of(p, "batchnorm", BATCHNORM_POLICIES)
    check_one_of(p, "dtype", DTYPES)
    if not (is_number(p["noise"]) and math.isfinite(p["noise"]) and p["noise"] >= 0):
        raise ValueError(f"noise must be a finite number of at least 0, got {p['noise']!r}")
    if p["stop_loss"] is not None and not is_number(p["stop_loss"]):
        raise ValueError(f"stop_loss must be a number or null, got {p['stop_loss']!r}")
    if not isinstance(p["full_gradients"], bool):
        raise ValueError(f"full_gradients must be true or false, got {p['full_gradients']!r}")
    if p["batchnorm"] == "whole" and p["batch_size"] is not None:
        raise ValueError("batchnorm 'whole' takes the statistics of all images and needs batch_size null")
    schedule_of(p)
    if not (is_list(p["windows"]) and all(_is_window(w) for w in p["windows"])):
        raise ValueError(f"windows must be a list of [epoch, updates], both counted from 1, got {p['windows']!r}")
    if p["n_train"] is not None:
        windows_of(p, p["n_train"])
    return p


def schedule_of(p: Mapping[str, Any]) -> Schedule:
    """The schedule that the parameters name.

    Raises:
        ValueError: options that it does not take.
    """
    if not isinstance(p["schedule_options"], Mapping):
        raise ValueError(f"schedule_options must be names and values, got {p['schedule_options']!r}")
    return named_schedule(p["schedule"], **p["schedule_options"])


def iterations_per_epoch(p: Mapping[str, Any], n: int) -> int:
    """Updates in one pass over n images; a full-batch update is an epoch of its own."""
    return 1 if p["batch_size"] is None else math.ceil(n / p["batch_size"])


def updates_of(p: Mapping[str, Any], n: int) -> int:
    """Updates of the whole run."""
    return p["steps"] if p["steps"] is not None else p["epochs"] * iterations_per_epoch(p, n)


def windows_of(p: Mapping[str, Any], n: int) -> list[tuple[int, int]]:
    """(first update, number of updates) of each window, updates counted from 0.

    Raises:
        ValueError: a window that reaches beyond the last update.
    """
    total, per_epoch = updates_of(p, n), iterations_per_epoch(p, n)
    windows = [((epoch - 1) * per_epoch, updates) for epoch, updates in p["windows"]]
    for given, (first, updates) in zip(p["windows"], windows, strict=True):
        if first + updates > total:
            raise ValueError(
                f"windows: {list(given)} reaches update {first + updates:,}, but the run has {total:,} ({per_epoch} an "
                "epoch): shorten the window or train longer"
            )
    return windows


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Train one network and record the walk.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of the initialisation, the order of the data and the noise.
        progress: called after each epoch, with its mean loss.

    Returns:
        Over ``step``: batch loss, rate, cosine, norms and distance; over (``update``, ``alpha``): the loss between
        consecutive iterates, with the ``update_epoch`` of the window; over ``evaluation`` and ``stop``: accuracies and
        the Hessian's extreme eigenvalues where asked for.
    """
    p = validate(parameters)
    started = time.perf_counter()
    data = read_images(p)
    dtype = DTYPES[p["dtype"]]
    x, y, x_valid, y_valid = data.standardised(dtype)
    n = len(x)
    windows, per_epoch = windows_of(p, n), iterations_per_epoch(p, n)
    model = build_model(p["model"], data.n_classes, data.input_shape, seed=seed, **p["model_options"])

    def objective_of(images: int | None) -> Objective:
        return Objective(model, x[:images], y[:images], batch_size=p["eval_batch"], batchnorm=p["batchnorm"],
                         device=device, dtype=dtype)  # fmt: skip

    objective = objective_of(None)
    probes: list[Any] = [Travel()]
    if windows:
        probes.append(StepLosses(windows, p["points"]))
    if windows and p["full_gradients"]:
        probes.append(FullGradients(windows))
    if p["evaluate_every"]:
        probes.append(Evaluation(p["evaluate_every"] * per_epoch, x_valid, y_valid))
    if p["spectrum_every"]:
        probes.append(Spectrum(p["spectrum_every"] * per_epoch, objective_of(p["spectrum_images"])))
    largest = math.nan
    noise = None
    if p["noise"]:
        largest = largest_gradient_variance(objective, objective.theta, images=min(p["noise_images"], n))
        noise = IsotropicNoise(p["noise"] * largest, seed)
    descent = sgd(
        objective,
        objective.theta,
        p["lr"],
        p["epochs"],
        p["batch_size"],
        schedule=schedule_of(p),
        seed=seed,
        probes=probes,
        steps=p["steps"],
        noise=noise,
        stop_loss=p["stop_loss"],
        checkpoint=checkpoint,
        keep_checkpoint=True,
        progress=progress,
    )
    dataset = descent.record
    if windows:
        epochs = np.array([p["windows"][w][0] for w in dataset["window"].values], dtype=np.float64)
        dataset = dataset.assign_coords(update_epoch=("update", epochs, {"long_name": "epoch of the first window"}))
    dataset["largest_gradient_variance"] = ((), largest, {"units": "nat^2 / parameter^2"})
    dataset["noise_variance"] = ((), p["noise"] * largest if noise else 0.0, {"units": "nat^2 / parameter^2"})
    return with_provenance(
        dataset,
        "walk",
        p,
        seed,
        data,
        objective,
        time.perf_counter() - started,
        status=descent.status,
        n_valid=len(x_valid),
        iterations_per_epoch=per_epoch,
        batch_size=p["batch_size"] or n,
        learning_rate=p["lr"],
    )


def _is_window(value: Any) -> bool:
    return is_list(value) and len(value) == 2 and all(is_count(v, 1) for v in value)
