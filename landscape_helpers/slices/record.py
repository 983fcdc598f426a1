"""A slice as an xarray object: named dimensions, units, and what the reader must know beside the numbers."""

from __future__ import annotations

import math

import numpy as np
import torch
import xarray
from torch import nn

from .evaluator import Span


def coordinate(name: str, values: np.ndarray) -> xarray.Variable:
    return xarray.Variable(name, values, {"long_name": "coordinate along the direction, in its lengths", "units": "1"})


def common_attributes(span: Span) -> dict[str, float | str]:
    objective = span.objective
    attributes: dict[str, float | str] = {"batchnorm": span.policy or objective.batchnorm, "samples": objective.n}
    if objective.loss_function is nn.functional.cross_entropy:
        attributes["random_guess"] = math.log(_classes(span))
    return attributes


def _classes(span: Span) -> int:
    objective = span.objective
    _, x, _ = next(iter(objective.weighted()))
    objective.move(span.theta)
    with torch.no_grad():
        try:
            # Two samples: BatchNorm that normalises with its batch refuses a single value a channel.
            outputs = objective.model(x[:2])
        except Exception:  # a model that takes the objective's micro-batches only, which the slice went through
            outputs = objective.model(x)
    return int(outputs.shape[1])


def record(
    span: Span,
    losses: np.ndarray,
    accuracies: np.ndarray,
    axes: dict[str, xarray.Variable],
    attributes: dict[str, float | str],
) -> xarray.DataArray | xarray.Dataset:
    about = {"long_name": "training loss"}
    if span.objective.loss_function is nn.functional.cross_entropy:
        about["units"] = "nat"
    if not span.accuracy:
        return xarray.DataArray(losses, coords=axes, dims=list(axes), name="loss", attrs=attributes | about)
    right = {"long_name": "share of samples classified correctly", "units": "1"}
    values = {"loss": (list(axes), losses, about), "accuracy": (list(axes), accuracies, right)}
    return xarray.Dataset(values, coords=axes, attrs=attributes)
