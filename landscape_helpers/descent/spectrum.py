"""Both ends of the Hessian's spectrum along a trajectory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray

from ..checkpoint import array
from ..curvature import OverflowedCurvature, both_ends
from ..objective import Objective
from .probe import Step


class Spectrum:
    r"""Records :math:`\lambda_{\max}` and :math:`\lambda_{\min}` of the Hessian every so many steps.

    *A Walk with SGD* plots the spectral norm :math:`\max_i|\lambda_i|` and calls it the largest eigenvalue (Figures 3
    and 7); the two are equal where the largest in magnitude is positive, which both ends together tell.

    Result, over ``stop`` (the step): ``lambda_max``, ``lambda_min``, their residuals ``lambda_max_residual`` and
    ``lambda_min_residual`` (an eigenvalue lies within that distance) and the Hessian ``products`` spent. NaN where
    second derivatives overflow.

    Args:
        every: steps between two measurements.
        objective: whose Hessian; by default the descent's own.
        tol: relative residual at which the eigen-solver stops, 0.05 by our choice. Each stop starts from the last
            stop's eigenvectors; see :class:`.Sharpness` for what a loose tolerance can miss then. Over 29 stops of a
            small VGG-11 under SGD the spectral norm came out at most 0.5 % low, the lower end 7 %.

    Raises:
        ValueError: ``every`` below 1, or a ``tol`` not above 0.
    """

    history = 0

    def __init__(self, every: int, objective: Objective | None = None, tol: float = 0.05) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        if not tol > 0:
            raise ValueError(f"tol must be a relative residual above 0, got {tol}")
        self.every, self._given, self.tol = every, objective, tol
        self.settings = (every, tol, objective)

    def begin(self, objective: Objective) -> None:
        self._objective = self._given or objective
        self._rows: list[tuple[float, ...]] = []
        self._start: torch.Tensor | None = None

    def observe(self, step: Step) -> None:
        if step.index % self.every:
            return
        try:
            top, bottom = both_ends(self._objective, step.theta, 1, self.tol, self._start)
        except OverflowedCurvature:
            self._rows.append((step.index, np.nan, np.nan, np.nan, np.nan, 0))
            return
        # One Krylov space serves both ends, so it starts from both eigenvectors at once.
        self._start = top.vectors[:, 0] + bottom.vectors[:, 0]
        pairs = (top.values[0], bottom.values[0], top.residuals[0], bottom.residuals[0])
        self._rows.append((step.index, *(float(value) for value in pairs), top.products))

    def result(self) -> xarray.Dataset:
        rows = self._table()
        units = {"units": "nat / parameter^2"}
        return xarray.Dataset(
            {
                "lambda_max": ("stop", rows[:, 1], units | {"long_name": "largest Hessian eigenvalue"}),
                "lambda_min": ("stop", rows[:, 2], units | {"long_name": "smallest Hessian eigenvalue"}),
                "lambda_max_residual": ("stop", rows[:, 3], units),
                "lambda_min_residual": ("stop", rows[:, 4], units),
                "products": ("stop", rows[:, 5].astype(np.int64), {"units": "1"}),
            },
            coords={"stop": ("stop", rows[:, 0].astype(np.int64), {"long_name": "updates before"})},
        )

    def _table(self) -> np.ndarray:
        return np.array(self._rows, dtype=np.float64).reshape(-1, 6)

    def state(self) -> Mapping[str, np.ndarray]:
        start = {} if self._start is None else {"start": array(self._start)}
        return {"rows": self._table(), **start}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rows = [tuple(row) for row in state["rows"]]
        if "start" in state:
            self._start = torch.as_tensor(state["start"]).to(self._objective.device, self._objective.dtype)
