"""Pieces that several networks share."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class OneLayer(nn.Sequential):
    """A container that counts as one layer with everything inside it (see :mod:`landscape_helpers.layers`)."""

    counts_as_one_layer: ClassVar[bool] = True


def activation_named(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: expected one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def conv3x3(inputs: int, outputs: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)
