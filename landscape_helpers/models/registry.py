"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any

import torch
from torch import nn

from ..layers import layers_of
from . import external
from .alexnet import alexnet
from .cifar_residual import cifar_resnet
from .convolutional import cnn, vgg
from .dense import mlp, softmax
from .options import check_options, is_count
from .residual import resnet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "softmax": softmax,
    "mlp": mlp,
    "cnn": cnn,
    "alexnet": alexnet,
    "vgg11": partial(vgg, depth=11),
    "vgg16": partial(vgg, depth=16),
    "vgg11_bn": partial(vgg, depth=11, batchnorm=True),
    "vgg16_bn": partial(vgg, depth=16, batchnorm=True),
    "resnet10": partial(resnet, blocks=(1, 1, 1, 1)),
    "resnet18": partial(resnet, blocks=(2, 2, 2, 2)),
    "resnet34": partial(resnet, blocks=(3, 4, 6, 3)),
    **{f"resnet{depth}": partial(cifar_resnet, depth=depth) for depth in (8, 14, 20, 32, 56, 110)},
}
INITIALISATIONS = ("default", "kaiming")
LARGEST_SEED = 2**63 - 1  # which generators and result files can hold


def build_model(
    name: str,
    n_classes: int,
    input_shape: tuple[int, int, int],
    seed: int = 0,
    init: str = "default",
    **options: Any,
) -> nn.Module:
    """A freshly initialised network.

    Args:
        name: one of :data:`MODELS`, or ``"torchvision:NAME"`` for a classifier of torchvision without weights.
        n_classes: outputs.
        input_shape: (channels, height, width) of one image.
        seed: of the initialisation, from 0 to 2^63 - 1. The global random state is left as it was. Weights are drawn on
            the CPU, so that a seed means the same weights on every machine; under ``torch.device("meta")`` none are
            drawn.
        init: "default", the framework's, since three of the papers state none; "kaiming", which the singularity paper
            states (Section 4), normal with variance 2 / fan-in and zero biases (He et al. 2015).
        options: of the network. What a name stands for, such as the depth of "vgg16", is not an option.

            - ``activation`` (all but softmax): "relu" (default) or "tanh".
            - ``hidden`` (mlp): units of each hidden layer; (128,), as in the mining paper (App. A.1).
            - ``width`` (all but softmax and mlp): channels of the first stage. 32 for cnn, which no paper states; else
              as in the original: 16 for resnet8, 14, 20, 32, 56 and 110, and 64.
            - ``batchnorm`` (cnn, vgg11, vgg16): BatchNorm behind each convolution; False.
            - ``norm`` (resnet10, 18, 34): "batch" (default) or "none".
            - ``skip`` (resnet8, 14, 20, 32, 56, 110): whether there are shortcuts; True.

    Raises:
        ValueError: an unknown name, option or initialisation, a value of the wrong kind, a seed out of range, a size
            below 1, or images that the network cannot take.
    """
    if not is_count(n_classes) or len(input_shape) != 3 or not all(is_count(size) for size in input_shape):
        raise ValueError(
            f"a network needs at least one class and an input shape (channels, height, width), got {n_classes} classes "
            f"and {tuple(input_shape)}"
        )
    if init not in INITIALISATIONS:
        raise ValueError(f"unknown init {init!r}: expected one of {list(INITIALISATIONS)}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) <= LARGEST_SEED:
        raise ValueError(f"seed must be a whole number of at least 0 and below 2^63, got {seed!r}")
    shape = (int(input_shape[0]), int(input_shape[1]), int(input_shape[2]))
    foreign = name.startswith(external.PREFIX)
    if foreign:
        external.check_name(name, options)
    elif name in MODELS:
        check_options(name, MODELS[name], options)
    else:
        raise ValueError(f"unknown model {name!r}: expected one of {', '.join(MODELS)} or {external.PREFIX}NAME")
    place = "meta" if torch.empty(0).is_meta else "cpu"
    with torch.random.fork_rng(devices=[]), torch.device(place):
        torch.default_generator.manual_seed(int(seed))
        if foreign:
            model = external.build(name, n_classes, options)
        else:
            model = MODELS[name](n_classes=n_classes, input_shape=shape, **options)
        if init == "kaiming":
            _kaiming(model)
        if foreign:
            external.try_shape(name, model, n_classes, shape)
    return model


def model_table(n_classes: int = 10, input_shape: tuple[int, int, int] = (3, 32, 32)) -> list[dict[str, Any]]:
    """Name, number of parameters and number of layers of every network at its default options.

    Args:
        n_classes: outputs; 10 and the shape are those of CIFAR-10.
        input_shape: (channels, height, width) of one image.

    Returns:
        One ``{"name", "parameters", "layers"}`` a network.

    Raises:
        ValueError: as :func:`build_model`.
    """
    rows = []
    for name in MODELS:
        model = build_model(name, n_classes, input_shape)
        parameters = sum(p.numel() for p in model.parameters())
        rows.append({"name": name, "parameters": parameters, "layers": len(layers_of(model))})
    return rows


def _kaiming(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
