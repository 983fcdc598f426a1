"""Whether a loss over micro-batches is the loss over all samples, and BatchNorm can take each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .arguments import LossFunction
from .evaluation import outputs_of, value_of
from .isolation import undisturbed

Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]


def check_single(model: nn.Module, x: torch.Tensor, n: int, batch_size: int) -> None:
    """Refuse a batch of one sample, x (1, ...), where BatchNorm would have to normalise one value with itself.

    Over images it need not: there each channel has many values in one sample.

    Raises:
        ValueError: BatchNorm cannot take the sample alone.
    """
    if not _normalises_batches(model):
        return
    try:
        with undisturbed(model, x.device):
            model(x)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise ValueError(
                f"{n} samples in batches of {batch_size} leave a single sample for the last, and BatchNorm cannot "
                "normalise one value: choose a batch_size that leaves at least two, drop a sample, or pass "
                "batchnorm='frozen'"
            ) from error
    except Exception:
        return  # what is wrong with it is said by the trial on two samples


def _normalises_batches(model: nn.Module) -> bool:
    """Whether a BatchNorm layer takes the statistics of the batch; in evaluation mode, those without their own do."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is None for m in model.modules())


def check_average(model: nn.Module, loss: LossFunction, batches: Batches) -> None:
    """Refuse a loss whose value on two micro-batches together is not the weighted mean of its values on each.

    The first and the last are compared, which differ most where the samples are sorted. Their outputs are joined, so
    that BatchNorm, which sees each micro-batch by itself, does not count as a fault of the loss. Where they cannot
    be joined along the first axis, the model is evaluated on both at once.
    """
    (x1, y1), (x2, y2) = batches[0], batches[-1]
    pieces = [outputs_of(model, x) for x in (x1, x2)]
    parts = [value_of(loss, piece, y) for piece, y in zip(pieces, (y1, y2), strict=True)]
    a, b = (float(part) for part in parts)
    mean = (len(x1) * a + len(x2) * b) / (len(x1) + len(x2))
    ways: list[Callable[[], Any]] = [lambda: _joined(pieces)]
    if not _normalises_batches(model):
        ways.append(lambda: model(torch.cat([x1, x2])))
    whole = None
    for way in ways:
        try:
            value = float(loss(way(), torch.cat([y1, y2])))
        except Exception:
            continue  # this way of joining tells nothing
        # Signed terms cancel and sums round: only what is far beyond rounding counts.
        tolerance = torch.finfo(parts[0].dtype).eps ** 0.5 * max(abs(a), abs(b), abs(value))
        if abs(value - mean) <= tolerance or not abs(value) < float("inf"):
            return
        whole = value
    if whole is not None:
        raise ValueError(
            f"the loss is no plain average over samples: {a:.6g} and {b:.6g} on two micro-batches ({len(x1)} and "
            f"{len(x2)} samples, {mean:.6g} by the weighted mean), but {whole:.6g} on both together, so that its value "
            "would depend on batch_size: pass batch_size=None, or a loss that averages (reduction='mean' without class "
            "weights, or reduction='sum' divided by len(targets))"
        )


def _joined(pieces: Sequence[Any]) -> Any:
    first = pieces[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(pieces))
    if isinstance(first, Mapping):
        return {name: _joined([piece[name] for piece in pieces]) for name in first}
    if type(first) in (tuple, list):
        return type(first)(_joined(together) for together in zip(*pieces, strict=True))
    raise TypeError(f"outputs of type {type(first).__name__} cannot be joined")
