"""The arguments of an objective: losses and policies that have a name, and what is wrong with an argument by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral

import torch
from torch import nn

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LOSSES: dict[str, LossFunction] = {
    "cross_entropy": nn.functional.cross_entropy,
    "mse": nn.functional.mse_loss,
}
BATCHNORM_POLICIES = ("batch", "whole", "frozen")


def check_arguments(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    loss: str | LossFunction,
    batch_size: int | None,
    batchnorm: str,
) -> LossFunction:
    """Refuse arguments of :class:`~landscape_helpers.objective.Objective` that are wrong by themselves.

    Returns:
        the loss function that is meant.

    Raises:
        TypeError: a model that is no module, x or y that is no tensor, a loss that cannot be called.
        ValueError: a value out of range.
    """
    _check_types(model, x, y, loss, batch_size)
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"x and y must hold the same number of samples, at least one: got {len(x)} and {len(y)}")
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        raise ValueError("x holds NaN or infinite values: clean or drop those samples first")
    if isinstance(loss, str) and y.is_floating_point() and not bool(torch.isfinite(y).all()):
        raise ValueError("y holds NaN or infinite values: clean or drop those samples first")
    if isinstance(loss, str) and loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: expected one of {sorted(LOSSES)} or a callable")
    if batchnorm not in BATCHNORM_POLICIES:
        raise ValueError(
            f"unknown batchnorm policy {batchnorm!r}: expected one of {list(BATCHNORM_POLICIES)}; 're-estimated' and "
            "'interpolated' are policies of a slice"
        )
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1 or None for the whole set, got {batch_size}")
    if batchnorm == "whole" and batch_size is not None and batch_size < len(x):
        raise ValueError(
            f"batchnorm='whole' needs all {len(x)} samples in one pass, got batch_size={batch_size}: "
            "pass batch_size=None, or choose batchnorm='batch'"
        )
    return LOSSES[loss] if isinstance(loss, str) else loss


def _check_types(model: object, x: object, y: object, loss: object, batch_size: object) -> None:
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}: make one first" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model must be a torch.nn.Module, got {what}")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"model is a {type(model).__name__}, which cannot be copied: pass the module it was made from")
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name} must be one tensor with the samples along its first axis, {_instead(name, value)}")
        if value.dim() == 0:
            raise ValueError(f"{name} must be one tensor with the samples along its first axis, got a single number")
    if isinstance(loss, type):
        raise TypeError(f"loss is the class {loss.__name__}: pass a loss made of it, {loss.__name__}()")
    if not isinstance(loss, str) and not callable(loss):
        raise TypeError(
            f"loss must be a name or a callable (outputs, targets) -> scalar, got {type(loss).__name__}: pass "
            "'cross_entropy', 'mse' or a function"
        )
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, Integral)):
        raise ValueError(f"batch_size must be a whole number, or None for the whole set, got {batch_size!r}")


def check_whole(**numbers: float | None) -> None:
    """Refuse numbers that are not whole, such as 2.5 steps, of which there would be no last one; 3.0 is one, None too.

    Raises:
        ValueError: one that is not, by its name.
    """
    for name, value in numbers.items():
        if value is not None and not float(value).is_integer():
            raise ValueError(f"{name} must be a whole number, got {value}: round it")


def _instead(name: str, value: object) -> str:
    kind = f"got {type(value).__name__}"
    if isinstance(value, torch.utils.data.DataLoader):
        return f"{kind}: concatenate its batches, x, y = map(torch.cat, zip(*loader))"
    if isinstance(value, torch.utils.data.Dataset):
        return f"{kind}: read it whole, x, y = next(iter(torch.utils.data.DataLoader(dataset, len(dataset))))"
    if isinstance(value, tuple | list | Mapping) and any(
        isinstance(v, torch.Tensor) for v in (value.values() if isinstance(value, Mapping) else value)
    ):
        return f"{kind} of several: pack them into one tensor and wrap the model in a module that takes it apart"
    return f"{kind}: pass torch.as_tensor({name})"
