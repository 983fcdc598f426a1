r"""Eigenpairs of a network with a wide linear first layer, mostly from products in the range of its data.

Lanczos runs on :math:`Q^\top HQ` (:class:`FirstLayerSubspace`). For its Ritz pairs :math:`(\vartheta, y)` the full
residual lies outside Q, :math:`r=(I-QQ^\top)Hy`, and to first order so does what the eigenvector lacks:
:math:`z=r/\vartheta`. Rayleigh and Ritz on the span of all y and z then leave residuals of second order.

Two of the four large matrix products this takes are needed in full, because the vectors y lie in the subspace and
because the part of :math:`Hz` outside Q, which is of third order, enters the residual only: there a Gaussian sketch
(Johnson & Lindenstrauss 1984) bounds its norm. The residuals are therefore upper bounds, exact but for that term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .extremes import End, extremes
from .first_layer import FirstLayerSubspace, Image
from .krylov import FLOOR, KrylovSpace
from .long_vectors import norm

# The subspace's own residuals may take this share of the tolerance.
INNER = 0.5
# Below this tolerance corrections of first order do not get there, and below this k they do not pay.
LEAST_TOLERANCE = 3e-4
LEAST_PAIRS = 4
# Lanczos steps off the subspace that look for curvature there, and the share of the k-th eigenvalue it may have. A
# direction with more stands out so far from the rest that a few steps from a random start meet it.
LOOKS = 2
OUTSIDE_SHARE = 0.5


@dataclass(frozen=True)
class SubspacePairs:
    """The k pairs of each end asked for, whose residuals are bounds; products full and cheap."""

    ends: tuple[End, ...]
    products: int
    cheap_products: int

    @property
    def converged(self) -> bool:
        return all(end.converged for end in self.ends)


def full_products(k: int, ends: int) -> int:
    """Exact Hessian-vector products that the pairs of so many ends take, whatever the network."""
    return 2 * k * ends + LOOKS


def subspace_pairs(
    subspace: FirstLayerSubspace,
    start: torch.Tensor,
    k: int,
    which: Sequence[str],
    tol: float,
    max_products: int,
    seed: int,
) -> SubspacePairs | None:
    """The k best pairs at each end, or None where the subspace turns out not to hold them.

    The vectors of all ends together are orthonormal.

    Args:
        subspace: of the first layer.
        start: first vector (P,).
        k: how many; at most the subspace's dimension.
        which: the ends, "LA" and "SA" or one of them.
        tol: bound on the residuals relative to their eigenvalues, as in :func:`top_eigenpairs`.
        max_products: in the subspace, as many as of full ones.
        seed: of the sketch and of the look outside.
    """
    first = subspace.coordinates(start)
    found = extremes(subspace.product, first / norm(first), which, k, INNER * tol, max_products, seed)
    if not all(inner.converged for inner in found.ends) or _meet(found.ends):
        return None
    least = [float(np.abs(inner.values).min()) for inner in found.ends]
    for inner, smallest in zip(found.ends, least, strict=True):
        if np.ptp(np.sign(inner.values)) or smallest < FLOOR * found.scale:
            return None  # pairs around zero: the correction divides by the eigenvalue
    scales = _outside_scales(subspace, which, seed)
    if any(scale > OUTSIDE_SHARE * smallest for scale, smallest in zip(scales, least, strict=True)):
        return None
    theta = np.concatenate([inner.values for inner in found.ends])
    Y = torch.cat([inner.vectors for inner in found.ends], 1).T.contiguous()
    inside, outside = subspace.products_inside(Y)
    outside /= torch.as_tensor(theta, dtype=Y.dtype, device=Y.device)[:, None, None]
    image = subspace.products_outside(outside)
    values, C, D, residuals = _rayleigh_ritz(Y, inside, outside.flatten(1), theta, image, k, which)
    Z = (D @ outside.flatten(1)).view_as(outside)
    vectors = torch.stack([subspace.lifted(row, z) for row, z in zip(C @ Y, Z, strict=True)])
    small = residuals <= tol * np.maximum(np.abs(values), FLOOR * found.scale)
    ends = []
    for i in range(len(which)):
        own = slice(i * k, (i + 1) * k)
        ends.append(End(values[own], vectors[own].T, residuals[own], bool(small[own].all())))
    return SubspacePairs(tuple(ends), full_products(k, len(which)), found.products)


def _meet(ends: Sequence[End]) -> bool:
    """Whether the eigenvalues of two ends overlap: a pair may stand at both then, and the vectors be dependent."""
    lows, highs = ([float(extreme(end.values)) for end in ends] for extreme in (np.min, np.max))
    return len(ends) > 1 and max(lows) <= min(highs)


def _outside_scales(subspace: FirstLayerSubspace, which: Sequence[str], seed: int) -> list[float]:
    """The largest curvature off the subspace, of the sign of each end, as a few Lanczos steps see it."""
    generator = torch.Generator().manual_seed(seed + 1)
    start = torch.randn(subspace.weight.numel(), generator=generator, dtype=subspace.basis.dtype)
    start = start.to(subspace.basis.device)
    krylov = KrylovSpace(subspace.product_outside, start / norm(start), LOOKS, seed)
    for _ in range(LOOKS):
        krylov.extend()
    pairs = [krylov.pairs(1, end, 0.0) for end in which]
    return [abs(float(pair.values[0])) + float(pair.residuals[0]) for pair in pairs]


def _rayleigh_ritz(
    Y: torch.Tensor,
    inside: torch.Tensor,
    Z: torch.Tensor,
    theta: np.ndarray,
    image: Image,
    k: int,
    which: Sequence[str],
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor, np.ndarray]:
    r"""The k best pairs of each end in the span of y (orthonormal, in the subspace) and z (outside), ``C Y + D Z``.

    Returns:
        Values, C, D and the residuals' bounds, one end after the other.

    With :math:`Hy=H_{in}+\vartheta z`, the residual of a combination is
    :math:`C H_{in}+D(Hz)_{in}-\lambda CY` inside and :math:`(C\vartheta-\lambda D)Z+D(Hz)_{out}` outside.
    """
    rows = len(Y)
    gram_z = (Z @ Z.T).double().cpu().numpy()
    mixed = (Y @ image.inside.T).double().cpu().numpy()
    gram = np.block([[np.eye(rows), np.zeros((rows, rows))], [np.zeros((rows, rows)), gram_z]])
    own = (Y @ inside.T).double().cpu().numpy()
    form = np.block([[(own + own.T) / 2, mixed], [mixed.T, image.pairing.numpy()]])
    weights, axes = np.linalg.eigh(gram)
    kept = weights > 1e-10  # a z of norm below 1e-5 is rounding
    whiten = axes[:, kept] / np.sqrt(weights[kept])
    values, combinations = np.linalg.eigh(whiten.T @ form @ whiten)
    ascending = np.argsort(values)
    order = np.concatenate([ascending[::-1][:k] if end == "LA" else ascending[:k] for end in which])
    values, mix = values[order], (whiten @ combinations[:, order]).T
    C, D = (torch.as_tensor(part.copy(), dtype=Y.dtype, device=Y.device) for part in (mix[:, :rows], mix[:, rows:]))
    lam = torch.as_tensor(values.copy(), dtype=Y.dtype, device=Y.device)[:, None]
    within = (C @ inside + D @ image.inside - lam * (C @ Y)).double().norm(dim=1).cpu().numpy()
    rest = mix[:, :rows] * theta - values[:, None] * mix[:, rows:]
    outside = np.sqrt(np.einsum("ij,jk,ik->i", rest, gram_z, rest).clip(0))
    beyond = image.outside(D).double().cpu().numpy()
    return values, C, D, np.hypot(within, outside + beyond)
