"""The range finder against a singular value decomposition."""

import pytest
import torch

from landscape_helpers.curvature.range_finder import RangeFinder

N, D = 60, 40


def rows(n: int = N) -> torch.Tensor:
    """Singular values fall by a factor 2 from one to the next."""
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.linalg.qr(torch.randn(size, D, generator=generator, dtype=torch.float64)).Q for size in (max(n, D), D)
    )
    return (left * 0.5 ** torch.arange(D, dtype=torch.float64) @ right.T)[:n]


@pytest.mark.parametrize("form_gram", [True, False])
@pytest.mark.parametrize("n", [N, D // 2])
def test_a_basis_holds_nearly_what_the_best_one_would(n: int, form_gram: bool) -> None:
    matrix = rows(n)
    finder = RangeFinder(matrix, torch.Generator().manual_seed(1), form_gram)
    basis = finder.basis(8)
    torch.testing.assert_close(basis.T @ basis, torch.eye(8, dtype=torch.float64), atol=1e-12, rtol=0)
    values = torch.linalg.svdvals(matrix)
    lost = (matrix - matrix @ basis @ basis.T).norm() ** 2
    least = (values[8:] ** 2).sum()
    assert least <= lost <= 1.5 * least
    torch.testing.assert_close(finder.squared(basis), matrix.T @ (matrix @ basis))


def test_equal_generators_give_equal_bases_and_the_next_is_another() -> None:
    finders = [RangeFinder(rows(), torch.Generator().manual_seed(1)) for _ in range(2)]
    first, again = (finder.basis(8) for finder in finders)
    assert torch.equal(first, again)
    assert not torch.equal(first, finders[0].basis(8))
