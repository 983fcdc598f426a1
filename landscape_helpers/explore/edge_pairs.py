"""Leading eigenpairs of networks so small that the work between two Hessian products takes as long as a product."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..curvature import Eigenpairs, HessianAt
from ..curvature.lanczos import FLOOR
from ..curvature.ritz import RitzSpace
from ..descent import Telemetry
from ..descent.probe import Step
from ..objective import Objective


class BlockTracker:
    """The k largest eigenpairs at one point after another, by a few large enlargements of a space.

    :class:`~landscape_helpers.curvature.EigenTracker` is made for networks whose products are dear. Where the subspace
    has turned it begins anew, with one vector and to a tight tolerance, and it enlarges a space by few residuals at a
    time. Here every point goes on from the pairs of the last one, the first from random vectors, and a space is
    enlarged by all the residuals that are not within tolerance. One pair more than asked for is followed, and one
    random direction: what rises from the bulk has a part in it.

    Args:
        objective: what to differentiate.
        k: how many pairs.
        tol: bound on the residuals relative to their own eigenvalues.
        max_products: a point's budget of Hessian products.
        seed: of random directions.
    """

    def __init__(self, objective: Objective, k: int, tol: float, max_products: int, seed: int) -> None:
        self.objective, self.k, self.tol, self.max_products = objective, k, tol, max_products
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = self._random(min(k + 2, objective.parameters))

    def at(self, theta: torch.Tensor) -> Eigenpairs:
        """The pairs at theta (P,)."""
        with HessianAt(self.objective, theta) as hessian:
            space = RitzSpace(hessian, self.max_products, "LA")
            space.extend(self._rows)
            while True:
                values, vectors, residuals = space.pairs(range(self.k))
                norms = residuals.double().norm(dim=1).cpu().numpy()
                large = norms > self.tol * np.maximum(np.abs(values), FLOOR * space.scale)
                block = residuals[torch.as_tensor(large)][: self.max_products - hessian.products]
                if not len(block) or not space.extend(block):
                    break
        followed = space.pairs(range(min(self.k + 1, len(space.values))))[1]
        self._rows = torch.cat([followed, self._random(1)])
        return Eigenpairs(values, vectors.T, norms, hessian.products, not bool(large.any()))

    def state(self) -> Mapping[str, np.ndarray]:
        """All that the next point depends on."""
        return {"rows": self._rows.numpy(), "generator": self._generator.get_state().numpy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` returned."""
        self._rows = torch.as_tensor(state["rows"])
        self._generator.set_state(torch.as_tensor(state["generator"]))

    def _random(self, rows: int) -> torch.Tensor:
        return torch.randn(rows, self.objective.parameters, generator=self._generator, dtype=self.objective.dtype)


class StopTelemetry(Telemetry):
    """Telemetry of a small network, at chosen steps.

    Args:
        lr: the rate.
        steps: when to measure.
        classes: n_c; the top subspace has one dimension fewer, and n_c + 1 eigenpairs are measured.
        tol: relative residual of the eigenpairs.
    """

    def __init__(self, lr: float, steps: list[int], classes: int, tol: float) -> None:
        super().__init__(lr, every=1, top=classes - 1, k=classes + 1, tol=tol)
        self.steps = frozenset(steps)

    def tracker(self, objective: Objective) -> BlockTracker:
        return BlockTracker(objective, self.k, self.tol, self.max_products, self.seed)

    def observe(self, step: Step) -> None:
        if step.index in self.steps:
            super().observe(step)
