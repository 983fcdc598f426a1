"""The table of measures, and the arithmetic they share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .phases import phases
from .record import Array, Record

Measure = Callable[..., float]
MEASURES: dict[str, Measure] = {}
SELECTORS: dict[str, tuple[str, ...]] = {}  # by measure: what it takes beside the arguments that it names
DIRECTIONS = {"up": 1, "down": -1}
REDUCE: dict[str, Callable[..., Any]] = {"min": np.nanmin, "max": np.nanmax, "median": np.nanmedian}


def register(function: Measure) -> Measure:
    MEASURES[function.__name__] = function
    return function


def register_selecting(*selectors: str) -> Callable[[Measure], Measure]:
    """For a measure that hands any of these arguments on to the choice of what it is taken over."""

    def enter(function: Measure) -> Measure:
        SELECTORS[function.__name__] = selectors
        return register(function)

    return enter


def measure(name: str, record: Record, **arguments: Any) -> float:
    """The number that the measure ``name`` takes from ``record``.

    Raises:
        ValueError: an unknown measure, or arguments it does not take.
        NotRecorded: the run does not hold the quantity.
    """
    check_arguments(name, arguments)
    return float(MEASURES[name](record, **arguments))


def check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise ValueError where the measure does not exist or does not take these arguments."""
    if name not in MEASURES:
        raise ValueError(f"unknown measure {name!r}: expected one of {', '.join(sorted(MEASURES))}")
    try:
        bound = inspect.signature(MEASURES[name]).bind(None, **arguments)
    except TypeError as error:
        raise ValueError(f"measure {name}: {error}") from error
    if name in SELECTORS and (unknown := sorted(set(bound.kwargs) - set(_named(name)) - set(SELECTORS[name]))):
        raise ValueError(f"measure {name}: unknown {unknown[0]!r}, expected one of {', '.join(SELECTORS[name])}")


def _named(name: str) -> list[str]:
    parameters = inspect.signature(MEASURES[name]).parameters.values()
    return [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]


def curve_of(r: Record, layer: str | None = None) -> Array:
    if layer is None:
        return r["windowed_correlation"]
    (i,) = r.layer_indices(layer)
    return r["layer_windowed_correlation"][:, i]


def turn_of(curve: Array, direction: str) -> float:
    step = phases(curve).first_change(sign_of(direction))
    return math.nan if step is None else float(step)


def turn_until(r: Record, direction: str, until: float | None) -> float:
    """Epoch of the first lasting sign change of the global correlation; NaN where there is none.

    Raises:
        NotRecorded: there is none, and the run was planned to end before ``until``: whether one would have come is
            open.
    """
    turn = turn_of(curve_of(r), direction)
    if math.isnan(turn) and until is not None:
        r.reaches(int(until))
    return turn


def sign_of(direction: str) -> int:
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be 'up' (- to +) or 'down' (+ to -), got {direction!r}")
    return DIRECTIONS[direction]


def ratio_of(part: float, whole: float) -> float:
    return part / whole if whole > 0 and math.isfinite(whole) else math.nan


def divide(a: Array, b: Array) -> Array:
    result = np.full(np.shape(a), np.nan)
    np.divide(a, b, out=result, where=np.isfinite(b) & (b > 0))
    return result


def extreme(how: str, values: list[float]) -> float:
    """The extreme value; NaN as soon as one layer has none, so that "every layer" cannot hold by omission."""
    return math.nan if not values or any(map(math.isnan, values)) else float(REDUCE[how](values))
