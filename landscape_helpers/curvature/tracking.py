r"""Leading eigenpairs followed along a trajectory.

From one stop of a trajectory to the next the Hessian changes by a little or by a lot, and what was known before is
worth that much.

- A lot: the eigenvectors of the last stop, multiplied once, give their Rayleigh-Ritz pairs at the new one; the
  residuals of these, exact because their products are there, say which pairs need more. Each of those enlarges the
  space by its residual, the leading ones first, until all are within tolerance: Davidson's method (1975) without a
  preconditioner, which in exact arithmetic spans a block Krylov space. Where the subspace has turned so far that this
  would cost more than to begin anew, Lanczos does.
- A little, and smoothly: two stops tell where the pairs will be at the next ones (:mod:`.forecast`), and a few products
  there whether they are. While the forecast holds, no stop takes more.

At the edge of stability, or where units of a ReLU network switch from one step to the next, forecasts fail: the
curvature itself jumps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from ..objective import Objective
from .forecast import SAMPLES, Forecast, relative_residual
from .krylov import FLOOR
from .lanczos import Eigenpairs, top_eigenpairs
from .operator import HessianAt
from .ritz import RitzSpace

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
# Forecasts are for k of which their check takes a small part only.
FORECAST_PAIRS = 2 * SAMPLES
# A stop on which forecasts build is solved to this share of the tolerance, which leaves the rest to them.
ANCHOR = 0.06
# No tolerance is asked for below this many units of rounding.
ROUNDING = 1000.0
AHEAD = "forecast_"  # of a forecast's arrays in a tracker's state


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
        self._forecast: Forecast | None = None
        self._foreseen = False  # whether the last stop was
        self._jumpy = False  # whether a forecast has failed at once since the last fresh solve
        rounding = torch.finfo(objective.dtype).eps
        self._forecasts = k >= FORECAST_PAIRS and max_products > k + SAMPLES and ANCHOR * tol >= ROUNDING * rounding

    def at(self, theta: torch.Tensor) -> Eigenpairs:
        """The pairs at theta (P,).

        Where they are foreseen, all residuals are the same upper estimate in relative terms.

        Raises:
            OverflowedCurvature: a product is not finite. What is followed stays as it was.
            ValueError: theta of the wrong shape.
        """
        before, forecast, jumpy = self._rows, self._forecast, self._jumpy
        renewed = self.renew is not None and self._calls % self.renew == 0
        foreseen, beyond = None, None
        if before is None or renewed or self._turn > MOST_TURN:
            pairs, forecast, jumpy = self._fresh(theta), None, False
        else:
            with HessianAt(self.objective, theta, memory=self.memory) as hessian:
                if forecast is not None and forecast.slope is not None:
                    foreseen = self._expected(hessian, forecast)
                    jumpy = foreseen is None and not self._foreseen
                if foreseen is None:
                    pairs, beyond, forecast = self._followed(hessian, before, None if jumpy else forecast, jumpy)
                else:
                    pairs, beyond = foreseen, before[self.k :]
        rows = pairs.vectors.T
        if before is not None:
            outside = before[: self.k] - (before[: self.k] @ rows.T) @ rows
            self._turn = float(outside.norm(dim=1).median())
        self._forecast, self._jumpy = forecast, jumpy
        self._foreseen = foreseen is not None
        self._calls += 1
        self._rows = torch.cat([rows, self._next(rows, beyond)])
        return pairs

    def state(self) -> Mapping[str, np.ndarray]:
        """All that the next call depends on, as plain arrays."""
        rows = np.zeros((0, 0), dtype=np.float32) if self._rows is None else self._rows.cpu().numpy()
        forecast = {} if self._forecast is None else self._forecast.state()
        counts = {"calls": self._calls, "turn": self._turn, "foreseen": self._foreseen, "jumpy": self._jumpy}
        prefixed = {AHEAD + name: array for name, array in forecast.items()}
        return {"rows": rows} | {name: np.array(count) for name, count in counts.items()} | prefixed

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` returned."""
        rows, device = state["rows"], self.objective.device
        self._rows = torch.as_tensor(rows).to(device) if len(rows) else None
        self._calls, self._turn = int(state["calls"]), float(state["turn"])
        self._foreseen, self._jumpy = bool(state["foreseen"]), bool(state["jumpy"])
        forecast = {n.removeprefix(AHEAD): array for n, array in state.items() if n.startswith(AHEAD)}
        self._forecast = Forecast.restored(forecast, device) if forecast else None

    def _fresh(self, theta: torch.Tensor) -> Eigenpairs:
        tol, seed = min(self.tol, FRESH_TOLERANCE), self.seed + self._calls
        pairs = top_eigenpairs(
            self.objective, theta, self.k, self.which, tol, None, self.max_products, seed, memory=self.memory
        )
        size = np.abs(pairs.values)
        small = pairs.residuals <= self.tol * np.maximum(size, FLOOR * size.max())
        return replace(pairs, converged=pairs.converged or bool(small.all()))

    def _expected(self, hessian: HessianAt, forecast: Forecast) -> Eigenpairs | None:
        """The pairs that the forecast expects, if a few products bear them out."""
        values, rows = forecast.pairs(hessian.theta, self.k, 1.0 if self.which == "LA" else -1.0)
        generator = torch.Generator().manual_seed(self.seed + self._calls)
        residual = relative_residual(hessian, values, rows, generator)
        if not residual <= self.tol:  # not a number either
            return None
        size = np.abs(values)
        return Eigenpairs(values, rows.T, residual * np.maximum(size, FLOOR * size.max()), hessian.products, True)

    def _followed(
        self, hessian: HessianAt, rows: torch.Tensor, earlier: Forecast | None, jumpy: bool
    ) -> tuple[Eigenpairs, torch.Tensor | None, Forecast | None]:
        """The pairs from the space of ``rows`` on, a vector (1, P) beyond them after a power step, and a forecast.

        A forecast errs by about the square of what the curvature does between two stops: it is made where that is
        within tolerance.
        """
        space = RitzSpace(hessian, min(max(MOST_ROWS * self.k, self.k + 16), self.max_products), self.which)
        space.extend(rows)
        smooth = self._forecasts and not jumpy and self._moved(space) ** 2 <= self.tol
        tol, drift = self.tol, None
        if smooth and earlier is not None:
            drift = earlier.drift(space.basis[: self.k].clone(), space.images[: self.k].clone(), hessian.theta)
        if drift is not None:
            tol = ANCHOR * self.tol
            space.extend(drift.change[: self.max_products - hessian.products], self.k)
        small: set[int] = set()
        while True:
            targets = self._targets(space, small, tol)
            block = targets[: self.max_products - hessian.products]
            if not len(block) or not space.extend(block, self.k):
                break
        values, vectors, residuals = space.pairs(range(self.k))
        norms = residuals.double().norm(dim=1).cpu().numpy()
        converged = bool((norms <= self._bounds(space, self.tol)).all())
        beyond = None
        if len(space.values) > self.k:
            _, vector, residual = space.pairs([self.k])
            beyond = vector + residual / max(abs(float(values[-1])), FLOOR * space.scale)
        pairs = Eigenpairs(values, vectors.T, norms, hessian.products, converged)
        return pairs, beyond, Forecast.of(space, drift) if smooth else None

    def _moved(self, space: RitzSpace) -> float:
        """The root of the summed squares of the pairs' relative residuals."""
        residuals = space.pairs(range(self.k))[2].double().norm(dim=1).cpu().numpy()
        return float(np.linalg.norm(residuals / self._bounds(space, 1.0)))

    def _targets(self, space: RitzSpace, small: set[int], tol: float) -> torch.Tensor:
        """Residuals (b, P) of the first pairs that are not within ``tol``, none when all are.

        Pairs once seen within it are left alone (``small``) until none else is left; then all are looked at again.
        """
        bounds = self._bounds(space, tol)
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

    def _bounds(self, space: RitzSpace, tol: float) -> np.ndarray:
        """What ``tol`` is for each pair."""
        return tol * np.maximum(np.abs(space.values[: self.k]), FLOOR * space.scale)

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
