r"""Where the leading eigenpairs will be, from where they were at two points, and how far off that is.

Along a smooth trajectory the Hessian moves almost in proportion to theta. What :math:`\Delta=H_a-H_b` did to the rows V
that were multiplied at both points, :math:`\Delta V^\top=D^\top`, is all that is known of it; of all symmetric matrices
that agree, the least is

.. math:: \Delta\approx V^\top D+D^\top V-V^\top(DV^\top)V

(Powell's symmetric form of Broyden's update, 1970). In the basis of a space U that holds V and what D adds to it, the
Rayleigh-Ritz form at :math:`\theta_a+\alpha(\theta_a-\theta_b)` is then :math:`S+\alpha\dot S`, small matrices both: to
look ahead takes no product. Whether it was right takes a few (:func:`relative_residual`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch

from .krylov import FLOOR
from .operator import HessianAt
from .ritz import RitzSpace, ritz_pairs

# Products by which a forecast is checked, and the factor on what they find. In the worst case, the residuals all in one
# direction, the sum that is estimated comes out more than twice too small once in twenty checks (chi-squared with five
# degrees of freedom); the largest residual, which it bounds, is smaller than that sum wherever several pairs err.
SAMPLES = 5
SAFETY = 2.0
TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Forecast:
    """A Ritz space at one point, and how its form moves.

    Attributes:
        theta: the point a (P,).
        basis: U (m, P), orthonormal rows.
        images: their products at a (m, P).
        form: S = U H U^T (m, m) at a.
        step: theta_a - theta_b (P,); None while only one point is known.
        slope: change of ``form`` over ``step`` (m, m).
    """

    theta: torch.Tensor
    basis: torch.Tensor
    images: torch.Tensor
    form: np.ndarray
    step: torch.Tensor | None = None
    slope: np.ndarray | None = None

    @classmethod
    def of(cls, space: RitzSpace, earlier: Drift | None) -> Forecast:
        """What ``space`` says, and, with the drift since an earlier point, how it moves."""
        here = cls(space.hessian.theta, space.basis.clone(), space.images.clone(), space.form)
        if earlier is None:
            return here
        V, D = earlier.rows, earlier.change
        inside, moved = (_small(here.basis @ rows.T) for rows in (V, D))
        core = _small(D @ V.T)
        slope = inside @ moved.T + moved @ inside.T - inside @ ((core + core.T) / 2) @ inside.T
        return cls(here.theta, here.basis, here.images, here.form, earlier.step, slope)

    def drift(self, rows: torch.Tensor, images: torch.Tensor, theta: torch.Tensor) -> Drift | None:
        """What H did from here to ``theta`` on the ``rows`` (c, P) of this space whose ``images`` there are known."""
        step = theta - self.theta
        return Drift(rows, images - (rows @ self.basis.T) @ self.images, step) if bool(step.any()) else None

    def pairs(self, theta: torch.Tensor, k: int, sign: float) -> tuple[np.ndarray, torch.Tensor]:
        """Values (k,) and vectors (k, P) expected at ``theta``: the largest or, with ``sign`` -1, the smallest.

        While only one point is known they are those of that point.
        """
        form = self.form
        if self.step is not None and self.slope is not None:
            form = form + float((theta - self.theta) @ self.step) / float(self.step @ self.step) * self.slope
        values, coefficients = ritz_pairs(form, sign)
        mix = torch.as_tensor(coefficients[:, :k].T.copy(), dtype=self.basis.dtype, device=self.basis.device)
        return values[:k], mix @ self.basis

    def state(self) -> Mapping[str, np.ndarray]:
        """All of it as plain arrays; what is not known is left out."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return {n: a if isinstance(a, np.ndarray) else a.cpu().numpy() for n, a in held.items() if a is not None}

    @classmethod
    def restored(cls, state: Mapping[str, np.ndarray], device: torch.device) -> Forecast:
        """From what :meth:`state` returned."""
        theta, basis, images = (torch.as_tensor(state[name]).to(device) for name in ("theta", "basis", "images"))
        step = torch.as_tensor(state["step"]).to(device) if "step" in state else None
        return cls(theta, basis, images, state["form"], step, state.get("slope"))


@dataclass(frozen=True)
class Drift:
    """What the Hessian did between two points.

    Attributes:
        rows: V (c, P), orthonormal.
        change: (H_a - H_b) V, in rows (c, P).
        step: theta_a - theta_b (P,).
    """

    rows: torch.Tensor
    change: torch.Tensor
    step: torch.Tensor


def relative_residual(hessian: HessianAt, values: np.ndarray, rows: torch.Tensor, generator: torch.Generator) -> float:
    r"""An upper estimate of the relative residuals of pairs (values (k,), rows (k, P)), from a few products.

    With standard normal :math:`\omega` the square of
    :math:`\|(H-\lambda)\sum_i\omega_iv_i/|\lambda_i|\|` has the mean :math:`\sum_i\|Hv_i-\lambda_iv_i\|^2/\lambda_i^2`,
    which is no less than the square of the largest. ``SAMPLES`` products estimate it; the result is ``SAFETY`` times
    the root of their mean.
    """
    size = np.abs(values)
    scale = torch.as_tensor(1 / np.maximum(size, max(FLOOR * size.max(), TINY)), dtype=rows.dtype, device=rows.device)
    signed = torch.as_tensor(values.copy(), dtype=rows.dtype, device=rows.device) * scale
    omega = torch.randn(SAMPLES, len(rows), generator=generator, dtype=rows.dtype).to(rows.device)
    rest = hessian.product(((omega * scale) @ rows).T).T - (omega * signed) @ rows
    return SAFETY * float(rest.double().square().sum(1).mean().sqrt())


def _small(matrix: torch.Tensor) -> np.ndarray:
    return matrix.double().cpu().numpy()
