"""Which evaluator a model gets: the fastest that is known to give what the model gives."""

from __future__ import annotations

import numpy as np
import torch

from .affine import Affine
from .batchnorm import normalising, of_the_input
from .dense import Dense, chain_of
from .direct import Direct
from .evaluator import Evaluator, Span
from .layerwise import Layerwise
from .trace import traced

# Sizes of the pieces of the trial, so uneven that they cross the borders of micro-batches of any size.
PIECES = (1, 10, 3, 10)


def choose(span: Span) -> Evaluator:
    """The evaluator for a slice, by what its model's forward pass turns out to do."""
    graph = traced(span.objective.model)
    if graph is None:
        return Direct(span)
    layerwise = Layerwise(span, graph)
    try:
        agrees = _agrees(span, layerwise)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:  # whatever it raises: it takes the objective's micro-batches, and no smaller pieces of them
        agrees = False
    if not agrees:
        return Direct(span)
    chain = chain_of(span, graph)
    if chain is not None and Dense.fits(span, chain):
        return Dense(span, chain, layerwise)
    layer = Affine.suitable(span, graph, layerwise)
    if layer is None:
        layerwise.prepare()
        return layerwise
    layerwise.prepare(layer.passed_over(layerwise.program))
    return Affine(span, layer, layerwise)


def _agrees(span: Span, layerwise: Layerwise) -> bool:
    """Whether a few samples in small pieces come out as the model gives them in the objective's micro-batches.

    At two points. What a graph cannot show would be seen here: samples that influence each other other than by
    BatchNorm, state that changes from call to call, randomness. A model that gives other than one row a sample, such as
    one a token, is left to itself: its outputs cannot be cut where the samples are.
    """
    objective = span.objective
    batches: list[torch.Tensor] = []
    missing = sum(PIECES)
    for _, x, _ in objective.weighted():
        batches.append(x[:missing])
        missing -= len(batches[-1])
        if missing == 0:
            break
    whole = torch.cat(batches)
    sizes = [*PIECES[: np.searchsorted(np.cumsum(PIECES), len(whole))]]
    sizes.append(len(whole) - sum(sizes))
    tolerance = 1e-3 if objective.dtype.itemsize <= 4 else 1e-8
    for step in (0.0, 0.5):
        objective.move(span.point(np.full(len(span.directions), step)))
        if layerwise.measures and all(found is None for found in layerwise.start):
            with normalising(objective.model, of_the_input):
                truth = objective.model(whole)
        elif layerwise.measures:
            truth = objective.model(whole)
        else:
            truth = torch.cat([objective.model(x) for x in batches])
        if truth.dim() == 0 or len(truth) != len(whole):
            return False
        outputs = torch.cat(layerwise.measuring(whole.split(sizes), layerwise.start)[0])
        if outputs.shape != truth.shape or outputs.dtype != truth.dtype:
            return False
        gap = tolerance * float(truth.abs().nan_to_num().max())
        if not torch.allclose(outputs, truth, rtol=tolerance, atol=gap, equal_nan=True):
            return False
    return True
