"""Whether a model, its data and a loss go together, found out before any work begins.

An objective is tried on two samples when it is made. What would otherwise fail deep in a run, or give a number that
means something else than it says, is refused here, with what was found, what was expected and what to do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .objective_arguments import LossFunction

Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]

IGNORED = -100  # the label that torch.nn.functional.cross_entropy leaves out by default


def copy_of(model: nn.Module) -> nn.Module:
    """A deep copy of the model.

    Raises:
        ValueError: something in the model cannot be copied; the message names the attribute.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        for path, module in model.named_modules():
            for name, value in vars(module).items():
                if name in ("_modules", "_parameters", "_buffers") or _copies(value):
                    continue
                where = f"{path}.{name}" if path else name
                raise ValueError(
                    f"{type(model).__name__} cannot be copied because of its attribute {where}, {_described(value)}: "
                    "delete it first (a cached activation) or use torch.nn.utils.parametrizations (for the weight of "
                    "torch.nn.utils.weight_norm or spectral_norm)"
                ) from error
        raise


def _copies(value: object) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:
        return False
    return True


def version(tensor: torch.Tensor) -> int:
    """How often a tensor, or a view of its memory, was written to; -1 where torch keeps no count (inference mode)."""
    return -1 if tensor.is_inference() else tensor._version


@contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluate a model without a gradient and without a trace: its buffers and torch's random numbers are put back."""
    buffers = [(module, dict(module._buffers)) for module in model.modules() if module._buffers]
    saved = [(b, version(b), b.clone()) for _, own in buffers for b in own.values() if b is not None]
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            for module, own in buffers:
                module._buffers.clear()
                module._buffers.update(own)
            for buffer, before, value in saved:
                if version(buffer) != before:
                    buffer.copy_(value)


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
            _check_average(model, loss, batches)
    return loss


class EvaluationError(ValueError):
    """The model or the loss raised an error on the samples; it is this one's cause."""


def _trial(
    model: nn.Module, loss: LossFunction, x: torch.Tensor, y: torch.Tensor, targets: torch.Tensor, by_name: bool
) -> tuple[LossFunction, torch.Tensor]:
    outputs = _outputs(model, x)
    if loss is nn.functional.cross_entropy:
        loss = _check_classes(model, outputs, y, targets, by_name)
    elif loss is nn.functional.mse_loss:
        _check_tensor(model, outputs)
        if outputs.shape != y.shape:
            raise ValueError(
                f"the loss 'mse' compares outputs {_shape(outputs)} with y {_shape(y)}: give y the shape of the "
                f"outputs, {_shape(outputs)} for {len(y)} samples (y[:, None], y.squeeze(1) or y.expand)"
            )
    value = _value(loss, outputs, y)
    again = _outputs(model, x)
    same = _alike(outputs, again) if isinstance(outputs, torch.Tensor) else True
    if not same or not _alike(value, _value(loss, again, y)):
        raise ValueError(
            f"{type(model).__name__} with its loss gives different values at the same parameters and inputs, although "
            "it is in evaluation mode: it draws random numbers, as functional dropout does with training=True (its "
            "default), or changes with every call; pass training=self.training, or use torch.nn.Dropout"
        )
    return loss, value


def _outputs(model: nn.Module, x: torch.Tensor) -> Any:
    before = version(x)
    try:
        outputs = model(x)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        raise EvaluationError(
            f"{type(model).__name__} cannot be evaluated on x {_described(x)} ({_line(error)}): give x the shape and "
            "dtype that its forward pass takes"
        ) from error
    check_unwritten(model, version(x) == before)
    return outputs


def check_unwritten(model: nn.Module, unwritten: bool) -> None:
    """Refuse a model or a loss that has written to the samples, which would be others at the next evaluation."""
    if not unwritten:
        raise ValueError(
            f"{type(model).__name__} or its loss changes its inputs or targets in place, so that every evaluation "
            "would see other data: use operations that make a new tensor (x = x - 1, not x.sub_(1); ReLU without "
            "inplace=True as the first layer), or start the forward pass with x = x.clone()"
        )


def _value(loss: LossFunction, outputs: Any, y: torch.Tensor) -> torch.Tensor:
    before = version(y)
    try:
        value = loss(outputs, y)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        raise EvaluationError(
            f"the loss cannot be evaluated on outputs {_described(outputs)} and y {_described(y)} ({_line(error)}): "
            "give y the shape and dtype that the loss takes"
        ) from error
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
        raise ValueError(
            f"the loss must return one floating-point number as a tensor, got {_described(value)}: average over the "
            "samples, with reduction='mean' or .mean()"
        )
    if version(y) != before:
        raise ValueError("the loss changes y in place: use operations that make a new tensor")
    return value


def _check_tensor(model: nn.Module, outputs: Any) -> None:
    if not isinstance(outputs, torch.Tensor):
        raise ValueError(
            f"{type(model).__name__} returns a {type(outputs).__name__} where the loss takes one tensor: wrap "
            "it in a module that returns that tensor alone"
        )


def _check_classes(
    model: nn.Module, outputs: Any, y: torch.Tensor, targets: torch.Tensor, by_name: bool
) -> LossFunction:
    """Refuse outputs and targets that are no classes, before the loss: CUDA does not survive a label out of range."""
    _check_tensor(model, outputs)
    if outputs.dim() < 2:
        raise ValueError(
            f"the cross-entropy takes outputs (samples, classes, ...), got {_shape(outputs)} for {len(y)} samples: "
            "return one output a class, or pass loss=torch.nn.BCEWithLogitsLoss() for one output in all"
        )
    width, expected = outputs.shape[1], (len(outputs), *outputs.shape[2:])
    if y.is_floating_point():
        if y.shape != outputs.shape:
            raise ValueError(
                f"y of dtype {y.dtype} holds class probabilities, of shape {_shape(outputs)} for {len(y)} samples, got "
                f"{_shape(y)}: pass y.long() if these are class labels"
            )
        return nn.functional.cross_entropy
    if y.shape != expected:
        remedy = "y.squeeze(1)" if y.shape == (*expected, 1) else f"class labels of shape {expected}"
        if len(outputs) != len(y):
            remedy = "them to a callable loss that reshapes both, or return outputs (samples, classes, ...)"
        elif y.shape == outputs.shape:
            remedy = "y.argmax(1), or y.to(x.dtype) for class probabilities"
        raise ValueError(
            f"class labels for outputs {_shape(outputs)} of {len(y)} samples have shape {expected}, got {_shape(y)}: "
            f"pass {remedy}"
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


def _check_average(model: nn.Module, loss: LossFunction, batches: Batches) -> None:
    """Refuse a loss whose value on two micro-batches together is not the weighted mean of its values on each.

    The first and the last are compared, which differ most where the samples are sorted. Their outputs are joined, so
    that BatchNorm, which sees each micro-batch by itself, does not count as a fault of the loss. Where they cannot
    be joined along the first axis, the model is evaluated on both at once.
    """
    (x1, y1), (x2, y2) = batches[0], batches[-1]
    pieces = [_outputs(model, x) for x in (x1, x2)]
    parts = [_value(loss, piece, y) for piece, y in zip(pieces, (y1, y2), strict=True)]
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


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two evaluations agree up to rounding; on some devices sums come in another order each time."""
    if a.shape != b.shape or not a.is_floating_point():
        return a.shape == b.shape
    tolerance = torch.finfo(a.dtype).eps ** 0.5
    scale = float(a.nan_to_num(0.0, 0.0, 0.0).abs().max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=tolerance * scale, equal_nan=True)


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _described(value: object) -> str:
    return f"{_shape(value)} of {value.dtype}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
