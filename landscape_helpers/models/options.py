"""Options of networks, checked before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

from torch import nn

from .parts import ACTIVATIONS


def is_count(value: object) -> bool:
    """Whether ``value`` is a whole number of at least 1; True is not."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _one_of(*names: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {list(names)}", lambda value: isinstance(value, str) and value in names


# What a value must be, in words and as a test.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "width": ("a whole number of channels, at least 1", is_count),
    "batchnorm": ("True or False", lambda value: isinstance(value, bool)),
    "skip": ("True or False", lambda value: isinstance(value, bool)),
    "activation": _one_of(*sorted(ACTIVATIONS)),
    "norm": _one_of("batch", "none"),
    "hidden": (
        "a sequence of whole numbers of units, each at least 1, such as (128,)",
        lambda value: isinstance(value, Sequence) and all(is_count(units) for units in value),
    ),
}


def check_options(name: str, constructor: Callable[..., nn.Module], options: dict[str, Any]) -> None:
    """Raise ValueError for an option that network ``name`` does not have, or a value of the wrong kind.

    An option that the name itself stands for, such as the depth of "vgg16", cannot be given.
    """
    parameters = set(inspect.signature(constructor).parameters) - {"n_classes", "input_shape"}
    fixed = set(constructor.keywords) if isinstance(constructor, partial) else set()
    allowed = sorted(parameters - fixed)
    expected = f"expected one of {allowed}" if allowed else "it takes none"
    for option, value in options.items():
        if option in fixed:
            raise ValueError(f"option {option!r} of model {name!r} is fixed by its name, got {value!r}: {expected}")
        if option not in allowed:
            raise ValueError(f"model {name!r} has no option {option!r}: {expected}")
        words, fits = _KINDS[option]
        if not fits(value):
            raise ValueError(f"option {option!r} of model {name!r} must be {words}, got {value!r}")
