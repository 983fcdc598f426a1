"""Curves and planes of a record of slices, and the choice of those that a measure is taken over."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..shapes import Shape, describe, near_origin, stationary_points
from .record import Array, NotRecorded, Record

PAPER_EPOCHS = 200  # of the mining paper's trainings (Appendix A.1), in which claims name checkpoints
CURVE_SELECTORS = ("family", "epoch", "draw", "scale", "normalize", "batchnorm", "target", "alpha", "gamma")
PLANE_SELECTORS = ("first", "second", "epoch", "scale", "normalize", "batchnorm", "orthogonalised")
PANEL = tuple(name for name in CURVE_SELECTORS if name != "draw")  # the curves of one panel share all of these
_EPOCHS = ("epoch", "target")


@dataclass(frozen=True)
class Curve:
    r"""A sampled loss curve.

    Attributes:
        at: :math:`\lambda` (T,).
        loss: (T,), in nats.
        fields: what the record says of it, such as ``family`` and ``epoch`` (as recorded, not the paper's).
    """

    at: Array
    loss: Array
    fields: Mapping[str, Any]

    @cached_property
    def shape(self) -> Shape:
        return describe(self.at, self.loss)

    @cached_property
    def stationary(self) -> Array:
        """Indices of the stationary points as the paper counts them."""
        return stationary_points(self.loss)

    def is_at_origin(self, index: int) -> bool:
        """Within one step of the grid."""
        return bool(near_origin(self.at)[index])


@dataclass(frozen=True)
class Plane:
    """A sampled loss surface: loss (rows, columns), rows along the first direction."""

    at1: Array
    at2: Array
    loss: Array
    fields: Mapping[str, Any]

    @property
    def origin(self) -> tuple[int, int]:
        return int(np.argmin(np.abs(self.at1))), int(np.argmin(np.abs(self.at2)))

    def slices(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """(at, loss) along the first and along the second direction, through the origin."""
        i, j = self.origin
        return (self.at1, self.loss[:, j]), (self.at2, self.loss[i, :])


def curves(r: Record, **selection: Any) -> list[Curve]:
    """The curves that fit a selection: a value or a list of values for any of ``CURVE_SELECTORS``.

    Epochs are the paper's; a network without BatchNorm fits any ``batchnorm``.

    Raises:
        NotRecorded: there is none.
    """
    _known(selection, CURVE_SELECTORS)
    at, loss = r["curve_at"], r["curve_loss"]
    chosen = _chosen(r, "curve", selection)
    fields = _fields(r, "curve", (*CURVE_SELECTORS, "slope", "norm"))
    held = []
    for i in chosen:
        on = np.isfinite(at[i])  # the padding of shorter curves
        held.append(Curve(at[i][on], loss[i][on], {name: values[i] for name, values in fields.items()}))
    return held


def panels(r: Record, **selection: Any) -> list[list[Curve]]:
    """The selected curves by panel: those that differ in their draw only."""
    groups: dict[tuple[str, ...], list[Curve]] = {}
    for curve in curves(r, **selection):
        groups.setdefault(tuple(repr(curve.fields.get(name)) for name in PANEL), []).append(curve)
    return list(groups.values())


def planes(r: Record, orthogonalised: int = 0, **selection: Any) -> list[Plane]:
    """The planes that fit a selection, as :func:`curves`; by default those of the raw directions."""
    selection["orthogonalised"] = orthogonalised
    _known(selection, PLANE_SELECTORS)
    at1, at2, loss = r["plane_at1"], r["plane_at2"], r["plane_loss"]
    fields = _fields(r, "plane", (*PLANE_SELECTORS, "cosine"))
    held = []
    for i in _chosen(r, "plane", selection):
        rows, columns = np.isfinite(at1[i]), np.isfinite(at2[i])
        described = {name: values[i] for name, values in fields.items()} | {"index": i}
        held.append(Plane(at1[i][rows], at2[i][columns], loss[i][np.ix_(rows, columns)], described))
    return held


def recorded_epoch(r: Record, epoch: float) -> float:
    """The checkpoint that stands for the paper's E: of a training over fewer epochs, one moved in proportion."""
    return epoch * parameters(r)["epochs"] / PAPER_EPOCHS


def parameters(r: Record) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(r.dataset.attrs["parameters"])
    return found


def random_guess(r: Record) -> float:
    """log C, the loss of guessing (MINE-D09)."""
    return float(r.dataset.attrs["random_guess"])


def row_of(r: Record, coordinate: str, epoch: float) -> int:
    """Position of the paper's E along a coordinate of epochs.

    Raises:
        NotRecorded: it is not there.
    """
    values = r[coordinate]
    found = np.flatnonzero(np.isclose(values, recorded_epoch(r, epoch)))
    if not len(found):
        raise NotRecorded(f"the run holds no {coordinate} at E = {epoch:g}, only {', '.join(f'{v:g}' for v in values)}")
    return int(found[0])


def checkpoint_value(r: Record, name: str, epoch: float) -> float:
    return float(r[name][row_of(r, "epoch", epoch)])


def strings(r: Record, name: str) -> list[str]:
    if name not in r.dataset:
        raise NotRecorded(f"the run holds no {name}")
    return [str(value) for value in r.dataset[name].values]


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _fields(r: Record, kind: str, names: Iterable[str]) -> dict[str, Any]:
    return {name: r.dataset[f"{kind}_{name}"].values for name in names if f"{kind}_{name}" in r.dataset}


def _chosen(r: Record, kind: str, selection: Mapping[str, Any]) -> Array:
    wanted = np.ones(r.dataset.sizes[kind], dtype=bool)
    for name, value in selection.items():
        variable = f"{kind}_{name}"
        if variable not in r.dataset:
            if name == "orthogonalised":
                continue
            raise NotRecorded(f"the run holds no {variable}")
        values = r.dataset[variable].values
        allowed = [recorded_epoch(r, v) if name in _EPOCHS else v for v in as_list(value)]
        wanted &= np.array([any(_equal(name, held, v) for v in allowed) for held in values])
    if not wanted.any():
        named = ", ".join(f"{name} {value}" for name, value in selection.items() if name != "orthogonalised")
        raise NotRecorded(f"the run holds no {kind} with {named}")
    return np.flatnonzero(wanted)


def _equal(name: str, held: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return str(held) == wanted or (name == "batchnorm" and str(held) == "")
    return math.isclose(float(held), float(wanted), rel_tol=1e-9, abs_tol=1e-12)


def _known(selection: Mapping[str, Any], selectors: tuple[str, ...]) -> None:
    if unknown := sorted(set(selection) - set(selectors)):
        raise ValueError(f"cannot select by {unknown[0]!r}: expected one of {', '.join(selectors)}")
