"""Mean and variance of a layer's input, micro-batch by micro-batch, and normalising in place.

Both work on a view (rows, width x channels) of a ``channels_last`` activation: long contiguous rows, several times
faster on a processor than a reduction over three axes.
"""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from .batchnorm import Statistics


def rows_of(x: torch.Tensor) -> torch.Tensor | None:
    """``x`` (n, C, ...) as a view (rows, repeats x C), channels fastest; None if its layout has no such view."""
    if x.dim() == 2:
        return x if x.is_contiguous() else None
    last = x.movedim(1, -1)
    if not last.is_contiguous():
        return None
    return last.reshape(-1, last.shape[-1] * last.shape[-2])


class Scratch:
    """Memory for a passing result, kept: the pages of a fresh allocation cost more than the arithmetic on them."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0)

    def like(self, x: torch.Tensor) -> torch.Tensor:
        """Uninitialised memory of the shape and layout of the dense ``x``, overwritten at the next call."""
        if self._buffer.numel() < x.numel() or self._buffer.dtype != x.dtype or self._buffer.device != x.device:
            self._buffer = x.new_empty(x.numel())
        # The layout of x, channels_last included, so that no operation has to reorder.
        return self._buffer[: x.numel()].as_strided(x.shape, x.stride())

    @property
    def place(self) -> int:
        return self._buffer.untyped_storage().data_ptr()


class Moments:
    """Exact mean and biased variance of inputs that arrive in pieces.

    Each piece contributes its own mean and its sum of squared deviations from that mean, merged by Chan, Golub and
    LeVeque's formula (1979) in double precision: no difference of large squares, whatever the mean.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._count = 0
        self._mean = self._squares = torch.zeros(())
        self._dtype = torch.float32

    def add(self, x: torch.Tensor) -> None:
        channels = x.shape[1]
        wide = rows_of(x)
        if wide is None:
            wide = x.movedim(1, -1).reshape(-1, channels)
        repeats = wide.shape[1] // channels
        count = wide.shape[0] * repeats
        mean = wide.sum(0).view(repeats, channels).double().sum(0) / count
        deviation = torch.sub(wide, mean.to(x.dtype).repeat(repeats), out=self._scratch.like(wide))
        # The mean rounded to the working precision is off by less than its last digit: corrected below.
        offset = mean - mean.to(x.dtype).double()
        squares = deviation.mul_(deviation).sum(0).view(repeats, channels).double().sum(0) - count * offset**2
        if self._count == 0:
            self._count, self._mean, self._squares, self._dtype = count, mean, squares, x.dtype
            return
        total = self._count + count
        gap = mean - self._mean
        self._mean = self._mean + gap * (count / total)
        self._squares = self._squares + squares + gap**2 * (self._count * count / total)
        self._count = total

    def statistics(self) -> Statistics:
        variance = (self._squares / self._count).clamp_min_(0)
        return Statistics(self._mean.to(self._dtype), variance.to(self._dtype))


class Normaliser:
    """Normalises with given statistics, scales and shifts as the module does: one multiplication and one addition."""

    def __init__(self, module: _BatchNorm, given: Statistics) -> None:
        scale = (given.variance.double() + module.eps).rsqrt_()
        if module.weight is not None:
            scale = scale * module.weight
        shift = -given.mean.double() * scale
        if module.bias is not None:
            shift = shift + module.bias
        self._scale, self._shift = scale.to(given.mean.dtype), shift.to(given.mean.dtype)
        self._repeated: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __call__(self, x: torch.Tensor, overwrite: bool) -> torch.Tensor:
        """``x`` (n, C, ...) normalised, in place if it may be overwritten."""
        wide = rows_of(x)
        if wide is None:
            shape = (1, -1) + (1,) * (x.dim() - 2)
            return torch.addcmul(self._shift.view(shape), x, self._scale.view(shape))
        repeats = wide.shape[1] // x.shape[1]
        if repeats not in self._repeated:
            self._repeated[repeats] = self._scale.repeat(repeats), self._shift.repeat(repeats)
        scale, shift = self._repeated[repeats]
        out = wide if overwrite else torch.empty_like(wide)
        torch.addcmul(shift, wide, scale, out=out)
        if overwrite:
            return x
        return out if x.dim() == 2 else out.view(x.movedim(1, -1).shape).movedim(-1, 1)
