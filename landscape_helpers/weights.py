"""Between the weights of a model of yours and theta, the flat vector that an objective is a function of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .layers import trainable_parameters
from .objective import Objective

COMPILED = "_orig_mod"  # where torch.compile keeps a module, which may be a part of a model
WRAPPER = "module"  # where data-parallel wrappers and averaged copies keep a model


def theta_of(objective: Objective, weights: nn.Module | Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Where a model of the objective's make stands: theta (P,), on the objective's device and of its dtype.

    Parameters are found by their names. Those that ``torch.compile``, a data-parallel wrapper or
    ``torch.optim.swa_utils.AveragedModel`` has prefixed are understood, in the weights and in the objective's model,
    and so is a file that holds a shared parameter under one of its names alone. The running statistics of BatchNorm are
    no part of theta: an objective with ``batchnorm="frozen"`` keeps those it was made with.

    Args:
        objective: made of a model with the same trainable parameters.
        weights: a model, or its ``state_dict()``, as ``torch.load(path, weights_only=True)`` returns it.

    Raises:
        TypeError: anything else.
        ValueError: a parameter is missing or of another shape, or the weights are those of another function than the
            objective's: a parameter that does not train, or a buffer of floating-point numbers other than BatchNorm's,
            has other values there; a parameter is shared here and not there; or there are modules or parameters that
            the objective's model has not.
    """
    model = _inner(objective.model)
    shared: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        shared.setdefault(id(parameter), []).append(_plain(name))
    trainable = [(shared[id(parameter)], parameter) for _, parameter in trainable_parameters(model)]
    found = _by_name(weights, [names for names, _ in trainable])
    modules = {_plain(name): module for name, module in model.named_modules(remove_duplicate=False)}
    _check_fixed(model, modules, found)
    theta = torch.cat([_value(names, parameter, found).reshape(-1) for names, parameter in trainable])
    _check_room(modules, found)
    return theta.detach().to(objective.device, objective.dtype)


def state_dict_of(objective: Objective, theta: torch.Tensor) -> dict[str, torch.Tensor]:
    """The parameters at theta (P,) by name, copied, for ``model.load_state_dict(..., strict=False)``.

    Not strict, for theta holds the trainable parameters alone, those that are shared once. The names are those of the
    objective's model: a model in a wrapper takes them where that one stood in the same (``load_state_dict`` returns
    what it did not find a place for as ``unexpected_keys``).

    Raises:
        ValueError: theta of the wrong length.
    """
    if theta.shape != (objective.parameters,):
        raise ValueError(f"theta must have shape ({objective.parameters},), got {tuple(theta.shape)}")
    names = [name for name, _ in trainable_parameters(objective.model)]
    return {name: value.clone() for name, value in zip(names, objective.views(theta.detach()), strict=True)}


def _inner(model: nn.Module) -> nn.Module:
    """The model inside its wrappers."""
    for wrapper in (COMPILED, WRAPPER):
        if all(name.startswith(wrapper + ".") for name, _ in model.named_parameters()):
            return _inner(model.get_submodule(wrapper))
    return model


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != COMPILED) if COMPILED in name else name


def _by_name(weights: Any, wanted: Sequence[Sequence[str]]) -> dict[str, torch.Tensor]:
    """The tensors of the weights by plain names, inside as many wrappers as hold one name of each ``wanted``."""
    if isinstance(weights, nn.Module):
        # With all names of a shared parameter: which of them theta uses is the objective's affair.
        given: dict[str, Any] = dict(weights.named_parameters(remove_duplicate=False))
        given |= dict(weights.named_buffers(remove_duplicate=False))
    elif isinstance(weights, Mapping):
        given = dict(weights)
    else:
        raise TypeError(f"weights must be a module or a state dict, got {type(weights).__name__}")
    found = inner = {_plain(str(name)): value for name, value in given.items() if isinstance(value, torch.Tensor)}
    parts = [repr(name) for name, value in given.items() if isinstance(value, Mapping)]
    if parts and not found:
        raise ValueError(f"the weights given hold no tensor but {', '.join(parts)}: give the model's state dict alone")
    while inner:
        if all(any(name in inner for name in names) for names in wanted):
            return inner
        outside = WRAPPER + "."
        inner = {name.removeprefix(outside): value for name, value in inner.items() if name.startswith(outside)}
    return found


def _value(names: Sequence[str], parameter: nn.Parameter, found: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What the weights hold for a parameter that has these names."""
    values = {name: found[name] for name in names if name in found}
    if not values:
        raise ValueError(
            f"the weights given hold no {names[0]!r}, which theta needs: give a model of the same make as the "
            f"objective's or its state_dict() (they hold {_some(found)})"
        )
    (first, value), *others = values.items()
    if value.shape != parameter.shape:
        raise ValueError(
            f"{first!r} has shape {tuple(value.shape)} in the weights given and {tuple(parameter.shape)} in the "
            "objective's model: give weights of a model of the same sizes"
        )
    for name, other in others:
        if other is not value and not _same(other, value):
            raise ValueError(
                f"{first!r} and {name!r} are one parameter in the objective's model and have different values in the "
                "weights given: make the objective of a model that does not share them"
            )
    return value


def _check_fixed(model: nn.Module, modules: Mapping[str, nn.Module], found: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that differ in what is no part of theta, and would be evaluated with the objective's own."""
    remedy = "make the objective of the model that these weights belong to"
    for name, parameter in model.named_parameters():
        name = _plain(name)
        if not parameter.requires_grad and name in found and not _equal(found[name], parameter):
            raise ValueError(
                f"{name!r} does not train in the objective's model and has other values in the weights given: "
                f"{remedy}; for a part that is frozen at first and trains later, make it while all of it trains"
            )
    for name, buffer in model.named_buffers():
        name = _plain(name)
        norm = isinstance(modules[name.rpartition(".")[0]], nn.modules.batchnorm._BatchNorm)
        if buffer.is_floating_point() and not norm and name in found and not _equal(found[name], buffer):
            raise ValueError(
                f"the buffer {name!r}, which is no part of theta, has other values in the weights given than in the "
                f"objective's model: {remedy}; or, where it is to keep its own, give the parameters alone, "
                "dict(model.named_parameters())"
            )


def _check_room(modules: Mapping[str, nn.Module], found: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights of a larger model, of which the objective would take a part; buffers may be more."""
    for name in found:
        path, _, last = name.rpartition(".")
        # A parameter that a module can have and has not, such as a bias, is registered as None.
        if path not in modules or modules[path]._parameters.get(last, found) is None:
            raise ValueError(
                f"the weights given hold {name!r}, for which the objective's model has no place: give weights of a "
                "model of the same make, or, where its loss does not depend on that one, give them without it"
            )


def _equal(value: torch.Tensor, own: torch.Tensor) -> bool:
    """Equal numbers, also where one of the two was rounded to a shorter type."""
    value, own = value.detach(), own.detach()
    return _same(value.to(own), own) or _same(value, own.to(value))


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _some(found: Mapping[str, torch.Tensor]) -> str:
    names = list(found)
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "no tensor"
