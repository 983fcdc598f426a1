"""A traced model as stages between which statistics of a whole set of samples are known.

A BatchNorm that normalises with the statistics of its set is a barrier: nothing behind it can start before everything
in front of it has seen all samples. Between barriers a few samples at a time go through several layers while they stay
in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from . import trace
from .batchnorm import Statistics
from .kernels import Kernel, kernel_of
from .moments import Moments, Normaliser, Scratch


@dataclass(frozen=True)
class Step:
    """One value: ``kernel`` gives it, or normalising ``source`` by the call number ``norm`` does."""

    slot: int
    kernel: Kernel | None
    norm: int
    source: int
    overwrite: bool
    frees: tuple[int, ...]


@dataclass(frozen=True)
class Stage:
    """Steps without a barrier between them, and the (number, slot) of the normalisations that wait for its end."""

    steps: tuple[Step, ...]
    measures: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Known:
    """A value that is known before the program runs: its slot, one tensor a piece, and the steps it makes needless."""

    slot: int
    tensors: Sequence[torch.Tensor]
    skipped: frozenset[int]


class Program:
    """The forward pass of ``model``.

    Args:
        model: the traced model; its parameters are read when the program runs.
        graph: of its forward pass.
        measured: for each BatchNorm call, in the order of the graph, whether it normalises with the statistics of its
            set; the others get theirs from the caller.
    """

    def __init__(self, model: nn.Module, graph: fx.Graph, measured: Sequence[bool]) -> None:
        nodes = [node for node in graph.nodes if node.op != "output"]
        self.slots = {node: i for i, node in enumerate(nodes)}
        self._scratch = Scratch()
        modules = dict(model.named_modules())
        norms = [node for node in nodes if isinstance(trace.module_of(node, modules), _BatchNorm)]
        self.norms = trace.batchnorms(graph, model)
        number = {node: i for i, node in enumerate(norms)}

        level: dict[fx.Node, int] = {}
        for node in nodes:
            before = max((level[a] for a in node.all_input_nodes), default=0)
            level[node] = before + 1 if node in number and measured[number[node]] else before
        self.input = next(self.slots[node] for node in nodes if node.op == "placeholder")
        result = next(node for node in graph.nodes if node.op == "output").all_input_nodes[0]
        self.output = self.slots[result]

        ordered = sorted((n for n in nodes if n.op != "placeholder"), key=lambda n: (level[n], self.slots[n]))
        last = {a: node for node in ordered for a in node.all_input_nodes if a is not result}
        stages: list[Stage] = []
        for stage in range(max(level.values()) + 1):
            steps = []
            for node in (n for n in ordered if level[n] == stage):
                frees = tuple(self.slots[a] for a, end in last.items() if end is node)
                source = node.all_input_nodes[0] if node in number else None
                steps.append(
                    Step(
                        self.slots[node],
                        None if source is not None else kernel_of(node, model, self.slots),
                        number.get(node, -1),
                        self.slots[source] if source is not None else -1,
                        source is not None and trace.overwritable(source, modules),
                        frees,
                    )
                )
            waiting = [n for n in norms if measured[number[n]] and level[n] == stage + 1]
            stages.append(Stage(tuple(steps), tuple((number[n], self.slots[n.all_input_nodes[0]]) for n in waiting)))
        self.stages = tuple(stages)

    def __call__(
        self,
        pieces: Sequence[torch.Tensor],
        given: Sequence[Statistics | None],
        known: Known | None = None,
    ) -> tuple[list[torch.Tensor], list[Statistics | None]]:
        """Outputs of each of the pieces that make up one set of samples, and the statistics used.

        Args:
            pieces: the set's inputs, a few samples each.
            given: for each BatchNorm call its statistics, None where they are those of this set.
            known: a value of each piece that need not be computed.
        """
        statistics = list(given)
        values: list[list[Any]] = [[None] * len(self.slots) for _ in pieces]
        for i, (piece, own) in enumerate(zip(pieces, values, strict=True)):
            own[self.input] = piece
            if known is not None:
                own[known.slot] = known.tensors[i]
        skipped = known.skipped if known is not None else frozenset()
        normalisers = self._normalisers(statistics)
        for stage in self.stages:
            moments = {number: Moments(self._scratch) for number, _ in stage.measures}
            for own in values:
                _advance(stage.steps, own, normalisers, skipped)
                for number, slot in stage.measures:
                    moments[number].add(own[slot])
            for number, measured in moments.items():
                statistics[number] = found = measured.statistics()
                normalisers[number] = Normaliser(self.norms[number], found)
        return [own[self.output] for own in values], statistics

    def largest(
        self, x: torch.Tensor, given: Sequence[Statistics | None], without: frozenset[int] = frozenset()
    ) -> int:
        """Bytes a sample of the largest value, slots ``without`` left out, found by passing ``x`` through."""
        normalisers = self._normalisers(given)
        values: list[Any] = [None] * len(self.slots)
        values[self.input] = x
        most = 0
        for stage in self.stages:
            for step in stage.steps:
                _advance((step,), values, normalisers, frozenset())
                value = values[step.slot]
                held = step.slot not in without and isinstance(value, torch.Tensor) and value.dim() > 0
                if held and value.shape[0] == len(x):
                    most = max(most, value.numel() * value.element_size() // len(x))
            for number, slot in stage.measures:
                moments = Moments(self._scratch)
                moments.add(values[slot])
                normalisers[number] = Normaliser(self.norms[number], moments.statistics())
        return most

    def value(self, node: fx.Node, x: torch.Tensor) -> torch.Tensor:
        """The value of a node in front of every BatchNorm, computed from ``x`` alone."""
        values: list[Any] = [None] * len(self.slots)
        values[self.input] = x
        for step in self.stages[0].steps:
            _advance((step,), values, {}, frozenset())
            if step.slot == self.slots[node]:
                break
        return values[self.slots[node]]

    def _normalisers(self, statistics: Sequence[Statistics | None]) -> dict[int, Normaliser]:
        pairs = enumerate(zip(self.norms, statistics, strict=True))
        return {i: Normaliser(module, found) for i, (module, found) in pairs if found is not None}


def _advance(
    steps: Sequence[Step], values: list[Any], normalisers: dict[int, Normaliser], skipped: frozenset[int]
) -> None:
    for step in steps:
        if step.slot not in skipped:
            if step.kernel is not None:
                values[step.slot] = step.kernel(values)
            else:
                values[step.slot] = normalisers[step.norm](values[step.source], step.overwrite)
        for slot in step.frees:
            values[slot] = None
