"""A Krylov space that grows by one product at a time, with full reorthogonalisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .long_vectors import inner, norm

FLOOR = 1e-3
# Vectors for which there is room at first; one eigenpair followed along a trajectory takes three or four.
ROOM = 8


class OverflowedCurvature(ValueError):
    """What was to be computed of the Hessian is not finite: the loss or one of its derivatives has overflowed there.

    Args:
        what: it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is not finite: the loss or a derivative has overflowed at this theta, or theta itself or the "
            "targets hold no numbers"
        )


def check_product(product: torch.Tensor) -> None:
    """Refuse numbers of which no eigenvalue can come.

    Raises:
        OverflowedCurvature: one that is not finite.
    """
    if not bool(torch.isfinite(product).all()):
        raise OverflowedCurvature("a Hessian-vector product")


@dataclass(frozen=True)
class RitzPairs:
    """Ritz pairs of one end of the spectrum, best first.

    Attributes:
        values: (k,).
        coefficients: (m, k) of the vectors in the basis.
        residuals: (k,).
        converged: whether all residuals met the tolerance.
        order: (k,) places among all of the space's Ritz values, ascending.
    """

    values: np.ndarray
    coefficients: np.ndarray
    residuals: np.ndarray
    converged: bool
    order: np.ndarray


class KrylovSpace:
    r"""An orthonormal basis V (m, P) with :math:`V H V^\top = T` tridiagonal, by the Lanczos recursion.

    Every new vector is orthogonalised twice against all earlier ones, so converged eigenvalues do not reappear as
    ghosts (Golub & Van Loan, *Matrix Computations*, 4th ed., 10.3). When the space is exhausted, which happens with
    repeated eigenvalues and with few distinct ones, it goes on in a fresh orthogonal direction.

    Args:
        product: ``v (P,) -> H v``.
        start: first vector (P,), of norm one.
        rows: the most vectors the basis will hold; memory grows with what it does hold.
        seed: of the fresh directions.
    """

    def __init__(
        self, product: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, rows: int, seed: int
    ) -> None:
        self.product = product
        self.rows = min(rows, len(start))
        self.seed = seed
        self.size = 0
        self.beta = 0.0
        self.restarts = 0
        self._next = start
        self._basis = torch.empty(min(self.rows, ROOM), len(start), dtype=start.dtype, device=start.device)
        self._T = np.zeros((self.rows + 1, self.rows + 1))
        self._settled: dict[str, np.ndarray] = {}

    @property
    def basis(self) -> torch.Tensor:
        """V (m, P), one vector a row."""
        return self._basis[: self.size]

    @property
    def full(self) -> bool:
        """Whether the basis holds as many vectors as it may."""
        return self.size == self.rows

    @property
    def scale(self) -> float:
        """Size of the spectrum: the largest magnitude of a Ritz value so far."""
        return float(max(np.abs(self.values).max(), np.finfo(np.float64).tiny))

    @property
    def exhausted(self) -> bool:
        """Whether the basis spans an invariant space: the next vector would be rounding errors."""
        return bool(self.beta <= 1e-7 * self.scale) or self.size == self._basis.shape[1]

    def extend(self) -> None:
        """One product more.

        Raises:
            OverflowedCurvature: the product is not finite.
        """
        m = self.size
        if m:
            self._prepare_next()
        if m == len(self._basis):
            self._grow()
        self._basis[m] = self._next
        w = self.product(self._next)
        check_product(w)
        self._T[m, m] = float(inner(w, self._next))
        self.size = m + 1
        self.residual = self._orthogonalised(w)
        self.beta = norm(self.residual)
        self.values, self.coefficients = np.linalg.eigh(self._T[: m + 1, : m + 1])

    def pairs(self, k: int, which: str, tol: float) -> RitzPairs:
        r"""The k best Ritz pairs at one end, certified by :math:`\|H V s-\lambda V s\|=\beta_m|s_{m}|`.

        An invariant space holds one vector of a repeated eigenvalue only. Pairs of an exhausted space therefore count
        as converged once a fresh direction has changed nothing.
        """
        order = np.argsort(self.values)[::-1][:k] if which == "LA" else np.argsort(self.values)[:k]
        values, coefficients = self.values[order], self.coefficients[:, order]
        residuals = self.beta * np.abs(coefficients[-1])
        scale = self.scale
        if self.exhausted:
            before = self._settled.get(which)
            settled = before is not None and len(before) == k and np.allclose(values, before, atol=1e-12 * scale)
            done = settled or self.size == self._basis.shape[1]
            self._settled[which] = values
            return RitzPairs(values, coefficients, np.zeros_like(residuals), bool(done), order)
        small = residuals <= tol * np.maximum(np.abs(values), FLOOR * scale)
        converged = not self.restarts and len(values) == k and bool(small.all())
        return RitzPairs(values, coefficients, residuals, converged, order)

    def vectors(self, pairs: RitzPairs) -> torch.Tensor:
        """Ritz vectors (P, k)."""
        return self.span(pairs.order)

    def span(self, order: np.ndarray) -> torch.Tensor:
        """Ritz vectors (P, k) by their places among ``values``."""
        chosen = torch.as_tensor(self.coefficients[:, order].T.copy(), dtype=self._basis.dtype)
        return (chosen.to(self._basis.device) @ self.basis).T

    def _grow(self) -> None:
        """Make room for half as many vectors again."""
        held = self._basis
        self._basis = held.new_empty(min(self.rows, len(held) + len(held) // 2 + 1), held.shape[1])
        self._basis[: len(held)] = held

    def _prepare_next(self) -> None:
        if self.exhausted:
            self.restarts += 1
            fresh = torch.randn(
                self._basis.shape[1],
                generator=torch.Generator().manual_seed(self.seed + self.size),
                dtype=self._basis.dtype,
            ).to(self._basis.device)
            fresh = self._orthogonalised(fresh)
            self._next = fresh / norm(fresh)
            return
        self._T[self.size - 1, self.size] = self._T[self.size, self.size - 1] = self.beta
        self._next = self.residual / self.beta

    def _orthogonalised(self, w: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            w = w - self.basis.T @ inner(self.basis, w).to(w.dtype)
        return w
