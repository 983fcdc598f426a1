r"""Whether a network's outputs are piecewise affine in every single parameter, found by looking at its operations.

Of ReLU networks and their like the outputs, as a function of one parameter with all others fixed, are straight lines
between kinks. Then :math:`\partial^2 f/\partial\theta_j^2=0` wherever it exists, and the diagonal of the loss's Hessian
is that of the Gauss-Newton matrix. One smooth activation, one product of two branches that share a weight, one
normalisation by a batch's own statistics, and it is not. The class of a module does not tell: what it does
in its forward pass tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from ..objective import LOSSES, Objective

# Affine in all their tensor arguments together: what each argument depends on, the result depends on.
_AFFINE = frozenset(
    """
    view _unsafe_view reshape _reshape_alias t transpose permute numpy_T expand slice select narrow cat stack split
    split_with_sizes chunk unbind clone alias detach lift_fresh contiguous add sub rsub neg sum mean unsqueeze squeeze
    flatten unflatten constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d avg_pool1d
    avg_pool2d avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_nearest1d
    upsample_nearest2d _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d upsample_bicubic2d pixel_shuffle
    pixel_unshuffle channel_shuffle roll flip im2col col2im unfold _to_copy copy as_strided diagonal tril triu
    masked_fill index_select gather index embedding cumsum repeat zero fill
    """.split()
)
# Straight lines with kinks (or jumps) between them.
_PIECEWISE = frozenset(
    """
    relu leaky_relu threshold hardtanh relu6 clamp clamp_min clamp_max abs hardsigmoid hardshrink softshrink max_pool2d
    max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d maximum minimum fmax fmin max min amax amin sort
    topk median where
    """.split()
)
# Constant between jumps: nothing depends on a parameter through these.
_CONSTANT = frozenset(
    """
    gt ge lt le eq ne sign signbit floor ceil round trunc argmax argmin isnan isfinite isinf logical_not logical_and
    logical_or zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty
    """.split()
)
# Affine in each of two arguments: the positions of the factors.
_PRODUCTS = {
    **dict.fromkeys("mul mm bmm mv dot matmul linear convolution _convolution _prelu_kernel".split(), (0, 1)),
    **dict.fromkeys("addmm addmv addbmm baddbmm addcmul addr".split(), (1, 2)),
}
_BATCH_NORM = frozenset("native_batch_norm cudnn_batch_norm miopen_batch_norm".split())
_FIXED_BATCH_NORM = frozenset("_native_batch_norm_legit_no_training _batch_norm_no_update".split())

SAMPLES = 2  # what the network does to a batch does not depend on how large it is
COMPARED = 32  # samples whose losses are compared with their mean: enough to meet several classes
MOST_CLASSES = 1024  # samples more for the classes not among them


def why_not_piecewise_affine(objective: Objective, theta: torch.Tensor) -> str | None:
    """None where the model's outputs are piecewise affine in every single parameter, else one line that says why not.

    The operations of one forward pass are recorded as the dispatcher sees them, below modules and functions, and each
    result carries the set of parameters it depends on. Sums, reshapes, pooling and piecewise linear activations hand
    the sets on; a product needs factors that share no parameter; anything else must not depend on any. Sets are of
    whole tensors, so the answer may be "no" for a network that is affine entry by entry, never the reverse.

    Args:
        objective: the loss, with its BatchNorm policy.
        theta: the point (P,) at which the forward pass runs.
    """
    objective.move(theta)
    _, x, _ = next(objective.weighted())
    with torch.no_grad(), _Dependencies(objective.weights) as seen:
        objective.model(x[:SAMPLES])
    return seen.reason


def why_samples_are_coupled(objective: Objective, theta: torch.Tensor) -> str | None:
    """None where the loss is a mean over samples that do not see each other, else one line that says what was seen.

    One sample of the first micro-batch is evaluated beside another and beside itself: batches of two both times, as
    some layers refuse less. The loss of some samples is compared with the mean of their losses: 32 of the micro-batch,
    and under a loss of the user's own one of each class there is in the data, since ignored and weighted labels may be
    rare.
    """
    objective.move(theta)
    _, x, y = next(objective.weighted())
    if len(x) < 2:
        return None
    near = torch.finfo(objective.dtype).eps ** 0.5
    with torch.no_grad():
        beside_another, beside_itself = objective.model(x[[0, len(x) // 2]]), objective.model(x[[0, 0]])
        if not isinstance(beside_itself, torch.Tensor):
            return f"the model returns a {type(beside_itself).__name__}: one tensor is expected"
        if beside_itself.shape[:1] != (2,):
            return f"the outputs of two samples have shape {tuple(beside_itself.shape)}: one row a sample is expected"
        if float((beside_another[0] - beside_itself[0]).abs().max()) > near * float(beside_itself.abs().max()):
            return "a sample's output depends on what else is in its batch"
        some = torch.linspace(0, len(x) - 1, min(len(x), COMPARED)).long().to(x.device)
        x, y = x[some], y[some]
        if objective.loss_function not in LOSSES.values():
            x, y = _with_every_class(objective, x, y)
        outputs, targets = torch.cat([objective.model(part) for part in x.split(objective.batch_size)]), y
        losses = [float(objective.loss_function(outputs[[i, i]], targets[[i, i]])) for i in range(len(x))]
        difference = float(objective.loss_function(outputs, targets)) - sum(losses) / len(losses)
        if not abs(difference) <= near * max(map(abs, losses)):  # not a number either: a mean over ignored labels only
            return "the loss of several samples is not the mean of their losses"
    return None


def _with_every_class(objective: Objective, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y with one more sample for each label of the data that y lacks; as they are for targets that are no labels.

    A class's sample is the first that has it anywhere, so a label that is ignored in a few positions counts too.
    """
    if y.is_floating_point() or y.is_complex():
        return x, y
    seen = set(y.unique().tolist())
    for _, images, labels in objective.weighted():
        for label in labels.unique().tolist():
            if label not in seen and len(x) < COMPARED + MOST_CLASSES:
                first = int((labels == label).reshape(len(labels), -1).any(1).nonzero()[0])
                x, y = torch.cat([x, images[first : first + 1]]), torch.cat([y, labels[first : first + 1]])
                seen.update(labels[first].unique().tolist())
    return x, y


class _Dependencies(TorchDispatchMode):
    """Records which parameters each result depends on, and the first operation that is not piecewise affine in one."""

    def __init__(self, weights: list[torch.nn.Parameter]) -> None:
        super().__init__()
        self.reason: str | None = None
        self._weights: dict[int, list[tuple[int, int, int]]] = {}  # storage -> (start, stop, number of parameter)
        for number, w in enumerate(weights):
            start = int(w.storage_offset())
            self._weights.setdefault(_storage(w), []).append((start, start + w.numel(), number))
        self._depends: dict[int, frozenset[int]] = {}
        self._alive: list[Any] = []  # keeps every result, so that no address is used twice

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        sources = _tensors((args, kwargs))
        everything = self._of(sources)
        name = func.overloadpacket.__name__
        name = name.rstrip("_") if name.endswith("_") and not name.startswith("__") else name
        if everything and self.reason is None:
            self.reason = self._objection(name, args, kwargs)
        depends: frozenset[int] = frozenset() if name in _CONSTANT else everything
        schema = func._schema.arguments
        written = [a for a, s in zip(args, schema, strict=False) if s.alias_info and s.alias_info.is_write]
        for tensor in [*_tensors(result), *_tensors(written)]:
            if _storage(tensor) not in self._weights:
                self._depends[_storage(tensor)] = self._depends.get(_storage(tensor), frozenset()) | depends
        self._alive.append(result)
        return result

    def _of(self, tensors: Iterable[torch.Tensor]) -> frozenset[int]:
        found: set[int] = set()
        for tensor in tensors:
            if (pieces := self._weights.get(_storage(tensor))) is not None:
                first = tensor.storage_offset()
                last = first + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
                found.update(number for start, stop, number in pieces if start <= last and first < stop)
            else:
                found |= self._depends.get(_storage(tensor), frozenset())
        return frozenset(found)

    def _objection(self, name: str, args: tuple, kwargs: dict) -> str | None:
        if name in _AFFINE or name in _PIECEWISE or name in _CONSTANT:
            return None
        if name in _PRODUCTS:
            left, right = (self._of(_tensors(args[i])) for i in _PRODUCTS[name])
            return f"{name} multiplies two values that depend on the same parameter" if left & right else None
        if name == "div":
            return "div has a denominator that depends on a parameter" if self._of(_tensors(args[1])) else None
        if name in _FIXED_BATCH_NORM or (name in _BATCH_NORM and not args[5]):
            left, right = self._of(_tensors(args[0])), self._of(_tensors(args[1]))
            if self._of(_tensors(args[3:5])):
                return f"{name} divides by a value that depends on a parameter"
            return f"{name} multiplies two values that depend on the same parameter" if left & right else None
        if name in _BATCH_NORM:
            return f"{name} divides by the statistics of the batch"
        return f"{name} is not piecewise linear"


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
