r"""The curvature a gradient step really met, from nothing but the two gradients at its ends."""

from __future__ import annotations

import numpy as np


def secant_curvature(dot: np.ndarray, gradient_norm: np.ndarray, lr: float) -> np.ndarray:
    r"""Mean curvature along each step of gradient descent.

    .. math::

        \kappa_k = \frac{\langle g_{k-1}-g_k,\ \theta_{k-1}-\theta_k\rangle}{\|\theta_{k-1}-\theta_k\|^2}
                 = \frac1\eta\left(1-\frac{\langle g_{k-1},g_k\rangle}{\|g_{k-1}\|^2}\right)

    because :math:`\theta_{k-1}-\theta_k=\eta g_{k-1}`. By the mean-value theorem it is the average of
    :math:`u^\top H u` over the segment, u being the step's direction, wherever the loss has a second derivative there.
    Adjacent gradients oppose each other exactly when :math:`\eta\kappa_k>1`: an identity, no quadratic model needed.

    The Hessian's largest eigenvalue bounds :math:`u^\top Hu` at one point. In a ReLU network the slope also changes at
    kinks, which no Hessian sees, so that :math:`\kappa` can exceed :math:`\lambda_{\max}` many times.

    Ours; *Exploring Gradient Oscillation* records cosines and inner products, but no curvature.

    Args:
        dot: (..., K + 1) inner product of each gradient with the one before; NaN at step 0.
        gradient_norm: (..., K + 1).
        lr: the learning rate :math:`\eta`.

    Returns:
        (..., K + 1) curvature of the step that *ends* at each iterate, nats per squared parameter; NaN at step 0 and
        where the gradient before is zero.

    Raises:
        ValueError: a rate not above 0.
    """
    dot, norm = np.asarray(dot, dtype=np.float64), np.asarray(gradient_norm, dtype=np.float64)
    if not lr > 0:
        raise ValueError(f"lr must be a learning rate above 0, got {lr}")
    result = np.full_like(dot, np.nan)
    before = norm[..., :-1] ** 2
    np.divide(dot[..., 1:], before, out=result[..., 1:], where=before > 0)
    return (1.0 - result) / lr
