"""Mini-batches of an objective's data: their order, and the loss and gradient on each."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .objective import Objective
from .objective_checks.arguments import check_whole
from .objective_checks.averaging import check_single
from .objective_checks.surroundings import check_gradients


class MiniBatches:
    """The data of an objective cut into mini-batches, anew in every epoch.

    The network is evaluated in the objective's BatchNorm mode; ``"batch"``, the usual one in training, takes each
    mini-batch's own statistics. The gradient on a mini-batch is that of the mean loss over its samples.

    Args:
        objective: whose model, data and loss are used.
        batch_size: samples a batch, 1 to n; the last batch of an epoch holds what is left.
        seed: of the order.

    Raises:
        ValueError: a batch size out of range or not whole, an objective whose BatchNorm needs all samples at once, or a
            last batch of one sample that BatchNorm cannot take.
    """

    def __init__(self, objective: Objective, batch_size: int, seed: int = 0) -> None:
        if isinstance(batch_size, bool) or not 1 <= batch_size <= objective.n:
            raise ValueError(
                f"batch_size must lie between 1 and the number of samples {objective.n}, got {batch_size!r}"
            )
        check_whole(batch_size=batch_size)
        if objective.batchnorm == "whole" and batch_size < objective.n:
            raise ValueError(
                f"batchnorm='whole' normalises with all {objective.n} samples, which a mini-batch of {batch_size} does "
                "not hold: make the objective with batchnorm='batch' or 'frozen'"
            )
        self.objective, self.batch_size, self.seed = objective, int(batch_size), seed
        self._x, self._y = objective.samples()
        if objective.n % self.batch_size == 1 or self.batch_size == 1:
            alone = self._x[:1].contiguous(memory_format=objective.layout)
            check_single(objective.model, alone, objective.n, self.batch_size)

    def epoch(self, epoch: int) -> Iterator[torch.Tensor]:
        """The batches of an epoch as index vectors, a function of seed and epoch alone: a run can be resumed."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(self.objective.n, generator=generator).to(self._x.device)
        yield from order.split(self.batch_size)

    @torch.enable_grad()
    def gradient(
        self, theta: torch.Tensor, batch: torch.Tensor, out: torch.Tensor | None = None
    ) -> tuple[float, torch.Tensor]:
        """The loss on a batch at theta (P,) and its gradient (P,).

        Args:
            theta: the point.
            batch: indices into the data, as :meth:`epoch` yields them.
            out: a vector (P,) of the objective's device and dtype that receives the gradient; a new one by default.
        """
        objective = self.objective
        x, y = self._x[batch].contiguous(memory_format=objective.layout), self._y[batch]
        check_gradients()
        objective.move(theta)
        gradient = torch.zeros_like(theta) if out is None else out.zero_()
        try:
            for weight, view in zip(objective.weights, objective.views(gradient), strict=True):
                weight.grad = view
            loss = objective.loss_function(objective.model(x), y)
            loss.backward()
        finally:
            for weight in objective.weights:
                weight.grad = None
        return float(loss.detach()), gradient
