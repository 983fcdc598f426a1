"""A Ritz space keeps an orthonormal basis, whatever it is given."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from landscape_helpers.curvature.operator import HessianAt
from landscape_helpers.curvature.orthonormal import orthonormal
from landscape_helpers.curvature.ritz import RitzSpace
from landscape_helpers.objective import Objective

SIZE = 400


class Bowl(nn.Module):
    """L = 1/2 theta^T D theta, D from 0.01 to 10."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(SIZE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0.5 * (torch.linspace(0.01, 10, SIZE) * self.theta**2).sum()).expand(len(x), 1)


def bowl() -> Objective:
    x = torch.zeros(1, 1)
    return Objective(Bowl(), x, x, loss=lambda out, y: out.mean())


@pytest.mark.parametrize("new", [1.0, 1e-3, 3e-5])
def test_rows_that_hardly_leave_the_space_leave_it_orthonormal(new):
    assert_orthonormal(lambda first, second: first + new * second)


@pytest.mark.parametrize("least", [1e-2, 3e-4, 3e-5])
def test_rows_that_hardly_differ_leave_it_orthonormal(least):
    """As what the Hessian's drift adds to the rows that were multiplied: a few directions, and less and less beside."""

    def alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        mix, _ = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(1)))
        return (mix * torch.logspace(0, math.log10(least), 20)) @ mix.T @ second

    assert_orthonormal(alike)


def assert_orthonormal(rows: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    objective = bowl()
    first, second = torch.randn(2, 20, SIZE, generator=torch.Generator().manual_seed(0))
    with HessianAt(objective, objective.theta) as hessian:
        space = RitzSpace(hessian, 60, "LA")
        space.extend(first)
        space.extend(rows(first, second))
        assert len(space.basis) == 40
        torch.testing.assert_close(space.basis @ space.basis.T, torch.eye(40), rtol=0, atol=1e-5)
        # A Ritz pair's residual has no part in the space; what reads so is rounding.
        values, _, residuals = space.pairs(range(20))
        assert ((residuals @ space.basis.T).norm(dim=1) <= 1e-5 * abs(values[0])).all()


def test_rows_of_the_space_add_nothing():
    objective = bowl()
    rows = torch.randn(5, SIZE, generator=torch.Generator().manual_seed(0))
    with HessianAt(objective, objective.theta) as hessian:
        space = RitzSpace(hessian, 20, "LA")
        assert space.extend(rows)
        assert not space.extend(torch.randn(3, 5, generator=torch.Generator().manual_seed(1)) @ rows)
        assert hessian.products == 5 == len(space.basis)


def test_rows_that_repeat_each_other_hide_no_other():
    """QR without pivots may put a later row's direction where an earlier row added nothing."""
    a, b, c = torch.eye(60)[:3]
    for rows in ([a + b, a + b, a - b], [a, -a, a, b], [a + b, -a - b, a - b, a, c]):
        stacked = torch.stack(rows)
        found = orthonormal(stacked, stacked[:0])
        assert len(found) == torch.linalg.matrix_rank(stacked)
        torch.testing.assert_close(stacked @ found.T @ found, stacked)


def test_independent_rows_keep_their_order():
    rows = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    found = orthonormal(rows, rows[:0])
    for first in range(1, 6):
        torch.testing.assert_close(rows[:first] @ found[:first].T @ found[:first], rows[:first], rtol=0, atol=1e-5)


def test_of_rows_that_say_the_same_one_is_taken():
    objective = bowl()
    row = torch.randn(1, SIZE, generator=torch.Generator().manual_seed(0))
    with HessianAt(objective, objective.theta) as hessian:
        space = RitzSpace(hessian, 20, "LA")
        space.extend(torch.cat([row, 3 * row]))
        assert len(space.basis) == 1


def test_long_rows_in_single_precision_are_orthonormal_to_rounding():
    """LAPACK's QR leaves 2e-5 and more there."""
    rows = 1 + torch.randn(5, 2_000_000, generator=torch.Generator().manual_seed(0))
    found = orthonormal(rows[2:], orthonormal(rows[:2], rows[:0]))
    whole = torch.cat([orthonormal(rows[:2], rows[:0]), found]).double()
    assert float((whole @ whole.T - torch.eye(5)).abs().max()) < 1e-6
    # They span what they were made of.
    rest = rows.double() - (rows.double() @ whole.T) @ whole
    assert float((rest.norm(dim=1) / rows.norm(dim=1)).max()) < 1e-5


def test_in_double_precision_they_are_too():
    rows = torch.randn(6, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = orthonormal(torch.cat([rows, rows[:2]]), rows[:0])
    assert found.dtype == torch.float64 and len(found) == 6
    assert float((found @ found.T - torch.eye(6)).abs().max()) < 1e-14
