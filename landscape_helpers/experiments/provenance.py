"""How a result was made, in the attributes of its dataset: what a reader needs to compute it again, and what it took.

The attributes that every trained network's record carries stand here, so that the same name means the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
import xarray

from .. import __version__
from ..data import Data
from ..objective import Objective
from ..resources import peak_memory_mb


def with_provenance(
    dataset: xarray.Dataset,
    experiment: str,
    p: Mapping[str, Any],
    seed: int,
    data: Data,
    objective: Objective,
    seconds: float,
    **own: Any,
) -> xarray.Dataset:
    """The dataset with attributes that say how it was made.

    Args:
        p: the complete parameters, kept as JSON.
        data: the images; their checksum is that of the whole set.
        objective: the loss; gives the numbers of images and parameters, the device and the dtype.
        seconds: of wall time.
        own: further attributes of the experiment, or others in place of these.
    """
    common: dict[str, Any] = {
        "data_name": data.name,
        "data_sha256": str(data.provenance["sha256"]),
        "data_n": objective.n,
        "model_parameters": objective.parameters,
        "torch_version": str(torch.__version__),  # a plain string, which netCDF can hold
        "device": str(objective.device),
        "dtype": str(objective.dtype).removeprefix("torch."),
        "peak_memory_mb": round(peak_memory_mb(objective.device), 1),
    }
    return stamped(dataset, experiment, p, seed, seconds, **{**common, **own})


def stamped(
    dataset: xarray.Dataset, experiment: str, p: Mapping[str, Any], seed: int, seconds: float, **own: Any
) -> xarray.Dataset:
    """The dataset with the attributes that every result has, of a network or not; arguments as above."""
    return dataset.assign_attrs(
        experiment=experiment,
        parameters=json.dumps(dict(p), sort_keys=True),
        seed=seed,
        package_version=__version__,
        wall_time_s=round(seconds, 3),
        **own,
    )
