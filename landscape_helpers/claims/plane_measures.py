"""Measures of loss surfaces over planes of two directions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..shapes import classify, falls_on_both_sides, minima_of_surface
from .record import Array, NotRecorded, Record
from .registry import REDUCE, register, register_selecting
from .slices import PLANE_SELECTORS, Plane, planes, random_guess

# The class of the curve along a direction of the paper, by the start of its name (MINE-D38).
CLASSES = {
    "Gau.": "v-basin",
    "P.E.": "v-basin",
    "Neg. Grad.": "v-side",
    "E=": "v-side",
    "E'=": "w-basin",
    "N.E.": "w-peak",
    "Mine": "w-peak",
}
CHECKPOINTS = ("E=", "E'=")

_selecting = register_selecting(*PLANE_SELECTORS)


@_selecting
def planes_with_minimum_at_origin(r: Record, **selection: Any) -> float:
    """Share of the surfaces whose lowest point is the origin, to one step of the grid."""
    return float(np.mean([_steps_from_origin(p, _lowest(p)) <= 1 for p in planes(r, **selection)]))


@_selecting
def share_with_lowest_at_origin(r: Record, **selection: Any) -> float:
    """Share of the surfaces whose lowest point is exactly the origin."""
    return float(np.mean([_lowest(p) == p.origin for p in planes(r, **selection)]))


@_selecting
def other_minima(r: Record, **selection: Any) -> float:
    """Number of strict minima among eight neighbours, below log C and more than a step from the origin."""
    guess = random_guess(r)
    return float(
        sum(
            p.loss[i, j] < guess and _steps_from_origin(p, (i, j)) > 1
            for p in planes(r, **selection)
            for i, j in minima_of_surface(p.loss)
        )
    )


@_selecting
def highest_surface_loss(r: Record, **selection: Any) -> float:
    """The highest loss on any of the surfaces, in nats."""
    return max(float(np.fmax.reduce(p.loss, axis=None)) for p in planes(r, **selection))


@_selecting
def ring_depth(r: Record, **selection: Any) -> float:
    """How far the mean loss on the lowest ring about the origin lies below it, in nats; of the surfaces the least.

    A ring is the border of a square of grid points about the origin. Where its mean is lower, its minimum is too.
    """
    return min(_ring_depth(p) for p in planes(r, **selection))


@_selecting
def share_of_saddles(r: Record, **selection: Any) -> float:
    """Share of the surfaces that rise on both sides along the first direction and fall on both along the second.

    Rising is judged at the grid points next to the origin, falling at any distance, as for a weak w-peak.
    """
    return float(np.mean([_is_saddle(p) for p in planes(r, **selection)]))


@_selecting
def largest_plane_cosine(r: Record, **selection: Any) -> float:
    """Largest size of the cosine between the two directions of a plane."""
    return max(abs(float(p.fields["cosine"])) for p in planes(r, **selection))


@register
def planes_without_orthogonal(r: Record, *, above: float) -> float:
    """Number of planes whose directions have a larger cosine, or none recorded, and no twin with orthogonal axes."""
    try:
        twins = {_name(p) for p in planes(r, orthogonalised=1)}
    except NotRecorded:
        twins = set()
    return float(sum(not abs(float(p.fields["cosine"])) <= above and _name(p) not in twins for p in planes(r)))


@register
def distinct_pairs(r: Record) -> float:
    """Number of different pairs of directions among the planes."""
    return float(len({frozenset((str(p.fields["first"]), str(p.fields["second"]))) for p in planes(r)}))


@register
def share_of_expected_slices(r: Record) -> float:
    """Share of the surfaces' slices along their axes that have the class the paper gives to their direction."""
    return float(np.mean([label == _expected(name) for name, label in _slices(r)]))


@register
def slice_classes(r: Record, *, labels: list[str]) -> float:
    """How many of these classes occur among the surfaces' slices along their axes."""
    return float(len(set(labels) & {label for _, label in _slices(r)}))


@register
def distance_off_planes(r: Record, *, through_checkpoints: bool, reduce: str) -> float:
    """How far checkpoints lie off a plane, relative to their way: of a plane the "min" or "max", of these the least.

    Args:
        through_checkpoints: of planes spanned with the way to a checkpoint, or of the others.
    """
    off = r["plane_off"]
    chosen = [p for p in planes(r) if _through_checkpoint(p) == through_checkpoints]
    rows = [off[p.fields["index"]] for p in chosen]
    values = [float(REDUCE[reduce](row[np.isfinite(row)])) for row in rows if np.isfinite(row).any()]
    if not values:
        raise NotRecorded("the run holds no such plane with the distances of checkpoints from it")
    return min(values)


def _slices(r: Record) -> list[tuple[str, str]]:
    """Direction and class of both slices of every plane."""
    found = []
    for plane in planes(r):
        for axis, (at, loss) in zip(("first", "second"), plane.slices(), strict=True):
            found.append((str(plane.fields[axis]), classify(at, loss)))
    return found


def _expected(direction: str) -> str:
    return next(label for start, label in CLASSES.items() if direction.startswith(start))


def _through_checkpoint(plane: Plane) -> bool:
    return any(str(plane.fields[axis]).startswith(CHECKPOINTS) for axis in ("first", "second"))


def _name(plane: Plane) -> tuple[str, str, float]:
    return str(plane.fields["first"]), str(plane.fields["second"]), float(plane.fields["epoch"])


def _lowest(plane: Plane) -> tuple[int, int]:
    i, j = np.unravel_index(int(np.nanargmin(plane.loss)), plane.loss.shape)
    return int(i), int(j)


def _steps_from_origin(plane: Plane, point: tuple[int, int]) -> int:
    return max(abs(int(point[axis]) - plane.origin[axis]) for axis in (0, 1))


def _ring_depth(plane: Plane) -> float:
    (i, j), (rows, columns) = plane.origin, plane.loss.shape
    distance = np.maximum.outer(np.abs(np.arange(rows) - i), np.abs(np.arange(columns) - j))
    largest = min(i, j, rows - 1 - i, columns - 1 - j)
    depths = [float(plane.loss[i, j] - plane.loss[distance == k].mean()) for k in range(1, largest + 1)]
    return max(depths, default=math.nan)


def _is_saddle(plane: Plane) -> bool:
    (_, up), (at, down) = plane.slices()
    return _rises(up, plane.origin[0]) and falls_on_both_sides(at, down)


def _rises(loss: Array, origin: int) -> bool:
    return bool(min(loss[origin - 1], loss[origin + 1]) > loss[origin])
