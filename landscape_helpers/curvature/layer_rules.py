r"""How tangents and adjoint tangents pass through one layer: the rules of the R-operator.

With :math:`R\{\cdot\}` the derivative along a direction v in parameter space, a layer :math:`z=f(a, W)` with adjoint
:math:`\bar a=(\partial f/\partial a)^\top\bar z` has

.. math::

    R\{z\} = \frac{\partial f}{\partial a} R\{a\} + \frac{\partial f}{\partial W} V, \qquad
    R\{\bar a\} = \Big(\frac{\partial f}{\partial a}\Big)^{\!\top} R\{\bar z\}
                + R\Big\{\frac{\partial f}{\partial a}\Big\}^{\!\top}\bar z

(Pearlmutter 1994, section 3.) ``a``, ``z`` and the adjoints do not depend on v; each rule computes them once, keeps
what the tangents need, and applies that to any number of vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

Pieces = dict[int, torch.Tensor]
"""Tensors of the parameters' shapes, by the parameter's id; a parameter outside theta has none."""

# Element by element, differentiable twice by autograd; anything whose output depends on one input element only.
ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.LogSigmoid,
    nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanhshrink,
)  # fmt: skip
# Linear in their input and without parameters; a dropout layer of an objective is always off.
LINEAR_MAPS = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Unflatten, nn.Identity,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.ZeroPad2d, nn.PixelShuffle,
)  # fmt: skip


@dataclass
class Kept:
    """What one layer keeps of one micro-batch.

    Attributes:
        tensors: by name.
        graph: (input, output) of a map that autograd transposes.
        sizes: of the input and what else a rule needs to shape its results.
    """

    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    graph: tuple[torch.Tensor, torch.Tensor] | None = None
    sizes: tuple[int, ...] = ()

    @property
    def held(self) -> list[torch.Tensor]:
        """The tensors that are held; a graph of a linear map saves no more than its two ends."""
        return [*self.tensors.values(), *(self.graph or ())]


class Rule:
    """One layer. ``parameters`` are those of the module, trainable or not."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        """The layer's output, and what is kept of it."""
        raise NotImplementedError

    def backward(self, g: torch.Tensor, kept: Kept, onward: bool) -> torch.Tensor:
        """The adjoint of the input from that of the output; completes ``kept``.

        Without ``onward`` nobody needs it (the layer is the first with parameters), and anything may come back.
        """
        raise NotImplementedError

    def tangent(self, t: torch.Tensor | None, kept: Kept, v: Pieces) -> torch.Tensor:
        """The tangent of the output; ``t`` is that of the input, None for zero."""
        raise NotImplementedError

    def adjoint(
        self, h: torch.Tensor, t: torch.Tensor | None, kept: Kept, v: Pieces, out: Pieces, onward: bool
    ) -> torch.Tensor:
        """The adjoint's tangent at the input from ``h``, that at the output; adds the parameters' part to ``out``.

        ``onward`` as in :meth:`backward`.
        """
        raise NotImplementedError


class Elementwise(Rule):
    r"""An activation: :math:`R\{z\}=f'(a)R\{a\}`, :math:`R\{\bar a\}=f'(a)R\{\bar z\}+\bar z f''(a)R\{a\}`."""

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        with torch.enable_grad():
            leaf = a.detach().requires_grad_()
            z = self.module(leaf.clone())  # a clone, because an activation may work in place
            (slope,) = torch.autograd.grad(z, leaf, torch.ones_like(z), create_graph=True)
            bend = None
            if slope.requires_grad:
                (bend,) = torch.autograd.grad(slope, leaf, torch.ones_like(slope), allow_unused=True)
        kept = Kept({"slope": slope.detach()})
        if bend is not None and bool(bend.any()):
            kept.tensors["bend"] = bend
        return z.detach(), kept

    def backward(self, g: torch.Tensor, kept: Kept, onward: bool) -> torch.Tensor:
        if "bend" in kept.tensors:
            kept.tensors["bend"] = kept.tensors["bend"] * g
        return g * kept.tensors["slope"]

    def tangent(self, t: torch.Tensor | None, kept: Kept, v: Pieces) -> torch.Tensor:
        assert t is not None
        return t * kept.tensors["slope"]

    def adjoint(
        self, h: torch.Tensor, t: torch.Tensor | None, kept: Kept, v: Pieces, out: Pieces, onward: bool
    ) -> torch.Tensor:
        result = h * kept.tensors["slope"]
        return result.addcmul_(kept.tensors["bend"], t) if "bend" in kept.tensors and t is not None else result


class Rectifier(Rule):
    """ReLU, whose output says where its slope is one: nothing is kept that the next layer does not keep as well."""

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        z = a.relu()
        return z, Kept({"z": z})

    def backward(self, g: torch.Tensor, kept: Kept, onward: bool) -> torch.Tensor:
        return self._sloped(g, kept)

    def tangent(self, t: torch.Tensor | None, kept: Kept, v: Pieces) -> torch.Tensor:
        assert t is not None
        return self._sloped(t, kept)

    def adjoint(
        self, h: torch.Tensor, t: torch.Tensor | None, kept: Kept, v: Pieces, out: Pieces, onward: bool
    ) -> torch.Tensor:
        return self._sloped(h, kept)

    def _sloped(self, values: torch.Tensor, kept: Kept) -> torch.Tensor:
        return torch.ops.aten.threshold_backward(values, kept.tensors["z"], 0)


class LinearMap(Rule):
    """A map that is linear in its input and has no parameters: it maps tangents as it maps values."""

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        with torch.enable_grad():
            leaf = a.detach().requires_grad_()
            z = self.module(leaf)
        return z.detach(), Kept(graph=(leaf, z))

    def _transposed(self, g: torch.Tensor, kept: Kept) -> torch.Tensor:
        assert kept.graph is not None
        leaf, z = kept.graph
        if z is leaf:
            return g
        (result,) = torch.autograd.grad(z, leaf, g, retain_graph=True)
        # The layout of the layer before, whose kernels are several times slower where two layouts meet.
        channels_last = leaf.dim() == 4 and leaf.is_contiguous(memory_format=torch.channels_last)
        return result.contiguous(memory_format=torch.channels_last) if channels_last else result

    def backward(self, g: torch.Tensor, kept: Kept, onward: bool) -> torch.Tensor:
        return self._transposed(g, kept)

    def tangent(self, t: torch.Tensor | None, kept: Kept, v: Pieces) -> torch.Tensor:
        return self.module(t)

    def adjoint(
        self, h: torch.Tensor, t: torch.Tensor | None, kept: Kept, v: Pieces, out: Pieces, onward: bool
    ) -> torch.Tensor:
        return self._transposed(h, kept)
