"""Second-order models of the loss along a direction, at one point or at many points of a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ..objective import Objective


@dataclass(frozen=True)
class Quadratic:
    r"""The loss near one point of a line, to second order.

    .. math::

        q(x) = \mathcal L(\theta+\lambda\epsilon) + b\,(x-\lambda) + \tfrac12 a\,(x-\lambda)^2

    *Visualizing, Rethinking, and Mining the Loss Landscape*, eq. 1 and Appendix B.3. The appendix prints the quadratic
    without its first term, so that it would not meet the curve it approximates; the term stands here.

    Attributes:
        loss: :math:`\mathcal L(\theta+\lambda\epsilon)`, nats for the cross-entropy.
        slope: :math:`b=\epsilon^\top g`, loss per unit of lambda.
        curvature: :math:`a=\epsilon^\top H\epsilon`, loss per squared unit of lambda. In a ReLU network it is that of
            the smooth piece the point lies in; no second derivative sees a kink.
        centre: :math:`\lambda`, where the model touches the curve.
        half_width: how far from the centre the model is meant to be drawn; infinite where nobody said.
    """

    loss: float
    slope: float
    curvature: float
    centre: float = 0.0
    half_width: float = float("inf")

    def __call__(self, lambdas: np.ndarray | float) -> np.ndarray:
        """The model's loss at ``lambdas`` (any shape), coordinates along the direction."""
        x = np.asarray(lambdas, dtype=np.float64) - self.centre
        return self.loss + self.slope * x + 0.5 * self.curvature * x**2

    def first_order(self, lambdas: np.ndarray | float) -> np.ndarray:
        """The same without the quadratic term: the tangent (eq. 1, first-order approximation)."""
        return self.loss + self.slope * (np.asarray(lambdas, dtype=np.float64) - self.centre)

    def segment(self, points: int = 21) -> tuple[np.ndarray, np.ndarray]:
        """``points`` coordinates across the half-width, both ends included, and the model's loss there.

        The default draws a smooth parabola (our choice).

        Raises:
            ValueError: a model without a half-width.
        """
        if not np.isfinite(self.half_width):
            raise ValueError("the model has no half-width: make it with segments(..., half_width=...)")
        x = np.linspace(self.centre - self.half_width, self.centre + self.half_width, points)
        return x, self(x)


def quadratic_model(objective: Objective, theta: torch.Tensor, direction: torch.Tensor) -> Quadratic:
    r"""The second-order model of :math:`\lambda\mapsto\mathcal L(\theta+\lambda\epsilon)` at :math:`\lambda=0`.

    One gradient and one Hessian-vector product.

    Args:
        objective: the loss.
        theta: the point (P,).
        direction: :math:`\epsilon` (P,), of any norm: lambda counts in units of it.

    Raises:
        ValueError: theta or a direction of the wrong length; a direction of norm zero or with a value that is not
            finite.
    """
    direction = _direction(objective, theta, direction)
    return _model(objective, theta, direction, 0.0, float("inf"))


def segments(
    objective: Objective,
    theta: torch.Tensor,
    direction: torch.Tensor,
    centres: Iterable[float],
    half_width: float = 0.05,
) -> tuple[Quadratic, ...]:
    r"""Second-order models at several points of a line, each to be drawn over its own neighbourhood.

    The second-order pictures of interpolations (*Visualizing, Rethinking, and Mining the Loss Landscape*, Figure 14 and
    Appendix B.3): 11 centres on :math:`[-1,0]`. One gradient and one Hessian-vector product a centre.

    Args:
        objective: the loss.
        theta: the origin of the line (P,).
        direction: :math:`\epsilon` (P,).
        centres: coordinates lambda along the direction, at least one.
        half_width: of each segment, in units of lambda; 0.05 is the paper's.

    Raises:
        ValueError: no centre, a centre that is not finite, a half-width not above 0, or a direction that
            :func:`quadratic_model` refuses.
    """
    at = np.array([float(c) for c in centres])
    if at.size == 0 or not np.isfinite(at).all():
        raise ValueError(f"centres must be finite numbers, at least one, got {at.tolist()}")
    if not 0 < half_width < float("inf"):
        raise ValueError(f"half_width must be a finite number above 0, got {half_width}")
    direction = _direction(objective, theta, direction)
    theta = theta.to(direction)
    return tuple(_model(objective, theta + c * direction, direction, c, half_width) for c in at.tolist())


def _model(
    objective: Objective, theta: torch.Tensor, direction: torch.Tensor, centre: float, half_width: float
) -> Quadratic:
    loss, gradient = objective.loss_and_gradient(theta)
    product = objective.hvp(theta, direction)
    # Inner products in double precision: over a million float32 terms the slope of a flat line would be rounding.
    wide = direction.double()
    return Quadratic(loss, float(wide @ gradient.double()), float(wide @ product.double()), centre, half_width)


def _direction(objective: Objective, theta: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    objective.check_vector(theta)
    objective.check_vector(direction, "direction")
    norm = float(direction.double().norm())
    if not 0 < norm < float("inf"):
        raise ValueError(f"direction must be a non-zero finite vector, got one of norm {norm}")
    return direction.detach().to(objective.device, objective.dtype)
