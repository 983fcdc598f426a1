"""Leading eigenpairs of the Hessian at either end of its spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch

from ..objective import Objective
from .extremes import End, extremes
from .first_layer import FirstLayerSubspace
from .krylov import FLOOR, OverflowedCurvature
from .long_vectors import norm
from .operator import HessianAt
from .scaled import root_of, scaled_product
from .subspace_pairs import LEAST_PAIRS, LEAST_TOLERANCE, full_products, subspace_pairs

__all__ = ["FLOOR", "Eigenpairs", "OverflowedCurvature", "both_ends", "top_eigenpairs"]

SHOWN = 5  # eigenvalues that are printed


@dataclass(frozen=True)
class Eigenpairs:
    r"""Eigenpairs of the Hessian and what they cost.

    Attributes:
        values: (k,) eigenvalues, those asked for first: descending for "LA", ascending for "SA". Loss per squared
            unit of theta, with a ``scale`` times its unit.
        vectors: (P, k) orthonormal eigenvectors, on the objective's device; with a ``scale`` in the scaled coordinates
            (:func:`top_eigenpairs`).
        residuals: (k,) norms :math:`\|H v_i - \lambda_i v_i\|` as exact arithmetic would have them; an eigenvalue lies
            within its residual of ``values``. The rounding of the products comes on top, and is all there is of a pair
            whose residual reads 1e-20: measured on small networks some 1e-6 of the largest eigenvalue in single
            precision. For less, make the objective with ``dtype=torch.float64``.
        products: exact Hessian-vector products used.
        converged: whether every residual met its tolerance.
        cheap_products: products in a subspace, which cost a fraction of an exact one.
    """

    values: np.ndarray
    vectors: torch.Tensor
    residuals: np.ndarray
    products: int
    converged: bool
    cheap_products: int = 0

    def __repr__(self) -> str:
        shown = ", ".join(f"{value:.4g}" for value in self.values[:SHOWN]) + ", ..." * (len(self.values) > SHOWN)
        share = float((self.residuals / np.maximum(np.abs(self.values), np.finfo(np.float64).tiny)).max())
        return (
            f"Eigenpairs(k={len(self.values)}, P={len(self.vectors)}, values=[{shown}], largest relative residual "
            f"{share:.1e}, products={self.products}, converged={self.converged})"
        )


def top_eigenpairs(
    objective: Objective,
    theta: torch.Tensor,
    k: int,
    which: str = "LA",
    tol: float = 1e-3,
    start: torch.Tensor | None = None,
    max_products: int = 300,
    seed: int = 0,
    *,
    memory: int | None = None,
    scale: torch.Tensor | None = None,
) -> Eigenpairs:
    r"""The k largest (or smallest) eigenvalues of the Hessian at theta, with eigenvectors.

    Lanczos builds an orthonormal basis V of the Krylov space of ``start`` with :math:`V^\top H V = T` tridiagonal; the
    extreme eigenvalues of T approach those of H from inside, and :math:`\|H V s_i-\lambda_i V s_i\| = \beta_m
    |s_{mi}|` certifies each without another product (:class:`KrylovSpace`). For k above 1 a second look, in a fresh
    direction, finds the copies of repeated and clustered eigenvalues that one Krylov space misses; softmax regression
    at its start has every eigenvalue C - 1 times (:func:`~landscape_helpers.curvature.extremes.extremes`).

    Where the network begins with a wide linear layer, as an MLP on images does, most products are taken in the range of
    the data, at a fraction of the cost (:mod:`~landscape_helpers.curvature.subspace_pairs`). The pairs are as accurate,
    and ``residuals`` are upper bounds then.

    **A scale for every parameter.** With ``scale=d`` all of this is about :math:`D^{1/2}HD^{1/2}`,
    :math:`D=\mathrm{diag}(d)`, the Hessian in the coordinates :math:`\varphi=D^{-1/2}\theta`, always by full products.
    ``values``, ``residuals`` and ``tol`` are those of this matrix, and ``start`` and ``vectors`` stand in the scaled
    coordinates. The direction in parameter space that belongs to a vector v is :math:`D^{1/2}v`, that is
    ``d.sqrt() * v``: along it, divided by its norm, the loss bends by :math:`\lambda/\|D^{1/2}v\|^2`. For instance

    - Adam's :math:`D=1/(\sqrt{\hat v}+\epsilon)` (:func:`~landscape_helpers.weights.adam_scale`): the preconditioned
      sharpness, which training drives to :math:`(2+2\beta_1)/((1-\beta_1)\eta)`, :math:`38/\eta` for
      :math:`\beta_1=0.9` (Cohen et al. 2022, *Adaptive Gradient Methods at the Edge of Stability*); without momentum
      the threshold is :math:`2/\eta`;
    - 0 and 1: a layer's block of the Hessian, ``d = torch.zeros_like(theta); d[layer.slices[0]] = 1`` with a layer of
      ``objective.layers``. The eigenvalues that belong to the rest are 0, which count as others do: among the smallest
      of a block without negative curvature stand zeros;
    - :math:`D=\mathrm{diag}(\theta^2)`: the curvature under relative perturbations, that of adaptive sharpness (Kwon et
      al. 2021, *ASAM*), the same for two ReLU networks that differ by the scales of their weights alone.

    Args:
        objective: what to differentiate.
        theta: the point (P,).
        k: how many eigenpairs, 1 to P.
        which: "LA", largest algebraic, or "SA", smallest algebraic. Never by magnitude: a Hessian has negative
            eigenvalues too.
        tol: a pair has converged when its residual is at most ``tol`` times its own eigenvalue's magnitude (as in
            ARPACK; an eigenvalue within 1e-3 of zero on the scale of the spectrum counts as that far from it).
            Measured against the whole spectrum instead, any random vector would pass in a network, whose
            curvature sits in a few directions. The eigenvalue itself is then off by the residual at most, usually by
            about its square. 1e-3 is our choice: at a looser one the space can settle on the wrong pair of a dense
            bulk.
        start: first vector (P,), say the last stop's eigenvector of a trajectory; random Gaussian by default.
        max_products: where to give up, at least k + 1 (P for k = P); the best pairs so far come back with
            ``converged=False``. 300 is our choice.
        seed: of the random start.
        memory: see :class:`HessianAt`.
        scale: the diagonal d (P,) of D, at least 0 and not all 0; None, the default, is the Hessian itself.

    Raises:
        TypeError: theta, a start or a scale that is no tensor.
        ValueError: k outside 1..P, an unknown ``which``, a ``tol`` that is not above 0, too small a budget for k pairs,
            theta, a start or a scale of the wrong length, a start of zero norm or not finite, a scale with a negative,
            NaN or infinite number or of zeros alone, an operation without a second derivative (:class:`HessianAt`).
        OverflowedCurvature: a Hessian-vector product is not finite.
    """
    if which not in ("LA", "SA"):
        raise ValueError(f"which must be 'LA' (largest algebraic) or 'SA' (smallest), got {which!r}")
    return _pairs_at(objective, theta, k, [which], tol, start, max_products, seed, memory, scale)[0]


def both_ends(
    objective: Objective,
    theta: torch.Tensor,
    k: int,
    tol: float = 1e-3,
    start: torch.Tensor | None = None,
    max_products: int = 600,
    seed: int = 0,
    *,
    memory: int | None = None,
    scale: torch.Tensor | None = None,
) -> tuple[Eigenpairs, Eigenpairs]:
    """The k largest and the k smallest eigenvalues with eigenvectors, from one Krylov space.

    Lanczos approaches both ends at once, so the second costs only what the slower end needs more. Arguments (``scale``
    too), errors and the way by the range of the data as in :func:`top_eigenpairs`; the two share their products, which
    are counted in both, and their vectors are orthogonal to each other as well. ``max_products`` is for both, hence
    twice that of one.

    Returns:
        (largest, smallest). With 2 k > P the two overlap.
    """
    top, bottom = _pairs_at(objective, theta, k, ["LA", "SA"], tol, start, max_products, seed, memory, scale)
    return top, bottom


def _pairs_at(
    objective: Objective,
    theta: torch.Tensor,
    k: int,
    which: Sequence[str],
    tol: float,
    start: torch.Tensor | None,
    max_products: int,
    seed: int,
    memory: int | None,
    scale: torch.Tensor | None,
) -> list[Eigenpairs]:
    _check_k(objective, k)
    _check_effort(objective, k, tol, max_products)
    first = _first_vector(objective, start, seed)
    root = root_of(objective, scale)
    # A scale mixes what the range of the data keeps apart.
    in_range = start is None and root is None and k >= LEAST_PAIRS and tol >= LEAST_TOLERANCE
    with HessianAt(objective, theta, memory=memory) as hessian:
        if in_range and full_products(k, len(which)) <= max_products:
            subspace = FirstLayerSubspace.of(hessian.way(), seed)
            if subspace is not None:
                cheap = subspace_pairs(subspace, first, k, which, tol, max_products, seed)
                if cheap is not None and cheap.converged:
                    hessian.count(cheap.products)
                    return [_eigenpairs(end, cheap.products, cheap.cheap_products) for end in cheap.ends]
        found = extremes(scaled_product(hessian, root), first, which, k, tol, max_products, seed)
        return [_eigenpairs(end, found.products) for end in found.ends]


def _eigenpairs(end: End, products: int, cheap_products: int = 0) -> Eigenpairs:
    return Eigenpairs(end.values, end.vectors, end.residuals, products, end.converged, cheap_products)


def _check_k(objective: Objective, k: int) -> None:
    if not isinstance(k, Integral) or not 1 <= k <= objective.parameters:
        raise ValueError(f"k must lie between 1 and the number of parameters {objective.parameters}, got {k!r}")


def _check_effort(objective: Objective, k: int, tol: float, max_products: int) -> None:
    if not tol > 0:
        raise ValueError(f"tol must be above 0, got {tol}")
    # All P pairs have no residual to tell from: P products span everything.
    least, name = (k + 1, "k + 1") if k < objective.parameters else (k, "k")
    if max_products < least:
        raise ValueError(f"max_products must be at least {name} = {least}: each pair takes one, got {max_products}")


def _first_vector(objective: Objective, start: torch.Tensor | None, seed: int) -> torch.Tensor:
    if start is None:
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(objective.parameters, generator=generator, dtype=objective.dtype)
    objective.check_vector(start, "start")
    start = start.to(objective.device, objective.dtype)
    length = norm(start)
    if not 0 < length < float("inf"):
        raise ValueError(f"start must be a non-zero finite vector, got one of norm {length}")
    return start / length
