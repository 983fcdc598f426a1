"""Evaluation of a whole row of a slice, micro-batch by micro-batch, with a first layer that is affine along it."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import torch
from torch import fx

from .evaluator import Span
from .first_layer import FirstLayer, Room, Terms, first_layer, worth_it
from .layerwise import Layerwise

# Points at once: their other parameters take memory, and a row must not keep progress and saving waiting.
MOST_POINTS, PARAMETER_BYTES, SECONDS = 64, 64 << 20, 5.0


class RowPoints:
    """Blocks of points along a row, with the parameters that do not belong to the first layer at each of them.

    Args:
        span: the slice.
        weights: those parameters.
    """

    def __init__(self, span: Span, weights: list[torch.nn.Parameter]) -> None:
        self.span = span
        self.weights = weights
        size = sum(weight.numel() for weight in weights) * span.objective.dtype.itemsize
        self.most = int(np.clip(PARAMETER_BYTES // max(size, 1), 1, MOST_POINTS))
        self.block = min(self.most, 8)
        moving = {id(weight): i for i, weight in enumerate(span.objective.weights)}
        self._places = [moving[id(weight)] for weight in weights]

    def __call__(self, coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        started = time.perf_counter()
        result = self.evaluate(coordinates, self._at(coordinates))
        seconds = (time.perf_counter() - started) / len(coordinates)
        self.block = int(np.clip(SECONDS / max(seconds, 1e-9), 1, self.most))
        return result

    def evaluate(self, coordinates: np.ndarray, rest: dict[int, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Losses and accuracies; ``rest``: by the parameter's id its values (k, ...) at the points."""
        raise NotImplementedError

    def advance(self) -> None:
        """Take up the span anew where its one direction leads to its theta from the theta it had before."""
        raise NotImplementedError

    def _at(self, coordinates: np.ndarray) -> dict[int, torch.Tensor]:
        objective, result = self.span.objective, {}
        start = objective.views(self.span.theta)
        steps = [objective.views(direction) for direction in self.span.directions]
        along = torch.as_tensor(coordinates, dtype=objective.dtype, device=objective.device)
        for i, weight in zip(self._places, self.weights, strict=True):
            value = start[i].expand(len(coordinates), *weight.shape)
            for j, step in enumerate(steps):
                value = value + along[:, j].view(-1, *(1,) * weight.dim()) * step[i]
            result[id(weight)] = value
        return result


class Affine(RowPoints):
    """A traced model whose first layer's products with the data are computed once for the whole slice.

    Without statistics to measure, a micro-batch goes through all points of a row while its terms stay in the cache.

    Args:
        span: the slice.
        layer: the first layer.
        layerwise: what evaluates the rest of the model.
    """

    def __init__(self, span: Span, layer: FirstLayer, layerwise: Layerwise) -> None:
        own = {id(p) for p in layer.module.parameters()} if layer.exclusive else set()
        super().__init__(span, [p for p in span.objective.weights if id(p) not in own])
        self._layer, self._layerwise = layer, layerwise
        program = layerwise.program
        self._in_cache = len(program.stages) == 1
        shared = Room()
        self._terms = [
            [Terms(layer, piece, span, program, shared if self._in_cache else Room()) for piece in pieces]
            for pieces in layerwise.sets
        ]
        if not self._in_cache:
            self.most = self.block = 1

    @staticmethod
    def suitable(span: Span, graph: fx.Graph, layerwise: Layerwise) -> FirstLayer | None:
        """The first layer as it is to be used, or None where computing it at every point costs less."""
        layer = first_layer(span, graph)
        if layer is None:
            return None
        span.objective.move(span.theta)
        probe = layerwise.program.value(layer.node, next(iter(span.objective.weighted()))[1][:2])
        if not worth_it(layer, span.objective.n, probe, span, len(layerwise.program.stages) == 1):
            return None
        # The maximum comes channels last, which a model that cuts its activations with view does not take.
        cut = span.objective.layout is not torch.channels_last
        if layer.pool is not None and (cut or probe.shape[2] % 2 or probe.shape[3] % 2):
            return dataclasses.replace(layer, pool=None, relu=None)
        return layer

    def evaluate(self, coordinates: np.ndarray, rest: dict[int, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        outputs: list[list[torch.Tensor]] = [[] for _ in coordinates]
        for pieces, terms in zip(self._layerwise.sets, self._terms, strict=True):
            if self._in_cache:
                for piece, term in zip(pieces, terms, strict=True):
                    self._walk([piece], [term], coordinates, rest, outputs)
            else:
                self._walk(pieces, terms, coordinates, rest, outputs)
        found = [self._layerwise.targets(output) for output in outputs]
        return np.array([loss for loss, _ in found]), np.array([right for _, right in found])

    def advance(self) -> None:
        self.span.objective.move(self.span.theta)
        for pieces, terms in zip(self._layerwise.sets, self._terms, strict=True):
            for piece, term in zip(pieces, terms, strict=True):
                term.advance(piece, self._layerwise.program)

    def _walk(
        self,
        pieces: list[torch.Tensor],
        terms: list[Terms],
        coordinates: np.ndarray,
        rest: dict[int, torch.Tensor],
        outputs: list[list[torch.Tensor]],
    ) -> None:
        """Append the outputs of the pieces at each point."""
        rows = zip(*(term.along(coordinates) for term in terms), strict=True)
        for j, (c, values) in enumerate(zip(coordinates, rows, strict=True)):
            for weight in self.weights:
                weight.copy_(rest[id(weight)][j])
            program, given = self._layerwise.rule(c)
            known = self._layer.known(program, values)
            found = program(pieces, given, known)[0]
            # The outputs may stand in the very memory that the next point overwrites.
            outputs[j] += [
                output.clone() if term.holds(output) else output for term, output in zip(terms, found, strict=True)
            ]
