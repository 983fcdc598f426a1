r"""Edge-of-stability telemetry: curvature, gradient and partial steps in the top and the bulk subspace.

*There is a Singularity in the Loss Landscape*, Sections 3.2 and 4.1. Eigenpairs are numbered from 1, the largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
import xarray

from ..curvature import Eigenpairs, EigenTracker, OverflowedCurvature
from ..curvature.long_vectors import inner
from ..objective import Objective
from .probe import Step

SCALARS = (
    "top_norm", "bulk_norm", "change_top", "change_bulk", "change_full", "theta_norm", "products", "cheap_products",
    "converged",
)  # fmt: skip
SPECTRA = ("eigenvalue", "eigen_residual", "coordinate")


class Tracker(Protocol):
    """Eigenpairs at one point after another, as :class:`~landscape_helpers.curvature.EigenTracker` gives them."""

    def at(self, theta: torch.Tensor) -> Eigenpairs: ...

    def state(self) -> Mapping[str, np.ndarray]: ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None: ...


class Telemetry:
    r"""Records, every so many steps, what the leading eigenvectors h_i of the Hessian say about descent.

    Result, over ``stop`` (the step n, with its ``time`` :math:`n\eta`) and ``eigen`` = 1 ... k:

    - ``eigenvalue``, with ``eigen_residual`` (an eigenvalue lies within that distance), ``converged`` (whether all
      residuals are within tolerance) and the Hessian ``products`` and ``cheap_products`` spent;
    - ``rho``, :math:`\rho_i=\eta\lambda_i/2`: at 1 a step along h_i lands at the height it came from;
    - ``coordinate``, :math:`d_i=h_i\cdot g`, whose sign is that of an arbitrary sign of h_i;
    - ``top_norm`` and ``bulk_norm`` of :math:`P_{top}g=\sum_{i\le top}d_ih_i` and :math:`P_{bulk}g=g-P_{top}g`;
    - ``change_top``, ``change_bulk``, ``change_full``: :math:`L(\theta-\eta P_Sg)-L(\theta)`, by evaluating the loss
      and not by a Taylor series. In single precision a change is known to about 1e-7 of the loss;
    - ``theta_norm``.

    A stop whose second derivatives overflow holds NaN and is not converged. A change is NaN where its loss is not
    finite.

    Args:
        lr: the trajectory's rate :math:`\eta`.
        every: steps between two stops; the paper takes :math:`1/\eta`.
        top: dimensions of the top subspace, the number of classes less one in the paper.
        k: eigenpairs, 20 in the paper; at least ``top``.
        tol: relative residual of the eigenpairs, see :class:`~landscape_helpers.curvature.EigenTracker`.
        max_products: Hessian products a stop may take; 300, as there.
        seed: of the eigen-solver's random directions.

    Raises:
        ValueError: a number out of range, or more top dimensions than eigenpairs; at the start of the trajectory, more
            eigenpairs than parameters, or a tolerance or budget that the eigen-solver refuses.
    """

    history = 0

    def __init__(
        self, lr: float, every: int, top: int, k: int = 20, tol: float = 1e-2, max_products: int = 300, seed: int = 0
    ) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"lr must be a finite learning rate above 0, got {lr}")
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        if not 1 <= top <= k:
            raise ValueError(f"top must lie between 1 and the k = {k} eigenpairs that are computed, got {top}: raise k")
        self.lr, self.every, self.top, self.k = lr, every, top, k
        self.tol, self.max_products, self.seed = tol, max_products, seed

    def begin(self, objective: Objective) -> None:
        """Get ready.

        Raises:
            ValueError: more eigenpairs than parameters, or a tolerance or budget that the eigen-solver refuses.
        """
        self._objective = objective
        self._tracker = self.tracker(objective)
        self._stops: list[int] = []
        self._scalars: list[list[float]] = []
        self._spectra: list[np.ndarray] = []

    def tracker(self, objective: Objective) -> Tracker:
        """What follows the eigenpairs."""
        return EigenTracker(objective, self.k, self.tol, self.max_products, seed=self.seed)

    def observe(self, step: Step) -> None:
        if step.index % self.every:
            return
        norm = float(step.theta.double().norm())
        self._stops.append(step.index)
        before = self._objective.counts.products
        try:
            pairs = self._tracker.at(step.theta)
        except OverflowedCurvature:
            # A diverging run overflows its second derivatives a step or two before its loss.
            spent = self._objective.counts.products - before
            self._scalars.append([np.nan] * 5 + [norm, spent, 0, 0])
            self._spectra.append(np.full((len(SPECTRA), self.k), np.nan))
            return
        g = step.gradient
        coordinates = inner(pairs.vectors.T, g).cpu().numpy()
        top, bulk = split(g, pairs.vectors[:, : self.top])
        changes = [self._change(step, part) for part in (top, bulk, g)]
        norms = [float(part.double().norm()) for part in (top, bulk)]
        self._scalars.append([*norms, *changes, norm, pairs.products, pairs.cheap_products, pairs.converged])
        self._spectra.append(np.stack([pairs.values, pairs.residuals, coordinates]))

    def result(self) -> xarray.Dataset:
        scalars = np.array(self._scalars, dtype=np.float64).reshape(-1, len(SCALARS))
        spectra = np.array(self._spectra, dtype=np.float64).reshape(-1, len(SPECTRA), self.k)
        stops = np.array(self._stops, dtype=np.int64)
        curvature, slope = {"units": "nat / parameter^2"}, {"units": "nat / parameter", "top": self.top}
        change = {"units": "nat", "top": self.top, "long_name": "measured loss change of a partial step"}
        over = {name: spectra[:, i] for i, name in enumerate(SPECTRA)}
        at = {name: scalars[:, i] for i, name in enumerate(SCALARS)}
        grid = ("stop", "eigen")
        solver = {"tolerance": self.tol, "max_products": self.max_products}
        return xarray.Dataset(
            {
                "eigenvalue": (grid, over["eigenvalue"], curvature | {"long_name": "Hessian eigenvalue"}),
                "eigen_residual": (grid, over["eigen_residual"], curvature | solver),
                "rho": (grid, 0.5 * self.lr * over["eigenvalue"], {"units": "1", "long_name": "stability ratio"}),
                "coordinate": (grid, over["coordinate"], slope | {"long_name": "gradient along an eigenvector"}),
                "top_norm": ("stop", at["top_norm"], slope | {"long_name": "gradient in the top subspace"}),
                "bulk_norm": ("stop", at["bulk_norm"], slope | {"long_name": "gradient in the bulk subspace"}),
                "change_top": ("stop", at["change_top"], change),
                "change_bulk": ("stop", at["change_bulk"], change),
                "change_full": ("stop", at["change_full"], change),
                "theta_norm": ("stop", at["theta_norm"], {"units": "parameter"}),
                "products": ("stop", at["products"].astype(np.int64), {"units": "1"}),
                "cheap_products": ("stop", at["cheap_products"].astype(np.int64), {"units": "1"}),
                "converged": ("stop", at["converged"].astype(bool), {"long_name": "all residuals within tolerance"}),
            },
            coords={
                "stop": stops,
                "eigen": np.arange(1, self.k + 1),
                "time": ("stop", stops * self.lr, {"units": "1", "long_name": "step times rate"}),
            },
        )

    def state(self) -> Mapping[str, np.ndarray]:
        scalars = np.array(self._scalars, dtype=np.float64).reshape(-1, len(SCALARS))
        spectra = np.array(self._spectra, dtype=np.float64).reshape(-1, len(SPECTRA), self.k)
        tracker = {f"tracker_{name}": array for name, array in self._tracker.state().items()}
        stops = np.array(self._stops, dtype=np.int64)
        return {"settings": self._settings(), "stops": stops, "scalars": scalars, "spectra": spectra} | tracker

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` returned.

        Raises:
            ValueError: it was saved by telemetry with other settings.
        """
        if not np.array_equal(state["settings"], self._settings()):
            raise ValueError("the checkpoint's telemetry had other settings: delete it or choose another file")
        self._stops = state["stops"].tolist()
        self._scalars = state["scalars"].tolist()
        self._spectra = list(state["spectra"])
        start = "tracker_"
        self._tracker.restore({n.removeprefix(start): a for n, a in state.items() if n.startswith(start)})

    def _settings(self) -> np.ndarray:
        return np.array([self.lr, self.every, self.top, self.k, self.tol, self.max_products, self.seed], np.float64)

    def _change(self, step: Step, part: torch.Tensor) -> float:
        loss = self._objective.loss(torch.add(step.theta, part, alpha=-self.lr))
        return loss - step.loss if math.isfinite(loss) else math.nan


def split(gradient: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The parts of ``gradient`` (P,) in the span of the orthonormal columns of ``vectors`` (P, m), and outside.

    Projected twice: where almost all of the gradient is inside, rounding leaves a part outside that is not orthogonal.
    """
    inside = vectors @ inner(vectors.T, gradient).to(gradient.dtype)
    inside = inside + vectors @ inner(vectors.T, gradient - inside).to(gradient.dtype)
    return inside, gradient - inside
