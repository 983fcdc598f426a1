"""Schedules against their formulas, and what they refuse."""

import numpy as np
import pytest

from landscape_helpers.descent.schedules import SCHEDULES, cyclical, named_schedule, steps_at, trapezoid

SHARES = np.linspace(0, 1, 201)[:-1]


def test_a_cycle_is_a_triangle():
    found = [cyclical(0.1, 2.0, 0.25)(s) for s in SHARES]
    np.testing.assert_allclose(found, np.interp(SHARES % 0.25, [0, 0.125, 0.25], [0.1, 2.0, 0.1]), atol=1e-12)


def test_a_trapezoid_rises_stays_and_falls():
    found = [trapezoid(0.1, 1.5, rise=0.2, fall=0.4, end=0.05)(s) for s in SHARES]
    np.testing.assert_allclose(found, np.interp(SHARES, [0, 0.2, 0.6, 1], [0.1, 1.5, 1.5, 0.05]), atol=1e-12)
    assert trapezoid(0.1, 1.5, rise=0.0, fall=0.0)(0.0) == 1.5


def test_steps_multiply():
    schedule = steps_at([0.75, 0.5], 0.2)
    np.testing.assert_allclose([schedule(s) for s in (0, 0.499, 0.5, 0.749, 0.75, 0.99)], [1, 1, 0.2, 0.2, 0.04, 0.04])


def test_the_named_schedules_by_their_values():
    step, cosine = SCHEDULES["step"], SCHEDULES["cosine"]
    np.testing.assert_array_equal([step(s) for s in (0, 0.499, 0.5, 0.749, 0.75, 0.99)], [1, 1, 0.1, 0.1, 0.01, 0.01])
    np.testing.assert_allclose([cosine(s) for s in (0, 1 / 3, 0.5, 1)], [1, 0.75, 0.5, 0], atol=1e-15)
    assert SCHEDULES["constant"](0.7) == 1


def test_a_cycle_may_be_as_long_as_the_run():
    np.testing.assert_allclose([cyclical(0, 1, 1)(s) for s in (0, 0.25, 0.5, 0.75)], [0, 0.5, 1, 0.5])


def test_a_schedule_says_the_same_of_itself_in_every_process():
    assert repr(cyclical(0, 1, 0.5)) == "Cyclical(low=0.0, high=1.0, period=0.5)"
    assert cyclical(0, 1, 0.5) == named_schedule("cyclical", low=0, high=1, period=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cyclical(0, 1, 1.5), r"period must be a share of the training in \(0, 1\], got 1.5"),
        (lambda: cyclical(2, 1, 0.5), "expected low <= high, got 2 and 1"),
        (lambda: cyclical(-1, 1, 0.5), "low must be a finite factor"),
        (lambda: trapezoid(0, 1, -0.1, 0.5), "got -0.1 and 0.5"),
        (lambda: trapezoid(0, 1, 0.5, -0.1), "got 0.5 and -0.1"),
        (lambda: trapezoid(0, 1, 0.7, 0.5), "got 0.7 and 0.5: the schedule would be longer than the run"),
        (lambda: steps_at([0.5, 1.2], 0.1), "got 1.2: the schedule would be longer than the run"),
        (lambda: steps_at([0.5], 0.0), "factor must be a finite number above 0, got 0.0"),
        (lambda: named_schedule("linear"), "unknown schedule 'linear': expected one of"),
        (lambda: named_schedule("cosine", period=3), "'cosine' has no options"),
        (lambda: named_schedule("cyclical", low=0, high=1), "schedule 'cyclical': .*period"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
