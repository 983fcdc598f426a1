"""Evaluation of networks that are linear layers with activations between them, a row of points at a time.

Values are kept with samples along the fast axis, (width, samples): products with the few rows of an output layer then
run at full speed, and the cross-entropy reduces over classes in long vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx, nn

from ..predictions import right_predictions
from . import trace
from .affine import RowPoints
from .evaluator import Span
from .first_layer import MEMORY, FirstLayer, first_layer
from .layerwise import Layerwise

# Activations that act on each number alone and have no parameters.
ELEMENTWISE = (nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.LeakyReLU, nn.Softplus, nn.Hardtanh, nn.ReLU6)
ELEMENTWISE_FUNCTIONS = {torch.tanh, torch.sigmoid, nn.functional.tanh, nn.functional.sigmoid}
# Bytes of what one micro-batch touches at all points of a row. Measured on a busy processor with 1 MB of L2 cache, MLP
# 3072-128-10 on 5,000 images: 0.86 ms a point with half a megabyte, 0.66 with one, 0.59 with two and with four.
CACHE = 4 << 20
MOST = 4096

Activation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Chain:
    """A network of linear layers: the first, and each further one behind the activations in front of it."""

    first: FirstLayer
    layers: tuple[tuple[tuple[Activation, ...], nn.Linear], ...]
    inputs: fx.Node


def chain_of(span: Span, graph: fx.Graph) -> Chain | None:
    """The model as a chain of linear layers with the cross-entropy behind it, or None."""
    objective = span.objective
    first = first_layer(span, graph)
    targets = [y for _, _, y in objective.weighted()]
    plain_loss = objective.loss_function is nn.functional.cross_entropy
    if first is None or not isinstance(first.module, nn.Linear) or not first.exclusive or not plain_loss:
        return None
    if targets[0].is_floating_point() or targets[0].dim() != 1:
        return None
    modules = dict(objective.model.named_modules())
    moving = {id(weight) for weight in objective.weights}
    layers: list[tuple[tuple[Activation, ...], nn.Linear]] = []
    between: list[Activation] = []
    node = first.node
    while len(node.users) == 1:
        node = next(iter(node.users))
        module = trace.module_of(node, modules)
        if node.op == "output":
            return None if between else Chain(first, tuple(layers), first.node.all_input_nodes[0])
        if len(node.all_input_nodes) != 1:
            return None
        if trace.is_relu(node, modules):
            between.append(torch.relu_)
        elif type(module) is nn.Linear and trace.plain(module):
            if any(id(parameter) not in moving for parameter in module.parameters()):
                return None  # a frozen layer is the same at every point of a row, where the chain expects its own
            layers.append((tuple(between), module))
            between = []
        elif isinstance(module, ELEMENTWISE) and type(module) in ELEMENTWISE and trace.plain(module):
            between.append(module)
        elif node.op == "call_function" and node.target in ELEMENTWISE_FUNCTIONS and len(node.args) == 1:
            between.append(node.target)
        elif not trace.is_alias(node, modules):
            return None
    return None


class Dense(RowPoints):
    """Losses of a chain of linear layers; the first one's products with the data serve the whole slice."""

    def __init__(self, span: Span, chain: Chain, layerwise: Layerwise) -> None:
        super().__init__(span, [p for p in span.objective.weights if not _of(chain.first.module, p)])
        self._chain = chain
        self._program = layerwise.measuring
        width, classes = len(chain.first.module.weight), self._last().out_features
        widths = 3 * width + sum(layer.out_features for _, layer in chain.layers[:-1]) + self.most * classes
        size = int(np.clip(CACHE // (widths * span.objective.dtype.itemsize), 16, MOST))
        x, y = (list(tensors) for tensors in zip(*((x, y) for _, x, y in span.objective.weighted()), strict=True))
        self._targets = torch.cat(y).split(size)
        pieces = (torch.cat(x) if len(x) > 1 else x[0]).split(size)
        inputs = self._program.slots[chain.inputs] != self._program.input
        self._inputs = [self._program.value(chain.inputs, piece) if inputs else piece for piece in pieces]
        # (width, samples) at theta and along each direction, for each micro-batch.
        self._terms: list[list[torch.Tensor]] = [[] for _ in self._inputs]
        for vector in (span.theta, *span.directions):
            span.objective.move(vector)
            for x_piece, terms in zip(self._inputs, self._terms, strict=True):
                terms.append(self._product(x_piece))

    @staticmethod
    def fits(span: Span, chain: Chain) -> bool:
        """Whether the terms of all samples fit the memory allowed for them, and the layer reads plain vectors."""
        objective = span.objective
        size = len(chain.first.module.weight) * objective.dtype.itemsize * objective.n
        return size * (len(span.directions) + 1) <= MEMORY and chain.first.terms_an_output >= 16

    def _last(self) -> nn.Linear:
        module = self._chain.layers[-1][1] if self._chain.layers else self._chain.first.module
        assert isinstance(module, nn.Linear)
        return module

    def advance(self) -> None:
        self.span.objective.move(self.span.theta)
        for x, terms in zip(self._inputs, self._terms, strict=True):
            before, now = terms[0], self._product(x, out=terms[1])
            terms[:] = [now, torch.sub(now, before, out=before)]

    def _product(self, x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The first layer's output (width, samples) where the objective's model stands."""
        module = self._chain.first.module
        product = torch.mm(module.weight, x.t(), out=out)
        return product if module.bias is None else product.add_(module.bias[:, None])

    def evaluate(self, coordinates: np.ndarray, rest: dict[int, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        layers: list[tuple[tuple[Activation, ...], torch.Tensor, torch.Tensor | None]] = [
            (activations, rest[id(module.weight)], rest[id(module.bias)] if module.bias is not None else None)
            for activations, module in self._chain.layers
        ]
        losses = torch.zeros(len(coordinates), dtype=torch.float64)
        right = torch.zeros(len(coordinates), dtype=torch.int64)
        for terms, y in zip(self._terms, self._targets, strict=True):
            outputs = self._outputs(terms, coordinates, layers)
            if self.span.accuracy:
                right += right_predictions(outputs, y.expand(len(coordinates), -1)).sum(1).cpu()
            losses += _cross_entropies(outputs, y)
        accuracies = right.double().numpy() / self.span.objective.n
        return losses.numpy() / self.span.objective.n, accuracies if self.span.accuracy else accuracies * np.nan

    def _outputs(
        self,
        terms: list[torch.Tensor],
        coordinates: np.ndarray,
        layers: list[tuple[tuple[Activation, ...], torch.Tensor, torch.Tensor | None]],
    ) -> torch.Tensor:
        """Outputs (points, classes, samples) of one micro-batch."""
        base = terms[0]
        for c, term in zip(coordinates[0, :-1], terms[1:-1], strict=True):
            base = torch.add(base, term, alpha=float(c))
        samples = base.shape[1]
        outputs = base.new_empty(len(coordinates), self._last().out_features, samples)
        hidden = torch.empty_like(base)
        between = [base.new_empty(weight.shape[1], samples) for _, weight, _ in layers[:-1]]
        for j, c in enumerate(coordinates):
            h = torch.add(base, terms[-1], alpha=float(c[-1]), out=hidden if layers else outputs[j])
            for (activations, weights, biases), room in zip(layers, [*between, outputs[j]], strict=bool(layers)):
                for activation in activations:
                    h = activation(h)
                if biases is None:
                    h = torch.mm(weights[j], h, out=room)
                else:
                    h = torch.addmm(biases[j][:, None], weights[j], h, out=room)
        return outputs


def _cross_entropies(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sums (k,) over the samples of outputs (k, classes, samples), which are overwritten.

    The largest output is taken off first, as in any careful softmax: the difference between it and the label's is then
    exact where it is small, which a difference of logarithms of sums would not be.
    """
    points, classes, samples = outputs.shape
    outputs.sub_(outputs.amax(1, keepdim=True))
    place = y * samples + torch.arange(samples, device=y.device)
    right = outputs.view(points, classes * samples).index_select(1, place)
    return outputs.exp_().sum(1).log_().sub_(right).sum(1).double().cpu()


def _of(module: nn.Module, parameter: torch.Tensor) -> bool:
    return any(parameter is p for p in module.parameters())
