"""The largest Hessian eigenvalue along a trajectory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import xarray

from ..checkpoint import array
from ..curvature import OverflowedCurvature, top_eigenpairs
from ..objective import Objective
from .probe import Step


class Sharpness:
    r"""Records :math:`\lambda_{\max}` of the Hessian every so many steps.

    Gradient descent with rate :math:`\eta` on a quadratic of curvature :math:`\lambda` flips the sign of the gradient
    when :math:`\eta\lambda>1` and diverges when :math:`\eta\lambda>2`, hence the line :math:`2/\eta` of Cohen et al.
    (2021) that *Exploring Gradient Oscillation* quotes in its introduction.

    Result, over ``stop`` (the steps at which it was measured): ``sharpness``, its ``sharpness_residual`` (an
    eigenvalue lies within that distance) and the Hessian ``products`` spent. Where second derivatives overflow the
    sharpness is NaN.

    With a ``scale`` it is :math:`\lambda_{\max}` of :math:`D^{1/2}HD^{1/2}`
    (:func:`~landscape_helpers.curvature.top_eigenpairs`). Adam stands at the edge of stability where that of its own
    :math:`D=1/(\sqrt{\hat v}+\epsilon)` is :math:`(2+2\beta_1)/((1-\beta_1)\eta)`, :math:`38/\eta` for
    :math:`\beta_1=0.9` (Cohen et al. 2022, *Adaptive Gradient Methods at the Edge of Stability*). In a
    :class:`~landscape_helpers.watch.Watch`, where the optimiser is at hand and has no D before its first step::

        def adam(theta):
            return adam_scale(objective, optimiser, model) if optimiser.state else None

        watch = Watch(objective, [Sharpness(every=10, scale=adam)])

    Args:
        every: steps between two measurements, 10 by our choice.
        tol: relative residual at which the eigen-solver stops. An eigenvalue lies within it, but while one overtakes
            another that need not be the largest, for each stop starts from the last stop's eigenvector: a small network
            under AdamW was up to 18 % too low at 0.1, 4 % at 0.03 and 0.1 % at the default, which takes some four
            products a stop where 0.1 takes two.
        scale: a function that is called with theta (P,) at each measurement and gives the diagonal (P,) of D there, or
            None where there is none yet: the sharpness is NaN then. By default there is no D. A checkpoint knows
            whether there is a function, not which.

    Raises:
        TypeError: a scale that is no function.
        ValueError: ``every`` below 1; at the first measurement, a ``tol`` not above 0; at any, a scale that
            :func:`~landscape_helpers.curvature.top_eigenpairs` refuses.
    """

    history = 0

    def __init__(
        self,
        every: int = 10,
        tol: float = 0.01,
        *,
        scale: Callable[[torch.Tensor], torch.Tensor | None] | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        if scale is not None and not callable(scale):
            raise TypeError(
                f"scale must be a function of theta, for it may change along the way, got {type(scale).__name__}: for "
                "a fixed tensor d give scale=lambda theta: d"
            )
        self.every = every
        self.tol = tol
        self.scale = scale
        self.settings: tuple[object, ...] = (every, tol) if scale is None else (every, tol, "scaled")

    def begin(self, objective: Objective) -> None:
        self._objective = objective
        self._rows: list[tuple[float, float, float, float]] = []
        self._start: torch.Tensor | None = None

    def observe(self, step: Step) -> None:
        if step.index % self.every:
            return
        scale = None if self.scale is None else self.scale(step.theta)
        if self.scale is not None and scale is None:
            self._rows.append((step.index, np.nan, np.nan, 0))
            return
        try:
            pair = top_eigenpairs(self._objective, step.theta, 1, "LA", self.tol, self._start, scale=scale)
        except OverflowedCurvature:
            # A diverging run overflows its second derivatives a step or two before its loss.
            self._rows.append((step.index, np.nan, np.nan, 0))
            return
        self._start = pair.vectors[:, 0].clone()
        self._rows.append((step.index, float(pair.values[0]), float(pair.residuals[0]), pair.products))

    def result(self) -> xarray.Dataset:
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 4)
        curvature = {"units": "nat / parameter^2", "long_name": "largest Hessian eigenvalue"}
        if self.scale is not None:
            curvature = {"units": "scale nat / parameter^2", "long_name": "largest eigenvalue of D^1/2 H D^1/2"}
        return xarray.Dataset(
            {
                "sharpness": ("stop", rows[:, 1], curvature),
                "sharpness_residual": ("stop", rows[:, 2], {"units": curvature["units"]}),
                "products": ("stop", rows[:, 3].astype(np.int64), {"units": "1"}),
            },
            coords={"stop": rows[:, 0].astype(np.int64)},
        )

    def state(self) -> Mapping[str, np.ndarray]:
        start = np.zeros(0, dtype=np.float32) if self._start is None else array(self._start)
        return {"rows": np.array(self._rows, dtype=np.float64).reshape(-1, 4), "start": start}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rows = [(row[0], row[1], row[2], row[3]) for row in state["rows"]]
        if len(state["start"]):
            self._start = torch.as_tensor(state["start"]).to(self._objective.device, self._objective.dtype)
