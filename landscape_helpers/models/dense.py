"""Networks of linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from .parts import activation_named


def softmax(n_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """Multinomial logistic regression, the convex model of *Exploring Gradient Oscillation*, Figure 1.

    The paper calls it a perceptron, and trains it by gradient descent on the cross-entropy, which a threshold unit does
    not allow.
    """
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, n_classes))


def mlp(
    n_classes: int,
    input_shape: tuple[int, int, int],
    hidden: Sequence[int] = (128,),
    activation: str = "relu",
) -> nn.Module:
    """A multi-layer perceptron: flatten, linear layers of the given widths with an activation after each, a linear one.

    Args:
        hidden: units of the hidden layers; one of 128 in *Visualizing, Rethinking, and Mining*, App. A.1.
    """
    channels, height, width = input_shape
    sizes = [channels * height * width, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation_named(activation)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], n_classes))
