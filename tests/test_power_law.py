"""Exponents of known curves."""

import numpy as np
import pytest

from landscape_helpers.shapes import max_slope_near_zero, power_law

DELTA = np.linspace(-3e-3, 3e-3, 121)


@pytest.mark.parametrize(
    ("exponent", "verdict"),
    [
        (0.5, "cusp"),
        (0.9, "cusp"),
        (1.0, "kink"),
        (1.2, "kink"),
        (1.3, "between"),
        (1.7, "between"),
        (1.8, "parabola"),
        (2.0, "parabola"),
        (2.2, "parabola"),
        (2.3, "flatter"),
        (4.0, "flatter"),
    ],
)
def test_the_exponent_of_a_power_is_found(exponent, verdict):
    law = power_law(DELTA, 7 * np.abs(DELTA) ** exponent)
    for side in (law.left, law.right):
        assert side.exponent == pytest.approx(exponent, rel=1e-10)
        assert side.coefficient == pytest.approx(7, rel=1e-8)
        assert side.points == 59  # 60 a side, the nearest at 5e-5 is outside the range
    assert law.rising == 1.0
    assert law.verdict == verdict


def test_the_sides_are_fitted_apart():
    law = power_law(DELTA, np.where(DELTA < 0, np.abs(DELTA), -3 * DELTA**2))
    assert law.left.exponent == pytest.approx(1)
    assert law.right.exponent == pytest.approx(2) and law.right.coefficient == pytest.approx(3)
    assert law.exponent == pytest.approx(1.5)
    assert law.rising == pytest.approx(0.5)


def test_the_standard_error_is_the_scatter_of_repeated_fits():
    generator = np.random.default_rng(0)
    laws = [
        power_law(DELTA, np.abs(DELTA) ** 1.3 * np.exp(0.2 * generator.standard_normal(len(DELTA)))) for _ in range(400)
    ]
    right = np.array([(law.right.exponent, law.right.error) for law in laws])
    assert right[:, 0].std() == pytest.approx(right[:, 1].mean(), rel=0.1)
    assert np.std([law.exponent for law in laws]) == pytest.approx(np.mean([law.error for law in laws]), rel=0.1)
    assert np.mean([law.exponent for law in laws]) == pytest.approx(1.3, abs=0.01)


def test_an_uncertain_exponent_below_one_is_not_a_cusp():
    noise = np.exp(np.random.default_rng(1).standard_normal(len(DELTA)))
    law = power_law(DELTA, np.abs(DELTA) ** 0.95 * noise)
    assert law.error > 0.05
    assert law.verdict != "cusp"


def test_a_cusp_lies_two_standard_errors_below_one():
    noise = np.random.default_rng(2).standard_normal(len(DELTA))
    laws = [power_law(DELTA, np.abs(DELTA) ** 0.9 * np.exp(amount * noise)) for amount in np.linspace(0.05, 1, 60)]
    below = np.array([(1 - law.exponent) / law.error for law in laws])
    assert {1, 2, 3} <= set(below.astype(int))
    assert [law.verdict == "cusp" for law in laws] == list(below > 2)


def test_the_range_is_kept_to_and_gaps_are_left_out():
    change = np.where(np.abs(DELTA) < 1e-3, np.abs(DELTA) ** 3, 1e-3 * DELTA**2)
    change[5], change[7] = np.nan, 0.0
    law = power_law(DELTA, change, low=1e-3)
    assert law.exponent == pytest.approx(2, abs=1e-6)
    assert law.left.points == law.right.points - 2
    outer = np.where(np.abs(DELTA) > 2.01e-3, 1.0, DELTA**2)
    assert power_law(DELTA, outer, high=2e-3).exponent == pytest.approx(2)


def test_too_few_points_have_no_verdict():
    law = power_law([-1e-3, 1e-3, 2e-3], [1.0, 1.0, 4.0])
    assert np.isnan(law.exponent) and law.verdict == "undetermined"
    assert (law.left.points, law.right.points) == (1, 2)


def test_the_largest_slope_near_zero():
    change = np.where(np.abs(DELTA) <= 3.01e-4, 5 * np.abs(DELTA), 1000.0 * DELTA)
    assert max_slope_near_zero(DELTA, change) == pytest.approx(5)
    order = np.random.default_rng(0).permutation(len(DELTA))
    assert max_slope_near_zero(DELTA[order], change[order]) == pytest.approx(5)
    assert max_slope_near_zero(DELTA, change, within=1e-3) > 900
    assert np.isnan(max_slope_near_zero(DELTA, change, within=1e-6))
    assert max_slope_near_zero([0, 1e-4, 1e-4, 2e-4], [0, 1e-4, 9, 9]) == pytest.approx(1)  # no slope at one place
    assert max_slope_near_zero([-2e-4, -1e-4, 0, 1e-4], [9e-4, 2e-4, 0, 1e-4]) == pytest.approx(7)  # downhill


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="vectors of one length"):
        power_law([1.0, 2.0], [1.0])
    for low, high in ((1e-3, 1e-4), (0, 1e-3), (1e-3, 1e-3)):
        with pytest.raises(ValueError, match="0 < low < high"):
            power_law(DELTA, DELTA, low=low, high=high)
    with pytest.raises(ValueError, match=r"the change at displacement 0 must be 0, got 0.57: subtract the loss there"):
        power_law(DELTA, 0.57 + 0.3 * DELTA**2)
