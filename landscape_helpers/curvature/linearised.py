r"""Hessian-vector products by the R-operator: a forward tangent and a backward adjoint tangent, layer by layer.

Where the network is a chain of known layers this needs no autograd graph: per product it does the arithmetic that has
to be done and little else, on micro-batches small enough to stay in cache between one layer and the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from ..objective import LOSSES, Objective
from ..twice_differentiable import SecondDerivatives, TwiceDifferentiable, first_gradient
from .layer_rules import ELEMENTWISE, LINEAR_MAPS, Elementwise, Kept, LinearMap, Pieces, Rectifier, Rule
from .weighted_rules import Conv2d, Linear, MaxPool2d

# The largest activation of a micro-batch on a CPU. Measured with 1 MiB of L2 cache a core: convolutions are fastest
# at 4 MiB (1 MiB: 25 % slower, 8 MiB: 5 %), networks of linear layers from 16 MiB on (4 MiB: 10 % slower).
CONVOLUTION_BYTES = 4 * 2**20
LINEAR_BYTES = 16 * 2**20

HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip


def chain_of(model: nn.Module) -> list[Rule] | None:
    """The rules of the layers that ``model`` applies one after the other, or None where that cannot be known.

    A container counts if its ``forward`` is that of ``nn.Sequential``, whatever its class is called. A layer counts if
    it is exactly one of those with a rule: a subclass may do anything. Hooks may, too.
    """
    if any(getattr(model, hooks) for hooks in HOOKS) or "forward" in vars(model):
        return None
    if isinstance(model, nn.Sequential):
        if type(model).forward is not nn.Sequential.forward or type(model).__call__ is not nn.Module.__call__:
            return None
        rules: list[Rule] = []
        for child in model:
            inner = chain_of(child)
            if inner is None:
                return None
            rules += inner
        return rules
    rule = _rule_for(model)
    return None if rule is None else [rule]


def _rule_for(module: nn.Module) -> Rule | None:
    if type(module) is nn.Linear:
        return Linear(module)
    if type(module) is nn.Conv2d:
        return Conv2d(module) if module.padding_mode == "zeros" and not isinstance(module.padding, str) else None
    if type(module) is nn.MaxPool2d:
        return None if module.return_indices else MaxPool2d(module)
    if type(module) is nn.ReLU:
        return Rectifier(module)
    if type(module) in ELEMENTWISE:
        return Elementwise(module)
    if type(module) in LINEAR_MAPS:
        return LinearMap(module)
    return None


@dataclass
class Point:
    """A micro-batch at theta: what each layer keeps, and the loss's gradient with its graph at the outputs.

    ``likely`` holds the predicted probabilities where the loss is the cross-entropy of class indices, ``share`` the
    weight of one sample, and ``bytes`` what all this takes, without the data.
    """

    kept: list[Kept]
    outputs: torch.Tensor
    gradient: torch.Tensor
    likely: torch.Tensor | None
    share: float
    bytes: int

    def bent(self, t: torch.Tensor) -> torch.Tensor:
        r"""The loss's second derivative at the outputs times t.

        :math:`(\mathrm{diag}(p)-pp^\top)t` a sample for the cross-entropy, by autograd for any other loss.
        """
        if self.likely is not None:
            h = self.likely * t
            return h.addcmul_(self.likely, h.sum(1, keepdim=True), value=-1).mul_(self.share)
        if not self.gradient.requires_grad:
            return torch.zeros_like(t)
        with SecondDerivatives(), torch.enable_grad():
            return torch.autograd.grad(self.gradient, self.outputs, t, retain_graph=True)[0]


class Linearised:
    """Products of an objective whose model is a chain of known layers; made by :meth:`of`.

    Args:
        objective: already at the point; it must be there again whenever :meth:`apply` runs.
        rules: of the layers, in order.
        chunk: images a micro-batch.
        memory: bytes that may be kept between products; micro-batches beyond it are evaluated anew.
    """

    def __init__(self, objective: Objective, rules: list[Rule], chunk: int, memory: int) -> None:
        self.objective = objective
        self.rules = rules
        self.chunk = chunk
        self.memory = memory
        self.held = 0
        self._points: list[Point | None] = []
        theta = {id(weight) for weight in objective.weights}
        learning = [any(id(p) in theta for p in rule.module.parameters()) for rule in rules]
        self.first = learning.index(True) if any(learning) else len(rules)

    @classmethod
    def of(cls, objective: Objective, memory: int) -> Linearised | None:
        """Products for this objective, or None where its model is not a chain of known layers."""
        rules = chain_of(objective.model)
        if rules is None:
            return None
        _, x, _ = next(iter(objective.weighted()))
        largest = x[:1].numel()
        with torch.no_grad():
            a = x[:1]
            for rule in rules:
                if isinstance(rule, (Conv2d, MaxPool2d)) and a.dim() != 4:
                    return None  # one image without a batch axis
                a = rule.module(a)
                largest = max(largest, a.numel())
        chunk = objective.batch_size
        # A loss of the user's own may couple the samples of a micro-batch; ours average over them.
        if objective.loss_function in LOSSES.values() and x.device.type == "cpu":
            most = CONVOLUTION_BYTES if any(isinstance(rule, Conv2d) for rule in rules) else LINEAR_BYTES
            chunk = min(chunk, max(1, most // (largest * objective.weights[0].element_size())))
        return cls(objective, rules, chunk, memory)

    def apply(self, rows: torch.Tensor) -> torch.Tensor:
        """Products (k, P) with the vectors in ``rows`` (k, P)."""
        result = torch.zeros_like(rows)
        directions = [self._pieces(row) for row in rows]
        sums = [self._pieces(row) for row in result]
        for point in self.points():
            with torch.no_grad():
                for v, out in zip(directions, sums, strict=True):
                    self.add_product(point, v, out)
        return result

    def points(self) -> Iterator[Point]:
        """Every micro-batch at theta, from memory as far as that goes."""
        for index, chunk in enumerate(self._chunks()):
            point = self._points[index] if index < len(self._points) else None
            if point is None:
                point = self._point(*chunk)
                keep = self.held + point.bytes <= self.memory
                if index == len(self._points):
                    self._points.append(point if keep else None)
                    self.held += point.bytes if keep else 0
            yield point

    @property
    def complete(self) -> bool:
        """Whether every micro-batch that was visited is in memory."""
        return all(point is not None for point in self._points)

    def release(self) -> None:
        """Free what is kept; the next product computes it again."""
        self._points.clear()
        self.held = 0

    def _chunks(self) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
        for share, x, y in self.objective.weighted():
            for some, labels in zip(x.split(self.chunk), y.split(self.chunk), strict=True):
                yield share * len(some) / len(x), some, labels

    def _pieces(self, row: torch.Tensor) -> Pieces:
        return {id(w): view for w, view in zip(self.objective.weights, self.objective.views(row), strict=True)}

    def _point(self, share: float, x: torch.Tensor, y: torch.Tensor) -> Point:
        kept = []
        with torch.no_grad():
            a = x
            for index, rule in enumerate(self.rules):
                a, memory = rule.forward(a)
                kept.append(memory if index >= self.first else Kept())
        with TwiceDifferentiable(), torch.enable_grad():
            outputs = a.detach().requires_grad_()
            (gradient,) = first_gradient(share * self.objective.loss_function(outputs, y), outputs)
        with torch.no_grad():
            g = gradient.detach()
            for index in reversed(range(self.first, len(self.rules))):
                g = self.rules[index].backward(g, kept[index], onward=index > self.first)
        indices = self.objective.loss_function is LOSSES["cross_entropy"] and not y.is_floating_point()
        likely = outputs.detach().softmax(1) if indices and outputs.dim() == 2 else None
        storages = [tensor.untyped_storage() for memory in kept for tensor in memory.held]
        # One layer's output is the next one's input.
        held = {storage.data_ptr(): storage.nbytes() for storage in storages}
        held.pop(x.untyped_storage().data_ptr(), None)  # the objective holds its data anyway
        size = sum(held.values()) + 4 * outputs.numel() * outputs.element_size()
        return Point(kept, outputs, gradient, likely, share / len(x), size)

    def add_product(self, point: Point, v: Pieces, out: Pieces) -> None:
        """Add the micro-batch's product with ``v`` to ``out``."""
        if self.first == len(self.rules):
            return  # no layer has a parameter that theta holds
        first, kept = self.rules[self.first], point.kept[self.first]
        h = self.behind_first(point, first.tangent(None, kept, v), v, out)
        first.adjoint(h, None, kept, v, out, onward=False)

    def behind_first(self, point: Point, t: torch.Tensor, v: Pieces, out: Pieces) -> torch.Tensor:
        """From the tangent at the first layer's output to the adjoint's tangent there, through all layers behind it."""
        behind = range(self.first + 1, len(self.rules))
        before = {}
        for index in behind:
            before[index] = t
            t = self.rules[index].tangent(t, point.kept[index], v)
        h = point.bent(t)
        for index in reversed(behind):
            h = self.rules[index].adjoint(h, before[index], point.kept[index], v, out, onward=True)
        return h
