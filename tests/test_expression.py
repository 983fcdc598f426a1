"""The predicate language: what it accepts, truth with unknowns, and margins."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_helpers.claims.expression import evaluate, names

NAN = math.nan


@pytest.mark.parametrize(
    "text",
    [
        "a.real > 0",
        "a[0] > 0",
        "__import__('os') > 0",
        "open('x') > 0",
        "'a' > 0",
        "True",
        "a",
        "a + 1",
        "a and b > 0",
        "a > 0 > (lambda: 1)",
        "a ** 2 > 0",
        "a if b > 0 else c > 0",
        "[a] > 0",
        "a in b",
        "a > 0 is b",
        "-a.real > 0",
        "a.real + 1 > 0",
        "1 + a.real > 0",
        "count(a > 0) > 1",
        "count(a > 0) == 1",
        "count(a > 0, b > 0) >= 1.5",
        "count(a) >= 1",
        "count(a > 0)",
        "min(a) > 0",
        "max(a, key=b) > 0",
        "a := 3 > 0",
        "a > ",
        "a > True",
    ],
)
def test_refuses_everything_but_its_own_language(text: str) -> None:
    with pytest.raises(ValueError, match="predicate"):
        evaluate(text, {"a": 1.0, "b": 1.0, "c": 1.0})


def test_a_name_that_is_not_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="'b', which is not measured"):
        evaluate("a > 0 and b > 0", {"a": 1.0})


def test_names_leaves_out_functions() -> None:
    assert names("count(a > 0, min(b, c) < 1) >= 1 and abs(d) > 0") == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("text", "truth", "margin"),
    [
        ("a > 2", True, 1.0),
        ("a < 2", False, -1.0),
        ("a >= 3", True, 0.0),
        ("a > 3", False, 0.0),
        ("a == 3", True, 0.0),
        ("a == 1", False, -2.0),
        ("a != 1", True, 2.0),
        ("1 <= a <= 10", True, 2.0),
        ("4 <= a <= 10", False, -1.0),
        ("a > 2 and b < 0", True, 1.0),
        ("a > 5 or b < 0", True, 4.0),
        ("not a > 2", False, -1.0),
        ("min(a, -b) > 0 and max(a, b) < 5 and abs(b) == 4", True, 0.0),
        ("(a + b) / 2 * -1 > 0", True, 0.5),
        ("a - b > +6", True, 1.0),
    ],
)
def test_truth_and_margin(text: str, truth: bool, margin: float) -> None:
    outcome = evaluate(text, {"a": 3.0, "b": -4.0})
    assert outcome.truth is truth
    assert outcome.margin == pytest.approx(margin)


@pytest.mark.parametrize(
    "text", ["a > 0", "a <= 0", "not a > 0", "a == a", "a != a", "1 / zero > 0", "min(a, 1) < 2", "max(1, a) > 0"]
)
def test_an_unknown_number_satisfies_nothing(text: str) -> None:
    outcome = evaluate(text, {"a": NAN, "zero": 0.0})
    assert outcome.truth is None
    assert not outcome.satisfied
    assert math.isnan(outcome.margin)


def test_an_unknown_part_leaves_what_the_known_parts_decide() -> None:
    values = {"u": NAN, "a": 1.0}
    assert evaluate("u > 0 or a > 0", values).truth is True
    assert evaluate("u > 0 and a < 0", values).truth is False
    assert evaluate("u > 0 and a > 0", values).truth is None
    assert evaluate("u > 0 or a < 0", values).truth is None
    assert evaluate("count(u > 0, a > 0, a > 0.5) >= 2", values).truth is True
    assert evaluate("count(u > 0, a > 2, a > 0.5) >= 3", values).truth is False
    assert evaluate("count(u > 0, a > 2, a > 0.5) >= 2", values).truth is None
    assert evaluate("count(u > 0) >= 0", values).truth is True
    assert evaluate("count(u > 0) >= 2", values).truth is False


@given(st.lists(st.floats(-5, 5).filter(lambda x: abs(x) > 1e-9), min_size=1, max_size=5), st.integers(0, 6))
def test_count_is_the_kth_largest_margin(values: list[float], k: int) -> None:
    given_values = {f"x{i}": v for i, v in enumerate(values)}
    parts = ", ".join(f"{name} > 0" for name in given_values)
    outcome = evaluate(f"count({parts}) >= {k}", given_values)
    assert outcome.truth is (sum(v > 0 for v in values) >= k)
    if 1 <= k <= len(values):
        assert outcome.margin == sorted(values, reverse=True)[k - 1]


EXPRESSIONS = [
    "a > 0.3 and (b < c or not c > a)",
    "not (a > b and b > c) or c >= 1",
    "count(a > 0, b > 0, c > 0, a < b) >= 2 and abs(a - b) < 3",
    "-1 <= a + b <= max(c, 1)",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
@given(numbers=st.tuples(*[st.integers(-3, 3).map(float)] * 3))
def test_the_sign_of_the_margin_is_the_truth(text: str, numbers: tuple[float, float, float]) -> None:
    values = dict(zip("abc", numbers, strict=True))
    outcome = evaluate(text, values)
    # The oracle is Python itself, with count as a sum of truth values.
    truth = eval(text, {"count": lambda *p: sum(map(bool, p)), "__builtins__": {"abs": abs, "max": max}}, values)
    assert outcome.truth is bool(truth)
    assert outcome.margin >= 0 if truth else outcome.margin <= 0


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_decided_predicate_stays_so_whatever_the_unknown_turns_out_to_be(text: str) -> None:
    grid = [-2.0, -0.5, 0.0, 0.4, 2.0]
    for a, c in itertools.product(grid, grid):
        decided = evaluate(text, {"a": a, "b": NAN, "c": c}).truth
        if decided is not None:
            assert {evaluate(text, {"a": a, "b": b, "c": c}).truth for b in grid} == {decided}
