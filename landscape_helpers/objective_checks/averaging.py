"""Whether a loss over micro-batches is the loss over all samples, and BatchNorm can take each of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn

from .arguments import LossFunction
from .evaluation import EvaluationError, outputs_of, value_of
from .isolation import undisturbed
from .wording import described

Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]
SINGLE = 8  # samples of each of two micro-batches that are looked at one by one


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
    """Refuse a loss whose value on samples together is not the weighted mean of its values on their parts.

    The parts are the first and the last micro-batch, which differ most where the samples are sorted; and then some of
    their samples one by one, for between balanced micro-batches the weights of classes, say, make hardly a difference.
    Outputs are joined, so that BatchNorm, which sees each micro-batch by itself, does not count as a fault of the loss.
    Where they cannot be joined along the first axis, the model is evaluated on both micro-batches at once.
    """
    ends = (batches[0], batches[-1])
    parts = [(outputs_of(model, x), y) for x, y in ends]
    together: list[Callable[[], Any]] = [lambda: _joined([outputs for outputs, _ in parts])]
    if not _normalises_batches(model):
        together.append(lambda: model(torch.cat([x for x, _ in ends])))
    eps = coarsest(model, value_of(loss, *parts[0]))
    _compare(loss, parts, together, "two micro-batches", eps)

    with warnings.catch_warnings():  # of broadcasting, where a loss drops axes of length one
        warnings.simplefilter("ignore")
        _compare_singles(loss, parts, eps)


def coarsest(model: nn.Module, value: torch.Tensor) -> float:
    """The rounding unit of a loss: its own, or that of the model whose outputs it sums in a finer dtype."""
    dtypes = {value.dtype, *(p.dtype for p in model.parameters() if p.is_floating_point())}
    return max(torch.finfo(dtype).eps for dtype in dtypes)


def _compare_singles(loss: LossFunction, parts: Sequence[tuple[Any, torch.Tensor]], eps: float) -> None:
    try:
        singles = [
            (_row(outputs, i, len(y)), y[i : i + 1]) for outputs, y in parts for i in range(min(SINGLE, len(y)))
        ]
        _compare(loss, singles, [lambda: _joined([row for row, _ in singles])], f"{len(singles)} single samples", eps)
    except (EvaluationError, TypeError):
        return  # outputs that are not one row a sample, or a loss that needs several: single samples tell nothing


def _compare(
    loss: LossFunction,
    parts: Sequence[tuple[Any, torch.Tensor]],
    together: Sequence[Callable[[], Any]],
    what: str,
    eps: float,
) -> None:
    """Raise unless the loss on the parts (outputs, y) together, in one of the ways to join them, is their mean."""
    values = [value_of(loss, outputs, y) for outputs, y in parts]
    counts = [len(y) for _, y in parts]
    mean = sum(count * float(value) for count, value in zip(counts, values, strict=True)) / sum(counts)
    largest = max(abs(float(value)) for value in values)
    whole = None
    for way in together:
        try:
            value = float(loss(way(), torch.cat([y for _, y in parts])))
        except Exception:
            continue  # this way of joining tells nothing
        # Signed terms cancel and sums round: only what is far beyond rounding counts.
        tolerance = eps**0.5 * max(largest, abs(value))
        if abs(value - mean) <= tolerance or not abs(value) < float("inf"):
            return
        whole = value
    if whole is not None:
        raise ValueError(
            f"the loss is no plain average over samples: its weighted mean over {what} is {mean:.6g}, but on all "
            f"{sum(counts)} samples together it is {whole:.6g}, so that its value would depend on batch_size: pass "
            "batch_size=None, or a loss that averages (reduction='mean' without class weights, or reduction='sum' "
            "divided by len(targets) times a constant, such as the share of labels that count)"
        )


def _row(outputs: Any, i: int, n: int) -> Any:
    """The outputs of sample i of n."""
    if isinstance(outputs, torch.Tensor) and outputs.dim() and len(outputs) == n:
        return outputs[i : i + 1]
    if (parts := _parts(outputs)) is not None:
        return _rebuilt(outputs, [_row(value, i, n) for value in parts])
    raise TypeError(f"outputs {described(outputs)} are not one row a sample")


def _joined(pieces: Sequence[Any]) -> Any:
    first = pieces[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(pieces))
    every = [_parts(piece) for piece in pieces]
    if every[0] is not None:
        return _rebuilt(first, [_joined(together) for together in zip(*every, strict=True)])
    raise TypeError(f"outputs of type {type(first).__name__} cannot be joined")


def _parts(outputs: Any) -> list[Any] | None:
    """What outputs of several parts hold, in order; None where they are something else."""
    if is_dataclass(outputs):
        return [getattr(outputs, field.name) for field in fields(outputs)]
    if isinstance(outputs, Mapping):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, tuple | list) else [] if outputs is None else None


def _rebuilt(outputs: Any, parts: Sequence[Any]) -> Any:
    """Outputs of the same type, which the loss may ask for its attributes, of other parts."""
    if outputs is None:
        return None
    if is_dataclass(outputs):
        other = copy.copy(outputs)
        for field, part in zip(fields(outputs), parts, strict=True):
            object.__setattr__(other, field.name, part)
        return other
    if isinstance(outputs, Mapping):
        return type(outputs)(zip(outputs, parts, strict=True))  # type: ignore[call-arg]
    return outputs._make(parts) if hasattr(outputs, "_make") else type(outputs)(parts)
