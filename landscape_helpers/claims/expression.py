r"""A small language for predicates over measured numbers, evaluated for truth and for margin.

Names, numbers, ``+ - * /``, comparisons, ``and or not``, ``min max abs`` and ``count(p1, ..., pn) >= k``. Nothing else
is accepted: no attribute, index, call or string, so that a catalogue cannot run code.

**Truth** is three-valued (Kleene): a comparison with an unknown number (NaN) is unknown, ``not`` of it too, and an
unknown part decides nothing that the known parts leave open. A predicate that is unknown is *not satisfied*.

**Margin** is the quantitative semantics of signal temporal logic (Donze and Maler 2010, Section 2): :math:`a>b` gives
:math:`a-b`, ``and`` the minimum, ``or`` the maximum, ``not`` the negative, ``count(p1, ..., pn) >= k`` the k-th
largest. It is positive where the predicate holds with room and negative where it fails, in the units of the nearest
comparison. An equality gives :math:`-|a-b|`: it can fail by an amount but has no room.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max, "abs": abs}
_COMPARISONS = (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq)


@dataclass(frozen=True)
class Outcome:
    """What a predicate says of some numbers.

    Attributes:
        truth: True, False, or None where an unknown number leaves it open.
        margin: room if positive, shortfall if negative; NaN where truth is None.
    """

    truth: bool | None
    margin: float

    @property
    def satisfied(self) -> bool:
        return self.truth is True

    def __invert__(self) -> Outcome:
        return self if self.truth is None else Outcome(not self.truth, -self.margin)


_UNKNOWN = Outcome(None, math.nan)


def evaluate(expression: str, values: Mapping[str, float]) -> Outcome:
    """Truth and margin of a predicate.

    >>> evaluate("early > 0.8 and late < -0.5", {"early": 0.9, "late": -0.7})
    Outcome(truth=True, margin=0.09999999999999998)
    >>> evaluate("count(a > 0, b > 0, c > 0) >= 2", {"a": 3.0, "b": 1.0, "c": -2.0})
    Outcome(truth=True, margin=1.0)
    >>> evaluate("not a > 0", {"a": float("nan")}).satisfied
    False

    Raises:
        ValueError: the expression is not a predicate of this language, or uses a name that was not measured.
    """
    tree = _parse(expression)
    if missing := sorted(names(expression) - set(values)):
        raise ValueError(f"predicate {expression!r} uses {missing[0]!r}, which is not measured")
    return _predicate(tree, values)


def names(expression: str) -> set[str]:
    """The measurements an expression uses."""
    functions = {*_FUNCTIONS, "count"}
    return {n.id for n in ast.walk(_parse(expression)) if isinstance(n, ast.Name)} - functions


@cache
def _parse(expression: str) -> ast.expr:
    try:
        tree = ast.parse(" ".join(expression.split()), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"predicate {expression!r} cannot be read: {error.args[0]}") from error
    _check(tree, expression, predicate=True)
    return tree


def _check(node: ast.expr, source: str, predicate: bool) -> None:
    """Refuse what the language does not have, before any number is known."""
    match node:
        case ast.BoolOp(values=parts) if predicate:
            for part in parts:
                _check(part, source, predicate=True)
        case ast.UnaryOp(op=ast.Not(), operand=part) if predicate:
            _check(part, source, predicate=True)
        case ast.Compare(left=left, ops=ops, comparators=rest) if predicate and _count_of(left):
            threshold = rest[0]
            whole = isinstance(threshold, ast.Constant) and type(threshold.value) is int
            if len(ops) != 1 or not isinstance(ops[0], ast.GtE) or not whole:
                raise ValueError(f"predicate {source!r}: count(...) can only be used as count(...) >= whole number")
            for part in _count_of(left):
                _check(part, source, predicate=True)
        case ast.Compare(left=left, ops=ops, comparators=rest) if predicate:
            if not all(isinstance(op, _COMPARISONS) for op in ops):
                raise ValueError(f"predicate {source!r}: only > >= < <= == != can compare")
            for part in (left, *rest):
                _check(part, source, predicate=False)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right) if not predicate:
            _check(left, source, predicate=False)
            _check(right, source, predicate=False)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=part) if not predicate:
            _check(part, source, predicate=False)
        case ast.Call(func=ast.Name(id="min" | "max"), args=[_, _, *_], keywords=[]) if not predicate:
            for part in node.args:
                _check(part, source, predicate=False)
        case ast.Call(func=ast.Name(id="abs"), args=[part], keywords=[]) if not predicate:
            _check(part, source, predicate=False)
        case ast.Name(id=name) if not predicate and name not in {*_FUNCTIONS, "count"}:
            return
        case ast.Constant(value=value) if not predicate and type(value) in (int, float):
            return
        case _:
            expected = "a comparison" if predicate else "a number"
            raise ValueError(f"predicate {source!r}: {ast.unparse(node)!r} is not {expected} of the predicate language")


def _count_of(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id="count"), args=[_, *_], keywords=[]):
            return node.args
    return []


def _predicate(node: ast.expr, values: Mapping[str, float]) -> Outcome:
    match node:
        case ast.BoolOp(op=op, values=parts):
            outcomes = [_predicate(part, values) for part in parts]
            return _at_least(len(parts) if isinstance(op, ast.And) else 1, outcomes)
        case ast.UnaryOp(operand=part):
            return ~_predicate(part, values)
        case ast.Compare(left=left, ops=[_], comparators=[ast.Constant(value=int(k))]) if _count_of(left):
            return _at_least(k, [_predicate(part, values) for part in _count_of(left)])
        case ast.Compare(left=left, ops=ops, comparators=rest):
            numbers = [_number(part, values) for part in (left, *rest)]
            links = [_compare(op, a, b) for op, (a, b) in zip(ops, pairwise(numbers), strict=True)]
            return _at_least(len(links), links)
    raise AssertionError(f"unchecked expression {ast.dump(node)}")


def _at_least(k: int, outcomes: list[Outcome]) -> Outcome:
    """k of n hold: ``and`` for k = n, ``or`` for k = 1. The margin is the k-th largest.

    An unknown outcome could lie anywhere, so that the k-th largest is known only if it is the same sign of truth for
    the best and the worst case; the margin is then the one the known outcomes vouch for.
    """
    known = sorted((o for o in outcomes if o.truth is not None), key=lambda o: (o.truth, o.margin), reverse=True)
    unknown = len(outcomes) - len(known)
    if k <= 0:
        return Outcome(True, math.inf)
    if k > len(outcomes):
        return Outcome(False, -math.inf)
    true = sum(o.truth is True for o in known)
    if true >= k:
        return Outcome(True, known[k - 1].margin)
    if true + unknown < k:
        return Outcome(False, known[k - 1 - unknown].margin)
    return _UNKNOWN


def _compare(op: ast.cmpop, a: float, b: float) -> Outcome:
    if math.isnan(a) or math.isnan(b):
        return _UNKNOWN
    difference = 0.0 if a == b else a - b  # equal infinities differ by nothing, not by NaN
    match op:
        case ast.Gt():
            return Outcome(a > b, difference)
        case ast.GtE():
            return Outcome(a >= b, difference)
        case ast.Lt():
            return Outcome(a < b, -difference)
        case ast.LtE():
            return Outcome(a <= b, -difference)
        case ast.Eq():
            return Outcome(a == b, 0.0 - abs(difference))  # and not -0.0
    return Outcome(a != b, abs(difference))


def _number(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return float(values[name])
        case ast.UnaryOp(op=op, operand=part):
            return -_number(part, values) if isinstance(op, ast.USub) else _number(part, values)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _number(left, values), _number(right, values)
            if isinstance(op, ast.Div):
                return a / b if b != 0 else math.nan
            return _ARITHMETIC[type(op)](a, b)
        case ast.Call(func=ast.Name(id=name), args=parts):
            numbers = [_number(part, values) for part in parts]
            # Python's min and max drop or keep a NaN depending on its place; unknown must stay unknown.
            return math.nan if any(map(math.isnan, numbers)) else _FUNCTIONS[name](*numbers)
    raise AssertionError(f"unchecked expression {ast.dump(node)}")
