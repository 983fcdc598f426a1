"""Between the weights of a model of yours and theta, the flat vector that an objective is a function of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .layers import trainable_parameters
from .objective import Objective
from .objective_checks.isolation import COMPILED

ROUNDING = 4  # units of the last digit of the largest number
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
    values = [held[0].reshape(-1) for held in _counterparts(objective, weights)]
    return torch.cat(values).detach().to(objective.device, objective.dtype)


def load_theta(objective: Objective, theta: torch.Tensor, model: nn.Module) -> None:
    """Put a model of the objective's make at theta (P,): its trainable parameters are written in place.

    Parameters are found as by :func:`theta_of`, in any wrapper, and keep their device and dtype. Nothing is written
    where something is refused, and nothing but the parameters at all.

    Raises:
        TypeError: theta that is no tensor, or a model that is no module.
        ValueError: theta of the wrong length, what :func:`theta_of` refuses, or a parameter that the model shares and
            the objective's model does not, where theta has different values for its places.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module, whose parameters are written, got {type(model).__name__}")
    objective.check_vector(theta)
    values = objective.views(theta.detach())
    pairs = [(p, v) for held, v in zip(_counterparts(objective, model), values, strict=True) for p in held]
    first: dict[int, torch.Tensor] = {}
    for parameter, value in pairs:
        if not _same(first.setdefault(id(parameter), value), value):
            raise ValueError(
                "the model shares a parameter that the objective's model holds twice, and theta has different values "
                "for the two: give a model that does not share it"
            )
    with torch.no_grad():
        for parameter, value in pairs:
            parameter.copy_(value)


def state_dict_of(objective: Objective, theta: torch.Tensor) -> dict[str, torch.Tensor]:
    """The parameters at theta (P,) by name, copied, for ``model.load_state_dict(..., strict=False)``.

    Not strict, for theta holds the trainable parameters alone, those that are shared once. The names are those of the
    objective's model, without what ``torch.compile`` prefixes; ``load_state_dict`` passes over what it finds no place
    for, and returns it as ``unexpected_keys``. :func:`load_theta` finds the place in any wrapper.

    Raises:
        TypeError: theta that is no tensor.
        ValueError: theta of the wrong length.
    """
    objective.check_vector(theta)
    names = [name for name, _ in trainable_parameters(objective.model)]
    return {name: value.clone() for name, value in zip(names, objective.views(theta.detach()), strict=True)}


def adam_scale(objective: Objective, optimizer: torch.optim.Optimizer, model: nn.Module) -> torch.Tensor:
    r"""The scale that Adam gives every parameter now, in the order of theta: the diagonal (P,) of

    .. math::

        D = \frac1{\sqrt{\hat v_t}+\epsilon},\qquad \hat v_t=\frac{v_t}{1-\beta_2^t}

    by which Adam multiplies the mean gradient (Kingma & Ba 2015, Algorithm 1), with the greatest :math:`v` so far under
    ``amsgrad``. As ``scale`` of :func:`~landscape_helpers.curvature.top_eigenpairs` it gives the preconditioned
    sharpness, which stands at :math:`(2+2\beta_1)/((1-\beta_1)\eta)` at the edge of stability (Cohen et al. 2022,
    *Adaptive Gradient Methods at the Edge of Stability*). Not in it are the rate :math:`\eta`, which may differ between
    groups of parameters, and the correction :math:`1/(1-\beta_1^t)` of the mean gradient, which Cohen et al. have in D:
    below 1 % after 44 steps with :math:`\beta_1=0.9`.

    Args:
        objective: made of a model with the same trainable parameters.
        optimizer: ``torch.optim.Adam`` or ``AdamW``, after a step at least.
        model: whose parameters the optimiser moves; wrappers are understood as by :func:`theta_of`.

    Raises:
        TypeError: another optimiser, or a model that is no module.
        ValueError: what :func:`theta_of` refuses; a parameter that the optimiser does not hold, or of which it has no
            state yet.
    """
    if not isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        raise TypeError(
            f"optimizer must be torch.optim.Adam or AdamW, for their second moments, got {type(optimizer).__name__}"
        )
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be the module whose parameters the optimiser moves, got {type(model).__name__}: a state dict "
            "does not tell which are which"
        )
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    names = [name for name, _ in trainable_parameters(objective.model)]
    pieces = []
    for name, held in zip(names, _counterparts(objective, model), strict=True):
        parameter = next((p for p in held if id(p) in groups), None)
        if parameter is None:
            raise ValueError(f"the optimiser does not hold {name!r} of the model given: give the model that it moves")
        state, group = optimizer.state.get(parameter), groups[id(parameter)]
        if not state:
            raise ValueError(f"the optimiser has no state of {name!r} yet: ask after a step that gave it a gradient")
        moment = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"].detach()
        corrected = moment / (1 - float(group["betas"][1]) ** float(state["step"]))
        pieces.append((1 / (corrected.sqrt() + float(group["eps"]))).reshape(-1))
    return torch.cat(pieces).to(objective.device, objective.dtype)


def _counterparts(objective: Objective, weights: Any) -> list[list[torch.Tensor]]:
    """For every parameter that theta holds, the tensors of the weights that have one of its names."""
    model = _inner(objective.model)
    shared: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        shared.setdefault(id(parameter), []).append(name)
    trainable = [(shared[id(parameter)], parameter) for _, parameter in trainable_parameters(model)]
    found = _by_name(weights, [names for names, _ in trainable])
    modules = dict(model.named_modules(remove_duplicate=False))
    _check_fixed(model, modules, found)
    counterparts = [_values(names, parameter, found) for names, parameter in trainable]
    _check_room(modules, found)
    return counterparts


def _inner(model: nn.Module) -> nn.Module:
    """The model inside its wrappers; the objective has taken what is compiled out of its own."""
    if all(name.startswith(WRAPPER + ".") for name, _ in model.named_parameters()):
        return _inner(model.get_submodule(WRAPPER))
    return model


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != COMPILED)


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


def _values(names: Sequence[str], parameter: nn.Parameter, found: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """What the weights hold under these names of a parameter: at least one tensor, all of the same values."""
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
    return list(values.values())


def _check_fixed(model: nn.Module, modules: Mapping[str, nn.Module], found: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that differ in what is no part of theta, and would be evaluated with the objective's own."""
    remedy = "make the objective of the model that these weights belong to"
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad and name in found and not _equal(found[name], parameter):
            raise ValueError(
                f"{name!r} does not train in the objective's model and has other values in the weights given: "
                f"{remedy}; for a part that is frozen at first and trains later, make it while all of it trains"
            )
    for name, buffer in model.named_buffers():
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
    """Equal numbers but for rounding, of either to the shorter type and by layers that write what they have read."""
    value, own = value.detach(), own.detach()
    short = min(value.dtype, own.dtype, key=lambda dtype: dtype.itemsize)
    a, b = value.to(own.device, short).double(), own.to(short).double()
    size = float(b.nan_to_num().abs().max()) if b.numel() else 0.0
    rounding = ROUNDING * torch.finfo(short).eps * size
    return _same(a, b, rounding)


def _same(a: torch.Tensor, b: torch.Tensor, within: float = 0.0) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=within, equal_nan=True)


def _some(found: Mapping[str, torch.Tensor]) -> str:
    names = list(found)
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "no tensor"
