"""The trace of the Hessian: without sampling where the network allows it, with a standard error elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..objective import Objective
from ..objective_checks.surroundings import check_gradients
from ..twice_differentiable import TwiceDifferentiable, first_gradient
from .krylov import OverflowedCurvature, check_product
from .long_vectors import inner
from .operator import HessianAt
from .orthonormal import orthonormal
from .piecewise import why_not_piecewise_affine, why_samples_are_coupled
from .sample_gradients import NoSampleGradients, SampleGradients

METHODS = ("auto", "exact", "hutchinson", "hutch++")
BLOCK = 10  # vectors a block of products
PROBE = 2  # samples that tell how much memory one of them takes
CHUNK = 2**21  # numbers that the samples of one pass keep, 8 MB in float32: what stays near the cache is faster
# Outputs a sample up to which "auto" looks for an exact trace. With the closed forms of the cross-entropy and the mean
# squared error it takes a backward pass for each output, Hutchinson's estimate about two for each of a hundred probes:
# at 1024, enough for ImageNet's classes, the exact one costs some five times the estimate.
WIDEST = 1024
# Any other loss takes each sample's second derivative by its outputs and that matrix's eigenvectors, which grows as the
# cube of the outputs: on one core 1.5 ms a sample at 128, 7 at 256, 50 at 512, of a network that may take microseconds.
WIDEST_WITHOUT_FORM = 128


@dataclass(frozen=True)
class Trace:
    """The trace of the Hessian, loss per squared unit of theta, and how it was found.

    Attributes:
        value: tr H.
        error: standard error of ``value``; 0 where nothing was sampled.
        exact: whether the value is free of sampling error.
        products: Hessian-vector products used.
        method: "exact", "hutchinson" or "hutch++".
        reason: why an exact value was not to be had, or too dear; empty where it is exact or was not asked for.
    """

    value: float
    error: float
    exact: bool
    products: int
    method: str
    reason: str = ""


def trace(objective: Objective, theta: torch.Tensor, probes: int = 100, seed: int = 0, method: str = "auto") -> Trace:
    r"""The trace of the Hessian at theta.

    **Exact.** With outputs f and :math:`A_i=\nabla_f^2\ell(f(x_i),y_i)` the Hessian is

    .. math::

        H = \frac1n\sum_i J_i^\top A_i J_i + \frac1n\sum_i\sum_c \frac{\partial\ell_i}{\partial f_c}\nabla^2 f_c(x_i).

    Where f is piecewise affine in every single parameter, the second sum has no diagonal, and

    .. math::

        \mathrm{tr}\,H = \frac1n\sum_i\sum_k\|J_i^\top s_{ik}\|^2,\qquad \sum_k s_{ik}s_{ik}^\top=A_i,

    C backward passes for C outputs and no matrix: the squared gradient norms of samples follow from the layers' inputs
    and the gradients at their outputs. For the cross-entropy :math:`s_{ic}=\sqrt{p_{ic}}\,(e_c-p_i)`. Guarded by
    :func:`why_not_piecewise_affine`, which looks at the operations of a forward pass: for tanh the
    two traces differ by most of their size.

    The work grows with C, and for a loss other than the cross-entropy of (n, C) outputs and the mean squared error as
    :math:`nC^3`. So "auto" takes this way up to 1024 outputs a sample, and up to 128 under another loss; the outputs of
    a network that labels every pixel soon are more.

    **Estimated.** Hutchinson (1990): the mean of :math:`v^\top Hv` over vectors of random signs. Hutch++ (Meyer, Musco,
    Musco, Woodruff 2021): a third of the products finds a subspace with the leading curvature, a third takes its trace
    exactly, and the last third samples the rest; far better where few directions carry the trace, at the memory of
    ``probes / 3`` vectors.

    Args:
        objective: the loss.
        theta: the point (P,).
        probes: Hessian-vector products to spend on an estimate, at least 2 (6 for Hutch++); 100 is PyHessian's default.
        seed: of the random vectors.
        method: "auto" is exact where it can be at a bearable cost and Hutchinson's estimate elsewhere, with the reason
            told; "exact" is exact at any cost and raises where it cannot be; "hutchinson" and "hutch++" estimate.

    Raises:
        ValueError: theta of the wrong length; an unknown method; too few probes; ``"exact"`` for a network whose
            operations do not allow it; an operation without a second derivative in PyTorch.
        OverflowedCurvature: the loss, a Hessian-vector product or the trace is not finite.
    """
    check_gradients()
    objective.check_vector(theta)
    if method not in METHODS:
        raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}")
    least = 6 if method == "hutch++" else 2
    if probes < least:
        raise ValueError(f"probes must be at least {least} for a standard error, got {probes}")
    if method == "hutchinson":
        return _hutchinson(objective, theta, probes, seed, "")
    if method == "hutch++":
        return _hutch_plus_plus(objective, theta, probes, seed)
    found = exact_trace(objective, theta, at_any_cost=method == "exact")
    if isinstance(found, float):
        if not math.isfinite(found):
            raise OverflowedCurvature("the trace of the Hessian")
        return Trace(found, 0.0, True, 0, "exact")
    if method == "exact":
        if not math.isfinite(objective.loss(theta)):  # the guards judge by numbers
            raise OverflowedCurvature("the loss")
        raise ValueError(
            f"tr H is exact only for outputs that are piecewise affine in every parameter, but {found}: "
            "choose method='hutchinson' or 'hutch++'"
        )
    return _hutchinson(objective, theta, probes, seed, found)


def exact_trace(objective: Objective, theta: torch.Tensor, at_any_cost: bool = False) -> float | str:
    """tr H without sampling, or one line that says why it cannot be had or, unless ``at_any_cost``, is too dear."""
    reason = why_not_exact(objective, theta, at_any_cost) or why_samples_are_coupled(objective, theta)
    return reason or summed_trace(objective, theta)


def why_not_exact(objective: Objective, theta: torch.Tensor, at_any_cost: bool = False) -> str | None:
    """None where the diagonal of H is the Gauss-Newton matrix's and, unless ``at_any_cost``, the outputs few enough."""
    reason = why_not_piecewise_affine(objective, theta)
    return reason or (None if at_any_cost else _why_too_wide(objective, theta))


def _why_too_wide(objective: Objective, theta: torch.Tensor) -> str | None:
    """None where a sample has few enough outputs for an exact trace under "auto", else one line with the numbers."""
    objective.move(theta)
    _, x, y = next(objective.weighted())
    with torch.no_grad():
        outputs = objective.model(x[:PROBE])
    if not isinstance(outputs, torch.Tensor):
        return None  # another guard's matter
    width = outputs[0].numel()
    has_form = _has_closed_form(objective, outputs, y[:PROBE])
    most = WIDEST if has_form else WIDEST_WITHOUT_FORM
    if width <= most:
        return None
    growth = "a backward pass for each" if has_form else "work that grows as their cube"
    return f"a sample has {width} outputs, and the exact trace takes {growth}: 'auto' takes it up to {most}"


def summed_trace(objective: Objective, theta: torch.Tensor) -> float | str:
    """tr H by the formula of :func:`trace`, where that is known to hold; or one line that says what stands in the way.

    That is a layer whose gradients cannot be had sample by sample.
    """
    objective.move(theta)
    try:
        return _summed(objective)
    except NoSampleGradients as error:
        return str(error)


def _summed(objective: Objective) -> float:
    total, size = 0.0, 0
    for _, x, y in objective.weighted():
        if not size:
            size = max(1, CHUNK // max(1, SampleGradients(objective, x[:PROBE]).held))
        for part, labels in zip(x.split(size), y.split(size), strict=True):
            samples = SampleGradients(objective, part)
            for cotangent, sign in output_factors(objective, samples.outputs.detach(), labels):
                total += float((samples.squared_norms(cotangent) * sign).sum())
    return total / objective.n


def output_factors(
    objective: Objective, outputs: torch.Tensor, y: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor | float]]:
    r"""Cotangents s and signs with :math:`\sum_k\pm s_{ik}s_{ik}^\top=A_i`, a sample's Hessian by its outputs.

    Closed forms for the cross-entropy of (n, C) outputs and the mean squared error; for any other loss the matrices
    :math:`A_i` by automatic differentiation, and their eigenvectors.
    """
    loss, width = objective.loss_function, outputs[0].numel()
    if loss is F.cross_entropy and _has_closed_form(objective, outputs, y):
        p = outputs.softmax(1)
        share = 1.0 if not y.is_floating_point() else y.sum(1, keepdim=True).clamp_min(0).sqrt()
        for c in range(width):
            root = p[:, c : c + 1].sqrt() * share
            s = -p * root
            s[:, c : c + 1] += root
            yield s, 1.0
        return
    if loss is F.mse_loss and _has_closed_form(objective, outputs, y):
        for c in range(width):
            s = torch.zeros(len(outputs), width, dtype=outputs.dtype, device=outputs.device)
            s[:, c] = (2 / width) ** 0.5
            yield s.view_as(outputs), 1.0
        return
    values, vectors = torch.linalg.eigh(_output_hessians(objective, outputs, y).double())
    for k in range(width):
        s = vectors[:, :, k] * values[:, k : k + 1].abs().sqrt()
        yield s.to(outputs.dtype).view_as(outputs), values[:, k].sign()


def _has_closed_form(objective: Objective, outputs: torch.Tensor, y: torch.Tensor) -> bool:
    loss = objective.loss_function
    return (loss is F.cross_entropy and outputs.dim() == 2) or (loss is F.mse_loss and outputs.shape == y.shape)


def _output_hessians(objective: Objective, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(n, m, m) second derivatives of n times the loss by the outputs of each sample, m numbers a sample."""
    n, width = len(outputs), outputs[0].numel()
    hessians = torch.zeros(n, width, width, dtype=outputs.dtype, device=outputs.device)
    with TwiceDifferentiable(), torch.enable_grad():
        f = outputs.clone().requires_grad_(True)
        (gradient,) = first_gradient(n * objective.loss_function(f, y), f)
        if not gradient.requires_grad:
            return hessians  # a loss of straight lines
        for c in range(width):
            column = torch.autograd.grad(gradient.reshape(n, width)[:, c].sum(), f, retain_graph=True)[0]
            hessians[:, c] = column.reshape(n, width)
    return hessians


def _hutchinson(objective: Objective, theta: torch.Tensor, probes: int, seed: int, reason: str) -> Trace:
    with HessianAt(objective, theta) as hessian:
        values = _samples(hessian, probes, torch.Generator().manual_seed(seed), None)
    error = float(values.std(ddof=1) / np.sqrt(probes))
    return Trace(float(values.mean()), error, False, hessian.products, "hutchinson", reason)


def _hutch_plus_plus(objective: Objective, theta: torch.Tensor, probes: int, seed: int) -> Trace:
    rank = min(probes // 3, objective.parameters)
    generator = torch.Generator().manual_seed(seed)
    with HessianAt(objective, theta) as hessian:
        sketch = torch.cat([hessian.product(signs) for signs in _signs(hessian, rank, generator)], 1)
        check_product(sketch)
        basis = orthonormal(sketch.T, sketch.T[:0]).T
        captured = sum(float((q.double() * hessian.product(q).double()).sum()) for q in basis.split(BLOCK, 1))
        values = _samples(hessian, probes - 2 * rank, generator, basis)
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return Trace(captured + float(values.mean()), error, False, hessian.products, "hutch++")


def _samples(hessian: HessianAt, probes: int, generator: torch.Generator, basis: torch.Tensor | None) -> np.ndarray:
    """(probes,) values of v'Hv, v projected away from the columns of ``basis``."""
    values: list[float] = []
    for v in _signs(hessian, probes, generator):
        if basis is not None:
            v = v - basis @ inner(basis.T, v.T).to(v.dtype)
        product = hessian.product(v)
        check_product(product)
        values += (v.double() * product.double()).sum(0).tolist()
    return np.array(values)


def _signs(hessian: HessianAt, count: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Blocks (P, k) of random signs, ``count`` columns in all; a column does not depend on the blocks."""
    for first in range(0, count, BLOCK):
        columns = [
            torch.randint(0, 2, (hessian.parameters,), generator=generator) * 2 - 1
            for _ in range(first, min(first + BLOCK, count))
        ]
        yield torch.stack(columns, 1).to(hessian.device, hessian.dtype)
