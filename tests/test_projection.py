"""Projections onto a plane against closed forms."""

import numpy as np
import pytest
import torch

from landscape_helpers import slices


def test_points_of_known_coordinates_and_height():
    generator = torch.Generator().manual_seed(0)
    theta, d1, d2, rest = (torch.randn(50, dtype=torch.float64, generator=generator) for _ in range(4))
    basis, _ = torch.linalg.qr(torch.stack([d1, d2, rest], 1))
    normal = basis[:, 2]
    points = torch.stack([theta + 2 * d1 - 3 * d2, theta + 0.5 * d1 + 4 * normal, theta])
    found = slices.project(theta, d1, d2, points)
    assert np.allclose(found.coordinates, [[2, -3], [0.5, 0], [0, 0]], atol=1e-12)
    assert np.allclose(found.off, [0, 4, 0], atol=1e-12)
    assert found.off_share[0] == pytest.approx(0, abs=1e-12) and np.isnan(found.off_share[2])
    assert found.off_share[1] == pytest.approx(4 / float((0.5 * d1 + 4 * normal).norm()))


def test_a_single_point_and_orthogonal_ways():
    theta = torch.zeros(3)
    one, two, three = torch.eye(3)
    found = slices.project(theta, one, two, 5 * three)
    assert found.off_share[0] == 1 and found.off[0] == 5 and found.coordinates.tolist() == [[0, 0]]


def test_points_with_a_history_of_gradients_are_numbers_all_the_same():
    one, two, three = torch.eye(3).requires_grad_()
    found = slices.project(torch.zeros(3, requires_grad=True), one, two, 2 * one + 5 * three)
    assert found.coordinates.tolist() == [[2, 0]] and found.off.tolist() == [5]


@pytest.mark.parametrize(
    ("d1", "d2", "message"),
    [
        (torch.ones(3), 2 * torch.ones(3), "parallel: they span a line"),
        (torch.ones(3), torch.zeros(3), "must not be zero"),
        (torch.ones(2), torch.ones(3), r"d1 must have theta's shape \(3,\), got \(2,\)"),
    ],
)
def test_planes_that_are_none_are_refused(d1, d2, message):
    with pytest.raises(ValueError, match=message):
        slices.project(torch.zeros(3), d1, d2, torch.ones(3))
