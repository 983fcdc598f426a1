"""The spectral density of the Hessian by stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..objective import Objective
from .input_subspace import restrict
from .krylov import KrylovSpace
from .long_vectors import inner, norm
from .operator import HessianAt
from .scaled import root_of, scaled_product

WIDTH = 0.01  # default broadening, as a share of the spectrum's range
SETTLED = 1e-3  # residual, relative to its eigenvalue, at which a Ritz pair may be taken out


@dataclass(frozen=True)
class SpectralDensity:
    r"""The distribution of the Hessian's P eigenvalues, as weighted nodes from several random probes.

    :math:`\phi(t)=\frac1P\sum_i\delta(t-\lambda_i)` is approximated by the mean over probes of
    :math:`\sum_j w_j\,\delta(t-\vartheta_j)`.

    Attributes:
        nodes: (probes, K) Ritz values, loss per squared unit of theta, with a ``scale`` times its unit. K is the number
            of steps, less where all probes met an invariant space earlier; a restricted first layer adds one node at 0,
            and eigenvalues taken out follow at the end.
        weights: (probes, K) shares, at least 0, that sum to 1 for each probe. A probe that met an invariant space early
            repeats its last node with weight 0.
        parameters: P.
        products: Hessian-vector products used.
        seed: of the probes.
        deflated: (k,) eigenvalues that were taken out and count exactly, 1/P each.
        input_rank: directions the first layer was restricted to, or None: the whole Hessian.
        lost_trace: trace of the Hessian outside the restriction: what the restriction biases the trace by. 0 without.
        lost_trace_error: standard error of ``lost_trace``; 0 where that is known exactly.
        reason: why "auto" did not restrict the first layer; empty otherwise.
    """

    nodes: np.ndarray
    weights: np.ndarray
    parameters: int
    products: int
    seed: int
    deflated: np.ndarray
    input_rank: int | None = None
    lost_trace: float = 0.0
    lost_trace_error: float = 0.0
    reason: str = ""

    @property
    def smallest(self) -> float:
        """The smallest Ritz value: from above, close to the smallest eigenvalue."""
        return float(self.nodes[self.weights > 0].min())

    def __repr__(self) -> str:
        return (
            f"SpectralDensity(P={self.parameters}, probes={len(self.nodes)}, from {self.smallest:.4g} to "
            f"{self.largest:.4g}, trace {self.trace:.4g} +- {self.trace_error:.1g}, products={self.products})"
        )

    @property
    def largest(self) -> float:
        """The largest Ritz value: from below, close to the largest eigenvalue."""
        return float(self.nodes[self.weights > 0].max())

    @property
    def width(self) -> float:
        """Default broadening: a hundredth of the range from the smallest to the largest Ritz value (our choice)."""
        scale = max(abs(self.smallest), abs(self.largest), np.finfo(np.float64).tiny)
        return max(WIDTH * (self.largest - self.smallest), 1e-6 * scale)

    def density(self, grid: np.ndarray, width: float | None = None) -> np.ndarray:
        """The density at ``grid`` (any shape), each node a Gaussian of standard deviation ``width``.

        It integrates to 1 over the line, in the inverse units of the eigenvalues. A width not above 0 raises a
        ValueError.
        """
        width = self.width if width is None else width
        if not width > 0:
            raise ValueError(f"width must be above 0, got {width}")
        grid = np.asarray(grid, dtype=np.float64)
        shares = self.weights.ravel() / len(self.weights)
        result = np.zeros_like(grid)
        for node, share in zip(self.nodes.ravel(), shares, strict=True):
            if share > 0:
                result += share * np.exp(-0.5 * ((grid - node) / width) ** 2)
        return result / (width * np.sqrt(2 * np.pi))

    def masses(self, low: float, high: float) -> np.ndarray:
        """(probes,) share of the eigenvalues between ``low`` and ``high``, ends included, by each probe.

        Raises:
            ValueError: ``low`` above ``high``.
        """
        if not low <= high:
            raise ValueError(f"low must not exceed high, got {low} and {high}")
        return np.where((self.nodes >= low) & (self.nodes <= high), self.weights, 0.0).sum(1)

    def mass(self, low: float, high: float) -> float:
        """Share of the eigenvalues between ``low`` and ``high``, ends included."""
        return float(self.masses(low, high).mean())

    def moments(self, order: int) -> np.ndarray:
        r"""(probes,) :math:`\frac1P\mathrm{tr}\,H^{order}` by each probe."""
        return (self.weights * self.nodes**order).sum(1)

    def moment(self, order: int) -> float:
        r""":math:`\frac1P\mathrm{tr}\,H^{order}`, the mean over probes."""
        return float(self.moments(order).mean())

    @property
    def trace(self) -> float:
        """tr H by the density's first moment, without :attr:`lost_trace`."""
        return self.parameters * self.moment(1)

    @property
    def trace_error(self) -> float:
        """Standard error of :attr:`trace` from the spread between probes; NaN for one probe."""
        if len(self.nodes) == 1:
            return float("nan")
        return float(self.parameters * self.moments(1).std(ddof=1) / np.sqrt(len(self.nodes)))


def spectral_density(
    objective: Objective,
    theta: torch.Tensor,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
    *,
    deflate: int = 0,
    input_rank: int | str | None = None,
    progress: Callable[[int], object] | None = None,
    scale: torch.Tensor | None = None,
) -> SpectralDensity:
    r"""The distribution of the Hessian's eigenvalues at theta by stochastic Lanczos quadrature.

    For a random unit vector v the measure :math:`\sum_i (u_i^\top v)^2\,\delta_{\lambda_i}` has the spectral density as
    its mean. ``steps`` steps of the Lanczos method from v give its Gauss quadrature: the eigenvalues
    :math:`\vartheta_j` of the tridiagonal matrix and the squared first entries of its eigenvectors, exact for
    polynomials up to degree ``2 steps - 1`` (Lin, Saad, Yang 2016, Section 3.2; for networks Ghorbani, Krishnan, Xiao
    2019). Every Krylov vector is orthogonalised against all earlier ones, so no eigenvalue appears twice as a ghost.

    **Taking out the largest.** A few eigenvalues carry much of a network's trace, and how much of each a probe meets is
    chance: most of the estimate's noise. With ``deflate=k`` the first probe's up to k converged Ritz pairs of
    largest magnitude count exactly 1/P each, and all probes sample the rest, orthogonal to them. The mean stays what
    it was. No product more. (Explicit deflation, as in Bhattacharjee et al. 2024.)

    **A restricted first layer.** With ``input_rank=r`` a linear layer that takes the data themselves is restricted to
    the r directions of the data that carry most of the trace, and the other directions count as flat. Products get
    cheaper by up to the ratio of input width to r; the trace that is given up is computed, not guessed, and stands in
    :attr:`SpectralDensity.lost_trace`.

    **A scale for every parameter.** With ``scale=d`` it is the density of :math:`D^{1/2}HD^{1/2}`,
    :math:`D=\mathrm{diag}(d)`, and so are trace and moments: what that is good for says
    :func:`~landscape_helpers.curvature.top_eigenpairs`. There are P eigenvalues still; a scale of 0 and 1, which takes
    out a layer's block, has at least as many at 0 as it has zeros.

    Args:
        objective: the loss.
        theta: the point (P,).
        probes: random vectors, at least 1. 10 bring the paper's (Ghorbani et al.) plots within line width.
        steps: Lanczos steps a probe, at least 1 (P at most are made). Ghorbani et al. use 90, PyHessian 100; 80 is our
            choice, for the mining paper states none.
        seed: of the probes.
        deflate: the most eigenvalues to take out; 0 is plain quadrature.
        input_rank: None, the whole Hessian; r; or "auto", the smallest r that loses at most 0.8 % of the
            trace (of the first layer's where that of H is not known exactly), and the whole Hessian where half of
            the input's directions would not do or the model has no such layer.
        progress: called with the number of probes done.
        scale: the diagonal d (P,) of D, at least 0 and not all 0; None, the default, is the Hessian itself.

    Raises:
        TypeError: theta or a scale that is no tensor.
        ValueError: theta or a scale of the wrong length; probes, steps, deflate or input_rank out of range; an
            ``input_rank`` for a model with no linear layer on the data or one with no more inputs than that, or whose
            samples see each other, or together with a scale; a scale with a negative, NaN or infinite number or of
            zeros alone.
        OverflowedCurvature: a Hessian-vector product is not finite.
    """
    _check(objective, theta, probes, steps, deflate, input_rank)
    root = root_of(objective, scale)
    if root is not None and input_rank is not None:
        raise ValueError(f"a scale is for the whole Hessian, got input_rank={input_rank!r} too: pass input_rank=None")
    P, reason = objective.parameters, ""
    rank, lost, lost_error = None, 0.0, 0.0
    if input_rank is not None:
        restricted = restrict(objective, theta, input_rank, seed)
        if isinstance(restricted, str):
            if input_rank != "auto":
                raise ValueError(f"input_rank={input_rank} cannot be had: {restricted}. Pass input_rank=None")
            reason = restricted
        else:
            objective, theta, rank = restricted.objective, restricted.theta, restricted.rank
            lost, lost_error = restricted.lost, restricted.lost_error
    generator = torch.Generator().manual_seed(seed)
    measures: list[tuple[np.ndarray, np.ndarray]] = []
    values, outliers = np.empty(0), None
    with HessianAt(objective, theta) as hessian:
        for number in range(probes):
            space = _krylov(hessian, root, generator, steps, outliers)
            nodes, weights, residuals, coefficients = _quadrature(space)
            if number == 0 and deflate:
                out = _converged(nodes, residuals, deflate)
                values = nodes[out]
                outliers = space.basis.T @ torch.as_tensor(coefficients[:, out]).to(space.basis)
                nodes, weights = np.delete(nodes, out), np.delete(weights, out)
                weights = weights / weights.sum() if len(nodes) else weights
            measures.append((nodes, weights))
            if progress is not None:
                progress(number + 1)
        products = hessian.products
    nodes, weights = _table(measures, values, hessian.parameters, P)
    return SpectralDensity(nodes, weights, P, products, seed, values, rank, lost, lost_error, reason)


def _krylov(
    hessian: HessianAt,
    root: torch.Tensor | None,
    generator: torch.Generator,
    steps: int,
    outliers: torch.Tensor | None,
) -> KrylovSpace:
    """The Krylov space of a random vector, orthogonal to ``outliers`` (P, k) where there are any."""
    start = torch.randn(hessian.parameters, generator=generator, dtype=hessian.dtype).to(hessian.device)

    def rest(v: torch.Tensor) -> torch.Tensor:
        return v if outliers is None else v - outliers @ inner(outliers.T, v).to(v.dtype)

    start = rest(start)
    room = hessian.parameters - (0 if outliers is None else outliers.shape[1])
    product = scaled_product(hessian, root)
    space = KrylovSpace(lambda v: rest(product(v)), start / norm(start), min(steps, max(room, 1)), 0)
    while not space.full:
        space.extend()
        if space.exhausted:
            break
    return space


def _quadrature(space: KrylovSpace) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes ascending, weights that sum to 1, residuals, and coefficients (m, m) of the Ritz vectors."""
    pairs = space.pairs(space.size, "SA", 0.0)
    weights = pairs.coefficients[0] ** 2
    return pairs.values, weights / weights.sum(), pairs.residuals, pairs.coefficients


def _converged(nodes: np.ndarray, residuals: np.ndarray, most: int) -> np.ndarray:
    """Which Ritz pairs to take out: settled ones, the largest magnitudes first, never all."""
    order = np.argsort(-np.abs(nodes))[: min(most, len(nodes) - 1)]
    settled = residuals[order] <= SETTLED * np.abs(nodes[order])
    return order[: len(order) if settled.all() else int(np.argmin(settled))]


def _table(
    measures: list[tuple[np.ndarray, np.ndarray]], values: np.ndarray, inside: int, P: int
) -> tuple[np.ndarray, np.ndarray]:
    """All probes in one table: sampled nodes, the flat directions that were left out, the eigenvalues taken out."""
    longest = max(len(nodes) for nodes, _ in measures)
    flat = np.zeros(1 if inside < P else 0)
    rows, shares = [], []
    for nodes, weights in measures:
        padding = longest - len(nodes)
        rows.append(np.concatenate([np.pad(nodes, (0, padding), mode="edge"), flat, values]))
        sampled = np.pad(weights, (0, padding)) * (inside - len(values)) / P
        shares.append(np.concatenate([sampled, np.full(len(flat), (P - inside) / P), np.full(len(values), 1 / P)]))
    return np.array(rows), np.array(shares)


def _check(
    objective: Objective, theta: torch.Tensor, probes: int, steps: int, deflate: int, input_rank: int | str | None
) -> None:
    objective.check_vector(theta)
    for name, value, least in (("probes", probes, 1), ("steps", steps, 1), ("deflate", deflate, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    known = input_rank is None or input_rank == "auto"
    if not known and (not isinstance(input_rank, int) or isinstance(input_rank, bool) or input_rank < 1):
        raise ValueError(f"input_rank must be None, 'auto' or a whole number above 0, got {input_rank!r}")
