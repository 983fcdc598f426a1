"""Which evaluator a model gets: the fastest that is known to give what the model gives."""

from __future__ import annotations

import numpy as np
import torch

from .affine import Affine
from .batchnorm import normalising, of_the_input
from .dense import Dense, chain_of
from .direct import Direct
from .evaluator import Evaluator, Span
from .first_layer import first_layer
from .layerwise import Layerwise
from .trace import traced

# Samples of the trial, and the pieces they are cut into.
TRIAL, PIECE = 24, 7


def choose(span: Span) -> Evaluator:
    """The evaluator for a slice, by what its model's forward pass turns out to do."""
    graph = traced(span.objective.model)
    if graph is None:
        return Direct(span)
    layerwise = Layerwise(span, graph)
    if not _agrees(span, layerwise):
        return Direct(span)
    chain = chain_of(span, graph)
    if chain is not None and Dense.fits(span, chain):
        return Dense(span, chain, layerwise)
    layerwise.prepare()
    layer = first_layer(span, graph)
    return (Affine.for_span(span, layer, layerwise) if layer is not None else None) or layerwise


def _agrees(span: Span, layerwise: Layerwise) -> bool:
    """Whether a few samples in small pieces come out as the model itself gives them in one piece.

    At two points. What a graph cannot show would be seen here: samples that influence each other other than by
    BatchNorm, state that changes from call to call, randomness.
    """
    objective = span.objective
    x = next(iter(objective.weighted()))[1][:TRIAL]
    tolerance = 1e-3 if objective.dtype.itemsize <= 4 else 1e-8
    for step in (0.0, 0.5):
        objective.move(span.point(np.full(len(span.directions), step)))
        if all(found is None for found in layerwise.start):
            with normalising(objective.model, of_the_input):
                truth = objective.model(x)
        else:
            truth = objective.model(x)
        outputs = torch.cat(layerwise.measuring(x.split(PIECE), layerwise.start)[0])
        if outputs.shape != truth.shape or outputs.dtype != truth.dtype:
            return False
        gap = tolerance * float(truth.abs().nan_to_num().max())
        if not torch.allclose(outputs, truth, rtol=tolerance, atol=gap, equal_nan=True):
            return False
    return True
