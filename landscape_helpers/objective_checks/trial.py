"""A model and its loss tried on two samples."""

from __future__ import annotations

import torch
from torch import nn

from .arguments import LossFunction
from .averaging import Batches, check_average
from .evaluation import EvaluationError, outputs_of, value_of
from .isolation import undisturbed
from .targets import check_classes, check_pairs


def check_evaluation(
    model: nn.Module, loss: LossFunction, batches: Batches, targets: torch.Tensor, by_name: bool
) -> LossFunction:
    """Try the model and the loss on two samples, and return the loss function to use.

    That is another one only for ``torch.nn.functional.cross_entropy`` with labels of -100, which it leaves out: the
    closed forms of its derivatives, which instruments know it by, do not hold then.

    Args:
        model: the private copy, in the mode it will be evaluated in.
        loss: of outputs and targets.
        batches: the micro-batches (x, y).
        targets: all targets (n, ...).
        by_name: the loss was asked for by its name, and every sample must have a label.

    Raises:
        ValueError: the model or the loss cannot be evaluated; outputs, targets and loss do not fit together; the
            model writes to its inputs; two evaluations differ; or, with several micro-batches, a loss that is no
            average over samples.
    """
    x, y = batches[0]
    with undisturbed(model, x.device):
        given = loss
        for count in dict.fromkeys((min(2, len(x)), len(x))):
            try:
                loss, value = _trial(model, given, x[:count], y[:count], targets, by_name)
            except EvaluationError:
                if count == len(x):
                    raise
                continue  # it may need more samples than two
            if bool(torch.isfinite(value)):
                break  # where two samples tell nothing, such as two that are left out, more may
        if len(batches) > 1 and loss not in (nn.functional.cross_entropy, nn.functional.mse_loss):
            check_average(model, loss, batches)
    return loss


def _trial(
    model: nn.Module, loss: LossFunction, x: torch.Tensor, y: torch.Tensor, targets: torch.Tensor, by_name: bool
) -> tuple[LossFunction, torch.Tensor]:
    outputs = outputs_of(model, x)
    if loss is nn.functional.cross_entropy:
        loss = check_classes(model, outputs, y, targets, by_name)
    elif loss is nn.functional.mse_loss:
        check_pairs(model, outputs, y)
    value = value_of(loss, outputs, y)
    again = outputs_of(model, x)
    same = _alike(outputs, again) if isinstance(outputs, torch.Tensor) else True
    if not same or not _alike(value, value_of(loss, again, y)):
        raise ValueError(
            f"{type(model).__name__} with its loss gives different values at the same parameters and inputs, although "
            "it is in evaluation mode: it draws random numbers, as functional dropout does with training=True (its "
            "default), or changes with every call; pass training=self.training, or use torch.nn.Dropout"
        )
    return loss, value


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two evaluations agree up to rounding; on some devices sums come in another order each time."""
    if a.shape != b.shape or not a.is_floating_point():
        return a.shape == b.shape
    tolerance = torch.finfo(a.dtype).eps ** 0.5
    scale = float(a.nan_to_num(0.0, 0.0, 0.0).abs().max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=tolerance * scale, equal_nan=True)
