"""One evaluation of a model and of its loss, with an error that says what each was given."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .arguments import LossFunction
from .isolation import check_unwritten, version
from .wording import described, first_line


class EvaluationError(ValueError):
    """The model or the loss raised an error on the samples; it is this one's cause."""


def outputs_of(model: nn.Module, x: torch.Tensor) -> Any:
    """The outputs on x, which must be left as it is."""
    before = version(x)
    try:
        outputs = model(x)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        raise EvaluationError(
            f"{type(model).__name__} cannot be evaluated on x {described(x)} ({first_line(error)}): give x the shape "
            "and dtype that its forward pass takes"
        ) from error
    check_unwritten(model, version(x) == before)
    return outputs


def value_of(loss: LossFunction, outputs: Any, y: torch.Tensor) -> torch.Tensor:
    """The loss as a tensor of one number; y must be left as it is."""
    before = version(y)
    try:
        value = loss(outputs, y)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        raise EvaluationError(
            f"the loss cannot be evaluated on outputs {described(outputs)} and y {described(y)} ({first_line(error)}): "
            "give y the shape and dtype that the loss takes"
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
        raise ValueError(
            f"the loss must return one floating-point number as a tensor, got {described(value)}: average over the "
            "samples, with reduction='mean' or .mean()"
        )
    if version(y) != before:
        raise ValueError("the loss changes y in place: use operations that make a new tensor")
    return value
