r"""The Hessian of a negative log-likelihood split into the gradients' covariance and what is left.

With :math:`p_i` the probability of sample i's own class and :math:`\mathcal L_i=-\log p_i`,

.. math::

    \mathbf H=\mathbf C+\bar{\mathbf g}\bar{\mathbf g}^\top+\mathbf R,\qquad
    \mathbf C=\frac1n\sum_i\nabla\mathcal L_i\nabla\mathcal L_i^\top-\bar{\mathbf g}\bar{\mathbf g}^\top,\qquad
    \mathbf R=-\frac1n\sum_i\frac1{p_i}\nabla^2p_i

(*A Walk with SGD*, Sec. 4 and App. D, eq. 3 to 7, where the second sum lacks its brackets.) The paper calls H and C
almost equal near minima and leaves it untested; the norms of the four matrices say how equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..objective import Objective
from ..twice_differentiable import SecondDerivatives, TwiceDifferentiable, first_gradient

LEAST = 1e-290  # probability: near the least double number, digits and then all of it are lost
LARGEST = 4000  # parameters: four dense matrices of that size take half a gigabyte


@dataclass(frozen=True)
class HessianDecomposition:
    """The four matrices (P, P), each computed in its own way, in double precision.

    Attributes:
        hessian: H, by differentiating the loss twice.
        covariance: C, from the gradients of all samples.
        mean_square: the outer product of the mean gradient with itself.
        residual: R, by differentiating the probabilities twice.
    """

    hessian: np.ndarray
    covariance: np.ndarray
    mean_square: np.ndarray
    residual: np.ndarray

    @property
    def error(self) -> float:
        """Frobenius norm of H - C - gg' - R relative to that of H: rounding, for the identity is exact."""
        gap = self.hessian - self.covariance - self.mean_square - self.residual
        return float(np.linalg.norm(gap) / np.linalg.norm(self.hessian))


@torch.enable_grad()
def hessian_decomposition(objective: Objective, theta: torch.Tensor) -> HessianDecomposition:
    """H, C, gg' and R at theta (P,), dense: for small networks.

    Where BatchNorm normalises with the batch, a sample's probability depends on the others too; the identity holds all
    the same, with every gradient taken through the statistics.

    Args:
        objective: of the cross-entropy of class indices, in double precision.
        theta: the point (P,).

    Raises:
        ValueError: another loss, other targets, another dtype, more than 4000 parameters (four dense matrices of that
            size take half a gigabyte), or theta of the wrong length.
    """
    _check(objective, theta)
    P, weights = objective.parameters, objective.weights
    identity = torch.eye(P, dtype=objective.dtype, device=objective.device)
    hessian = objective.hvp(theta, identity)
    objective.move(theta)
    second = torch.zeros(P, P, dtype=objective.dtype, device=objective.device)
    residual, mean = torch.zeros_like(second), torch.zeros_like(second[0])
    for _, x, y in objective.weighted():
        with TwiceDifferentiable():
            logs = nn.functional.log_softmax(objective.model(x), 1)[torch.arange(len(y)), y]
        for log in logs:
            gradient = -objective.joined(torch.autograd.grad(log, weights, retain_graph=True, allow_unused=True))
            second.addr_(gradient, gradient)
            mean += gradient
        # With its weights -1 / (n p_i) held fixed, the Hessian of this sum is R.
        # A probability that underflows is divided by itself before it is formed.
        known = logs.detach()
        shift = torch.where(known.exp() > LEAST, 0.0, known)
        total = -((logs - shift).exp() / (known - shift).exp()).sum() / objective.n
        with SecondDerivatives():
            slope = objective.joined(first_gradient(total, weights, allow_unused=True))
            for j in range(P if slope.requires_grad else 0):
                row = torch.autograd.grad(slope[j], weights, retain_graph=True, allow_unused=True)
                residual[j] += objective.joined(row).detach()
    objective.counts.gradients += objective.n
    objective.counts.products += P
    mean /= objective.n
    square = torch.outer(mean, mean)
    matrices = (hessian, second / objective.n - square, square, residual)
    return HessianDecomposition(*(matrix.cpu().numpy() for matrix in matrices))


def _check(objective: Objective, theta: torch.Tensor) -> None:
    if objective.loss_function is not nn.functional.cross_entropy:
        raise ValueError("the decomposition is that of the cross-entropy: make the objective with loss='cross_entropy'")
    targets = next(iter(objective.weighted()))[2]
    if targets.is_floating_point() or targets.dim() != 1:
        raise ValueError(f"targets must be class indices (n,), got dtype {targets.dtype}, shape {tuple(targets.shape)}")
    if objective.dtype != torch.float64:
        raise ValueError(f"the objective must be made with dtype=torch.float64, got {objective.dtype}")
    if objective.parameters > LARGEST:
        raise ValueError(
            f"dense matrices are for at most {LARGEST} parameters, got {objective.parameters}: take a smaller network"
        )
    objective.check_vector(theta)
