"""The plain way: the model itself, moved to each point in turn. Right for every model; the others must equal it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch

from ..predictions import Tally
from .batchnorm import Statistics, batchnorm_modules, fixed, normalising, of_the_input, recording
from .evaluator import Span


@contextmanager
def _as_the_objective() -> Iterator[None]:
    """No gradients, yet no inference mode: a forward pass may differentiate inside itself, as of an energy."""
    with torch.inference_mode(False), torch.no_grad():
        yield


class Direct:
    """One forward pass a point through the objective's model.

    Statistics of the whole data set need all samples in one pass, so that re-estimating them holds every activation
    of one layer at once; :class:`~landscape_helpers.slices.layerwise.Layerwise` does not.
    """

    block = 1

    @_as_the_objective()
    def __init__(self, span: Span) -> None:
        self._span = span
        objective = span.objective
        self._model = objective.model
        self._batches = list(objective.weighted())
        self._whole: torch.Tensor | None = None
        self._ends: list[list[Statistics]] = []
        policy = span.policy if batchnorm_modules(self._model) else None
        self._policy = policy
        if policy is not None:
            xs = [x for _, x, _ in self._batches]
            self._whole = torch.cat(xs) if len(xs) > 1 else xs[0]
            if policy != "re-estimated":
                self._ends = [self._statistics(end) for end in ((0.0,), (1.0,))[: 2 if policy == "interpolated" else 1]]

    @_as_the_objective()
    def __call__(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = [self._at(c) for c in coordinates]
        return np.array([loss for loss, _ in values]), np.array([share for _, share in values])

    def _at(self, coordinates: np.ndarray) -> tuple[float, float]:
        objective = self._span.objective
        objective.move(self._span.point(coordinates))
        outputs = self._outputs(coordinates)
        loss, tally = 0.0, Tally()
        for (share, _, y), output in zip(self._batches, outputs, strict=True):
            loss += share * float(objective.loss_function(output, y))
            if self._span.accuracy:
                tally.add(output, y)
        return loss, tally.share

    def _outputs(self, coordinates: np.ndarray) -> list[torch.Tensor]:
        if self._policy == "re-estimated" and self._whole is not None:
            with normalising(self._model, of_the_input):
                return self._cut(self._model(self._whole))
        outputs = []
        for _, x, _ in self._batches:
            with self._rule(coordinates):
                outputs.append(self._model(x))
        return outputs

    def _cut(self, whole: torch.Tensor) -> list[torch.Tensor]:
        """The outputs for all samples in the objective's micro-batches."""
        if len(self._batches) == 1:
            return [whole]
        if len(whole) != self._span.objective.n:
            raise ValueError(
                f"the model gives {len(whole)} rows of outputs for {self._span.objective.n} samples, so that it cannot "
                "be told which are a micro-batch's: make the objective with batch_size=None, or the model return one "
                "row for each sample"
            )
        return list(whole.split([len(x) for _, x, _ in self._batches]))

    def _rule(self, coordinates: np.ndarray) -> AbstractContextManager[None]:
        if self._policy is None:
            return nullcontext()
        statistics = self._ends[0]
        if self._policy == "interpolated":
            share = float(coordinates[-1])
            statistics = [a.towards(b, share) for a, b in zip(*self._ends, strict=True)]
        return normalising(self._model, fixed(statistics))

    def _statistics(self, coordinates: tuple[float, ...]) -> list[Statistics]:
        """Those of the whole data set, of every call in order."""
        span = self._span
        span.objective.move(span.point(np.resize(np.array(coordinates), len(span.directions))))
        span.objective.counts.forward += 1
        found: list[Statistics] = []
        own = span.policy == "frozen" and span.objective.batchnorm == "frozen"
        with normalising(self._model, recording(found, own)):
            self._model(self._whole)
        return found
