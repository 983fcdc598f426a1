"""A model that can be evaluated without a trace: copied, put back as it was, and kept from writing to its data."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .wording import described

COMPILED = "_orig_mod"  # where torch.compile keeps the module that it compiled


def copy_of(model: nn.Module) -> nn.Module:
    """A deep copy of the model, with each part that ``torch.compile`` made in the place of another as that other.

    Compiled code has no second derivative.

    Raises:
        ValueError: something in the model cannot be copied; the message names the attribute.
    """
    try:
        return _plain(copy.deepcopy(model))
    except Exception as error:
        for path, module in model.named_modules():
            for name, value in vars(module).items():
                if name in ("_modules", "_parameters", "_buffers") or _copies(value):
                    continue
                where = f"{path}.{name}" if path else name
                raise ValueError(
                    f"{type(model).__name__} cannot be copied because of its attribute {where}, {described(value)}: "
                    "delete it first (a cached activation), run the model once (a lazy layer), call "
                    "torch.nn.utils.prune.remove (a pruned weight), or use torch.nn.utils.parametrizations (for the "
                    "weight of torch.nn.utils.weight_norm or spectral_norm)"
                ) from error
        raise


def _plain(model: nn.Module) -> nn.Module:
    """The model without compiled parts, changed in place."""
    if isinstance(inner := model._modules.get(COMPILED), nn.Module):
        return _plain(inner)
    for name, child in model._modules.items():
        if child is not None:
            model._modules[name] = _plain(child)
    return model


def _copies(value: object) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:
        return False
    return True


def version(tensor: torch.Tensor) -> int:
    """How often a tensor, or a view of its memory, was written to; -1 where torch keeps no count (inference mode)."""
    return -1 if tensor.is_inference() else tensor._version


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluate a model without a gradient and without a trace: its buffers and torch's random numbers are put back."""
    buffers = [(module, dict(module._buffers)) for module in model.modules() if module._buffers]
    saved = [(b, version(b), b.clone()) for _, own in buffers for b in own.values() if b is not None]
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            for module, own in buffers:
                module._buffers.clear()
                module._buffers.update(own)
            for buffer, before, value in saved:
                if version(buffer) != before:
                    buffer.copy_(value)


def check_unwritten(model: nn.Module, unwritten: bool) -> None:
    """Refuse a model or a loss that has written to the samples, which would be others at the next evaluation."""
    if not unwritten:
        raise ValueError(
            f"{type(model).__name__} or its loss changes its inputs or targets in place, so that every evaluation "
            "would see other data: use operations that make a new tensor (x = x - 1, not x.sub_(1); ReLU without "
            "inplace=True as the first layer), or start the forward pass with x = x.clone()"
        )
