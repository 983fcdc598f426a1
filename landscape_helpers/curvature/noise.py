"""How the loss changes when the parameters are perturbed by Gaussian noise, to second order and as measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ..objective import Objective
from .operator import HessianAt

BLOCK = 10  # draws held at once


@dataclass(frozen=True)
class LossChange:
    r"""The change of the loss under :math:`\lambda\epsilon`, :math:`\epsilon\sim\mathcal N(0,\sigma^2 I)`.

    For draw m, :math:`\delta\mathcal L^{(m)}(\lambda)\approx\tfrac12 a_m\lambda^2+b_m\lambda` with
    :math:`a_m=\epsilon_m^\top H\epsilon_m` and :math:`b_m=\epsilon_m^\top g`
    (*Visualizing, Rethinking, and Mining the Loss Landscape*, eq. 1, Appendix B.3 and Figure 13, second row).

    Attributes:
        lambdas: (L,) the scales.
        sigma: standard deviation of each entry of a draw.
        loss: :math:`\mathcal L(\theta)`.
        slopes: (draws,) b.
        curvatures: (draws,) a.
        measured: (draws, L) true change :math:`\mathcal L(\theta+\lambda\epsilon_m)-\mathcal L(\theta)`, or None.
        gradient_norm: :math:`\|g\|`.
        trace: :math:`\mathrm{tr}\,H` estimated from the same products as the mean of :math:`a_m/\sigma^2`.
        trace_error: its standard error.
        trace_square: :math:`\mathrm{tr}\,H^2=\mathbb E\|H\epsilon\|^2/\sigma^2`, from the same products. The paper
            calls the variance hard to get because of this trace; it costs nothing more.
        trace_square_error: its standard error.
        displacements: (draws, L) :math:`\|\lambda\epsilon_m\|/\|\theta\|`. The paper's histograms leave a draw
            unscaled while its curves scale it to :math:`\|\theta\|`: the same lambda means different distances.
        products: Hessian-vector products used.
        seed: of the draws.
    """

    lambdas: np.ndarray
    sigma: float
    loss: float
    slopes: np.ndarray
    curvatures: np.ndarray
    measured: np.ndarray | None
    gradient_norm: float
    trace: float
    trace_error: float
    trace_square: float
    trace_square_error: float
    displacements: np.ndarray
    products: int
    seed: int

    @property
    def second_order(self) -> np.ndarray:
        """(draws, L) change by the quadratic model of each draw."""
        return np.outer(self.slopes, self.lambdas) + 0.5 * np.outer(self.curvatures, self.lambdas**2)

    @property
    def mean(self) -> np.ndarray:
        r"""(L,) :math:`\mathbb E\,\delta\mathcal L=\tfrac12\lambda^2\sigma^2\,\mathrm{tr}\,H` (eq. 4)."""
        return 0.5 * self.lambdas**2 * self.sigma**2 * self.trace

    @property
    def mean_error(self) -> np.ndarray:
        """(L,) standard error of :attr:`mean`, from that of the trace."""
        return 0.5 * self.lambdas**2 * self.sigma**2 * self.trace_error

    @property
    def variance(self) -> np.ndarray:
        r"""(L,) the variance of the second-order change, eq. 4 corrected.

        .. math:: \mathbb V\,\delta\mathcal L=\lambda^2\sigma^2\|g\|^2+\tfrac12\lambda^4\sigma^4\,\mathrm{tr}\,H^2

        b is normal with variance :math:`\sigma^2\|g\|^2`, a has variance :math:`2\sigma^4\,\mathrm{tr}\,H^2`, and the
        two are uncorrelated because the third moments of a centred Gaussian vanish. See :attr:`printed_variance`.
        """
        linear = self.lambdas**2 * self.sigma**2 * self.gradient_norm**2
        return linear + 0.5 * self.lambdas**4 * self.sigma**4 * self.trace_square

    @property
    def variance_error(self) -> np.ndarray:
        """(L,) standard error of :attr:`variance`, from that of the trace of the square."""
        return 0.5 * self.lambdas**4 * self.sigma**4 * self.trace_square_error

    @property
    def printed_variance(self) -> np.ndarray:
        r"""(L,) the variance as eq. 4 prints it: :math:`\lambda\|g\|^2+\tfrac12\lambda^2\sigma^4\mathrm{tr}(HH)`.

        The powers of lambda and one of sigma are missing there, which dimensions alone show: this "variance" grows
        linearly in lambda and can be negative. Kept so that the two can stand side by side.
        """
        return self.lambdas * self.gradient_norm**2 + 0.5 * self.lambdas**2 * self.sigma**4 * self.trace_square


def loss_change(
    objective: Objective,
    theta: torch.Tensor,
    sigma: float = 1.0,
    lambdas: Iterable[float] = (0.001, 0.01),
    draws: int = 100,
    seed: int = 0,
    measure: bool = False,
    progress: Callable[[int], object] | None = None,
) -> LossChange:
    """The distribution of the loss change under Gaussian noise, by one Hessian-vector product a draw.

    All scales are served by the same products. :attr:`LossChange.variance` is the corrected formula,
    :attr:`LossChange.printed_variance` the paper's.

    Args:
        objective: the loss.
        theta: the point (P,), not zero.
        sigma: standard deviation of the noise, 1 in the paper.
        lambdas: scales of the noise, at least one; 0.001 and 0.01 are the paper's.
        draws: at least 2, so that the estimates have a standard error; 100 in the paper.
        seed: of the draws. The first m draws do not depend on how many follow.
        measure: also evaluate the true loss at each draw and scale (draws x lambdas evaluations).
        progress: called with the number of draws done, block by block.

    Raises:
        ValueError: theta of the wrong length, zero or not finite; a sigma that is not positive and finite; no scale or
            one that is not finite; fewer than 2 draws.
    """
    scales = _checked(objective, theta, sigma, lambdas, draws)
    theta = theta.detach().to(objective.device, objective.dtype)
    loss, gradient = objective.loss_and_gradient(theta)
    g = gradient.double()
    generator = torch.Generator().manual_seed(seed)
    slopes, curvatures, squares, norms = (np.empty(draws) for _ in range(4))
    measured = np.empty((draws, len(scales)))
    with HessianAt(objective, theta) as hessian:
        for first in range(0, draws, BLOCK):
            block = range(first, min(first + BLOCK, draws))
            columns = [torch.randn(objective.parameters, generator=generator, dtype=objective.dtype) for _ in block]
            noise = sigma * torch.stack([objective.keep_padding(column) for column in columns], 1).to(objective.device)
            products = hessian.product(noise)
            for j, m in enumerate(block):
                epsilon, product = noise[:, j].double(), products[:, j].double()
                slopes[m], curvatures[m] = float(epsilon @ g), float(epsilon @ product)
                squares[m], norms[m] = float(product @ product), float(epsilon.norm())
                if measure:
                    measured[m] = [objective.loss(theta + s * noise[:, j]) - loss for s in scales.tolist()]
            if progress is not None:
                progress(block.stop)
    root = np.sqrt(draws)
    return LossChange(
        lambdas=scales,
        sigma=float(sigma),
        loss=loss,
        slopes=slopes,
        curvatures=curvatures,
        measured=measured if measure else None,
        gradient_norm=float(g.norm()),
        trace=float(curvatures.mean() / sigma**2),
        trace_error=float(curvatures.std(ddof=1) / sigma**2 / root),
        trace_square=float(squares.mean() / sigma**2),
        trace_square_error=float(squares.std(ddof=1) / sigma**2 / root),
        displacements=np.outer(norms, np.abs(scales)) / float(theta.double().norm()),
        products=hessian.products,
        seed=seed,
    )


def _checked(
    objective: Objective, theta: torch.Tensor, sigma: float, lambdas: Iterable[float], draws: int
) -> np.ndarray:
    objective.check_vector(theta)
    if not 0 < float(theta.double().norm()) < float("inf"):
        raise ValueError("theta must be a non-zero finite vector: displacements are relative to its norm")
    if not 0 < sigma < float("inf"):
        raise ValueError(f"sigma must be a finite number above 0, got {sigma}")
    scales = np.array([float(s) for s in lambdas])
    if scales.size == 0 or not np.isfinite(scales).all():
        raise ValueError(f"lambdas must be finite numbers, at least one, got {scales.tolist()}")
    if draws < 2:
        raise ValueError(f"draws must be at least 2, so that the estimates have a standard error, got {draws}")
    return scales
