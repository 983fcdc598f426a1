"""Leading eigenpairs of the Hessian by the Lanczos method with full reorthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..objective import Objective

FLOOR = 1e-3


class OverflowedCurvature(ValueError):
    """A Hessian-vector product was not finite: the loss or one of its derivatives has overflowed there."""


@dataclass(frozen=True)
class Eigenpairs:
    r"""Eigenpairs of the Hessian and what they cost.

    Attributes:
        values: (k,) eigenvalues, those asked for first: descending for "LA", ascending for "SA". Loss per squared
            unit of theta.
        vectors: (P, k) orthonormal eigenvectors, on the objective's device.
        residuals: (k,) norms :math:`\|H v_i - \lambda_i v_i\|`; an eigenvalue lies within its residual of ``values``.
        products: Hessian-vector products used.
        converged: whether every residual met its tolerance.
    """

    values: np.ndarray
    vectors: torch.Tensor
    residuals: np.ndarray
    products: int
    converged: bool


def top_eigenpairs(
    objective: Objective,
    theta: torch.Tensor,
    k: int,
    which: str = "LA",
    tol: float = 1e-3,
    start: torch.Tensor | None = None,
    max_products: int = 300,
    seed: int = 0,
) -> Eigenpairs:
    r"""The k largest (or smallest) eigenvalues of the Hessian at theta, with eigenvectors.

    Lanczos builds an orthonormal basis V of the Krylov space of ``start`` with :math:`V^\top H V = T` tridiagonal; the
    extreme eigenvalues of T approach those of H from inside, and :math:`\|H V s_i-\lambda_i V s_i\| = \beta_m
    |s_{mi}|` certifies each without another product. Every new vector is orthogonalised twice against all
    earlier ones, so converged eigenvalues do not reappear as ghosts (Golub & Van Loan, *Matrix Computations*, 10.3).

    Args:
        objective: what to differentiate.
        theta: the point (P,).
        k: how many eigenpairs, 1 to P.
        which: "LA", largest algebraic, or "SA", smallest algebraic. Never by magnitude: a Hessian has negative
            eigenvalues too.
        tol: a pair has converged when its residual is at most ``tol`` times its own eigenvalue's magnitude (as in
            ARPACK; an eigenvalue within 1e-3 of zero on the scale of the spectrum counts as that far from it).
            Measured against the whole spectrum instead, any random vector would pass in a network, whose
            curvature sits in a few directions. The eigenvalue itself is then off by the residual at most, usually by
            about its square.
        start: first vector (P,), say the last stop's eigenvector of a trajectory; random Gaussian by default.
        max_products: where to give up; the best pairs so far come back with ``converged=False``.
        seed: of the random start.

    Raises:
        ValueError: k outside 1..P, an unknown ``which``, a start of the wrong length or of zero norm.
        OverflowedCurvature: a Hessian-vector product is not finite.
    """
    P = objective.parameters
    if not 1 <= k <= P:
        raise ValueError(f"k must lie between 1 and the number of parameters {P}, got {k}")
    if which not in ("LA", "SA"):
        raise ValueError(f"which must be 'LA' (largest algebraic) or 'SA' (smallest), got {which!r}")
    sign = 1.0 if which == "LA" else -1.0
    v = _first_vector(objective, start, seed)
    rows = min(P, max(max_products, k))
    basis = torch.empty(min(rows, 32), P, dtype=objective.dtype, device=objective.device)
    T = np.zeros((rows + 1, rows + 1))
    settled: np.ndarray | None = None
    for m in range(1, rows + 1):
        if m > len(basis):
            basis = torch.cat([basis, torch.empty_like(basis)])
        basis[m - 1] = v
        w = objective.hvp(theta, v)
        if not bool(torch.isfinite(w).all()):
            raise OverflowedCurvature(
                "a Hessian-vector product is not finite: the loss or a derivative has overflowed at this theta"
            )
        T[m - 1, m - 1] = float(w @ v)
        for _ in range(2):
            w = w - basis[:m].T @ (basis[:m] @ w)
        beta = float(w.norm())
        values, s = np.linalg.eigh(sign * T[:m, :m])
        order = np.argsort(values)[::-1][:k]
        scale = max(np.abs(values).max(), np.finfo(np.float64).tiny)
        residuals = beta * np.abs(s[-1, order])
        exhausted = beta <= 1e-7 * scale or m == P
        if exhausted:
            # The basis spans an invariant space. It holds one vector of a repeated eigenvalue only, so look in a
            # fresh orthogonal direction, and stop once that changes nothing.
            residuals = np.zeros_like(residuals)
            converged = m == P or (settled is not None and np.allclose(values[order], settled, atol=1e-12 * scale))
            settled = values[order] if m >= k else None
        else:
            small = residuals <= tol * np.maximum(np.abs(values[order]), FLOOR * scale)
            converged = settled is None and m >= k and bool(small.all())
        if converged or m == rows:
            break
        if exhausted:
            w = torch.randn(P, generator=_generator(seed + m), dtype=objective.dtype).to(objective.device)
            for _ in range(2):
                w = w - basis[:m].T @ (basis[:m] @ w)
            v = w / w.norm()
            continue
        T[m - 1, m] = T[m, m - 1] = beta
        v = w / beta
    coefficients = torch.as_tensor(s[:, order], dtype=objective.dtype, device=objective.device)
    return Eigenpairs(sign * values[order], basis[:m].T @ coefficients, residuals, m, converged)


def _first_vector(objective: Objective, start: torch.Tensor | None, seed: int) -> torch.Tensor:
    if start is None:
        start = torch.randn(objective.parameters, generator=_generator(seed), dtype=objective.dtype)
    if start.shape != (objective.parameters,):
        raise ValueError(f"start must have shape ({objective.parameters},), got {tuple(start.shape)}")
    start = start.to(objective.device, objective.dtype)
    norm = float(start.norm())
    if not 0 < norm < float("inf"):
        raise ValueError(f"start must be a non-zero finite vector, got one of norm {norm}")
    return start / norm


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
