"""Plain convolutional networks: no connection skips a layer."""

from __future__ import annotations

from torch import nn

from .parts import OneLayer, activation_named, conv3x3

# Convolutions a stage, from Simonyan and Zisserman (2015), Table 1: configurations A and D.
VGG_STAGES = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
VGG_WIDTHS = (1, 2, 4, 8, 8)  # channels of a stage in units of the first one's


def cnn(
    n_classes: int,
    input_shape: tuple[int, int, int],
    width: int = 32,
    batchnorm: bool = False,
    activation: str = "relu",
) -> nn.Module:
    """The simple CNN of *Exploring Gradient Oscillation*, Section III-A: three convolution blocks and a linear
    layer, which it calls a fully-connected block.

    The paper gives neither widths nor what a block holds. Read here as 3x3 convolution, 2x2 max-pooling and
    ReLU with ``width``, ``2 width`` and ``4 width`` channels; ``batchnorm`` puts batch normalisation behind each
    convolution. Pooling stands before the activation: for a monotone activation the two commute, and pooled
    maps are four times smaller. A block counts as one layer.
    """
    channels, height, breadth = input_shape
    if min(height, breadth) < 8:
        raise ValueError(
            f"the simple CNN halves an image three times and needs at least 8x8 pixels, got {height}x{breadth}: take "
            "larger images, pool them less, or use a VGG"
        )
    blocks: list[nn.Module] = []
    for outputs in (width, 2 * width, 4 * width):
        inside: list[nn.Module] = [conv3x3(channels, outputs)]
        if batchnorm:
            inside.append(nn.BatchNorm2d(outputs))
        blocks.append(OneLayer(*inside, nn.MaxPool2d(2), activation_named(activation)))
        channels, height, breadth = outputs, height // 2, breadth // 2
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(channels * height * breadth, n_classes))


def vgg(
    n_classes: int,
    input_shape: tuple[int, int, int],
    depth: int = 16,
    width: int = 64,
    batchnorm: bool = False,
    activation: str = "relu",
) -> nn.Module:
    """VGG-11 or VGG-16 for small images: the convolutions of the original and one linear layer.

    Simonyan and Zisserman (2015), with the head reduced to a single linear layer, as 32x32 images leave a 1x1 map. A
    stage whose map is already a single pixel is not pooled, so that smaller images pass too.

    Args:
        depth: 11 or 16.
        width: channels of the first stage, 64 in the original; the others scale with it.
        batchnorm: batch normalisation behind each convolution, as a layer of its own.
    """
    if depth not in VGG_STAGES:
        raise ValueError(f"VGG depth must be one of {sorted(VGG_STAGES)}, got {depth}")
    channels, height, breadth = input_shape
    layers: list[nn.Module] = []
    for count, multiple in zip(VGG_STAGES[depth], VGG_WIDTHS, strict=True):
        for j in range(count):
            layers.append(conv3x3(channels, channels := multiple * width))
            if batchnorm:
                layers.append(nn.BatchNorm2d(channels))
            if j + 1 == count and min(height, breadth) >= 2:
                layers.append(nn.MaxPool2d(2))
                height, breadth = height // 2, breadth // 2
            layers.append(activation_named(activation))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * breadth, n_classes))
