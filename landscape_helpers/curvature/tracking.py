r"""Leading eigenpairs followed along a trajectory.

From one stop of a trajectory to the next the Hessian changes by a little or by a lot, and what was known before is
worth that much.

- A lot: the eigenvectors of an earlier stop, multiplied once, give their Rayleigh-Ritz pairs at the new one; the
  residuals of these, exact because their products are there, say which pairs need more. The space is enlarged by what
  the residuals share until all are within tolerance: Davidson's method (1975) in blocks and without a preconditioner,
  which in exact arithmetic spans a block Krylov space. Where the subspace has turned so far that this would cost more
  than to begin anew, Lanczos does. Two things make the vectors that a stop begins with better than those that the
  earlier one found, and take no product: a power step there, whose products were needed for the residuals, and going
  on to turn as they did before, since along a trajectory the subspace turns steadily.
- A little, and smoothly: two stops tell where the pairs will be at the next ones (:mod:`.forecast`), and a few products
  there whether they are. While the forecast holds, no stop takes more.
- Nothing, where a fresh solve takes most of its products in the range of the data, as for an MLP on images
  (:mod:`.subspace_pairs`): it is done before the earlier eigenvectors are multiplied once. On 1,000 images of CIFAR-10
  following took two to four times as long. Every stop is solved afresh then.

The earlier stop is the nearest of the last two. At the edge of stability that is not the last one: the iterates jump
from one side of a valley to the other and back, and so does the curvature. On 1,000 images a CNN with ReLU moved
:math:`Hv` along its leading eigenvectors by more than their eigenvalue over one step and by a twentieth of it over two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..objective import Objective
from .extremes import beyond, least_look
from .forecast import SAMPLES, Forecast, relative_residual
from .krylov import FLOOR
from .lanczos import Eigenpairs, top_eigenpairs
from .operator import HessianAt
from .orthonormal import orthonormal
from .ritz import RitzSpace

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
ANCHOR = 0.02
# Together with such a stop forecasts cost more than to follow, unless at least so many of them hold.
LASTING = 3
# No tolerance is asked for below this many units of rounding.
ROUNDING = 1000.0
# Of the turn of a stop's vectors on the way there, what is expected on as long a way from there: some of it is what the
# tolerance left of their errors.
ONWARD = 0.5
TENSORS = ("theta", "rows", "way", "drift")  # of a stop, as far as they are known
REMEMBERED = 2  # stops


@dataclass(frozen=True, eq=False)
class _Stop:
    """What is known from one stop.

    Attributes:
        theta: where (P,).
        rows: orthonormal, the pairs' vectors and one followed beyond them: at most (k + 1, P).
        sought: the call at which what lies beyond the pairs was last sought.
        way: from the stop before, on the same side of a valley, to here (P,); None where there is none.
        drift: by how much the pairs' vectors turned on that way (k, P).
        foreseen: how many stops in a row were foreseen, up to this one.
        jumpy: whether forecasts have failed too soon since ``sought``.
        forecast: of the next stops.
    """

    theta: torch.Tensor
    rows: torch.Tensor
    sought: int
    way: torch.Tensor | None = None
    drift: torch.Tensor | None = None
    foreseen: int = 0
    jumpy: bool = False
    forecast: Forecast | None = None

    def turned(self, away: float) -> float:
        """The sine by which the vectors will have turned ``away`` from here, in the median; 0 where nothing tells."""
        if self.way is None or self.drift is None:
            return 0.0
        return float(self.drift.norm(dim=1).median() / self.way.norm()) * away

    def expected(self, theta: torch.Tensor) -> torch.Tensor:
        """Where the rows will be at ``theta``, if they go on to turn as they did on the way here."""
        if self.way is None or self.drift is None:
            return self.rows
        step, k = theta - self.theta, len(self.drift)
        along = float(step @ self.way)
        if along <= 0:
            return self.rows
        # As far as the way goes on in the same direction.
        share = min(1.0, along / float(self.way @ self.way)) * along / float(step.norm() * self.way.norm())
        return torch.cat([self.rows[:k] + ONWARD * share * self.drift, self.rows[k:]])


class EigenTracker:
    r"""The k largest (or smallest) eigenpairs at one point after another.

    Next to the k vectors one more is followed and moved by a power step at every stop, and every ``renew`` calls a look
    is taken at what lies beyond them, from a random direction (:func:`~landscape_helpers.curvature.extremes.beyond`);
    in turn on either side where the stops jump between two. A direction whose curvature rises from the bulk into the
    first k while it stays orthogonal to all that is followed (no residual shows it) is found by one of the two.

    Args:
        objective: what to differentiate.
        k: how many pairs, 1 to P.
        tol: bound on the residuals relative to their own eigenvalues, as in :func:`top_eigenpairs`. The eigenvalue's
            own error is at most the residual and usually of the order of its square: with 1e-2, our choice, about
            1e-4.
        max_products: a stop's budget of Hessian products, at least k + 1; 300, as there. What has not converged by then
            comes back with its residuals and ``converged=False``. A look beyond the pairs waits for a stop that leaves
            2 k products and some ten more.
        which: "LA", largest algebraic, or "SA", smallest.
        renew: calls after which a look is taken beyond the pairs, 20 by our choice; None for never.
        seed: of random directions.
        memory: see :class:`HessianAt`.

    Raises:
        ValueError: a number out of range, or an objective in 16 bits.
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
        if objective.dtype.itemsize < 4:
            raise ValueError(
                f"eigenpairs are followed in single or double precision, got an objective in {objective.dtype}: make "
                "it with dtype=torch.float32"
            )
        self.objective, self.k, self.tol, self.max_products = objective, k, tol, max_products
        self.which, self.renew, self.seed, self.memory = which, renew, seed, memory
        self._sign = 1.0 if which == "LA" else -1.0
        self._calls = 0
        self._stops: tuple[_Stop, ...] = ()
        self._far = 0.0  # how far the other end of the spectrum reaches beyond zero, as far as was seen
        rounding = torch.finfo(objective.dtype).eps
        self._forecasts = k >= FORECAST_PAIRS and max_products > k + SAMPLES and ANCHOR * tol >= ROUNDING * rounding

    def at(self, theta: torch.Tensor) -> Eigenpairs:
        """The pairs at theta (P,).

        Where they are foreseen, all residuals are the same upper estimate in relative terms.

        Raises:
            OverflowedCurvature: a product is not finite. What is followed stays as it was.
            ValueError: theta of the wrong shape.
        """
        self.objective.move(theta)  # refuses a wrong shape
        here = theta.detach().to(self.objective.device, self.objective.dtype, copy=True)
        before, away = self._nearest(here)
        if before is None or before.turned(away) > MOST_TURN:
            pairs = self._fresh(here)
            stop = _Stop(here, pairs.vectors.T, self._calls)
        else:
            pairs, stop = self._from(before, here)
        if pairs.cheap_products:
            self._calls, self._stops = self._calls + 1, ()
            return pairs
        stop = replace(stop, rows=self._next(stop.rows))
        if before is not None and away > 0:
            drift = _turn(before.rows[: self.k], stop.rows[: self.k])
            stop = replace(stop, way=here - before.theta, drift=drift)
        self._calls += 1
        self._stops = (*self._stops, stop)[-REMEMBERED:]
        return pairs

    def state(self) -> Mapping[str, np.ndarray]:
        """All that the next call depends on, as plain arrays."""
        state = {"calls": np.array(self._calls), "stops": np.array(len(self._stops)), "far": np.array(self._far)}
        known: dict[int, int] = {}  # a forecast that holds is the same from stop to stop
        for i, stop in enumerate(self._stops):
            which = -1
            if stop.forecast is not None:
                which = known.setdefault(id(stop.forecast), len(known))
                state |= _marked(f"forecast{which}_", stop.forecast.state())
            counts = {"sought": stop.sought, "foreseen": stop.foreseen, "jumpy": stop.jumpy, "forecast": which}
            held = {"theta": stop.theta, "rows": stop.rows, "way": stop.way, "drift": stop.drift}
            arrays = {name: tensor.cpu().numpy() for name, tensor in held.items() if tensor is not None}
            state |= _marked(f"stop{i}_", arrays | {name: np.array(count) for name, count in counts.items()})
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` returned."""
        device = self.objective.device
        self._calls, self._far = int(state["calls"]), float(state["far"])
        stops: list[_Stop] = []
        forecasts: dict[int, Forecast | None] = {-1: None}
        for i in range(int(state["stops"])):
            known = _unmarked(f"stop{i}_", state)
            which = int(known["forecast"])
            if which not in forecasts:
                forecasts[which] = Forecast.restored(_unmarked(f"forecast{which}_", state), device)
            tensors = {name: torch.as_tensor(known[name]).to(device) for name in TENSORS if name in known}
            sought, foreseen, jumpy = int(known["sought"]), int(known["foreseen"]), bool(known["jumpy"])
            stops.append(_Stop(**tensors, sought=sought, foreseen=foreseen, jumpy=jumpy, forecast=forecasts[which]))
        self._stops = tuple(stops)

    def _nearest(self, theta: torch.Tensor) -> tuple[_Stop | None, float]:
        """The remembered stop nearest to theta, the later one of two as near, and its distance."""
        away = [(float((theta - stop.theta).norm()), stop) for stop in reversed(self._stops)]
        distance, stop = min(away, key=lambda pair: pair[0], default=(math.nan, None))
        return stop, distance

    def _from(self, before: _Stop, theta: torch.Tensor) -> tuple[Eigenpairs, _Stop]:
        """The pairs at theta, found from those at ``before``, and what is known there."""
        due = self._due(before)
        # Where the last stop is not the nearest, the iterates jump, and with them the kinks of a ReLU network.
        jumpy = before is not self._stops[-1] or (before.jumpy and not due)
        forecast = None if jumpy else before.forecast
        sought, foreseen, pairs = before.sought, 0, None
        with HessianAt(self.objective, theta, memory=self.memory) as hessian:
            if forecast is not None and forecast.slope is not None:
                pairs = self._expected(hessian, forecast)
                jumpy = pairs is None and before.foreseen < LASTING
            if pairs is None:
                earlier = None if jumpy else forecast
                begin = before.expected(theta) if earlier is None else self._foreseen(earlier, before, theta)
                pairs, rows, forecast = self._followed(hessian, begin, earlier, jumpy)
            else:
                rows, foreseen = torch.cat([pairs.vectors.T, before.rows[self.k :]]), before.foreseen + 1
            missed = self._missed(hessian, pairs) if due else None
            if missed is not None:
                sought = self._calls
                if len(missed):
                    rows = torch.cat([pairs.vectors.T, missed])
                    pairs, rows, forecast = self._followed(hessian, rows, None, jumpy)
                    foreseen = 0
            pairs = replace(pairs, products=hessian.products)
        return pairs, _Stop(theta, rows, sought, foreseen=foreseen, jumpy=jumpy, forecast=forecast)

    def _due(self, before: _Stop) -> bool:
        """Whether it is time to look beyond what is followed from ``before``."""
        sought = [stop.sought for stop in self._stops]  # two, where the stops lie on two sides
        return self.renew is not None and self._calls - max(sought) >= self.renew and before.sought == min(sought)

    def _missed(self, hessian: HessianAt, pairs: Eigenpairs) -> torch.Tensor | None:
        """Directions (c, P) off the pairs with more curvature than the last of them; None where none can be sought."""
        # The pairs are followed once more together with what is found.
        most = self.max_products - hessian.products - 2 * self.k
        if self.k == len(hessian.theta) or most < least_look(len(hessian.theta)):
            return None
        scale, seed = float(np.abs(pairs.values).max()), self.seed + self._calls
        return beyond(hessian.product, pairs.values, pairs.vectors, self.which, self.tol, most, scale, seed)

    def _fresh(self, theta: torch.Tensor) -> Eigenpairs:
        tol, seed = min(self.tol, FRESH_TOLERANCE), self.seed + self._calls
        pairs = top_eigenpairs(
            self.objective, theta, self.k, self.which, tol, None, self.max_products, seed, memory=self.memory
        )
        size = np.abs(pairs.values)
        small = pairs.residuals <= self.tol * np.maximum(size, FLOOR * size.max())
        return replace(pairs, converged=pairs.converged or bool(small.all()))

    def _foreseen(self, forecast: Forecast, before: _Stop, theta: torch.Tensor) -> torch.Tensor:
        """The rows that a forecast is built on: what H did on the way here is known of those of its own space only."""
        return torch.cat([forecast.pairs(theta, self.k, self._sign)[1], before.rows[self.k :]])

    def _expected(self, hessian: HessianAt, forecast: Forecast) -> Eigenpairs | None:
        """The pairs that the forecast expects, if a few products bear them out."""
        values, rows = forecast.pairs(hessian.theta, self.k, self._sign)
        generator = torch.Generator().manual_seed(self.seed + self._calls)
        residual = relative_residual(hessian, values, rows, generator)
        if not residual <= self.tol:  # not a number either
            return None
        size = np.abs(values)
        return Eigenpairs(values, rows.T, residual * np.maximum(size, FLOOR * size.max()), hessian.products, True)

    def _followed(
        self, hessian: HessianAt, rows: torch.Tensor, earlier: Forecast | None, jumpy: bool
    ) -> tuple[Eigenpairs, torch.Tensor, Forecast | None]:
        """The pairs from the space of ``rows`` on, the rows to follow from here, and a forecast.

        It errs by about the square of what the curvature does between two stops. It is begun where the rows, improved
        as they are, leave the residuals within tolerance, all of them together; and built on an ``earlier`` one, from
        rows of its space as they are, where the square of what these leave is.
        """
        space = RitzSpace(hessian, min(max(MOST_ROWS * self.k, self.k + 16), self.max_products), self.which)
        space.extend(rows)
        residuals = space.pairs(range(self.k))[2]
        moved = self._moved(space, residuals)
        smooth = self._forecasts and not jumpy and (moved if earlier is None else moved**2) <= self.tol
        tol, drift = self.tol, None
        if smooth and earlier is not None:
            drift = earlier.drift(space.basis[: self.k].clone(), space.images[: self.k].clone(), hessian.theta)
        if drift is not None:
            tol = ANCHOR * self.tol
            space.extend(drift.change[: self.max_products - hessian.products], self.k)
            residuals = space.pairs(range(self.k))[2]
        while True:
            targets = self._targets(space, residuals, tol)[: self.max_products - hessian.products]
            if not len(targets) or not space.extend(targets, self.k):
                break
            residuals = space.pairs(range(self.k))[2]
        values, vectors, residuals = space.pairs(range(self.k))
        norms = residuals.double().norm(dim=1).cpu().numpy()
        converged = bool((norms <= self._bounds(space, self.tol)).all())
        pairs = Eigenpairs(values, vectors.T, norms, hessian.products, converged)
        return pairs, self._stepped(space), Forecast.of(space, drift) if smooth else None

    def _stepped(self, space: RitzSpace) -> torch.Tensor:
        r"""The Ritz vectors to follow, the pairs' and one beyond where there is one (c, P), after a step of power.

        The products are there: :math:`v+(Hv-\lambda v)/|\lambda|` is in proportion to :math:`Hv`. It takes from each
        vector what lies in directions of less curvature than its own, so that the errors which the tolerance leaves do
        not pile up from stop to stop. Where the other end of the spectrum is seen to reach further from zero than
        :math:`\lambda`, a step of that size would amplify what lies there, and a smaller one is taken.
        """
        values, vectors, residuals = space.pairs(range(min(self.k + 1, len(space.values))))
        self._far = max(self._far, -space.sign * float(space.values[-1]))
        tiny = torch.finfo(vectors.dtype).tiny  # where there is no curvature at all
        least = max(abs(float(values[self.k - 1])), FLOOR * space.scale, self._far, tiny)
        size = torch.as_tensor(np.maximum(np.abs(values), least), dtype=vectors.dtype, device=vectors.device)
        return vectors + space.sign * residuals / size[:, None]

    def _moved(self, space: RitzSpace, residuals: torch.Tensor) -> float:
        """The root of the summed squares of the pairs' relative residuals."""
        norms = residuals.double().norm(dim=1).cpu().numpy()
        return float(np.linalg.norm(norms / self._bounds(space, 1.0)))

    def _targets(self, space: RitzSpace, residuals: torch.Tensor, tol: float) -> torch.Tensor:
        """The fewest directions (b, P) that hold the residuals of all pairs but for ``tol``; none where all are within.

        Residuals share directions: each is divided by its bound, and the leading right singular vectors of those above
        one are taken until what is left of every one is at most one.
        """
        bounds = torch.as_tensor(self._bounds(space, tol), dtype=residuals.dtype).to(residuals.device)
        scaled = residuals / bounds[:, None]
        above = scaled.double().norm(dim=1) > 1
        if int(above.sum()) <= 1:
            return residuals[above]
        large = scaled[above]
        values, axes = np.linalg.eigh((large @ large.T).double().cpu().numpy())
        values, axes = values[::-1].clip(0), axes[:, ::-1]
        left = np.cumsum((axes**2 * values)[:, ::-1], 1)[:, ::-1]  # (c, b): a row's square that b directions leave
        enough = np.flatnonzero((left <= 1).all(0))
        count = max(1, int(enough[0])) if len(enough) else len(large)
        return torch.as_tensor(axes[:, :count].T.copy(), dtype=large.dtype, device=large.device) @ large

    def _bounds(self, space: RitzSpace, tol: float) -> np.ndarray:
        """What ``tol`` is for each pair."""
        return tol * np.maximum(np.abs(space.values[: self.k]), FLOOR * space.scale)

    def _next(self, rows: torch.Tensor) -> torch.Tensor:
        """An orthonormal basis of ``rows``, with a random direction in what is beyond the first k, if there is room."""
        if self.k < rows.shape[1]:
            generator = torch.Generator().manual_seed(self.seed + self._calls)
            fresh = torch.randn(1, rows.shape[1], generator=generator, dtype=rows.dtype).to(rows.device)
            fresh /= fresh.norm()
            beyond = rows[self.k :]
            if len(beyond):
                fresh = beyond / beyond.norm() + FRESH * fresh
            rows = torch.cat([rows[: self.k], fresh])
        return orthonormal(rows, rows[:0])


def _turn(before: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """What of ``rows`` (k, P) lies outside the span of ``before`` when that is turned as near to them as it goes.

    Both are orthonormal, each in an order and with signs of its own.
    """
    U, _, W = np.linalg.svd((rows @ before.T).double().cpu().numpy())
    nearest = torch.as_tensor(U @ W, dtype=rows.dtype, device=rows.device) @ before
    return (nearest @ rows.T) @ rows - nearest


def _marked(mark: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {mark + name: array for name, array in arrays.items()}


def _unmarked(mark: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(mark): array for name, array in arrays.items() if name.startswith(mark)}
