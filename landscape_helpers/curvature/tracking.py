r"""Leading eigenpairs followed along a trajectory.

From one stop of a trajectory to the next the Hessian changes by a little or by a lot, and what was known before is
worth that much. The eigenvectors of the last stop, multiplied once, give their Rayleigh-Ritz pairs at the new one; the
residuals of these, exact because their products are there, say which pairs need more. Each of those enlarges the
space by its residual, the leading ones first, until all are within tolerance: Davidson's method (1975) without a
preconditioner, which in exact arithmetic spans a block Krylov space. Where the subspace has turned so far that this
would cost more than to begin anew, Lanczos does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from ..objective import Objective
from .krylov import FLOOR, OverflowedCurvature
from .lanczos import Eigenpairs, top_eigenpairs
from .operator import HessianAt

# Residuals by which a space is enlarged at a time: with four, orthogonalising is a matrix product and not bound by
# memory, and no more products are needed than with one.
BLOCK = 4
# Rows of the space in units of k, at which it is cut back to its best 2 k.
MOST_ROWS = 5
# A subspace whose vectors lie outside the next one by this much (the sine, in the median) is not worth its products.
MOST_TURN = 0.2
# The share of a random direction in the vector that is followed beyond the k asked for.
FRESH = 0.1
# A Krylov space at a loose tolerance can settle on the wrong pair of a dense bulk. A solve from nothing is the measure
# of those that follow it, so it gets no looser than this.
FRESH_TOLERANCE = 1e-3
# What a row must add to the space, in units of rounding; less is rounding.
NEW = 100.0


class EigenTracker:
    r"""The k largest (or smallest) eigenpairs at one point after another.

    Next to the k vectors one more is followed and moved by a power step at every stop, and every ``renew`` calls the
    pairs are sought afresh. A direction whose curvature rises from the bulk into the first k while it stays orthogonal
    to all that is followed (no residual shows it) is found by one of the two.

    Args:
        objective: what to differentiate.
        k: how many pairs, 1 to P.
        tol: bound on the residuals relative to their own eigenvalues, as in :func:`top_eigenpairs`. The eigenvalue's
            own error is at most the residual and usually of the order of its square: with 1e-2 about 1e-4.
        max_products: a stop's budget of Hessian products, at least k + 1. What has not converged by then comes back
            with its residuals and ``converged=False``.
        which: "LA", largest algebraic, or "SA", smallest.
        renew: calls after which the pairs are sought afresh; None for never.
        seed: of random directions.
        memory: see :class:`HessianAt`.

    Raises:
        ValueError: a number out of range.
    """

    def __init__(
        self,
        objective: Objective,
        k: int,
        tol: float = 1e-2,
        max_products: int = 300,
        which: str = "LA",
        *,
        renew: int | None = 20,
        seed: int = 0,
        memory: int | None = None,
    ) -> None:
        if not 1 <= k <= objective.parameters:
            raise ValueError(f"k must lie between 1 and the number of parameters {objective.parameters}, got {k}")
        if not tol > 0:
            raise ValueError(f"tol must be above 0, got {tol}")
        if max_products < k + 1:
            raise ValueError(f"max_products must be at least k + 1 = {k + 1}: each pair takes one, got {max_products}")
        if which not in ("LA", "SA"):
            raise ValueError(f"which must be 'LA' (largest algebraic) or 'SA' (smallest), got {which!r}")
        if renew is not None and renew < 1:
            raise ValueError(f"renew must be at least 1 call, or None for never, got {renew}")
        self.objective, self.k, self.tol, self.max_products = objective, k, tol, max_products
        self.which, self.renew, self.seed, self.memory = which, renew, seed, memory
        self._calls = 0
        self._turn = 0.0
        self._rows: torch.Tensor | None = None

    def at(self, theta: torch.Tensor) -> Eigenpairs:
        """The pairs at theta (P,).

        Raises:
            OverflowedCurvature: a product is not finite. What is followed stays as it was.
            ValueError: theta of the wrong shape.
        """
        before = self._rows
        renewed = self.renew is not None and self._calls % self.renew == 0
        if before is None or renewed or self._turn > MOST_TURN:
            pairs, beyond = self._fresh(theta), None
        else:
            with HessianAt(self.objective, theta, memory=self.memory) as hessian:
                pairs, beyond = self._followed(hessian, before)
        rows = pairs.vectors.T
        if before is not None:
            outside = before[: self.k] - (before[: self.k] @ rows.T) @ rows
            self._turn = float(outside.norm(dim=1).median())
        self._calls += 1
        self._rows = torch.cat([rows, self._next(rows, beyond)])
        return pairs

    def state(self) -> Mapping[str, np.ndarray]:
        """All that the next call depends on, as plain arrays."""
        rows = np.zeros((0, 0), dtype=np.float32) if self._rows is None else self._rows.cpu().numpy()
        return {"rows": rows, "calls": np.array(self._calls), "turn": np.array(self._turn)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` returned."""
        rows = state["rows"]
        self._rows = torch.as_tensor(rows).to(self.objective.device) if len(rows) else None
        self._calls, self._turn = int(state["calls"]), float(state["turn"])

    def _fresh(self, theta: torch.Tensor) -> Eigenpairs:
        tol, seed = min(self.tol, FRESH_TOLERANCE), self.seed + self._calls
        pairs = top_eigenpairs(
            self.objective, theta, self.k, self.which, tol, None, self.max_products, seed, memory=self.memory
        )
        size = np.abs(pairs.values)
        small = pairs.residuals <= self.tol * np.maximum(size, FLOOR * size.max())
        return replace(pairs, converged=pairs.converged or bool(small.all()))

    def _followed(self, hessian: HessianAt, rows: torch.Tensor) -> tuple[Eigenpairs, torch.Tensor | None]:
        """The pairs from the space of ``rows`` on, and a vector (1, P) beyond them after a power step."""
        space = RitzSpace(hessian, min(max(MOST_ROWS * self.k, self.k + 16), self.max_products), self.which)
        space.extend(rows)
        small: set[int] = set()
        while True:
            targets = self._targets(space, small)
            block = targets[: self.max_products - hessian.products]
            if not len(block) or not space.extend(block, self.k):
                break
        values, vectors, residuals = space.pairs(range(self.k))
        norms = residuals.double().norm(dim=1).cpu().numpy()
        converged = bool((norms <= self._bounds(space)).all())
        beyond = None
        if len(space.values) > self.k:
            _, vector, residual = space.pairs([self.k])
            beyond = vector + residual / max(abs(float(values[-1])), FLOOR * space.scale)
        return Eigenpairs(values, vectors.T, norms, hessian.products, converged), beyond

    def _targets(self, space: RitzSpace, small: set[int]) -> torch.Tensor:
        """Residuals (b, P) of the first pairs that are not within tolerance, none when all are.

        Pairs once seen within it are left alone (``small``) until none else is left; then all are looked at again.
        """
        bounds = self._bounds(space)
        for looked in (True, False):
            found: list[torch.Tensor] = []
            remaining = [i for i in range(self.k) if not (looked and i in small)]
            for first in range(0, len(remaining), BLOCK):
                some = remaining[first : first + BLOCK]
                residuals = space.pairs(some)[2]
                for i, residual in zip(some, residuals, strict=True):
                    if float(residual.double().norm()) <= bounds[i]:
                        small.add(i)
                    else:
                        small.discard(i)
                        found.append(residual)
                if len(found) >= BLOCK:
                    break
            if found:
                return torch.stack(found[:BLOCK])
        return space.basis[:0]

    def _bounds(self, space: RitzSpace) -> np.ndarray:
        """The tolerance of each pair."""
        return self.tol * np.maximum(np.abs(space.values[: self.k]), FLOOR * space.scale)

    def _next(self, rows: torch.Tensor, beyond: torch.Tensor | None) -> torch.Tensor:
        """The vector (1, P) to follow beyond the pairs; none where they are all there are."""
        if len(rows) == rows.shape[1]:
            return rows[:0]
        generator = torch.Generator().manual_seed(self.seed + self._calls)
        fresh = torch.randn(1, rows.shape[1], generator=generator, dtype=rows.dtype).to(rows.device)
        fresh /= fresh.norm()
        vector = fresh if beyond is None else beyond / beyond.norm() + FRESH * fresh
        for _ in range(2):
            vector = vector - (vector @ rows.T) @ rows
        return vector / vector.norm()


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
    def scale(self) -> float:
        """Size of the spectrum: the largest magnitude of a Ritz value."""
        return float(max(np.abs(self.values).max(), np.finfo(np.float64).tiny))

    def extend(self, rows: torch.Tensor, keep: int = 0) -> bool:
        """Take in ``rows`` (b, P); False where they lie in the space already.

        A space that would outgrow its rows is cut back to its leading ``2 keep`` Ritz vectors first.
        """
        if len(self._form) + len(rows) > len(self._basis):
            self._cut(min(2 * keep, len(self._form), len(self._basis) - len(rows)))
        fresh = _orthonormal(rows, self.basis)
        if not len(fresh):
            return False
        images = self.hessian.product(fresh.T).T
        if not bool(torch.isfinite(images).all()):
            raise OverflowedCurvature(
                "a Hessian-vector product is not finite: the loss or a derivative has overflowed at this theta"
            )
        m, b = len(self._form), len(fresh)
        self._basis[m : m + b], self._images[m : m + b] = fresh, images
        form = np.zeros((m + b, m + b))
        form[:m, :m] = self._form
        mixed = (self._basis[: m + b] @ images.T).double().cpu().numpy()
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
        values, coefficients = np.linalg.eigh(form)
        order = np.argsort(-self.sign * values, kind="stable")
        self._form, self.values, self._coefficients = form, values[order], coefficients[:, order]

    def _cut(self, rows: int) -> None:
        mix = self._tensor(self._coefficients[:, :rows].T)
        basis, images = mix @ self.basis, mix @ self.images
        self._basis[:rows], self._images[:rows] = basis, images
        self._solve(np.diag(self.values[:rows]))

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values.copy(), dtype=self._basis.dtype, device=self._basis.device)


def _orthonormal(rows: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of what ``rows`` (b, P) add to the span of the orthonormal ``basis`` (m, P)."""
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    for _ in range(2):
        rows = rows - (rows @ basis.T) @ basis
    Q, R = torch.linalg.qr(rows.T)
    new = Q[:, R.diagonal().abs() > NEW * torch.finfo(rows.dtype).eps].T
    # A row that lay in the space but for a little has errors of that size.
    new = new - (new @ basis.T) @ basis
    return new / new.norm(dim=1, keepdim=True)
