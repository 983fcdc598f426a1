"""Between the weights of a model of yours and theta, the flat vector that an objective is a function of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .layers import trainable_parameters
from .objective import Objective

# What torch.compile and the data-parallel wrappers put before every name.
WRAPPERS = ("_orig_mod.", "module.")


def theta_of(objective: Objective, weights: nn.Module | Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Where a model of the objective's make stands: theta (P,), on the objective's device and of its dtype.

    Parameters are found by their names, so a state dict may hold more: buffers, a frozen part. Names that
    ``torch.compile`` or a data-parallel wrapper has prefixed are understood. Buffers, such as the running statistics of
    BatchNorm, are no part of theta: an objective with ``batchnorm="frozen"`` keeps those it was made with.

    Args:
        objective: made of a model with the same trainable parameters.
        weights: a model, or its ``state_dict()``, as ``torch.load(path, weights_only=True)`` returns it.

    Raises:
        TypeError: anything else.
        ValueError: a parameter is missing or of another shape, or one that does not train has other values than in the
            objective, whose function would be another.
    """
    found = _by_name(weights)
    for name, parameter in objective.model.named_parameters():
        if not parameter.requires_grad and name in found and not _equal(found[name], parameter):
            raise ValueError(
                f"{name!r} does not train in the objective's model and has other values in the weights given: make the "
                "objective of the model that these weights belong to"
            )
    pieces = []
    for name, parameter in trainable_parameters(objective.model):
        if name not in found:
            raise ValueError(
                f"the weights given hold no {name!r}, which theta needs: give a model of the same make as the "
                f"objective's or its state_dict() (they hold {_some(found)})"
            )
        value = found[name]
        if value.shape != parameter.shape:
            raise ValueError(
                f"{name!r} has shape {tuple(value.shape)} in the weights given and {tuple(parameter.shape)} in the "
                "objective's model: give weights of a model of the same sizes"
            )
        pieces.append(value.detach().to(objective.device, objective.dtype).reshape(-1))
    return torch.cat(pieces)


def state_dict_of(objective: Objective, theta: torch.Tensor) -> dict[str, torch.Tensor]:
    """The parameters at theta (P,) by name, copied, for ``model.load_state_dict(..., strict=False)``.

    Not strict, for theta holds the trainable parameters alone, those that are shared once.

    Raises:
        ValueError: theta of the wrong length.
    """
    if theta.shape != (objective.parameters,):
        raise ValueError(f"theta must have shape ({objective.parameters},), got {tuple(theta.shape)}")
    names = [name for name, _ in trainable_parameters(objective.model)]
    return {name: value.clone() for name, value in zip(names, objective.views(theta.detach()), strict=True)}


def _by_name(weights: Any) -> dict[str, torch.Tensor]:
    if isinstance(weights, nn.Module):
        # With all names of a shared parameter: which of them theta uses is the objective's affair.
        found: dict[str, torch.Tensor] = dict(weights.named_parameters(remove_duplicate=False))
    elif isinstance(weights, Mapping):
        found = {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)}
    else:
        raise TypeError(f"weights must be a module or a state dict, got {type(weights).__name__}")
    for wrapper in WRAPPERS:
        if found and all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): value for name, value in found.items()}
    return found


def _equal(value: torch.Tensor, parameter: nn.Parameter) -> bool:
    return value.shape == parameter.shape and bool(torch.equal(value.detach().to(parameter), parameter.detach()))


def _some(found: Mapping[str, torch.Tensor]) -> str:
    names = list(found)
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "no tensor"
