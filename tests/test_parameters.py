"""The checks that the experiments share: what passes, and the words in which the rest is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from landscape_helpers.experiments import parameters

DEFAULTS = {"rate": 0.1, "steps": 5, "images": None, "dtype": "float32", "scales": [1.0, 2.0], "scale": 1}


def check(given: dict[str, Any]) -> dict[str, Any]:
    p = parameters.completed(given, DEFAULTS)
    parameters.check_rates(p, "rate")
    parameters.check_counts(p, {"steps": 2})
    parameters.check_counts(p, {"images": 1}, null="for all")
    parameters.check_one_of(p, "dtype", parameters.DTYPES)
    parameters.check_all_positive(p, "scales")
    parameters.check_positive(p, "scale")
    return p


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"rate": 1},
        {"steps": 2, "images": 1},
        {"dtype": "float64"},
        {"scales": (3,)},
        {"scales": []},
        {"scale": 0.5},
    ],
)
def test_what_makes_sense_passes_and_the_rest_is_filled_in(given):
    before = dict(given)
    assert check(given) == {**DEFAULTS, **given}
    assert given == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"stepps": 3, "zzz": 1},
            "unknown parameter 'stepps': expected one of rate, steps, images, dtype, scales, scale",
        ),
        ({"rate": 0}, "rate must be a finite learning rate above 0, got 0"),
        ({"rate": math.inf}, "rate must be a finite learning rate above 0, got inf"),
        ({"rate": True}, "rate must be a finite learning rate above 0, got True"),
        ({"rate": "0.1"}, "rate must be a finite learning rate above 0, got '0.1'"),
        ({"steps": 1}, "steps must be a whole number of at least 2, got 1"),
        ({"steps": 3.0}, "steps must be a whole number of at least 2, got 3.0"),
        ({"steps": None}, "steps must be a whole number of at least 2, got None"),
        ({"images": 0}, "images must be a whole number of at least 1, or null for all, got 0"),
        ({"images": True}, "images must be a whole number of at least 1, or null for all, got True"),
        ({"dtype": "half"}, "dtype must be one of ['float32', 'float64'], got 'half'"),
        ({"dtype": ["float32"]}, "dtype must be one of ['float32', 'float64'], got ['float32']"),
        ({"scales": [1.0, math.nan]}, "scales must be a list of finite numbers above 0, got [1.0, nan]"),
        ({"scales": 3}, "scales must be a list of finite numbers above 0, got 3"),
        ({"scales": "1"}, "scales must be a list of finite numbers above 0, got '1'"),
        ({"scale": [1.0]}, "scale must be a finite number above 0, got [1.0]"),
        ({"scale": -1}, "scale must be a finite number above 0, got -1"),
    ],
)
def test_the_rest_is_refused_in_one_line(given, message):
    with pytest.raises(ValueError) as refused:
        check(given)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("value", "number", "count", "listed"),
    [(3, True, True, False), (3.0, True, False, False), (True, False, False, False), ("3", False, False, False),
     (None, False, False, False), ([3], False, False, True), ((), False, False, True), (-1, True, False, False)],
)  # fmt: skip
def test_what_counts_as_what(value, number, count, listed):
    assert parameters.is_number(value) is number
    assert parameters.is_count(value, 0) is count
    assert parameters.is_list(value) is listed
