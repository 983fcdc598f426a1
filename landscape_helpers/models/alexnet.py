"""AlexNet for small images."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from .parts import activation_named, conv3x3

WIDTHS = (1, 3, 6, 4, 4)  # channels of the five convolutions in units of the first one's: 64, 192, 384, 256, 256
POOLED = (0, 1, 4)  # convolutions behind which the maps are pooled, as in the original
HIDDEN = 32  # units of each hidden linear layer in units of the first convolution's channels


def alexnet(
    n_classes: int,
    input_shape: tuple[int, int, int],
    width: int = 64,
    activation: str = "relu",
) -> nn.Module:
    """Five convolutions, three poolings and three linear layers, without normalisation and without dropout.

    Krizhevsky et al. (2012) made it for 224x224 pixels; *There is a Singularity in the Loss Landscape* trains it on
    32x32 without saying how it was reduced. Read here as 3x3 kernels throughout, stride 2 in the first convolution,
    2x2 max-pooling while a map is larger than a pixel, and hidden layers of 2,048 units: 48 million
    multiply-accumulates an image. Pooling stands before the activation: for a monotone activation the two commute.

    Args:
        width: channels of the first convolution, 64 at full width; the others and the hidden layers scale with it.
    """
    channels, height, breadth = input_shape
    layers: list[nn.Module] = []
    for j, multiple in enumerate(WIDTHS):
        stride = 1 if j else 2
        layers.append(conv3x3(channels, channels := multiple * width, stride))
        height, breadth = (height + stride - 1) // stride, (breadth + stride - 1) // stride
        if j in POOLED and min(height, breadth) >= 2:
            layers.append(nn.MaxPool2d(2))
            height, breadth = height // 2, breadth // 2
        layers.append(activation_named(activation))
    sizes = [channels * height * breadth, HIDDEN * width, HIDDEN * width]
    layers.append(nn.Flatten())
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation_named(activation)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], n_classes))
