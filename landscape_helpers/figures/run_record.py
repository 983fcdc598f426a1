"""The runs of one network over its seeds, whatever they measured: parameters, title, and arrays of every seed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import xarray

from .trajectories import NAMES, statuses_of

Data = xarray.Dataset | Sequence[xarray.Dataset]


class RunRecord:
    """The runs of one network, one dataset a seed.

    Args:
        run: its name in the catalogue.
        data: a dataset of an experiment, with a leading ``seed`` dimension or without one, or one dataset a seed.
    """

    def __init__(self, run: str, data: Data) -> None:
        if isinstance(data, xarray.Dataset):
            data = [data.isel(seed=i) for i in range(data.sizes["seed"])] if "seed" in data.dims else [data]
        if not data:
            raise ValueError(f"{run}: no dataset, expected at least one")
        self.run = run
        self.datasets = list(data)
        self.seeds = [_seed(d, i) for i, d in enumerate(self.datasets)]

    @property
    def first(self) -> xarray.Dataset:
        return self.datasets[0]

    @property
    def statuses(self) -> list[str]:
        """How each seed ended: "completed", or why not."""
        return statuses_of(self.seeds, [str(told(data, "status", "completed")) for data in self.datasets])

    @cached_property
    def parameters(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.first.attrs.get("parameters", "{}"))
        return parsed

    @cached_property
    def rate(self) -> float:
        """The learning rate."""
        return float(self.parameters.get("lr", told(self.first, "learning_rate", np.nan)))

    @property
    def data(self) -> str:
        """The data set in words."""
        name = str(told(self.first, "data_name", self.parameters.get("data", "data")))
        return NAMES.get(name, name)

    @property
    def random_guess(self) -> float:
        """log C, in nats."""
        return float(told(self.first, "random_guess", np.nan))

    @property
    def size(self) -> int:
        """Number of parameters P; 0 where it is not recorded."""
        return int(told(self.first, "model_parameters", 0))

    @cached_property
    def title(self) -> str:
        """The network in a few words: ``"ResNet-8, fine-tuned"``."""
        return network_title(self.parameters)

    def of_each(self, name: str) -> list[np.ndarray]:
        """A variable of every seed that has it."""
        return [np.asarray(data[name].values) for data in self.datasets if name in data]


def network_title(parameters: Mapping[str, Any]) -> str:
    """A network in a few words, from a run's parameters; its width stands in the scale note."""
    model = str(parameters.get("model", "network")).removeprefix("torchvision:")
    residual = re.fullmatch(r"resnet(\d+)", model)
    options = dict(parameters.get("model_options") or {})
    name = f"ResNet-{residual[1]}" if residual else NAMES.get(model, model)
    parts = [name]
    if options.get("activation"):
        parts.append(str(options["activation"]))
    if options.get("skip") is False:
        parts.append("no shortcuts")
    if parameters.get("pretrain"):
        parts.append("fine-tuned")
    return ", ".join(parts)


def _seed(data: xarray.Dataset, number: int) -> int:
    """The coordinate where seeds were stacked, since the attribute is then that of the first of them."""
    if "seed" in data.coords and data["seed"].ndim == 0:
        return int(data["seed"])
    return int(data.attrs.get("seed", number))


def told(data: xarray.Dataset, name: str, default: Any) -> Any:
    """An attribute, or a coordinate where seeds were stacked and differed in it."""
    if name in data.attrs:
        return data.attrs[name]
    return data[name].item() if name in data.coords and data[name].ndim == 0 else default
