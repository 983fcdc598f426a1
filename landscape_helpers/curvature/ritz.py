r"""A space, its products with the Hessian and the Rayleigh-Ritz pairs of the two."""

from __future__ import annotations

import numpy as np
import torch

from .krylov import check_product
from .long_vectors import inner
from .operator import HessianAt
from .orthonormal import orthonormal


class RitzSpace:
    """An orthonormal basis V (m, P) together with its products HV, and the Rayleigh-Ritz pairs of its span.

    Args:
        hessian: where products come from.
        rows: the most vectors the basis will hold; it is cut back to its leading ones then.
        which: the end whose pairs come first.
    """

    def __init__(self, hessian: HessianAt, rows: int, which: str) -> None:
        self.hessian = hessian
        self.sign = 1.0 if which == "LA" else -1.0
        self._basis = torch.empty(rows, hessian.parameters, dtype=hessian.dtype, device=hessian.device)
        self._images = torch.empty_like(self._basis)
        self._form = np.zeros((0, 0))
        self.values = np.zeros(0)
        self._coefficients = np.zeros((0, 0))

    @property
    def basis(self) -> torch.Tensor:
        """V (m, P)."""
        return self._basis[: len(self._form)]

    @property
    def images(self) -> torch.Tensor:
        """HV (m, P)."""
        return self._images[: len(self._form)]

    @property
    def form(self) -> np.ndarray:
        """V H V^T (m, m), symmetric."""
        return self._form

    @property
    def scale(self) -> float:
        """Size of the spectrum: the largest magnitude of a Ritz value."""
        return float(max(np.abs(self.values).max(), np.finfo(np.float64).tiny))

    def extend(self, rows: torch.Tensor, keep: int = 0) -> bool:
        """Take in ``rows`` (b, P); False where they lie in the space already.

        A space that would outgrow its rows is cut back to its leading ``2 keep`` Ritz vectors first.
        """
        if len(self._form) + len(rows) > len(self._basis):
            self._cut(min(2 * keep, len(self._form), len(self._basis) - len(rows)))
        fresh = orthonormal(rows, self.basis)
        if not len(fresh):
            return False
        images = self.hessian.product(fresh.T).T
        check_product(images)
        m, b = len(self._form), len(fresh)
        self._basis[m : m + b], self._images[m : m + b] = fresh, images
        form = np.zeros((m + b, m + b))
        form[:m, :m] = self._form
        mixed = inner(self._basis[: m + b], images).cpu().numpy()
        form[:, m:], form[m:, :m] = mixed, mixed[:m].T
        form[m:, m:] = (mixed[m:] + mixed[m:].T) / 2
        self._solve(form)
        return True

    def pairs(self, chosen: range | list[int]) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """Values (c,), vectors (c, P) and residual vectors (c, P) of the Ritz pairs ``chosen``, 0 the leading one."""
        values = self.values[list(chosen)]
        mix = self._tensor(self._coefficients[:, list(chosen)].T)
        vectors = mix @ self.basis
        return values, vectors, mix @ self.images - self._tensor(values)[:, None] * vectors

    def _solve(self, form: np.ndarray) -> None:
        self._form = form
        self.values, self._coefficients = ritz_pairs(form, self.sign)

    def _cut(self, rows: int) -> None:
        mix = self._tensor(self._coefficients[:, :rows].T)
        basis, images = mix @ self.basis, mix @ self.images
        self._basis[:rows], self._images[:rows] = basis, images
        self._solve(np.diag(self.values[:rows]))

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values.copy(), dtype=self._basis.dtype, device=self._basis.device)


def ritz_pairs(form: np.ndarray, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of a symmetric form (m, m), descending or, with ``sign`` -1, ascending; vectors in columns."""
    values, coefficients = np.linalg.eigh(form)
    order = np.argsort(-sign * values, kind="stable")
    return values[order], coefficients[:, order]
