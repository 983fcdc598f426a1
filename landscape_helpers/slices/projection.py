"""What a plane leaves out: points of parameter space projected onto it, and how far off it they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..objective_checks.vectors import check_finite


@dataclass(frozen=True)
class Projection:
    r"""Points in the coordinates of a plane.

    Attributes:
        coordinates: (k, 2) the :math:`(\lambda_1,\lambda_2)` of the nearest point of the plane.
        distance: (k,) :math:`\|\theta_j-\theta\|`, from the plane's origin.
        off: (k,) how far from the plane the point lies, in the units of theta.
    """

    coordinates: np.ndarray
    distance: np.ndarray
    off: np.ndarray

    @property
    def off_share(self) -> np.ndarray:
        """(k,) sine of the angle between the way to the point and the plane, 0 in it, 1 across; NaN at the origin."""
        share = np.full_like(self.off, np.nan)
        np.divide(self.off, self.distance, out=share, where=self.distance > 0)
        return share


def project(theta: torch.Tensor, d1: torch.Tensor, d2: torch.Tensor, points: torch.Tensor) -> Projection:
    r"""The nearest points of the plane :math:`\theta+\lambda_1 d_1+\lambda_2 d_2`.

    A trajectory drawn on a plane looks as if it ran there. How far each of its points lies off the plane says how much
    of it the picture shows: between random directions in a million dimensions, next to nothing. Least squares in
    double precision; the directions need not be orthogonal.

    Args:
        theta: the plane's origin (P,).
        d1, d2: its directions (P,).
        points: (k, P) or one (P,).

    Raises:
        ValueError: vectors of different length, values that are not finite, or directions that are parallel or zero.
    """
    theta, d1, d2, points = (vector.detach() for vector in (theta, d1, d2, points))
    rows = points if points.dim() == 2 else points[None]
    for name, vector in (("d1", d1), ("d2", d2), ("points", rows[0])):
        if vector.shape != theta.shape:
            raise ValueError(f"{name} must have theta's shape {tuple(theta.shape)}, got {tuple(vector.shape)}")
    for name, vectors in (("theta", theta), ("d1", d1), ("d2", d2), ("points", rows)):
        check_finite(vectors, name)
    axes = torch.stack([d1, d2], 1).double()
    norms = axes.norm(dim=0)
    if not bool((norms > 0).all()):
        raise ValueError(f"the directions of a plane must not be zero, got norms {norms.tolist()}")
    q, r = torch.linalg.qr(axes / norms)
    if abs(float(r[1, 1])) < 1e-7:
        raise ValueError("the directions of the plane are parallel: they span a line; take another second direction")
    ways = rows.double() - theta.double()
    inside = ways @ q
    coordinates = torch.linalg.solve_triangular(r, inside.T, upper=True).T / norms
    rest = ways - inside @ q.T
    rest -= (rest @ q) @ q.T  # what rounding left in the plane, which counts where a point lies hardly off it
    return Projection(coordinates.cpu().numpy(), ways.norm(dim=1).cpu().numpy(), rest.norm(dim=1).cpu().numpy())
