"""One evaluation of a model and of its loss, with an error that says what each was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .arguments import LossFunction
from .isolation import check_unwritten, version
from .wording import COMPLEX_OF_REAL, MISALIGNED, described, first_line


class EvaluationError(ValueError):
    """The model or the loss raised an error on the samples; it is this one's cause."""


@contextmanager
def explained(message: Callable[[str], str]) -> Iterator[None]:
    """Around a call of the caller's model or loss: what it raises is told by ``message``, which gets its first line.

    Memory that is not there is no fault of theirs: that error passes.

    Raises:
        EvaluationError: anything else was raised.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        raise EvaluationError(message(first_line(error))) from error


def outputs_of(model: nn.Module, x: torch.Tensor) -> Any:
    """The outputs on x, which must be left as it is."""
    before = version(x)
    with explained(
        lambda said: f"{type(model).__name__} cannot be evaluated on x {described(x)} ({said}): {_remedy(said, x)}"
    ):
        outputs = model(x)
    check_unwritten(model, version(x) == before)
    return outputs


def _remedy(said: str, x: torch.Tensor) -> str:
    if MISALIGNED in said:
        return f"take {COMPLEX_OF_REAL} for torch.view_as_complex(parameter)"
    if "does not require grad" in said:
        return (
            "losses are evaluated without recording gradients: what the forward pass differentiates by, it computes "
            "inside torch.enable_grad(), from x = x.detach().requires_grad_() on"
        )
    if x.dtype == torch.uint8:
        return "bytes stay bytes: give numbers, such as x.float() / 255, or take load_data(...).standardised()"
    return "give x the shape and dtype that its forward pass takes"


def value_of(loss: LossFunction, outputs: Any, y: torch.Tensor) -> torch.Tensor:
    """The loss as a tensor of one number; y must be left as it is."""
    before = version(y)
    with explained(
        lambda said: f"the loss cannot be evaluated on outputs {described(outputs)} and y {described(y)} ({said}): "
        "give y the shape and dtype that the loss takes"
    ):
        value = loss(outputs, y)
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
        raise ValueError(
            f"the loss must return one floating-point number as a tensor, got {described(value)}: average over the "
            "samples, with reduction='mean' or .mean()"
        )
    if version(y) != before:
        raise ValueError("the loss changes y in place: use operations that make a new tensor")
    return value
