"""A model and its loss tried on two samples."""

from __future__ import annotations

import torch
from torch import nn

from ..autograd_nodes import nodes_of
from .arguments import LOSSES, LossFunction
from .averaging import Batches, check_average, coarsest
from .evaluation import EvaluationError, outputs_of, value_of
from .isolation import undisturbed
from .targets import check_classes, check_pairs


def check_evaluation(
    model: nn.Module,
    given: nn.Module,
    loss: LossFunction,
    batches: Batches,
    targets: torch.Tensor,
    by_name: bool,
) -> LossFunction:
    """Try the model and the loss on two samples, and return the loss function to use.

    That is another one only for ``torch.nn.functional.cross_entropy`` with labels of -100, which it leaves out: the
    closed forms of its derivatives, which instruments know it by, do not hold then.

    Args:
        model: the private copy, in the mode it will be evaluated in.
        given: the caller's model that it was copied from.
        loss: of outputs and targets.
        batches: the micro-batches (x, y).
        targets: all targets (n, ...).
        by_name: the loss was asked for by its name, and every sample must have a label.

    Raises:
        ValueError: the model or the loss cannot be evaluated; outputs, targets and loss do not fit together; the
            model writes to its inputs; two evaluations differ; the loss reads parameters of the caller's model; or,
            with several micro-batches, a loss that is no average over samples.
    """
    x, y = batches[0]
    with undisturbed(model, x.device):
        named = loss
        for count in dict.fromkeys((min(2, len(x)), len(x))):
            try:
                loss, value = _trial(model, named, x[:count], y[:count], targets, by_name)
            except EvaluationError:
                if count == len(x):
                    raise
                continue  # it may need more samples than two
            if bool(torch.isfinite(value)):
                break  # where two samples tell nothing, such as two that are left out, more may
        if loss not in LOSSES.values():
            _check_parameters(model, given, loss, x[:count], y[:count])
            if len(batches) > 1:
                check_average(model, loss, batches)
    return loss


def _check_parameters(
    model: nn.Module, given: nn.Module, loss: LossFunction, x: torch.Tensor, y: torch.Tensor
) -> None:
    """Refuse a loss that reads parameters of the caller's model, as a regulariser does: the objective moves a copy.

    Parameters of the loss itself are constants of the landscape.
    """
    theirs = {id(parameter): name for name, parameter in given.named_parameters()}
    with torch.enable_grad():
        try:
            value = loss(model(x), y)
        except RuntimeError:
            return  # what cannot be differentiated, and is here for its losses alone, has no graph to look at
    leaves = [getattr(node, "variable", None) for node in nodes_of(value)]
    read = sorted({theirs[id(leaf)] for leaf in leaves if id(leaf) in theirs})
    if read:
        raise ValueError(
            f"the loss reads {', '.join(read)} of the {type(given).__name__} that the objective was made from, and the "
            "objective moves its own copy: that term would stay as it is wherever theta is; compute a regulariser in "
            "the model's forward pass and return it with the outputs"
        )


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
    eps = coarsest(model, value)
    same = _alike(outputs, again, eps) if isinstance(outputs, torch.Tensor) else True
    if not same or not _alike(value, value_of(loss, again, y), eps):
        raise ValueError(
            f"{type(model).__name__} with its loss gives different values at the same parameters and inputs, although "
            "it is in evaluation mode: it draws random numbers, as functional dropout does with training=True (its "
            "default), or changes with every call; pass training=self.training, or use torch.nn.Dropout; noise that is "
            "part of the loss, as in a diffusion model, is drawn once and given with x"
        )
    return loss, value


def _alike(a: torch.Tensor, b: torch.Tensor, eps: float) -> bool:
    """Whether two evaluations agree up to rounding; on some devices sums come in another order each time."""
    if a.shape != b.shape or not a.is_floating_point():
        return a.shape == b.shape
    tolerance = eps**0.5
    scale = float(a.nan_to_num(0.0, 0.0, 0.0).abs().max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=tolerance * scale, equal_nan=True)
