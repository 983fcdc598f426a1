r"""A wide linear first layer restricted to the directions in which the data vary.

The gradient of a sample by the first layer's weight is :math:`\delta_i x_i^\top`, so with :math:`S_i` the second
derivative of its loss by the layer's output, the layer's block of the Hessian is
:math:`\frac1n\sum_i S_i\otimes x_ix_i^\top`: what lies off the span of the inputs has no curvature at all, and
what lies off their leading directions has little. Writing the weight as :math:`W_0+ZQ^\top` with an orthonormal
Q (d, r) leaves :math:`Q^\top HQ`, in which a product costs r/d of what it did. The trace that is given up,

.. math::

    \frac1n\sum_i \mathrm{tr}(S_i)\,\|x_i-QQ^\top x_i\|^2,

is a sum over samples and needs no large matrix. Where the Hessian is positive semi-definite, eigenvalues only shrink
under the restriction, and the sum of what they lose is this number.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from ..layers import trainable_parameters
from ..objective import Objective
from ..twice_differentiable import TwiceDifferentiable, first_gradient
from .piecewise import why_samples_are_coupled
from .range_finder import RangeFinder
from .trace import output_factors, summed_trace, why_not_exact

AUTO_LOST = 0.008  # share of the trace that "auto" may give up: below one per cent, with a margin
OVERSAMPLING = 10  # columns of the range finder beyond the rank (Halko, Martinsson, Tropp 2011, Section 4.2)
PROBES = 32  # random signs that estimate tr S_i where it is not known exactly


@dataclass(frozen=True)
class Restricted:
    """An objective over fewer parameters, and what was given up.

    Attributes:
        objective: the loss as a function of (Z, all other parameters).
        theta: its point, with Z = 0.
        rank: r, columns of Z.
        lost: trace of the Hessian off the subspace.
        lost_error: standard error of ``lost``: 0 for outputs that are piecewise affine in every parameter and few.
    """

    objective: Objective
    theta: torch.Tensor
    rank: int
    lost: float
    lost_error: float


class _FirstLayer(TorchFunctionMode):
    """Looks for, or replaces, the call of ``F.linear`` that takes the weight ``name``; and counts the weight's uses."""

    def __init__(self, weight: torch.Tensor, replace: Any = None) -> None:
        super().__init__()
        self.weight, self.replace = weight, replace
        self.uses = 0
        self.input: torch.Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        here = any(a is self.weight for a in (*args, *kwargs.values()))
        if here and func is F.linear:
            named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            self.uses += 1
            self.input = named["input"]
            if self.replace is not None:
                return self.replace(named["input"], named["weight"], named.get("bias"))
        result = func(*args, **kwargs)
        if here and func is not F.linear and isinstance(result, torch.Tensor):
            self.uses += 2  # used otherwise: not ours to replace
        return result


class _InSubspace(nn.Module):
    """A model whose first layer's weight is held, plus Z times the input's coordinates in the subspace."""

    basis: torch.Tensor

    def __init__(self, model: nn.Module, name: str, basis: torch.Tensor) -> None:
        super().__init__()
        self.model, self.name = copy.deepcopy(model), name
        held = self.model.get_parameter(name).requires_grad_(False)
        self.Z = nn.Parameter(held.new_zeros(held.shape[0], basis.shape[1]))
        self.register_buffer("basis", basis)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def shifted(a: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
            return F.linear(a, weight, bias) + F.linear(a @ self.basis, self.Z)

        with _FirstLayer(self.model.get_parameter(self.name), shifted):
            return self.model(x)


def first_linear(objective: Objective, theta: torch.Tensor) -> tuple[str, torch.Tensor] | None:
    """Name of the weight that the data meet first, and the data as they meet it (n, d); None where there is none.

    That is a parameter used once, by ``F.linear``, on rows that do not depend on any parameter: seen in a forward pass,
    whatever the modules are called.
    """
    objective.move(theta)
    batches = [x for _, x, _ in objective.weighted()]
    for name, weight in trainable_parameters(objective.model):
        if weight.dim() != 2:
            continue
        seen = []
        for x in [batches[0][:2], *batches]:
            with torch.enable_grad(), _FirstLayer(weight) as call:
                objective.model(x)
            rows = call.input
            if call.uses != 1 or rows is None or rows.requires_grad or rows.dim() != 2 or len(rows) != len(x):
                break
            seen.append(rows)
        else:
            return name, torch.cat(seen[1:])
    return None


def restrict(objective: Objective, theta: torch.Tensor, rank: int | str, seed: int = 0) -> Restricted | str:
    """The objective with its first layer in a subspace, or one line that says why that cannot be had.

    The subspace holds the leading right singular vectors of the inputs, each weighted by the root of tr S, as
    :class:`~landscape_helpers.curvature.range_finder.RangeFinder` has them: for its rank it loses nearly the least
    trace. Deterministic in ``seed``.

    Args:
        objective: the loss.
        theta: the point (P,).
        rank: r, or "auto": the smallest that loses at most 0.8 % of the trace of H (of the first layer's where that
            of H is not known exactly).
        seed: of the range finder.
    """
    if reason := why_samples_are_coupled(objective, theta):
        return reason
    found = first_linear(objective, theta)
    if found is None:
        return "no linear layer takes the data themselves"
    name, rows = found
    width = rows.shape[1]
    if isinstance(rank, int) and rank >= width:
        return f"the first layer has {width} inputs, no more than the rank {rank}"
    exact = why_not_exact(objective, theta) is None
    traces, errors = _output_traces(objective, theta, name, exact)
    weighted = rows * traces.abs().sqrt().to(rows.dtype)[:, None]
    lengths = torch.linalg.vector_norm(rows, dim=1).double().square()
    total = float(traces.abs() @ lengths)
    whole = summed_trace(objective, theta) if exact and rank == "auto" else ""
    allowed = AUTO_LOST * (objective.n * whole if isinstance(whole, float) else total)
    basis, r = _leading(weighted, rank if isinstance(rank, int) else None, total - allowed, seed)
    if r >= width // 2 and rank == "auto":
        return f"half of the {width} input directions would not do"
    basis = basis[:, :r].contiguous()
    off = (lengths - torch.linalg.vector_norm(rows @ basis, dim=1).double().square()).clamp_min(0)
    model = _InSubspace(objective.model, name, basis)
    batches = list(objective.weighted())
    x, y = torch.cat([x for _, x, _ in batches]), torch.cat([y for _, _, y in batches])
    small = Objective(model, x, y, objective.loss_function, objective.batch_size, objective.batchnorm)
    lost = float(traces @ off) / objective.n
    error = float(torch.linalg.vector_norm(errors * off)) / objective.n
    return Restricted(small, small.theta, r, lost, error)


def _leading(weighted: torch.Tensor, rank: int | None, wanted: float, seed: int) -> tuple[torch.Tensor, int]:
    """Leading right singular vectors of ``weighted`` (n, d), and how many to keep: ``rank``, or as many as hold the
    sum of squares ``wanted``; all d where half of them would not.
    """
    n, width = weighted.shape
    finder = RangeFinder(weighted, torch.Generator().manual_seed(seed), form_gram=width <= n)
    columns = min(width, (rank or width // 4) + OVERSAMPLING)
    while True:
        basis = finder.basis(columns)
        values, vectors = torch.linalg.eigh(basis.T @ finder.squared(basis))
        values, basis = values.flip(0).double(), basis @ vectors.flip(1)
        if rank is not None:
            return basis, rank
        enough = values.cumsum(0) >= wanted
        if bool(enough.any()):
            return basis, int(enough.double().argmax()) + 1
        if columns >= width // 2:
            return basis, width
        columns = min(width, 2 * columns)


def _output_traces(
    objective: Objective, theta: torch.Tensor, name: str, exact: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""(n,) tr :math:`S_i` and its standard error, S a sample's second derivative by the first layer's output."""
    objective.move(theta)
    weight = objective.model.get_parameter(name)
    traces, errors = [], []
    for _, x, y in objective.weighted():
        leaf: list[torch.Tensor] = []

        def cut(a: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None, leaf: list = leaf) -> torch.Tensor:
            leaf.append(F.linear(a, w, b).detach().requires_grad_(True))
            return leaf[0].clone()

        with TwiceDifferentiable():
            with torch.enable_grad(), _FirstLayer(weight, cut):
                outputs = objective.model(x)
            values = torch.stack(list((_by_outputs if exact else _by_signs)(objective, outputs, leaf[0], y)))
        traces.append(values.sum(0) if exact else values.mean(0))
        errors.append(torch.zeros_like(traces[-1]) if exact else values.std(0) / len(values) ** 0.5)
    return torch.cat(traces), torch.cat(errors)


def _by_outputs(
    objective: Objective, outputs: torch.Tensor, leaf: torch.Tensor, y: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Terms whose sum is tr S: exact for outputs that are piecewise affine."""
    for cotangent, sign in output_factors(objective, outputs.detach(), y):
        (delta,) = torch.autograd.grad(outputs, leaf, cotangent, retain_graph=True)
        yield torch.linalg.vector_norm(delta, dim=1).double().square() * sign


def _by_signs(
    objective: Objective, outputs: torch.Tensor, leaf: torch.Tensor, y: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Estimates of tr S from random signs, all samples in one product."""
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        (gradient,) = first_gradient(len(y) * objective.loss_function(outputs, y), leaf)
        for _ in range(PROBES):
            signs = (torch.randint(0, 2, leaf.shape, generator=generator) * 2 - 1).to(leaf)
            if not gradient.requires_grad:
                yield torch.zeros(len(leaf), dtype=torch.float64, device=leaf.device)
                continue
            (product,) = torch.autograd.grad(gradient, leaf, signs, retain_graph=True)
            yield (signs * product).sum(1, dtype=torch.float64)
