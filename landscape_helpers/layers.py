"""Which entries of the flat parameter vector belong to which layer.

A *layer* is a module that owns trainable parameters. A container whose class sets
``counts_as_one_layer = True`` is one layer with everything inside it (the convolution and batch
normalisation of a residual shortcut, or a block of the simple CNN), and so is a container that is called
``downsample`` or ``shortcut``, as torchvision and most ResNet code name theirs.

Counted this way ResNet-18 has 38 layers, the number the gradient-oscillation paper uses when it calls the
output layer "the last 38-th layer" (Section IV).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import nn

_SHORTCUT_NAMES = {"downsample", "shortcut"}


Vector = TypeVar("Vector", torch.Tensor, np.ndarray)


@dataclass(frozen=True)
class Layer:
    """One layer's place in the flat parameter vector.

    Attributes:
        name: dotted path of the module, ``"features.0"``; ``"model"`` for parameters of the root module.
        kind: class name of the module, ``"Conv2d"``.
        slices: the ranges of theta (P,) that hold the layer's parameters, adjacent ranges merged.
        size: number of parameters in the layer.
    """

    name: str
    kind: str
    slices: tuple[slice, ...]
    size: int

    def of(self, vector: Vector) -> Vector:
        """The layer's entries of ``vector`` (P,), a tensor or an array; a view where they are one contiguous range."""
        if len(self.slices) == 1:
            return vector[self.slices[0]]
        pieces = [vector[s] for s in self.slices]
        return torch.cat(pieces) if isinstance(vector, torch.Tensor) else np.concatenate(pieces)


def trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Names and parameters that make up theta, in ``model.named_parameters()`` order, shared ones once.

    Raises:
        ValueError: the model has no parameter that requires a gradient.
    """
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameters: a landscape needs at least one parameter "
            "with requires_grad=True"
        )
    return parameters


def layers_of(model: nn.Module) -> tuple[Layer, ...]:
    """The layers of ``model`` in the order in which their first parameter stands in theta."""
    owner = {id(p): (name, kind) for name, kind, p in _owned(model, "", None)}
    ranges: dict[tuple[str, str], list[slice]] = {}
    start = 0
    for _, parameter in trainable_parameters(model):
        stop = start + parameter.numel()
        pieces = ranges.setdefault(owner[id(parameter)], [])
        if pieces and pieces[-1].stop == start:
            pieces[-1] = slice(pieces[-1].start, stop)
        else:
            pieces.append(slice(start, stop))
        start = stop
    return tuple(
        Layer(name or "model", kind, tuple(pieces), sum(s.stop - s.start for s in pieces))
        for (name, kind), pieces in ranges.items()
    )


def _owned(module: nn.Module, path: str, unit: tuple[str, str] | None) -> Iterator[tuple[str, str, nn.Parameter]]:
    """Yield (layer name, layer kind, parameter) depth first; a shared parameter keeps its last visit.

    Visiting in reverse makes the *first* module that holds a shared parameter the one that stays, which is
    also where ``named_parameters`` places it.
    """
    last_name = path.rpartition(".")[2]
    if unit is None and (getattr(module, "counts_as_one_layer", False) or last_name in _SHORTCUT_NAMES):
        unit = (path, type(module).__name__)
    for name, child in reversed(list(module.named_children())):
        yield from _owned(child, f"{path}.{name}" if path else name, unit)
    for parameter in module.parameters(recurse=False):
        name, kind = unit or (path, type(module).__name__)
        yield name, kind, parameter
