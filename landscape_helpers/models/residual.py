"""Residual networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .parts import OneLayer, activation_named, conv3x3


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them (He et al. 2016, Figure 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: bool, activation: str) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv3x3(inputs, outputs, stride, bias=not norm), _norm(outputs, norm)
        self.conv2, self.norm2 = conv3x3(outputs, outputs, bias=not norm), _norm(outputs, norm)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            project = nn.Conv2d(inputs, outputs, 1, stride, bias=not norm)
            self.shortcut = OneLayer(project, _norm(outputs, norm))
        self.activation = activation_named(activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(inner)) + self.shortcut(x))


def resnet(
    n_classes: int,
    input_shape: tuple[int, int, int],
    blocks: Sequence[int] = (2, 2, 2, 2),
    width: int = 64,
    norm: str = "batch",
    activation: str = "relu",
) -> nn.Module:
    """ResNet of basic blocks with a 3x3 stem of stride 1, as is usual at 32x32.

    He et al. (2016), Table 1; *Exploring Gradient Oscillation* does not state its stem. Counting every module that
    owns parameters once and each shortcut's convolution and normalisation as one, ResNet-18 has 38 layers, the
    number of the paper's last layer (Section IV).

    Args:
        blocks: blocks in each of the four stages: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) ResNet-34.
        width: channels of the first stage, 64 in the original; doubled from stage to stage.
        norm: "batch" or "none"; without normalisation the convolutions get biases.
    """
    if norm not in ("batch", "none"):
        raise ValueError(f"norm must be 'batch' or 'none', got {norm!r}")
    normalised = norm == "batch"
    stem = [conv3x3(input_shape[0], width, bias=not normalised), _norm(width, normalised)]
    layers: list[nn.Module] = [*stem, activation_named(activation)]
    channels = width
    for stage, count in enumerate(blocks):
        outputs = width * 2**stage
        for j in range(count):
            stride = 2 if stage > 0 and j == 0 else 1
            layers.append(BasicBlock(channels, outputs, stride, normalised, activation))
            channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, n_classes))


def _norm(channels: int, normalised: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if normalised else nn.Identity()
