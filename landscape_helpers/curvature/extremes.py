r"""Extreme eigenpairs of a symmetric operator, repeated and clustered eigenvalues included."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .krylov import FLOOR, KrylovSpace, RitzPairs
from .long_vectors import inner, norm

Product = Callable[[torch.Tensor], torch.Tensor]

# A look at the rest is over when its extreme Ritz value is known to this share of itself ...
SETTLED = 0.3
# ... but not before a direction with as much curvature as the k-th eigenvector, against a bulk with a quarter of that,
# has grown from its share 1 / sqrt(P) in a random start to about one: 4^steps = sqrt(P), and one to spare.
CONTRAST = 4.0


@dataclass(frozen=True)
class End:
    """The k best eigenpairs of one end: values (k,), vectors (P, k), residuals (k,), and whether all converged."""

    values: np.ndarray
    vectors: torch.Tensor
    residuals: np.ndarray
    converged: bool


@dataclass(frozen=True)
class Extremes:
    """What was found at each end, the size of the spectrum and the products used."""

    ends: tuple[End, ...]
    scale: float
    products: int


def extremes(
    product: Product,
    start: torch.Tensor,
    which: Sequence[str],
    k: int,
    tol: float,
    max_products: int,
    seed: int = 0,
) -> Extremes:
    r"""The k largest (``"LA"``) or smallest (``"SA"``) eigenvalues, or both, from one Krylov space.

    A Krylov space holds one vector of a repeated eigenvalue, and until it is much larger than the pairs it has
    converged to, one of a cluster. So for k above 1 the operator is looked at once more in a fresh random direction
    orthogonal to the pairs found: :math:`P H P`, with :math:`P=I-VV^\top`. What lies beyond the k-th value there was
    missed; it is taken in, and the look repeated until it finds nothing.

    Args:
        product: ``v (P,) -> H v``.
        start: first vector (P,), of norm one.
        which: the ends.
        k: pairs an end.
        tol: of the residuals, relative to their eigenvalues.
        max_products: where to give up.
        seed: of the fresh directions.
    """
    space = KrylovSpace(product, start, max(max_products, k), seed)
    while True:
        space.extend()
        if space.size < k:
            continue
        pairs = [space.pairs(k, end, tol) for end in which]
        if space.full or all(p.converged for p in pairs):
            break
    ends = [End(p.values, space.vectors(p), p.residuals, p.converged) for p in pairs]
    used, scale = space.size, space.scale
    # An exhausted space has been continued in fresh directions already.
    if k == 1 or space.restarts or used == len(start) or not all(end.converged for end in ends):
        return Extremes(tuple(ends), scale, used)
    chosen = np.unique(np.concatenate([p.order for p in pairs]))
    rest = _Rest(product, space.span(chosen), [(space.residual, _norm(space.coefficients[-1, chosen]))])
    while used < max_products and rest.known.shape[1] < len(start):
        found, spent = _look(rest, ends, which, tol, max_products - used, scale, seed + used)
        used += spent
        if all(new is None for new in found):
            break
        ends = [_merged(end, new, name, k) for end, new, name in zip(ends, found, which, strict=True)]
    return Extremes(tuple(ends), scale, used)


def beyond(
    product: Product,
    values: np.ndarray,
    vectors: torch.Tensor,
    which: str,
    tol: float,
    most: int,
    scale: float,
    seed: int,
) -> torch.Tensor:
    """Directions (c, P) off the pairs (k,), (P, k) with more curvature than the last of them; c = 0 where none is seen.

    Args:
        product: ``v (P,) -> H v``.
        values: eigenvalues known, the k best of their end.
        vectors: orthonormal, of the same.
        which: the end.
        tol: a value lies beyond the last where it does so by this share of it.
        most: products, of which a look takes as many as it needs.
        scale: size of the spectrum.
        seed: of the direction in which to look.
    """
    end = End(values, vectors, np.zeros_like(values), True)
    found = _look(_Rest(product, vectors, []), [end], [which], tol, most, scale, seed)[0][0]
    return vectors.T[:0] if found is None else found.vectors.T


class _Rest:
    r"""The operator without the pairs that are known: :math:`PHP` with :math:`P=I-VV^\top`.

    ``tails`` lists what the known pairs' residuals are made of: a vector (P,), and the greatest share of it in any
    unit combination of them.
    """

    def __init__(self, product: Product, known: torch.Tensor, tails: list[tuple[torch.Tensor, float]]) -> None:
        self._product = product
        self.known = known
        self.tails = tails

    def product(self, v: torch.Tensor) -> torch.Tensor:
        return self.off(self._product(self.off(v)))

    def off(self, v: torch.Tensor) -> torch.Tensor:
        return v - self.known @ inner(self.known.T, v).to(v.dtype)

    def residuals(self, residuals: np.ndarray, vectors: torch.Tensor) -> np.ndarray:
        r"""Norms of :math:`Hu-\vartheta u` from those in the rest: :math:`V^\top Hu` comes from the known residuals."""
        for tail, share in self.tails:
            residuals = np.hypot(residuals, share * (tail @ vectors).abs().double().cpu().numpy())
        return residuals


def least_look(size: int) -> int:
    """Products that a look in a space of ``size`` dimensions takes at least."""
    return 2 + math.ceil(0.5 * math.log(size) / math.log(CONTRAST))


def _look(
    rest: _Rest, ends: list[End], which: Sequence[str], tol: float, most: int, scale: float, seed: int
) -> tuple[list[End | None], int]:
    """What a Krylov space of the rest from a random start holds beyond each end's last value; and its products."""
    size = len(rest.known)
    generator = torch.Generator().manual_seed(seed)
    start = rest.off(torch.randn(size, generator=generator, dtype=rest.known.dtype).to(rest.known.device))
    space = KrylovSpace(rest.product, start / norm(start), min(most, size - rest.known.shape[1]), seed)
    least = least_look(size)
    while True:
        space.extend()
        beyond = [_beyond(space, end, name, tol, scale) for end, name in zip(ends, which, strict=True)]
        if space.full or space.exhausted:
            break
        if space.size >= least and all(done for _, done in beyond):
            break
    found: list[End | None] = []
    for pairs, done in beyond:
        if not len(pairs.values):
            found.append(None)
            continue
        vectors = space.vectors(pairs)
        found.append(End(pairs.values, vectors, rest.residuals(pairs.residuals, vectors), done or space.exhausted))
    chosen = np.unique(np.concatenate([pairs.order for pairs, _ in beyond]))
    if len(chosen):
        rest.known = torch.cat([rest.known, space.span(chosen)], 1)
        rest.tails.append((space.residual, _norm(space.coefficients[-1, chosen])))
    return found, space.size


def _beyond(space: KrylovSpace, end: End, which: str, tol: float, scale: float) -> tuple[RitzPairs, bool]:
    """The space's pairs beyond the last value of ``end``, and whether that there are these, or none, is settled."""
    sign = 1.0 if which == "LA" else -1.0
    last = sign * end.values[-1]
    margin = tol * max(abs(last), FLOOR * scale)
    count = int((sign * space.values > last + margin).sum())
    pairs = space.pairs(count, which, 0.5 * tol)
    if count:
        return pairs, bool((pairs.residuals <= 0.5 * tol * np.maximum(np.abs(pairs.values), FLOOR * scale)).all())
    first = space.pairs(1, which, tol)
    value, residual = sign * float(first.values[0]), float(first.residuals[0])
    return pairs, residual <= SETTLED * abs(value) or value + residual < last


def _merged(end: End, new: End | None, which: str, k: int) -> End:
    if new is None:
        return end
    values = np.concatenate([end.values, new.values])
    order = np.argsort(-values if which == "LA" else values, kind="stable")[:k]
    vectors = torch.cat([end.vectors, new.vectors], 1)[:, torch.as_tensor(order.copy(), device=end.vectors.device)]
    residuals = np.concatenate([end.residuals, new.residuals])[order]
    return End(values[order], vectors, residuals, end.converged and new.converged)


def _norm(values: np.ndarray) -> float:
    return float(np.linalg.norm(values))
