"""Sums over millions of parameters in single precision, against double."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers.curvature import top_eigenpairs
from landscape_helpers.curvature.long_vectors import BLOCK, inner, norm
from landscape_helpers.objective import Objective

LONG = 40 * BLOCK + 17


def rows(count: int, size: int = LONG) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("across", [False, True])
def test_inner_products_are_right_however_the_vectors_lie(across):
    """As they are, PyTorch's are off by 1e-4 and, across, by 2e-3."""
    a, b = rows(3), rows(2)
    b[0] += 0.5 * a[0]
    exact = a.double() @ b.double().T
    if across:
        a, b = a.T.contiguous().T, b.T.contiguous().T
    size = torch.outer(a.double().norm(dim=1), b.double().norm(dim=1))
    for found, true, scale in (
        (inner(a, b), exact, size),
        (inner(a, b[0]), exact[:, 0], size[:, 0]),
        (inner(a[0], b), exact[0], size[0]),
    ):
        assert found.dtype == torch.float64 and found.shape == true.shape
        assert float(((found - true).abs() / scale).max()) < 2e-6
    assert float(inner(a[0], b[0])) == pytest.approx(float(exact[0, 0]), rel=1e-12)


def test_norms_are_right_however_long_and_small():
    long = rows(1)[0]
    assert norm(long) == pytest.approx(float(long.double().norm()), rel=1e-12)
    assert norm(1e-30 * long) == pytest.approx(1e-30 * norm(long), rel=1e-6)


def test_few_entries_are_one_block():
    a, b = torch.randn(4, 7), torch.randn(2, 7)
    torch.testing.assert_close(inner(a, b), (a @ b.T).double(), rtol=0, atol=1e-6)
    assert inner(a, b[:0]).shape == (4, 0)


class Bowl(nn.Module):
    """L = 1/2 theta^T D theta with five leading curvatures."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.curvatures = torch.cat([torch.linspace(10, 8, 5), torch.linspace(0, 1, size - 5)])
        self.theta = nn.Parameter(torch.zeros(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0.5 * (self.curvatures * self.theta**2).sum()).expand(len(x), 1)


def test_eigenpairs_of_a_model_with_millions_of_parameters():
    """Their vectors used to be orthonormal to 1e-3, and the values off by as much."""
    x = torch.zeros(1, 1)
    objective = Objective(Bowl(LONG), x, x, loss=lambda out, y: out.mean())
    pairs = top_eigenpairs(objective, objective.theta, 5, tol=1e-3)
    np.testing.assert_allclose(pairs.values, np.linspace(10, 8, 5), rtol=5e-6)
    vectors = pairs.vectors.double()
    assert float((vectors.T @ vectors - torch.eye(5)).abs().max()) < 1e-5
