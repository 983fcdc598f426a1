"""The residual networks that were made for CIFAR, with and without their shortcuts."""

from __future__ import annotations

import torch
from torch import nn

from .parts import activation_named, conv3x3

STAGES = 3


class PaddedBlock(nn.Module):
    """Two 3x3 convolutions around which the input skips, subsampled and padded with zero channels where sizes differ.

    He et al. (2016), Section 4.2: shortcuts without parameters ("option A"). With ``skip=False`` nothing is added to
    the convolutions' output, which leaves a plain network of the same parameters (Li et al. 2018, "no short").
    """

    def __init__(self, inputs: int, outputs: int, stride: int, skip: bool, activation: str) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv3x3(inputs, outputs, stride, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = conv3x3(outputs, outputs, bias=False), nn.BatchNorm2d(outputs)
        self.activation = activation_named(activation)
        self.skip, self.stride, self.padding = skip, stride, outputs - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.norm2(self.conv2(self.activation(self.norm1(self.conv1(x)))))
        if not self.skip:
            return self.activation(inner)
        around = x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        if self.padding:
            around = nn.functional.pad(around, (0, 0, 0, 0, 0, self.padding))
        return self.activation(inner + around)


def cifar_resnet(
    n_classes: int,
    input_shape: tuple[int, int, int],
    depth: int = 20,
    width: int = 16,
    skip: bool = True,
    activation: str = "relu",
) -> nn.Module:
    """ResNet of 6 n + 2 weighted layers: a 3x3 stem, three stages of n blocks, global average, one linear layer.

    He et al. (2016), Section 4.2; *Visualizing, Rethinking, and Mining the Loss Landscape* trains those of depth 32, 56
    and 110, and 56 and 110 without shortcuts; *A Walk with SGD* that of depth 56.

    Args:
        depth: 8, 14, 20, 32, 56, 110 or any other 6 n + 2.
        width: channels of the first stage, 16 in the original, doubled from stage to stage.
        skip: False takes the shortcuts away and keeps every parameter.
    """
    blocks, rest = divmod(depth - 2, 2 * STAGES)
    if rest or blocks < 1:
        raise ValueError(f"the depth of a CIFAR ResNet must be 6 n + 2, such as 8, 20 or 32, got {depth}")
    layers: list[nn.Module] = [conv3x3(input_shape[0], width, bias=False), nn.BatchNorm2d(width)]
    layers.append(activation_named(activation))
    channels = width
    for stage in range(STAGES):
        outputs = width * 2**stage
        for j in range(blocks):
            layers.append(PaddedBlock(channels, outputs, 2 if stage and not j else 1, skip, activation))
            channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, n_classes))
