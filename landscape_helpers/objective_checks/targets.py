"""Whether targets are what a loss that has a name takes for a model's outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .arguments import LossFunction
from .wording import shape_of

IGNORED = -100  # the label that torch.nn.functional.cross_entropy leaves out by default


def check_classes(
    model: nn.Module, outputs: Any, y: torch.Tensor, targets: torch.Tensor, by_name: bool
) -> LossFunction:
    """Refuse outputs and targets that are no classes, before the loss: CUDA does not survive a label out of range."""
    _check_tensor(model, outputs)
    if outputs.dim() < 2:
        raise ValueError(
            f"the cross-entropy takes outputs (samples, classes, ...), got {shape_of(outputs)} for {len(y)} samples: "
            "return one output a class, or pass loss=torch.nn.BCEWithLogitsLoss() for one output in all"
        )
    width, expected = outputs.shape[1], (len(outputs), *outputs.shape[2:])
    if y.is_floating_point():
        if y.shape != outputs.shape:
            raise ValueError(
                f"y of dtype {y.dtype} holds class probabilities, of shape {shape_of(outputs)} for {len(y)} samples, "
                f"got {shape_of(y)}: pass y.long() if these are class labels"
            )
        return nn.functional.cross_entropy
    if y.shape != expected:
        remedy = "y.squeeze(1)" if y.shape == (*expected, 1) else f"class labels of shape {expected}"
        if len(outputs) != len(y):
            remedy = "them to a callable loss that reshapes both, or return outputs (samples, classes, ...)"
        elif y.shape == outputs.shape:
            remedy = "y.argmax(1), or y.to(x.dtype) for class probabilities"
        raise ValueError(
            f"class labels for outputs {shape_of(outputs)} of {len(y)} samples have shape {expected}, got "
            f"{shape_of(y)}: pass {remedy}"
        )
    if y.dtype not in (torch.int64, torch.uint8):
        raise ValueError(f"class labels must have dtype torch.int64, got {y.dtype}: pass y.long()")
    labels = targets
    if not by_name and targets.dtype == torch.int64 and bool((targets == IGNORED).any()):
        labels = targets[targets != IGNORED]
    low, high = (int(labels.min()), int(labels.max())) if labels.numel() else (0, 0)
    if low < 0 or high >= width:
        remedy = "number the classes from 0, or give the model one output a class"
        if low == IGNORED:
            remedy = f"to leave out the samples labelled {IGNORED}, pass loss=torch.nn.functional.cross_entropy"
        raise ValueError(
            f"labels run from {low} to {high}, but the model has {width} outputs (0 to {width - 1}): {remedy}"
        )
    return nn.functional.cross_entropy if labels is targets else _with_ignored


def _with_ignored(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The cross-entropy over the samples that carry a label other than -100."""
    return nn.functional.cross_entropy(outputs, targets)


def check_pairs(model: nn.Module, outputs: Any, y: torch.Tensor) -> None:
    """Refuse outputs and targets that the mean squared error cannot compare number by number."""
    _check_tensor(model, outputs)
    if outputs.shape != y.shape:
        raise ValueError(
            f"the loss 'mse' compares outputs {shape_of(outputs)} with y {shape_of(y)}: give y the shape of the "
            f"outputs, {shape_of(outputs)} for {len(y)} samples (y[:, None], y.squeeze(1) or y.expand)"
        )


def _check_tensor(model: nn.Module, outputs: Any) -> None:
    if not isinstance(outputs, torch.Tensor):
        raise ValueError(
            f"{type(model).__name__} returns a {type(outputs).__name__} where the loss takes one tensor: wrap "
            "it in a module that returns that tensor alone"
        )
