r"""Where checkpoints lie in a plane, and how far off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .arguments import cosine


@dataclass(frozen=True)
class Projection:
    r"""Points :math:`\theta_i` seen from a plane :math:`\theta+\lambda_1\epsilon_1+\lambda_2\epsilon_2`.

    Attributes:
        coordinates: (k, 2) :math:`(\lambda_1,\lambda_2)` of the nearest point of the plane, in lengths of the
            directions, as on the axes of :func:`landscape_helpers.slices.plane`.
        displacement: (k,) :math:`\|\theta_i-\theta\|`.
        distance: (k,) from the plane.
    """

    coordinates: np.ndarray
    displacement: np.ndarray
    distance: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """(k,) distance over displacement, 0 in the plane and 1 straight above theta; NaN at theta itself."""
        result = np.full_like(self.distance, np.nan)
        np.divide(self.distance, self.displacement, out=result, where=self.displacement > 0)
        return result


def project(points: torch.Tensor, theta: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> Projection:
    r"""Project points onto the plane through theta that two directions span.

    The least-squares coordinates

    .. math::

        \lambda = (E^\top E)^{-1}E^\top(\theta_i-\theta),\qquad E=(\epsilon_1\ \epsilon_2)

    and the length of what they leave, :math:`\|\theta_i-\theta-E\lambda\|`. A trajectory drawn in a plane shows the
    coordinates alone; *Visualizing, Rethinking, and Mining the Loss Landscape* and other papers do not say what is left
    out. Where the directions are not orthogonal the coordinates are not :math:`\epsilon_j^\top(\theta_i-\theta)` over
    :math:`\|\epsilon_j\|^2`. Computed in double precision.

    Args:
        points: (k, P), or one (P,).
        theta: (P,) the origin of the plane.
        first: (P,).
        second: (P,), not parallel to the first.

    Raises:
        ValueError: lengths that differ, values that are not finite, a direction of norm 0, or parallel directions.
    """
    for name, vector in (("theta", theta), ("the first direction", first), ("the second direction", second)):
        if vector.dim() != 1 or vector.shape != theta.shape:
            raise ValueError(f"{name} must have shape {tuple(theta.shape)}, one dimension, got {tuple(vector.shape)}")
        if not bool(torch.isfinite(vector).all()):
            raise ValueError(f"{name} holds NaN or infinite values: a plane needs finite ones")
        if vector is not theta and float(vector.abs().max()) == 0:
            raise ValueError(f"{name} has norm 0: a plane needs two directions")
    points = points if points.dim() == 2 else points[None]
    if points.dim() != 2 or points.shape[1] != len(theta):
        raise ValueError(f"points must have shape (k, {len(theta)}), got {tuple(points.shape)}")
    if not bool(torch.isfinite(points).all()):
        raise ValueError("points hold NaN or infinite values: they have no place in a plane")
    cosine(first, second)  # refuses parallel directions

    spanning = torch.stack([first, second], dim=1).double().cpu()
    basis, triangle = torch.linalg.qr(spanning)
    away = points.double().cpu() - theta.double().cpu()
    inside = away @ basis
    # Twice, so that a distance far below the displacement is not rounding error of the first subtraction.
    rest = away - inside @ basis.T
    rest -= (rest @ basis) @ basis.T
    coordinates = torch.linalg.solve_triangular(triangle, inside.T, upper=True).T
    return Projection(coordinates.numpy(), away.norm(dim=1).numpy(), rest.norm(dim=1).numpy())
