"""Slices of one run gathered into one dataset: curves over (curve, point), planes over (plane, row, column)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray

CURVE_FIELDS: dict[str, Any] = {
    "family": "",  # which construction gave the direction
    "epoch": np.nan,  # E of the perturbed checkpoint
    "draw": 0,
    "scale": np.nan,  # s: the view is [-s, s]
    "normalize": "",
    "batchnorm": "",
    "target": np.nan,  # E of the checkpoint that lies at lambda = 1
    "norm": np.nan,  # length of the direction in units of |theta|
    "slope": np.nan,  # gradient . direction at lambda = 0, nats
    "cosine": np.nan,
    "alpha": np.nan,  # of Algorithm 2
    "gamma": np.nan,
}
PLANE_FIELDS: dict[str, Any] = {
    "first": "",
    "second": "",
    "epoch": np.nan,
    "draw": 0,
    "scale": np.nan,
    "normalize": "",
    "batchnorm": "",
    "cosine": np.nan,
    "orthogonalised": 0,
}


class Tables:
    """Curves and planes as they are measured."""

    def __init__(self) -> None:
        self._curves: list[tuple[np.ndarray, np.ndarray, dict[str, Any]]] = []
        self._planes: list[tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]] = []

    def curve(self, at: np.ndarray, losses: np.ndarray, **fields: Any) -> None:
        """Add a curve: loss (points,) at positions lambda (points,)."""
        self._curves.append((np.asarray(at), np.asarray(losses), _complete(fields, CURVE_FIELDS)))

    def plane(self, at1: np.ndarray, at2: np.ndarray, losses: np.ndarray, **fields: Any) -> None:
        """Add a plane: loss (rows, columns) at positions along the first (rows,) and second (columns,) direction."""
        self._planes.append((np.asarray(at1), np.asarray(at2), np.asarray(losses), _complete(fields, PLANE_FIELDS)))

    def dataset(self) -> xarray.Dataset:
        """Everything added, ragged ends filled with NaN."""
        dataset = xarray.Dataset()
        if self._curves:
            points = max(len(at) for at, _, _ in self._curves)
            at = np.stack([_padded(positions, (points,)) for positions, _, _ in self._curves])
            losses = np.stack([_padded(values, (points,)) for _, values, _ in self._curves])
            dataset["curve_at"] = (("curve", "point"), at, {"units": "1", "long_name": "lambda"})
            dataset["curve_loss"] = (("curve", "point"), losses, {"units": "nat", "long_name": "training loss"})
            for name in CURVE_FIELDS:
                dataset[f"curve_{name}"] = ("curve", np.array([fields[name] for *_, fields in self._curves]))
        if self._planes:
            shape = tuple(max(plane[2].shape[axis] for plane in self._planes) for axis in (0, 1))
            at1 = np.stack([_padded(plane[0], shape[:1]) for plane in self._planes])
            at2 = np.stack([_padded(plane[1], shape[1:]) for plane in self._planes])
            surfaces = np.stack([_padded(plane[2], shape) for plane in self._planes])
            dataset["plane_at1"] = (("plane", "row"), at1, {"units": "1", "long_name": "lambda_1"})
            dataset["plane_at2"] = (("plane", "column"), at2, {"units": "1", "long_name": "lambda_2"})
            dataset["plane_loss"] = (
                ("plane", "row", "column"),
                surfaces,
                {"units": "nat", "long_name": "training loss"},
            )
            for name in PLANE_FIELDS:
                dataset[f"plane_{name}"] = ("plane", np.array([fields[name] for *_, fields in self._planes]))
        return dataset


def _complete(fields: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"unknown field {unknown[0]!r}: expected one of {', '.join(known)}")
    return {**known, **fields}


def _padded(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    result = np.full(shape, np.nan)
    result[tuple(slice(n) for n in values.shape)] = values
    return result
