"""The runs of one network over its seeds, as a figure reads them."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray

from ..claims.run_measures import decrease_under
from .numbers_in_words import seeds_in_words

NAMES = {
    "softmax": "Softmax regression",
    "mlp": "MLP",
    "cnn": "Simple CNN",
    "vgg11": "VGG-11",
    "vgg16": "VGG-16",
    "vgg11_bn": "VGG-11 with BatchNorm",
    "vgg16_bn": "VGG-16 with BatchNorm",
    "resnet10": "ResNet-10",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "digits": "digits",
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
}


@dataclass(frozen=True)
class Ending:
    """A seed whose run ended before its last planned step, or was stopped on purpose."""

    seed: int
    step: int
    status: str

    @property
    def failed(self) -> bool:
        """Ended by a loss that became non-finite, and not by a rule of the run."""
        return "non-finite" in self.status


def stack_seeds(datasets: Sequence[xarray.Dataset]) -> xarray.Dataset:
    """Runs that differ in their seed only, along a leading dimension ``seed``.

    Steps that a seed did not reach are NaN. An attribute that is the same in all stays an attribute; one that
    differs (status, wall time, ...) becomes a coordinate over ``seed``.

    Raises:
        ValueError: nothing to stack, or runs whose layers or parameters differ.
    """
    if not datasets:
        raise ValueError("no run to stack: expected at least one dataset")
    for name in ("parameters", "profile"):
        different = {str(d.attrs.get(name)) for d in datasets}
        if len(different) > 1:
            raise ValueError(f"runs over seeds must share their {name}, got {sorted(different)}")
    if len({tuple(d["layer"].values) for d in datasets if "layer" in d}) > 1:
        raise ValueError("runs over seeds must share their layers")
    seeds = [int(d.attrs.get("seed", i)) for i, d in enumerate(datasets)]
    names = {name for d in datasets for name in d.attrs}
    common = {n for n in names if len({repr(d.attrs.get(n)) for d in datasets}) == 1}
    stacked = xarray.concat(
        [d.drop_attrs(deep=False) for d in datasets],
        dim=xarray.Variable("seed", seeds),
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="override",
    )
    varying = {n: ("seed", [d.attrs.get(n, "") for d in datasets]) for n in sorted(names - common - {"seed"})}
    return stacked.assign_coords(varying).assign_attrs({n: datasets[0].attrs[n] for n in sorted(common)})


def over_seeds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median, least and largest over the first axis, of the seeds that have a value; NaN where none has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        return np.nanmedian(values, 0), np.nanmin(values, 0), np.nanmax(values, 0)


class Trajectories:
    """One network's runs over its seeds.

    Args:
        data: a dataset of the gradient-oscillation experiment, with a leading ``seed`` dimension or without one, or a
            sequence of such datasets, one a seed.
    """

    def __init__(self, data: xarray.Dataset | Sequence[xarray.Dataset]) -> None:
        if not isinstance(data, xarray.Dataset):
            data = stack_seeds(data)
        elif "seed" not in data.dims:
            data = stack_seeds([data])
        self.data = data
        self.seeds: list[int] = [int(s) for s in data["seed"].values]
        self.steps: np.ndarray = data["step"].values
        self.layers: list[str] = [str(name) for name in data["layer"].values]

    def per_seed(self, name: str, default: Any = None) -> list[Any]:
        """An attribute for each seed, whether it was the same for all of them or not."""
        if name in self.data.coords and self.data[name].dims == ("seed",):
            return list(self.data[name].values)
        return [self.data.attrs.get(name, default)] * len(self.seeds)

    def values(self, name: str) -> np.ndarray:
        """(seed, step)."""
        return np.asarray(self.data[name].transpose("seed", "step").values, dtype=np.float64)

    def of_layer(self, name: str, layer: int) -> np.ndarray:
        """(seed, step) of one layer, counted from 0."""
        return np.asarray(self.data[name].isel(layer=layer).transpose("seed", "step").values, dtype=np.float64)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.data.attrs.get("parameters", "{}"))
        return parsed

    @property
    def learning_rate(self) -> float:
        return float(self.per_seed("learning_rate", self.parameters.get("lr", np.nan))[0])

    @property
    def planned_steps(self) -> int:
        """What the run was meant to do; it did less where it ended early."""
        return int(self.parameters.get("steps", self.steps[-1]))

    @cached_property
    def last_steps(self) -> list[int]:
        """The last recorded step of each seed."""
        finite = np.isfinite(self.values("loss"))
        return [int(self.steps[np.flatnonzero(row)[-1]]) if row.any() else 0 for row in finite]

    @cached_property
    def endings(self) -> list[Ending]:
        told = zip(self.seeds, self.last_steps, self._statuses, strict=True)
        return [Ending(seed, step, status) for seed, step, status in told if status != "completed"]

    @property
    def _statuses(self) -> list[str]:
        """Each seed's status; results loaded together carry one text, "seed 0: completed; seed 1: stopped: ..."."""
        return statuses_of(self.seeds, [str(status) for status in self.per_seed("status", "completed")])

    @property
    def has_sharpness(self) -> bool:
        """Whether the largest eigenvalue of the Hessian was measured at one step at least."""
        return "sharpness" in self.data and self.data.sizes.get("stop", 0) > 0

    @cached_property
    def oscillating(self) -> np.ndarray:
        """(step,): the fraction of seeds, among those still running, with negative windowed correlation."""
        return negative_fraction(self.values("windowed_correlation"))

    @cached_property
    def share(self) -> np.ndarray:
        """(seed, step): :func:`decrease_under` for each seed."""
        loss, windowed = self.values("loss"), self.values("windowed_correlation")
        return np.array([decrease_under(a, b) for a, b in zip(loss, windowed, strict=True)])

    @cached_property
    def final_share(self) -> np.ndarray:
        """(seed,): the share at the last recorded step."""
        return np.array([row[last] for row, last in zip(self.share, self.last_steps, strict=True)])

    @property
    def network(self) -> str:
        """The network in words, with its width where it is not the family's default."""
        model = str(self.parameters.get("model", "network"))
        options = dict(self.parameters.get("model_options") or {})
        parts = [NAMES.get(model, model)]
        if "width" in options:
            parts.append(f"width {options['width']}")
        if options.get("batchnorm") or options.get("norm") == "batch":
            parts.append("BatchNorm")
        return ", ".join(parts)

    @property
    def heading(self) -> str:
        """Network, data, rate and seeds in one line."""
        name = str(self.data.attrs.get("data_name", self.parameters.get("data", "data")))
        data = NAMES.get(name, name)
        n = self.data.attrs.get("data_n", self.parameters.get("n_train"))
        images = f", {int(n):,} images" if n else ""
        rate, seeds = f"\u03b7 = {self.learning_rate:g}", seeds_in_words(self.seeds)
        return f"{self.network} \u00b7 {data}{images} \u00b7 {rate} \u00b7 {seeds}"


def negative_fraction(windowed: np.ndarray) -> np.ndarray:
    """(step,) from (seed, step): the fraction of seeds below zero among those that have a value; 0 where none has."""
    known = np.isfinite(windowed).sum(0)
    return np.divide((windowed < 0).sum(0), known, out=np.zeros(windowed.shape[1]), where=known > 0)


def statuses_of(seeds: Sequence[int], told: Sequence[str]) -> list[str]:
    """Each seed's own status, also where every seed carries the text of all, as results that were loaded together do.

    >>> statuses_of([1], ["seed 0: completed; seed 1: stopped: loss below 0.1 at step 7"])
    ['stopped: loss below 0.1 at step 7']
    """
    parts = re.split(r"(?:^|; )seed (\d+): ", told[0]) if told else []
    if len(parts) < 3:
        return list(told)
    by_seed = dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))
    return [by_seed.get(seed, "completed") for seed in seeds]
