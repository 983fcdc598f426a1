r"""Squared norms of every sample's gradient, parameter by parameter, from backward passes over whole batches.

The gradient of one sample with respect to a linear layer's weight is an outer product :math:`\delta_i a_i^\top`, so its
squared norm is :math:`\|\delta_i\|^2\|a_i\|^2` and the matrix need not be formed (Goodfellow 2015). Convolutions are
sums of such products over positions, BatchNorm with fixed statistics is a product by constants. Which parameter is used
how is read off the calls of the forward pass, so a plain module that calls ``F.linear`` itself is served like
``nn.Linear``; a parameter used in any other way gets its gradient sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, vmap
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

from ..layers import trainable_parameters
from ..objective import Objective
from ..resources import SAMPLE_GRADIENTS

# What torch.func says of a forward pass that it cannot follow for one sample of many: a branch on a value, a buffer
# written to, an operation without a batching rule.
_BEYOND_VMAP = ("vmap", "functorch", "torch.func", "batching rule", "(vjp, jvp, grad, etc)", "data-dependent")

SquaredNorms = Callable[[torch.Tensor], torch.Tensor]  # from delta (n, ...) to squared norms (n,)


class NoSampleGradients(ValueError):
    """The model's forward pass does something that gradients of single samples cannot be taken through."""


@dataclass(frozen=True)
class _Rule:
    """How the squared norms of a call's parameters follow from the gradient at its output.

    Attributes:
        norms: from the gradient (n, ...) at the output to squared norms (n,).
        held: numbers it remembers of the forward pass.
    """

    norms: SquaredNorms
    held: int


@dataclass(frozen=True)
class Use:
    """One call of the forward pass that takes parameters.

    Attributes:
        name: of the function called, ``"linear"``.
        values: its tensor arguments by name, detached.
        options: its other arguments by name.
        parameters: which parameters of the objective it takes, by the argument's name.
        output: its result, part of the autograd graph.
    """

    name: str
    values: dict[str, torch.Tensor]
    options: dict[str, Any]
    parameters: dict[str, int]
    output: torch.Tensor


_ARGUMENTS: dict[Any, tuple[str, ...]] = {
    F.linear: ("input", "weight", "bias"),
    F.conv1d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    F.conv2d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    F.batch_norm: ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    F.embedding: ("input", "weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse"),
}


class _Calls(TorchFunctionMode):
    """Records calls that take a parameter; a copy of their result goes on, safe from in-place activations."""

    def __init__(self, weights: list[torch.nn.Parameter]) -> None:
        super().__init__()
        self.uses: list[Use] = []
        self.times = [0] * len(weights)
        self._number = {id(w): i for i, w in enumerate(weights)}
        self._flat = weights[0].untyped_storage().data_ptr()

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
        touching = [t for t in tensors if t.untyped_storage().data_ptr() == self._flat]
        if not touching or not any(isinstance(leaf, torch.Tensor) for leaf in tree_flatten(result)[0]):
            return result
        for tensor in touching:
            if (number := self._number.get(id(tensor))) is not None:
                self.times[number] += 1
        names = _ARGUMENTS.get(func)
        if names is None:
            return result
        named = dict(zip(names, args, strict=False)) | kwargs
        values = {k: v.detach() for k, v in named.items() if isinstance(v, torch.Tensor)}
        parameters = {k: self._number[id(v)] for k, v in named.items() if id(v) in self._number}
        options = {k: v for k, v in named.items() if k not in values}
        self.uses.append(Use(func.__name__, values, options, parameters, result))
        return result.clone()


class SampleGradients:
    """One micro-batch's outputs, and the squared norms of its samples' gradients for any cotangent.

    Args:
        objective: a loss whose samples do not see each other (:func:`why_samples_are_coupled`), moved to its point.
        x: inputs (n, ...) of the micro-batch.
    """

    def __init__(self, objective: Objective, x: torch.Tensor) -> None:
        self._objective, self._x = objective, x
        with torch.enable_grad(), _Calls(objective.weights) as calls:
            self.outputs = objective.model(x)
        self._rules: list[tuple[torch.Tensor, _Rule]] = []
        served: set[int] = set()
        for use in calls.uses:
            if len(use.output) != len(x) or any(calls.times[i] != 1 for i in use.parameters.values()):
                continue
            if (rule := _rule(use)) is not None:
                self._rules.append((use.output, rule))
                served.update(use.parameters.values())
        self._rest = [i for i in range(len(calls.times)) if i not in served]

    @property
    def held(self) -> int:
        """Numbers that one sample keeps in memory: what the rules remember of the forward pass, and its results."""
        outputs = sum(out.numel() for out, _ in self._rules)
        return (outputs + sum(rule.held for _, rule in self._rules)) // len(self._x)

    def squared_norms(self, cotangent: torch.Tensor) -> torch.Tensor:
        r"""(n,) :math:`\|J_i^\top c_i\|^2` over all parameters, for cotangents c in the shape of the outputs.

        Raises:
            NoSampleGradients: a parameter that no rule serves, in a model that ``torch.func.vmap`` cannot follow.
        """
        total = torch.zeros(len(self._x), dtype=torch.float64, device=self._x.device)
        if self._rules:
            deltas = torch.autograd.grad(
                self.outputs, [out for out, _ in self._rules], cotangent, retain_graph=True, allow_unused=True
            )
            for (_, rule), delta in zip(self._rules, deltas, strict=True):
                if delta is not None:
                    total += rule.norms(delta)
        for norms in self._one_by_one(cotangent):
            total += norms
        return total

    def _one_by_one(self, cotangent: torch.Tensor) -> Iterator[torch.Tensor]:
        """The same for parameters that no rule serves: their gradients, formed for a chunk of samples at a time."""
        if not self._rest:
            return
        model = self._objective.model
        names = [name for name, _ in trainable_parameters(model)]
        chosen = {names[i]: self._objective.weights[i].detach() for i in self._rest}
        # Copies, so that a model which writes to its buffers leaves no tensor of a transform behind in them.
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}

        def overlap(parameters: dict[str, torch.Tensor], x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return (functional_call(model, parameters | buffers, (x[None],))[0] * c).sum()

        numbers = sum(w.numel() for w in chosen.values())
        gradients = vmap(grad(overlap), in_dims=(None, 0, 0), chunk_size=max(1, SAMPLE_GRADIENTS // max(1, numbers)))
        try:
            found = gradients(chosen, self._x, cotangent)
        except (RuntimeError, ValueError) as error:
            if not any(words in str(error) for words in _BEYOND_VMAP):
                raise
            line = str(error).strip().splitlines()[0]
            told = f"gradients of single samples cannot be taken through the model's forward pass ({line})"
            raise NoSampleGradients(told) from error
        for pieces in found.values():
            yield _squares(pieces.detach())


def _squares(rows: torch.Tensor) -> torch.Tensor:
    """(n,) squared norms of the rows of (n, ...), without a second array of that size."""
    return torch.linalg.vector_norm(rows.reshape(len(rows), -1), dim=1).double().square()


def _rule(use: Use) -> _Rule | None:
    if use.name == "linear":
        a = use.values["input"]
        return _matrix_rule(use, a.reshape(len(a), -1, a.shape[-1]), lambda d: d.reshape(len(d), -1, d.shape[-1]))
    if use.name in ("conv1d", "conv2d"):
        return _convolution_rule(use)
    if use.name == "batch_norm" and not use.options.get("training", False):
        return _batch_norm_rule(use)
    if use.name == "embedding" and not use.options.get("scale_grad_by_freq") and use.options.get("max_norm") is None:
        return _embedding_rule(use)
    return None


def _matrix_rule(use: Use, a: torch.Tensor, rows: SquaredNorms) -> _Rule:
    """Weight and bias of a matrix applied at T positions: a (n, T, inputs), delta made (n, T, outputs) by ``rows``."""
    weight, bias = "weight" in use.parameters, "bias" in use.parameters
    T, inputs = a.shape[1:]
    gram = torch.bmm(a, a.mT) if weight and T > 1 and T <= inputs else None
    lengths = _squares(a) if T == 1 else None

    def norms(delta: torch.Tensor) -> torch.Tensor:
        d = rows(delta)
        total = torch.zeros(len(d), dtype=torch.float64, device=d.device)
        if lengths is not None:
            total += _squares(d) * (lengths * weight + bias)
            return total
        if weight:
            if gram is not None:  # |sum_t delta_t a_t'|^2 = sum_tt' (a_t.a_t')(delta_t.delta_t')
                total += (gram * torch.bmm(d, d.mT)).sum((1, 2), dtype=torch.float64)
            else:
                total += _squares(torch.bmm(d.mT, a))
        if bias:
            total += _squares(d.sum(1))
        return total

    return _Rule(norms, a.numel() + (gram.numel() if gram is not None else 0))


def _convolution_rule(use: Use) -> _Rule | None:
    """A convolution as one matrix a group, applied to the patches of its input."""
    a, weight = use.values["input"], use.values["weight"]
    if a.dim() != weight.dim():
        return None  # an input without a batch axis
    options = [use.options.get(k, default) for k, default in (("stride", 1), ("padding", 0), ("dilation", 1))]
    if isinstance(options[1], str):
        return None
    groups = use.options.get("groups", 1)
    if a.dim() == 3:
        # One spatial axis is two with the first of length one.
        a, weight = a[:, :, None], weight[:, :, None]
        options = [(d, *([o] if isinstance(o, int) else o)) for o, d in zip(options, (1, 0, 1), strict=True)]
    stride, padding, dilation = options
    patches = F.unfold(a, tuple(weight.shape[2:]), dilation, padding, stride)  # (n, channels * kernel, T)
    n, _, T = patches.shape
    patches = patches.reshape(n * groups, -1, T).mT

    def rows(delta: torch.Tensor) -> torch.Tensor:
        return delta.reshape(n * groups, delta.shape[1] // groups, T).mT

    rule = _matrix_rule(use, patches, rows)
    return _Rule(lambda delta: rule.norms(delta).reshape(n, groups).sum(1), rule.held)


def _batch_norm_rule(use: Use) -> _Rule | None:
    a, mean, var = use.values["input"], use.values.get("running_mean"), use.values.get("running_var")
    if mean is None or var is None:
        return None
    shape = (1, -1) + (1,) * (a.dim() - 2)
    whitened = (a - mean.view(shape)) * torch.rsqrt(var + use.options.get("eps", 1e-5)).view(shape)

    def norms(delta: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(delta), dtype=torch.float64, device=delta.device)
        if "weight" in use.parameters:
            total += _squares((delta * whitened).flatten(2).sum(2))
        if "bias" in use.parameters:
            total += _squares(delta.flatten(2).sum(2))
        return total

    return _Rule(norms, whitened.numel())


def _embedding_rule(use: Use) -> _Rule:
    index = use.values["input"].flatten(1)
    padding = use.options.get("padding_idx")
    same = index[:, :, None] == index[:, None, :]
    if padding is not None:
        rows = use.values["weight"].shape[0]
        same &= (index != padding % rows)[:, :, None]

    def norms(delta: torch.Tensor) -> torch.Tensor:
        d = delta.reshape(*index.shape, -1)
        return (torch.bmm(d, d.mT) * same).sum((1, 2), dtype=torch.float64)

    return _Rule(norms, same.numel())
