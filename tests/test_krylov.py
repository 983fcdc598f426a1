"""The Krylov space's own storage and recursion."""

import numpy as np
import pytest
import torch

from landscape_helpers.curvature.krylov import KrylovSpace

P = 300


def space_of(products: int, rows: int = 200) -> KrylovSpace:
    torch.manual_seed(0)
    half = torch.randn(P, P, dtype=torch.float64)
    matrix, start = (half + half.T) / 2, torch.randn(P, dtype=torch.float64)
    space = KrylovSpace(lambda v: matrix @ v, start / start.norm(), rows, 0)
    for _ in range(products):
        space.extend()
    basis, form = space.basis, space._T[:products, :products]
    np.testing.assert_allclose((basis @ matrix @ basis.T).numpy(), form, atol=1e-10)
    torch.testing.assert_close(basis @ basis.T, torch.eye(products, dtype=torch.float64), atol=1e-12, rtol=0)
    return space


@pytest.mark.parametrize("products", [1, 8, 9, 40, 130])
def test_room_grows_with_the_vectors_and_not_far_ahead_of_them(products: int) -> None:
    assert products <= len(space_of(products)._basis) <= max(8, 1.5 * products + 1)


def test_there_is_never_more_room_than_was_asked_for() -> None:
    assert len(space_of(2, rows=5)._basis) == 5
    assert len(space_of(20, rows=21)._basis) <= 21
