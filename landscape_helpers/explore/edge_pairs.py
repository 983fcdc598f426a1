"""Leading eigenpairs of networks so small that the work between two Hessian products takes as long as a product."""

from __future__ import annotations

import torch

from ..curvature import Eigenpairs, EigenTracker, HessianAt
from ..curvature.tracking import RitzSpace
from ..descent import Telemetry
from ..descent.probe import Step
from ..objective import Objective


class BlockTracker(EigenTracker):
    """The largest eigenpairs at one point after another, by a few large enlargements of a space.

    :class:`EigenTracker` is made for networks whose products are dear. Where the subspace has turned it begins anew,
    with one vector and to a tight tolerance, and it enlarges a space by few residuals at a time. Here every point goes
    on from the pairs of the last one, the first from random vectors, and a space is enlarged by all the residuals that
    are not within tolerance. One pair more than asked for is followed, and one random direction: what rises from the
    bulk has a part in it.
    """

    def at(self, theta: torch.Tensor) -> Eigenpairs:
        with HessianAt(self.objective, theta, memory=self.memory) as hessian:
            space = RitzSpace(hessian, self.max_products, self.which)
            space.extend(self._random() if self._rows is None else self._rows)
            while True:
                values, vectors, residuals = space.pairs(range(self.k))
                norms = residuals.double().norm(dim=1).cpu().numpy()
                large = norms > self._bounds(space)
                block = residuals[torch.as_tensor(large)][: self.max_products - hessian.products]
                if not len(block) or not space.extend(block):
                    break
        followed = space.pairs(range(min(self.k + 1, len(space.values))))[1]
        self._calls += 1
        self._rows = torch.cat([followed, self._next(followed, None)])
        return Eigenpairs(values, vectors.T, norms, hessian.products, not bool(large.any()))

    def _random(self) -> torch.Tensor:
        """As many rows (k + 2, P) as are followed later."""
        f, generator = self.objective, torch.Generator().manual_seed(self.seed)
        rows = min(self.k + 2, f.parameters)
        return torch.randn(rows, f.parameters, generator=generator, dtype=f.dtype).to(f.device)


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

    def begin(self, objective: Objective) -> None:
        super().begin(objective)
        self._tracker = BlockTracker(objective, self.k, self.tol, self.max_products, seed=self.seed)

    def observe(self, step: Step) -> None:
        if step.index in self.steps:
            super().observe(step)
