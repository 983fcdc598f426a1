"""The valley along an update against parabolas with known floors, and steps told by hand."""

import numpy as np
import pytest

from landscape_helpers.shapes import valley

ALPHA = np.arange(12) / 11


def parabola(curvature, vertex, floor=0.3):
    return floor + 0.5 * curvature * (ALPHA - vertex) ** 2


def test_floor_position_and_height_of_a_sampled_step():
    losses = np.array([[3.0, 1.0, 2.0, 2.5], [3.0, 2.0, 1.5, 1.0], [1.0, 2.0, 3.0, 4.0]])
    alpha = [0.0, 1 / 3, 2 / 3, 1.0]
    np.testing.assert_array_equal(valley.floor(losses), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(valley.floor_position(alpha, losses), [1 / 3, 1.0, 0.0])
    np.testing.assert_array_equal(valley.interior(losses), [True, False, False])
    # Where the floor is an end, the height is half the change of the loss.
    np.testing.assert_allclose(valley.height(losses), [1.75, 1.0, 1.5])
    assert valley.height(losses[0]).shape == ()


def test_a_barrier_is_higher_than_both_ends():
    losses = np.array([[1.0, 1.5, 2.0], [1.0, 2.5, 2.0], [2.0, 2.0, 2.0], [2.0, 2.0002, 1.0], [1.0, np.inf, 1.0]])
    np.testing.assert_array_equal(valley.crossed(losses), [False, True, False, True, True])
    np.testing.assert_array_equal(valley.crossed(losses, 1e-3), [False, True, False, False, True])
    np.testing.assert_allclose(valley.barrier_height(losses), [0, 0.5, 0, 0.0002, np.inf])
    with pytest.raises(ValueError, match=r"not negative, got -0.1"):
        valley.crossed(losses, -0.1)


def test_no_point_of_a_convex_step_is_a_barrier():
    vertices = np.linspace(-2, 3, 41)
    assert not valley.crossed(np.array([parabola(2.0, v) for v in vertices])).any()


def test_rises_of_the_floor():
    np.testing.assert_array_equal(valley.floor_rises([3.0, 2.0, 2.5, 2.5, 1.0]), [False, True, False, False])
    with pytest.raises(ValueError, match=r"got shape \(2, 2\)"):
        valley.floor_rises(np.ones((2, 2)))


@pytest.mark.parametrize("vertex", [-0.4, 0.2, 0.5, 1.7])
def test_a_parabola_is_fitted_exactly(vertex):
    r_squared, curvature, position = valley.quadratic_fit(ALPHA, parabola(3.0, vertex))
    np.testing.assert_allclose([r_squared, curvature, position], [1.0, 3.0, vertex], rtol=1e-9)


def test_the_fit_is_that_of_polyfit():
    losses = np.random.default_rng(0).normal(size=(5, 12)).cumsum(1)
    r_squared, curvature, position = valley.quadratic_fit(ALPHA, losses)
    for i, y in enumerate(losses):
        c = np.polyfit(ALPHA, y, 2)
        rest = y - np.polyval(c, ALPHA)
        np.testing.assert_allclose(r_squared[i], 1 - rest.var() / y.var(), rtol=1e-9)
        np.testing.assert_allclose([curvature[i], position[i]], [2 * c[0], -c[1] / (2 * c[0])], rtol=1e-8)
    flat = valley.quadratic_fit(ALPHA, np.ones(12))
    assert np.isnan(flat[0]) and flat[1] == 0 and np.isnan(flat[2])
    assert np.isnan(valley.quadratic_fit(ALPHA, [np.nan, *np.ones(11)])).all()


@pytest.mark.parametrize("vertex", [0.0, 0.3, 0.5, 0.9, 1.0, 1.4, -0.2])
def test_the_height_predicted_from_slopes_is_that_of_the_parabola(vertex):
    """The truth: losses at the ends and at the lowest point of the step, in closed form."""
    curvature = 2.5
    ends = [0.5 * curvature * vertex**2, 0.5 * curvature * (1 - vertex) ** 2]
    lowest = 0.0 if 0 <= vertex <= 1 else min(ends)
    found = valley.predicted_height_from_slopes(-curvature * vertex, curvature * (1 - vertex))
    np.testing.assert_allclose(found, sum(ends) / 2 - lowest, rtol=1e-12)


def test_a_hill_has_half_the_change_as_its_height():
    """Slope 1 at the start and -3 at the end: the loss falls by 1, and its minimum is an end."""
    assert valley.predicted_height_from_slopes(1.0, -3.0) == 0.5


def test_a_flat_step_has_no_height():
    assert valley.predicted_height_from_slopes(0.0, 0.0) == 0


@pytest.mark.parametrize("rate", [0.3, 1.2, 1.9, 2.5])
def test_the_height_predicted_from_gradients_is_that_of_a_quadratic_bowl(rate):
    """Gradient descent along one axis of curvature k: g' = (1 - rate k) g."""
    k, g = 1.0, 0.7
    following = (1 - rate * k) * g
    predicted = valley.predicted_height(rate, abs(g), abs(following), np.sign(following * g))
    theta = g / k - ALPHA * rate * g
    fine = np.linspace(0, 1, 100_001)
    losses = 0.5 * k * (g / k - fine * rate * g) ** 2
    np.testing.assert_allclose(predicted, valley.height(losses), rtol=1e-6)
    assert valley.height(0.5 * k * theta**2) <= predicted + 1e-12  # the samples miss the very floor


def test_the_height_predicted_from_gradients_at_an_angle():
    """Gradient descent on a bowl in two dimensions, so that the cosine is neither 1 nor -1."""
    H, theta, rate = np.diag([1.0, 6.0]), np.array([2.0, -1.0]), 0.28
    g = H @ theta
    h = H @ (theta - rate * g)
    cosine = g @ h / np.linalg.norm(g) / np.linalg.norm(h)
    assert -0.9 < cosine < -0.1
    path = theta - np.linspace(0, 1, 100_001)[:, None] * rate * g
    losses = 0.5 * ((path @ H) * path).sum(1)
    predicted = valley.predicted_height(rate, np.linalg.norm(g), np.linalg.norm(h), cosine)
    np.testing.assert_allclose(predicted, valley.height(losses), rtol=1e-6)


def test_nan_is_no_floor():
    losses = [[2.0, np.nan, 1.0, 3.0], [np.nan] * 4]
    np.testing.assert_array_equal(valley.floor(losses), [1.0, np.nan])
    np.testing.assert_array_equal(valley.floor_position([0, 0.2, 0.6, 1], losses), [0.6, np.nan])
    np.testing.assert_array_equal(valley.interior(losses), [True, False])


@pytest.mark.parametrize(
    ("alpha", "losses", "message"),
    [
        ([0.0, 1.0], [1.0, 2.0], "two ends and a point between them"),
        ([0.0, 0.5], [1.0, 2.0, 3.0], "one value for each of the 3 losses"),
        ([0.0, 0.7, 0.5], [1.0, 2.0, 3.0], "ascending values"),
        ([0.0, 0.5, 0.5], [1.0, 2.0, 3.0], "ascending values"),
    ],
)
def test_samples_that_show_no_valley_are_refused(alpha, losses, message):
    with pytest.raises(ValueError, match=message):
        valley.floor_position(alpha, losses)


def test_a_single_loss_is_no_step():
    with pytest.raises(ValueError, match="two ends and a point between them"):
        valley.floor(3.0)


def test_four_points_judge_a_parabola():
    np.testing.assert_allclose(valley.quadratic_fit([0, 0.2, 0.5, 1], [1, 0.64, 0.25, 0]), [1, 2, 1], rtol=1e-9)


def test_three_points_do_not_judge_a_parabola():
    with pytest.raises(ValueError, match="at least four"):
        valley.quadratic_fit([0, 0.5, 1], [1.0, 2.0, 4.0])
