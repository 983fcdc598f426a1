r"""Rules of the R-operator for layers with weights, and for max-pooling between them.

A convolution's tangent and its adjoint's tangent are two convolutions each: :math:`R\{z\}=W*R\{a\}+V*a`. They are not
merged into one of concatenated channels: where oneDNN already runs each at the rate of a matrix product, as it does
with ``channels_last`` tensors that fit in cache, the copy costs more than the call it saves.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .layer_rules import Kept, Pieces, Rule


def add_to(out: Pieces, parameter: torch.Tensor | None, piece: torch.Tensor) -> None:
    """Add ``piece`` to the parameter's part of the result, if theta holds the parameter."""
    if parameter is not None and id(parameter) in out:
        out[id(parameter)] += piece


class Linear(Rule):
    r""":math:`R\{z\}=R\{a\}W^\top+aV^\top`, :math:`R\{\bar a\}=R\{\bar z\}W+\bar zV`."""

    module: nn.Linear

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        return self.module(a), Kept({"a": a})

    def backward(self, g: torch.Tensor, kept: Kept, onward: bool) -> torch.Tensor:
        kept.tensors["g"] = g
        return g @ self.module.weight if onward else g

    def tangent(self, t: torch.Tensor | None, kept: Kept, v: Pieces) -> torch.Tensor:
        module, direction = self.module, v.get(id(self.module.weight))
        bias = None if module.bias is None else v.get(id(module.bias))
        if t is None or direction is None:
            source, weight = (kept.tensors["a"], direction) if direction is not None else (t, module.weight)
            if source is None:
                result = torch.zeros_like(kept.tensors["g"])
                return result if bias is None else result + bias
            return F.linear(source, weight, bias)
        result = F.linear(kept.tensors["a"], direction, bias)
        flat = result.flatten(0, -2)
        return flat.addmm_(t.flatten(0, -2), module.weight.T).view_as(result)

    def adjoint(
        self, h: torch.Tensor, t: torch.Tensor | None, kept: Kept, v: Pieces, out: Pieces, onward: bool
    ) -> torch.Tensor:
        weight, flat, g = self.module.weight, h.flatten(0, -2), kept.tensors["g"].flatten(0, -2)
        if id(weight) in out:
            out[id(weight)].addmm_(flat.T, kept.tensors["a"].flatten(0, -2))
            if t is not None:
                out[id(weight)].addmm_(g.T, t.flatten(0, -2))
        add_to(out, self.module.bias, flat.sum(0))
        if not onward:
            return h
        if id(weight) in v:
            # One product with both side by side: their inner dimension is often as small as the number of classes.
            result = torch.cat([flat, g], 1) @ torch.cat([weight, v[id(weight)]])
        else:
            result = flat @ weight
        return result.view(*h.shape[:-1], -1)


class Conv2d(Rule):
    r""":math:`R\{z\}=W*R\{a\}+V*a`, :math:`R\{\bar a\}=W\star R\{\bar z\}+V\star\bar z`."""

    module: nn.Conv2d

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        a = a.contiguous(memory_format=torch.channels_last)
        return self.module(a), Kept({"a": a})

    def backward(self, g: torch.Tensor, kept: Kept, onward: bool) -> torch.Tensor:
        kept.sizes = tuple(g.shape)
        if not onward:
            return g  # with no tangent at its input, nothing asks for g again: in a CNN the largest tensor there is
        kept.tensors["g"] = g.contiguous(memory_format=torch.channels_last)
        return self._backward(kept.tensors["g"], kept.tensors["a"], self.module.weight, (True, False))[0]

    def tangent(self, t: torch.Tensor | None, kept: Kept, v: Pieces) -> torch.Tensor:
        m, direction = self.module, v.get(id(self.module.weight))
        bias = None if m.bias is None else v.get(id(m.bias))
        result = None
        if direction is not None:
            result = F.conv2d(kept.tensors["a"], direction, bias, m.stride, m.padding, m.dilation, m.groups)
        if t is not None:
            through = F.conv2d(t, m.weight, bias if result is None else None, m.stride, m.padding, m.dilation, m.groups)
            result = through if result is None else result.add_(through)
        if result is None:
            a = kept.tensors["a"]
            result = a.new_zeros(kept.sizes).contiguous(memory_format=torch.channels_last)
            if bias is not None:
                result += bias[:, None, None]
        return result

    def adjoint(
        self, h: torch.Tensor, t: torch.Tensor | None, kept: Kept, v: Pieces, out: Pieces, onward: bool
    ) -> torch.Tensor:
        weight, a = self.module.weight, kept.tensors["a"]
        add_to(out, self.module.bias, h.sum((0, 2, 3)))
        learns = id(weight) in out
        result, piece = self._backward(h, a, weight, (onward, learns))
        if learns:
            out[id(weight)] += piece
        if learns and onward:
            g = kept.tensors["g"]
            other, piece = self._backward(g, a if t is None else t, v[id(weight)], (True, t is not None))
            if t is not None:
                out[id(weight)] += piece
            result += other
        return result if onward else h

    def _backward(
        self, g: torch.Tensor, a: torch.Tensor, weight: torch.Tensor, wanted: tuple[bool, bool]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adjoints of the input and of the weight; those not wanted are None."""
        m = self.module
        if not any(wanted):
            return g, g
        padding = [0, 0] if isinstance(m.padding, str) else m.padding
        return torch.ops.aten.convolution_backward(
            g, a, weight, None, m.stride, padding, m.dilation, False, [0, 0], m.groups, [*wanted, False]
        )[:2]


class MaxPool2d(Rule):
    """The largest element's tangent; which one it is comes from the values, and is constant nearby.

    Positions are kept as indices into the batch as it lies in memory, channels last: one ``index_select`` forwards and
    one ``scatter`` backwards, several times faster than masks or PyTorch's own pooling kernels.
    """

    module: nn.MaxPool2d
    _buffer: torch.Tensor | None = None

    def forward(self, a: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        m = self.module
        z, inside = F.max_pool2d(a, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, return_indices=True)
        n, channels, height, width = a.shape
        image = torch.arange(n, device=a.device).view(n, 1, 1, 1) * (height * width)
        flat = (image + inside) * channels + torch.arange(channels, device=a.device).view(1, channels, 1, 1)
        kept = Kept({"at": flat.permute(0, 2, 3, 1).reshape(-1)}, sizes=(*a.shape, *z.shape[2:]))
        return z.contiguous(memory_format=torch.channels_last), kept

    def backward(self, g: torch.Tensor, kept: Kept, onward: bool) -> torch.Tensor:
        return self._scattered(g, kept, torch.empty(0, dtype=g.dtype, device=g.device))

    def tangent(self, t: torch.Tensor | None, kept: Kept, v: Pieces) -> torch.Tensor:
        assert t is not None
        n, channels, _, _, height, width = kept.sizes
        values = t.permute(0, 2, 3, 1).reshape(-1).index_select(0, kept.tensors["at"])
        return values.view(n, height, width, channels).permute(0, 3, 1, 2)

    def adjoint(
        self, h: torch.Tensor, t: torch.Tensor | None, kept: Kept, v: Pieces, out: Pieces, onward: bool
    ) -> torch.Tensor:
        # The layer before reads the result before this layer writes the next: one buffer serves all micro-batches,
        # where a fresh one would cost more in page faults than all else here.
        if self._buffer is None or self._buffer.dtype != h.dtype or self._buffer.device != h.device:
            self._buffer = torch.empty(0, dtype=h.dtype, device=h.device)
        return self._scattered(h, kept, self._buffer)

    def _scattered(self, g: torch.Tensor, kept: Kept, buffer: torch.Tensor) -> torch.Tensor:
        n, channels, height, width, _, _ = kept.sizes
        values = g.permute(0, 2, 3, 1).reshape(-1)
        result = buffer.resize_(n * height * width * channels).zero_()
        # Windows that overlap may name an element twice.
        (result.scatter_add_ if self._overlaps() else result.scatter_)(0, kept.tensors["at"], values)
        return result.view(n, height, width, channels).permute(0, 3, 1, 2)

    def _overlaps(self) -> bool:
        m = self.module
        kernel, stride, dilation = _pair(m.kernel_size), _pair(m.stride), _pair(m.dilation)
        return any(s < (k - 1) * d + 1 for k, s, d in zip(kernel, stride, dilation, strict=True))


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)
