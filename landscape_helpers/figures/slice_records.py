"""Records of the landscape experiments as figures read them: curves, planes, tables of one network over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray

from ..shapes import LABELS, Shape, describe
from .run_record import RunRecord

CURVE_NUMBERS = ("epoch", "draw", "scale", "target", "norm", "slope", "alpha", "gamma", "cosine")
CURVE_WORDS = ("family", "normalize", "batchnorm")
PLANE_NUMBERS = ("epoch", "draw", "scale", "cosine", "orthogonalised")
PLANE_WORDS = ("first", "second", "normalize", "batchnorm")


@dataclass(frozen=True)
class Curve:
    """One measured curve of the loss.

    Attributes:
        at: the multiple lambda of the direction (T,), ascending. ``loss``: (T,) in nats.
        fields: how the direction came about, by the names of the record without ``curve_``; what a record lacks is NaN
            or empty.
    """

    seed: int
    at: np.ndarray
    loss: np.ndarray
    fields: Mapping[str, Any]

    @cached_property
    def shape(self) -> Shape:
        """Class, count and place of its extrema."""
        return describe(self.at, self.loss)


@dataclass(frozen=True)
class Plane:
    """One measured surface: ``loss`` (rows, columns) over ``at1`` along the first direction, ``at2`` along the other.

    Attributes:
        off: by checkpoint epoch, how much of the way there stands perpendicular to the plane, as a share of its length;
            empty where it was not recorded.
    """

    seed: int
    at1: np.ndarray
    at2: np.ndarray
    loss: np.ndarray
    fields: Mapping[str, Any]
    off: Mapping[int, float]


class SliceRecord(RunRecord):
    """The runs of one network in a landscape experiment, one dataset a seed."""

    @cached_property
    def final_epoch(self) -> int:
        """The last checkpoint."""
        kept = self.parameters.get("keep") or self.first["epoch"].values.tolist()
        return int(max(kept))

    def epochs(self, name: str) -> list[int]:
        """Values of an epoch coordinate such as ``"hessian_epoch"``; none where the record lacks it."""
        return [int(e) for e in self.first[name].values] if name in self.first.coords else []

    @cached_property
    def all_curves(self) -> list[Curve]:
        return [curve for data, seed in zip(self.datasets, self.seeds, strict=True) for curve in _curves(data, seed)]

    @cached_property
    def all_planes(self) -> list[Plane]:
        return [plane for data, seed in zip(self.datasets, self.seeds, strict=True) for plane in _planes(data, seed)]

    def curves(self, family: str, **wanted: Any) -> list[Curve]:
        """The curves of a family whose fields have the wanted values; NaN matches NaN."""
        return [c for c in self.all_curves if c.fields["family"] == family and _matches(c.fields, wanted)]

    def planes(self, **wanted: Any) -> list[Plane]:
        """The planes whose fields have the wanted values."""
        return [p for p in self.all_planes if _matches(p.fields, wanted)]

    def accuracy(self, kind: str = "test_accuracy") -> list[float]:
        """Of every seed's last checkpoint, where it was recorded."""
        return [float(values[-1]) for values in self.of_each(kind) if values.size]


def labels_of(curves: Iterable[Curve]) -> list[tuple[str, int]]:
    """How many curves have each class, the most frequent first; equally frequent ones in the paper's order."""
    found = [c.shape.label for c in curves]
    counts = [(label, found.count(label)) for label in LABELS if label in found]
    return sorted(counts, key=lambda pair: -pair[1])


def mean_count(curves: Sequence[Curve]) -> float:
    """The mean count of stationary points, which the paper prints in brackets."""
    return float(np.mean([c.shape.count for c in curves]))


def _curves(data: xarray.Dataset, seed: int) -> list[Curve]:
    if "curve_loss" not in data:
        return []
    at, loss = data["curve_at"].values, data["curve_loss"].values
    fields = _fields(data, "curve", CURVE_NUMBERS, CURVE_WORDS)
    curves = []
    for i in range(len(at)):
        on = np.isfinite(at[i])
        if on.sum() >= 3:
            x, y = at[i, on].astype(float), loss[i, on].astype(float)
            curves.append(Curve(seed, x, y, {name: values[i] for name, values in fields.items()}))
    return curves


def _planes(data: xarray.Dataset, seed: int) -> list[Plane]:
    if "plane_loss" not in data:
        return []
    fields = _fields(data, "plane", PLANE_NUMBERS, PLANE_WORDS)
    planes = []
    for i in range(data.sizes["plane"]):
        at1, at2 = (data[f"plane_at{axis}"].values[i].astype(float) for axis in (1, 2))
        rows, columns = np.isfinite(at1), np.isfinite(at2)
        loss = data["plane_loss"].values[i][np.ix_(rows, columns)].astype(float)
        off = {}
        if "plane_off" in data:
            shares = data["plane_off"].values[i]
            off = {int(e): float(v) for e, v in zip(data["epoch"].values, shares, strict=True) if np.isfinite(v)}
        told = {name: values[i] for name, values in fields.items()}
        planes.append(Plane(seed, at1[rows], at2[columns], loss, told, off))
    return planes


def _fields(data: xarray.Dataset, kind: str, numbers: Sequence[str], words: Sequence[str]) -> dict[str, list[Any]]:
    n = data.sizes[kind]
    found: dict[str, list[Any]] = {}
    for names, missing, convert in ((numbers, np.nan, float), (words, "", str)):
        for name in names:
            values = data[f"{kind}_{name}"].values if f"{kind}_{name}" in data else [missing] * n
            found[name] = [convert(v) for v in values]
    return found


def _matches(fields: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    for name, value in wanted.items():
        found = fields[name]
        if isinstance(value, str) or isinstance(found, str):
            if found != value:
                return False
        elif not np.isclose(found, value, rtol=1e-9, atol=1e-12, equal_nan=True):
            return False
    return True
