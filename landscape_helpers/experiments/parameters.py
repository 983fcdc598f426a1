"""Checks of an experiment's parameters, which come from a YAML file or a command line and may hold anything.

Every experiment completes what it is given by its defaults and refuses what it cannot run with, before any data is
read. The checks that more than one of them needs stand here, so that the same mistake is answered in the same words.
Each takes the complete parameters and the names to look at; each raises a ValueError of one line that names the
parameter, what is expected and the value received.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

import torch

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def completed(parameters: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, those that are not given taken from ``defaults``.

    Raises:
        ValueError: a name that ``defaults`` does not have.
    """
    unknown = sorted(set(parameters) - set(defaults))
    if unknown:
        raise ValueError(f"unknown parameter {unknown[0]!r}: expected one of {', '.join(defaults)}")
    return {**defaults, **parameters}


def is_number(value: object) -> TypeGuard[float]:
    """A whole or a floating-point number, infinite and NaN among them; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_count(value: object, least: int) -> bool:
    """A whole number of at least ``least``; 3.0 is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_list(value: object) -> bool:
    """A list or a tuple; a text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def check_counts(p: Mapping[str, Any], least: Mapping[str, int], null: str = "") -> None:
    """Whole numbers, each with the smallest that makes sense.

    Args:
        p: the complete parameters.
        least: by name.
        null: what null stands for, such as ``"for all"``, where it may be given instead of a number.
    """
    for name, smallest in least.items():
        if (p[name] is None and null) or is_count(p[name], smallest):
            continue
        or_null = f", or null {null}" if null else ""
        raise ValueError(f"{name} must be a whole number of at least {smallest}{or_null}, got {p[name]!r}")


def check_rates(p: Mapping[str, Any], *names: str) -> None:
    """Learning rates: finite and above 0."""
    for name in names:
        if not _is_positive(p[name]):
            raise ValueError(f"{name} must be a finite learning rate above 0, got {p[name]!r}")


def check_positive(p: Mapping[str, Any], *names: str) -> None:
    """Finite numbers above 0."""
    for name in names:
        if not _is_positive(p[name]):
            raise ValueError(f"{name} must be a finite number above 0, got {p[name]!r}")


def check_all_positive(p: Mapping[str, Any], *names: str) -> None:
    """Lists of finite numbers above 0; an empty one passes."""
    for name in names:
        if not (is_list(p[name]) and all(_is_positive(value) for value in p[name])):
            raise ValueError(f"{name} must be a list of finite numbers above 0, got {p[name]!r}")


def check_one_of(p: Mapping[str, Any], name: str, known: Collection[str]) -> None:
    """One of a few words; they are named in the order of ``known``."""
    if p[name] not in list(known):  # as a list: what is received may be unhashable
        raise ValueError(f"{name} must be one of {list(known)}, got {p[name]!r}")


def _is_positive(value: object) -> bool:
    return is_number(value) and math.isfinite(value) and value > 0
