r"""The first layer of a model is affine in the coordinates of a slice.

Its input is the data, whatever the point, so that for a linear or convolutional layer

.. math::

    (W + \sum_j c_j D_j) x + (b + \sum_j c_j e_j) = (W x + b) + \sum_j c_j (D_j x + e_j):

one product with the data a direction serves the whole slice, and each point costs one multiplication and addition an
output. A maximum over 2 x 2 squares behind it is taken of the four pixels' sums at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx, nn

from . import trace
from .evaluator import Span
from .kernels import halving_pool
from .moments import Scratch
from .program import Known, Program

# Multiplications an output from which three passes over memory are cheaper than computing it anew: in cache, and where
# the terms of all samples stream from memory at every point.
WORTH_IN_CACHE, WORTH_STREAMED = 16, 64
# Bytes of the terms of all samples; above it the layer is computed at every point.
MEMORY = 1 << 30
# Bytes of sums at a time, and points whose maxima are taken while the terms of a few images are in the cache. One sweep
# on a busy processor, CNN of width 16: 65 ms a point, 73 to 76 without looking ahead, 65 to 73 with other values.
SUMS, AHEAD = 1 << 19, 4


@dataclass(frozen=True)
class FirstLayer:
    """Where a model's first layer stands.

    Attributes:
        module: the layer.
        node: its node in the graph.
        before: nodes between the data and the layer; they change shapes only.
        pool: the maximum over 2 x 2 squares that alone reads the layer, perhaps through a ReLU, and that ReLU.
        exclusive: whether nothing else in the model reads the layer's parameters.
    """

    module: nn.Linear | nn.Conv2d
    node: fx.Node
    before: tuple[fx.Node, ...]
    pool: fx.Node | None
    relu: fx.Node | None
    exclusive: bool

    @property
    def terms_an_output(self) -> int:
        return self.module.weight[0].numel()

    def passed_over(self, program: Program) -> frozenset[int]:
        """Slots whose values are never held in full: those in front of the pooled maximum."""
        return frozenset(program.slots[node] for node in (self.node, self.relu) if node is not None and self.pool)

    def known(self, program: Program, tensors: Sequence[torch.Tensor]) -> Known:
        """What the program is told: the layer's output, or its maximum."""
        skipped = {program.slots[node] for node in (*self.before, self.node, self.relu, self.pool) if node is not None}
        return Known(program.slots[self.pool or self.node], tensors, frozenset(skipped))


def first_layer(span: Span, graph: fx.Graph) -> FirstLayer | None:
    """The layer that reads the raw data, if it is one whose parameters the slice moves along straight lines."""
    model = span.objective.model
    modules = dict(model.named_modules())
    node = next(node for node in graph.nodes if node.op == "placeholder")
    before: list[fx.Node] = []
    while True:
        readers = [user for user in node.users if not _reads_shape_only(user)]
        if len(readers) != 1:
            return None
        node = readers[0]
        if not (trace.is_flattening(node, modules) or trace.is_alias(node, modules)):
            break
        before.append(node)
    module = trace.module_of(node, modules)
    if not isinstance(module, (nn.Linear, nn.Conv2d)) or type(module) not in (nn.Linear, nn.Conv2d):
        return None
    if not trace.plain(module) or sum(other.target == node.target for other in graph.nodes) != 1:
        return None
    moving = {id(weight) for weight in span.objective.weights}
    if (
        not all(id(parameter) in moving for parameter in module.parameters())
        or module._parameters.get("weight") is None
    ):
        return None  # a frozen or a derived weight
    own = {id(parameter) for parameter in module.parameters()}
    others = (m for m in modules.values() if m is not module)
    shared = any(id(p) in own for m in others for p in m.parameters(recurse=False))
    fetched = any(n.op == "get_attr" and id(_attribute(model, str(n.target))) in own for n in graph.nodes)
    pool, relu = _pool_behind(node, modules) if isinstance(module, nn.Conv2d) else (None, None)
    return FirstLayer(module, node, tuple(before), pool, relu, not (shared or fetched))


class Room:
    """Memory for a micro-batch's sums; micro-batches that take turns share it, so that it stays in the cache."""

    def __init__(self) -> None:
        self.base, self.sum, self.most = Scratch(), Scratch(), Scratch()


class Terms:
    """The layer's outputs at theta and along each direction, for one micro-batch, and their sum at points of a row.

    Args:
        layer: the layer.
        piece: the micro-batch, as the model reads it.
        span: the slice; the objective's model is moved.
        program: the model.
        room: for the sums; what :meth:`along` gave is overwritten when another with the same room is asked.
    """

    def __init__(self, layer: FirstLayer, piece: torch.Tensor, span: Span, program: Program, room: Room) -> None:
        self._layer, self._room = layer, room
        self._terms = []
        for vector in (span.theta, *span.directions):
            span.objective.move(vector)
            self._terms.append(self._value(piece, program))

    def along(self, coordinates: np.ndarray) -> Iterator[torch.Tensor]:
        """The layer's output, or its maximum, at each of the points (k, m) of a row; overwritten by the next.

        Always from the start of the row: adding step by step would add up rounding errors as well.
        """
        base = self._terms[0]
        for c, term in zip(coordinates[0, :-1], self._terms[1:-1], strict=True):
            base = torch.add(base, term, alpha=float(c), out=self._room.base.like(term))
        term, lasts = self._terms[-1], [float(c) for c in coordinates[:, -1]]
        if self._layer.pool is None:
            for last in lasts:
                yield torch.add(base, term, alpha=last, out=self._room.sum.like(base))
            return
        images = max(1, SUMS // (base[:, 0].numel() * base.element_size()))
        for start in range(0, len(lasts), AHEAD):
            ahead = lasts[start : start + AHEAD]
            most = self._room.most.shaped((len(ahead), *base.shape[1:]), base)
            # A few images at all of these points, while their terms are in the cache.
            for i in range(0, base.shape[1], images):
                here, way = base[:, i : i + images], term[:, i : i + images]
                for last, into in zip(ahead, most, strict=True):
                    whole = torch.add(here, way, alpha=last, out=self._room.sum.shaped(here.shape, base))
                    torch.amax(whole, 0, out=into[i : i + images])
            for value in most:
                found = value.permute(0, 3, 1, 2)
                yield found.relu_() if self._layer.relu is not None else found

    def advance(self, piece: torch.Tensor, program: Program) -> None:
        """The outputs where the objective's model stands now, and their difference to those before as the direction."""
        before, now = self._terms[0], self._value(piece, program)
        self._terms = [now, torch.sub(now, before, out=before)]

    def _value(self, piece: torch.Tensor, program: Program) -> torch.Tensor:
        value = program.value(self._layer.node, piece)
        return value if self._layer.pool is None else _squares(value)

    def holds(self, x: torch.Tensor) -> bool:
        """Whether ``x`` stands in memory that :meth:`along` overwrites."""
        return x.untyped_storage().data_ptr() in (self._room.sum.place, self._room.most.place)


def _squares(x: torch.Tensor) -> torch.Tensor:
    """``x`` (n, C, H, W) with the four pixels of each square in front, (4, n, H/2, W/2, C)."""
    last = x.permute(0, 2, 3, 1)
    n, height, width, channels = last.shape
    squares = last.reshape(n, height // 2, 2, width // 2, 2, channels)
    return squares.permute(2, 4, 0, 1, 3, 5).reshape(4, n, height // 2, width // 2, channels)


def worth_it(layer: FirstLayer, samples: int, output: torch.Tensor, span: Span, in_cache: bool) -> bool:
    """Whether the terms fit the memory and save time; ``output``: the layer's, of a few samples."""
    bytes_each = math.prod(output.shape[1:]) * output.element_size()
    if bytes_each * samples * (len(span.directions) + 1) > MEMORY:
        return False
    return layer.terms_an_output >= (WORTH_IN_CACHE if in_cache else WORTH_STREAMED)


def _pool_behind(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[fx.Node | None, fx.Node | None]:
    relu = None
    if len(node.users) == 1 and trace.is_relu(follower := next(iter(node.users)), modules):
        node = relu = follower
    if len(node.users) == 1 and halving_pool(follower := next(iter(node.users)), modules):
        return follower, relu
    return None, None


def _reads_shape_only(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("size", "dim", "numel")
    return node.op == "call_function" and (node.target is len or (node.target is getattr and node.args[1] == "shape"))


def _attribute(model: nn.Module, path: str) -> object:
    owner, _, name = path.rpartition(".")
    return getattr(model.get_submodule(owner), name, None)
