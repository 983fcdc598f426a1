"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from ..layers import layers_of
from .convolutional import cnn, vgg
from .dense import mlp, softmax
from .residual import resnet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "softmax": softmax,
    "mlp": mlp,
    "cnn": cnn,
    "vgg11": partial(vgg, depth=11),
    "vgg16": partial(vgg, depth=16),
    "vgg11_bn": partial(vgg, depth=11, batchnorm=True),
    "vgg16_bn": partial(vgg, depth=16, batchnorm=True),
    "resnet10": partial(resnet, blocks=(1, 1, 1, 1)),
    "resnet18": partial(resnet, blocks=(2, 2, 2, 2)),
    "resnet34": partial(resnet, blocks=(3, 4, 6, 3)),
}
INITIALISATIONS = ("default", "kaiming")
_TORCHVISION = "torchvision:"


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
        seed: of the initialisation. The global random state is left as it was.
        init: "default", the framework's, since none of the papers states its own; "kaiming", normal with variance
            2 / fan-in and zero biases (He et al. 2015).
        options: of the network, such as ``width=16`` or ``batchnorm=True``.

    Raises:
        ValueError: an unknown name, option or initialisation, or a size below 1.
    """
    if n_classes < 1 or len(input_shape) != 3 or min(input_shape) < 1:
        raise ValueError(
            f"a network needs at least one class and an input shape (channels, height, width), got {n_classes} classes "
            f"and {tuple(input_shape)}"
        )
    if init not in INITIALISATIONS:
        raise ValueError(f"unknown init {init!r}: expected one of {list(INITIALISATIONS)}")
    if isinstance(options.get("width"), int) and options["width"] < 1:
        raise ValueError(f"width must be at least 1 channel, got {options['width']}")
    make = _constructor(name, n_classes, input_shape, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        if init == "kaiming":
            _kaiming(model)
    return model


def model_table(n_classes: int = 10, input_shape: tuple[int, int, int] = (3, 32, 32)) -> list[dict[str, Any]]:
    """Name, number of parameters and number of layers of every network at its default options."""
    rows = []
    for name in MODELS:
        model = build_model(name, n_classes, input_shape)
        parameters = sum(p.numel() for p in model.parameters())
        rows.append({"name": name, "parameters": parameters, "layers": len(layers_of(model))})
    return rows


def _constructor(
    name: str, n_classes: int, input_shape: tuple[int, int, int], options: dict[str, Any]
) -> Callable[[], nn.Module]:
    if name.startswith(_TORCHVISION):
        from .._torchvision import torchvision

        wanted = name.removeprefix(_TORCHVISION)
        known = torchvision.models.list_models(module=torchvision.models)
        if wanted not in known:
            raise ValueError(f"torchvision has no classifier {wanted!r}: expected one of {', '.join(known)}")
        return partial(torchvision.models.get_model, wanted, weights=None, num_classes=n_classes, **options)
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}: expected one of {', '.join(MODELS)} or {_TORCHVISION}NAME")
    allowed = set(inspect.signature(MODELS[name]).parameters) - {"n_classes", "input_shape"}
    unknown = sorted(set(options) - allowed)
    if unknown:
        raise ValueError(f"model {name!r} has no option {unknown[0]!r}: expected one of {sorted(allowed)}")
    return partial(MODELS[name], n_classes=n_classes, input_shape=tuple(input_shape), **options)


def _kaiming(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
