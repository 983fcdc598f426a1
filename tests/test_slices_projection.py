"""Projection onto a plane against points whose place is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape_helpers.slices import project

E = torch.eye(5, dtype=torch.float64)


def test_points_placed_by_hand_in_a_skew_plane():
    theta = torch.tensor([1.0, -2.0, 3.0, 0.0, 5.0], dtype=torch.float64)
    first, second = 2 * E[0], E[0] + E[1]
    points = torch.stack([theta + 0.5 * first - 3 * second + 4 * E[2], theta + first, theta, theta - 7 * E[4]])
    found = project(theta, first, second, points)
    np.testing.assert_allclose(found.coordinates, [[0.5, -3], [1, 0], [0, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(found.off, [4, 0, 0, 7], atol=1e-12)
    np.testing.assert_allclose(found.distance, [math.sqrt(4 + 9 + 16), 2, 0, 7])
    np.testing.assert_allclose(found.off_share, [4 / math.sqrt(29), 0, np.nan, 1])


def test_a_distance_a_millionth_of_the_displacement():
    generator = torch.Generator().manual_seed(0)
    first, second, above = torch.linalg.qr(torch.randn(1000, 3, generator=generator, dtype=torch.float64))[0].T
    found = project(torch.zeros(1000, dtype=torch.float64), first, 5 * second, 3 * first - 2 * second + 3e-6 * above)
    np.testing.assert_allclose(found.coordinates, [[3, -0.4]], rtol=1e-10)
    np.testing.assert_allclose(found.off, [3e-6], rtol=1e-8)


def test_random_points_leave_what_least_squares_leaves():
    generator = torch.Generator().manual_seed(1)
    points, theta = torch.randn(6, 40, generator=generator), torch.randn(40, generator=generator)
    first, second = torch.randn(2, 40, generator=generator)
    found = project(theta, first, second, points)
    spanning = torch.stack([first, second], 1).double().numpy()
    for i in range(6):
        away = (points[i].double() - theta.double()).numpy()
        coordinates, residual = np.linalg.lstsq(spanning, away, rcond=None)[:2]
        np.testing.assert_allclose(found.coordinates[i], coordinates, rtol=1e-9)
        assert found.off[i] == pytest.approx(math.sqrt(residual[0]), rel=1e-9)


@pytest.mark.parametrize("name", ["theta", "d1", "d2", "points"])
def test_values_that_are_not_finite_are_refused_by_name(name):
    given = {"theta": torch.zeros(5), "d1": E[0].float(), "d2": E[1].float(), "points": torch.ones(2, 5)}
    given[name] = given[name] * math.nan
    with pytest.raises(ValueError, match=f"^{name} holds .* NaN or infinite values .* finite numbers$"):
        project(**given)
