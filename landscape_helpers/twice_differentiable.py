r"""What PyTorch differentiates a second time wrongly or not at all, and what is done about it.

Two operations have a second derivative on paper and none, or a wrong one, in PyTorch's fused kernels: attention, whose
flash and memory-efficient kernels stop at the first, and weight normalisation, whose second is wrong. Both have a plain
form that is right. For what is left there is a message that names the operation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import TracebackType

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import ParametrizationList

from .autograd_nodes import nodes_of
from .objective_checks.wording import COMPLEX_OF_REAL, MISALIGNED

# How torch says it, with the operation's name where it gives one.
_NOT_IMPLEMENTED = re.compile(r"derivative for '?(?:\w+::)?(\w+)'? is not implemented")
_COMPILED = re.compile("double backward|donated buffers")
_ONCE = "once_differentiable"
# What the decorator puts in the place of a function's own backward.
_ONCE_CODE = once_differentiable(lambda ctx: ctx).__code__


class WeightNorm(nn.Module):
    r""":math:`w = v\,(g/\|v\|)`, the weight normalisation of ``torch.nn.utils.parametrizations`` from plain operations.

    torch's own takes a fused kernel where the norm leaves out the first or the last axis, and the kernel's second
    derivative is wrong (seen with torch 2.13 on the CPU: ``gradgradcheck`` fails, Hessians are not symmetric).

    Args:
        dim: the axis that keeps its own norms; -1 for one norm of the whole, as torch has it.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, g: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return v * (g / torch.norm_except_dim(v, 2, self.dim))

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(g, v) that give ``weight``."""
        return torch.norm_except_dim(weight, 2, self.dim), weight


def replace_weight_norm(model: nn.Module) -> None:
    """Put :class:`WeightNorm` in the place of torch's own, in ``model`` itself: parameters, names and order stay.

    The weight changes by rounding. One norm over the whole weight (``dim=None``) is right in torch and left as it is.
    """
    for module in list(model.modules()):
        if isinstance(module, ParametrizationList):
            for index, inner in enumerate(module):
                if type(inner) is parametrizations._WeightNorm and inner.dim != -1:
                    module[index] = WeightNorm(inner.dim)


class SecondDerivatives:
    """Around a pass through a graph that was built under :class:`TwiceDifferentiable`: errors are told in one line.

    Raises:
        ValueError: in place of torch's error about an operation that has no second derivative.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, RuntimeError) and (told := _told(str(error))) is not None:
            raise ValueError(told) from error


class TwiceDifferentiable(SecondDerivatives):
    """Around a forward pass, and the first backward pass with ``create_graph``, that will be differentiated again.

    Attention is computed in its plain form: what the fused kernels of ``scaled_dot_product_attention`` and of
    ``nn.TransformerEncoderLayer`` compute, with another rounding. Nothing else is. Entering takes some 20 microseconds,
    so it stands around a whole graph and never in a layer.

    Raises:
        ValueError: as for :class:`SecondDerivatives`.
    """

    def __enter__(self) -> None:
        self._fast_path = torch.backends.mha.get_fastpath_enabled()
        self._attention = sdpa_kernel(SDPBackend.MATH)
        self._attention.__enter__()
        torch.backends.mha.set_fastpath_enabled(False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.backends.mha.set_fastpath_enabled(self._fast_path)
        # Told of no exception: it has only settings to put back, and would raise the error a second time.
        self._attention.__exit__(None, None, None)
        super().__exit__(kind, error, trace)


def first_gradient(
    value: torch.Tensor, inputs: torch.Tensor | Sequence[torch.Tensor], allow_unused: bool = False
) -> tuple[torch.Tensor, ...]:
    """The gradient of ``value`` with its graph, to be differentiated again.

    It stands inside :class:`SecondDerivatives` or :class:`TwiceDifferentiable`, which tell the error in one line.

    Args:
        value: one number (a scalar tensor) with its graph.
        inputs: by what to differentiate.
        allow_unused: whether the value may not depend on some of them, whose piece is None then.

    Returns:
        One piece an input, of its shape.

    Raises:
        RuntimeError: the graph of the value holds a function that is marked ``once_differentiable``.
    """
    _check_graph(value)
    return torch.autograd.grad(value, inputs, create_graph=True, allow_unused=allow_unused)


def _check_graph(value: torch.Tensor) -> None:
    """Refuse a graph with a function marked ``once_differentiable``.

    Where PyTorch differentiates such a function a second time, it raises only if it comes across the function. Asked
    for derivatives by given weights it goes round it, and takes for zero what is behind it.
    """
    for node in nodes_of(value):
        backward = getattr(getattr(node, "_forward_cls", None), "backward", None)
        if getattr(backward, "__code__", None) is _ONCE_CODE:
            raise RuntimeError(f"{node.name()} is marked {_ONCE}")


def _told(message: str) -> str | None:
    """One line for torch's ``message`` about a missing second derivative, None for any other."""
    found = _NOT_IMPLEMENTED.search(message)
    if found is not None:
        operation = found[1].strip("_").removesuffix("_backward")
        return (
            f"no second derivative of {operation} in PyTorch, so there are no Hessian products through it: "
            f"replace the layer (or the loss) that calls {operation} by one made of other operations"
        )
    if _COMPILED.search(message):
        return (
            "no second derivative of a function compiled by torch.compile: give the model the plain function, or "
            'compute curvature under torch.compiler.set_stance("force_eager")'
        )
    if MISALIGNED in message:
        return (
            "torch.view_as_complex reads numbers where they lie in theta, which may be an odd place: take "
            f"{COMPLEX_OF_REAL} in its place"
        )
    if _ONCE in message:
        return (
            "no second derivative of an autograd.Function marked once_differentiable: replace the layer that applies "
            "it, or give its backward in differentiable operations"
        )
    return None
