"""A network and the loss over all its training images: what the singularity paper's experiments start from.

*There is a Singularity in the Loss Landscape*, Section 4: the whole training set or a subset of it, full-batch
gradients, Kaiming's initialisation; no regularisation (Section 5.4), VGG-16 without normalisation (Section 4.1). That
AlexNet has none either, and that nothing is dropped out, is our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import xarray

from ..curvature import OverflowedCurvature, top_eigenpairs
from ..data import Data
from ..models import build_model
from ..objective import Objective
from .parameters import DTYPES, check_counts, check_one_of, check_positive
from .provenance import with_provenance

SETTING: dict[str, Any] = {
    "data": "digits",
    "n_train": None,  # n_D, before classes are dropped; null: all images of the set
    "pool": 1,  # side of the square over which pixels are averaged
    "classes": None,  # how many of the first classes are kept; null: all
    "model": "alexnet",
    "model_options": {"init": "kaiming"},  # Section 4
    "batch_size": None,  # images a pass; the function does not depend on it
    "dtype": "float32",  # not stated
    "t_max": 40.0,  # Section 4.1
    "stop_loss": 0.1,  # Section 4.1
    "max_steps": None,
}


def check_setting(p: Mapping[str, Any]) -> None:
    """Refuse what both experiments share and cannot run with.

    Raises:
        ValueError: names the value, what is expected and where.
    """
    check_counts(p, {"pool": 1})
    check_counts(p, {"n_train": 1, "classes": 2, "batch_size": 1}, null="for all")
    check_counts(p, {"max_steps": 0}, null="for as many as t_max asks for")
    check_positive(p, "t_max")
    if p["stop_loss"] is not None:
        check_positive(p, "stop_loss")
    check_one_of(p, "dtype", DTYPES)


def make_objective(p: Mapping[str, Any], data: Data, seed: int, device: str) -> Objective:
    """The training loss of a freshly initialised network."""
    dtype = DTYPES[p["dtype"]]
    x, y, _, _ = data.standardised(dtype)
    model = build_model(p["model"], data.n_classes, data.input_shape, seed=seed, **p["model_options"])
    return Objective(model, x, y, batch_size=p["batch_size"], device=device, dtype=dtype)


def smallest_eigenvalue(objective: Objective, theta: torch.Tensor, tol: float, max_products: int) -> float:
    """The most negative curvature at theta; NaN where second derivatives overflow.

    Power iteration (SING-D13) returns the largest in magnitude, and the paper reports without numbers that those are
    positive (Section 3.3): this is the number that can contradict it.
    """
    try:
        return float(top_eigenpairs(objective, theta, 1, "SA", tol, max_products=max_products).values[0])
    except OverflowedCurvature:
        return float("nan")


def finished(
    dataset: xarray.Dataset,
    experiment: str,
    p: Mapping[str, Any],
    seed: int,
    data: Data,
    objective: Objective,
    theta: torch.Tensor,
    seconds: float,
) -> xarray.Dataset:
    """A run's dataset with the accuracy and length of its last point, and with how it was made."""
    start = objective.theta
    norms = {"theta_norm_start": start, "theta_norm_end": theta}
    for name, vector in norms.items():
        dataset[name] = ((), float(vector.double().norm()), {"units": "1", "long_name": "length of theta"})
    dataset["accuracy"] = ((), objective.accuracy(theta), {"units": "1", "long_name": "training accuracy"})
    return with_provenance(dataset, experiment, p, seed, data, objective, seconds, n_classes=data.n_classes)
