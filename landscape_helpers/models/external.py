"""Networks of torchvision, without weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

PREFIX = "torchvision:"
_OURS = ("weights", "num_classes", "progress")  # set here or by the number of classes
# These have auxiliary classifiers that give a tuple in training mode and stand outside the graph in evaluation mode,
# where their parameters would be directions in which the loss does not change.
_AUXILIARY = ("googlenet", "inception_v3")
_FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, LookupError, ArithmeticError, AttributeError)


def check_name(name: str, options: dict[str, Any]) -> None:
    """Raise ValueError unless ``torchvision:NAME`` is a classifier and no option is one that is set already."""
    from .._torchvision import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    wanted = name.removeprefix(PREFIX)
    if wanted not in known:
        raise ValueError(f"torchvision has no classifier {wanted!r}: expected one of {', '.join(known)}")
    given = [option for option in _OURS if option in options]
    if given:
        raise ValueError(
            f"option {given[0]!r} of {name} cannot be set: networks start untrained, with one output a class"
        )
    if wanted in _AUXILIARY and options.get("aux_logits"):
        raise ValueError(
            f"option 'aux_logits' of {name} must be False or left out: a landscape is that of one loss, and auxiliary "
            "classifiers add theirs in training"
        )


def build(name: str, n_classes: int, options: dict[str, Any]) -> nn.Module:
    """A classifier of torchvision, without auxiliary ones; what torchvision says against the options is one line."""
    from .._torchvision import torchvision

    wanted = name.removeprefix(PREFIX)
    # torchvision initialises these two as their papers do unless told not to, and warns that this is going to change.
    ours = {"aux_logits": False, "init_weights": True} if wanted in _AUXILIARY else {}
    try:
        return torchvision.models.get_model(wanted, weights=None, num_classes=n_classes, **{**ours, **options})
    except _FAILURES as error:
        raise ValueError(f"{name} cannot be built with options {options}: {_line(error)}") from error


def try_shape(name: str, model: nn.Module, n_classes: int, input_shape: tuple[int, int, int]) -> None:
    """Pass one black image through ``model``: most of torchvision's networks are made for 224x224 pixels, some only.

    Raises:
        ValueError: the network does not take such an image or does not return one output a class.
    """
    first = next(model.parameters())
    image = torch.zeros(1, *input_shape, dtype=first.dtype, device=first.device)
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(image)
    except _FAILURES as error:
        raise ValueError(f"{name} does not take images of shape {input_shape} (C, H, W): {_line(error)}") from error
    finally:
        model.train()
    if not isinstance(outputs, torch.Tensor) or tuple(outputs.shape) != (1, n_classes):
        raise ValueError(f"{name} does not return {n_classes} outputs for an image of shape {input_shape}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
