r"""How a descent turns and how far it gets: angles between consecutive gradients, distance from the start."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

import numpy as np
import torch
import xarray

from ..checkpoint import array as as_array
from ..objective import Objective
from .inner_products import dot, norm
from .probe import Step

_COLUMNS = 4


class Travel:
    r"""Records at every step the two quantities that *A Walk with SGD* follows beside the loss (Sec. 3).

    .. math::

        \cos(\mathbf g_{t-1},\mathbf g_t)=
        \frac{\mathbf g_{t-1}^\top\mathbf g_t}{\|\mathbf g_{t-1}\|_2\|\mathbf g_t\|_2},\qquad
        \|\theta_t-\theta_0\|_2

    with the gradients that the steps take: of different mini-batches, and with the noise that was added.

    Result, over ``step``: ``cosine`` (NaN at 0, and where a gradient is zero), ``gradient_norm``, ``distance`` and
    ``theta_norm``.
    """

    history = 1

    def begin(self, objective: Objective) -> None:
        self._device, self._dtype = objective.device, objective.dtype
        self._start: torch.Tensor | None = None
        self._rows = array("d")

    def observe(self, step: Step) -> None:
        if self._start is None:
            self._start = step.theta.clone()
        size = norm(step.gradient)
        cosine = math.nan
        if step.past and size > 0 and (before := norm(step.past[0])) > 0:
            cosine = float(np.clip(dot(step.past[0], step.gradient) / before / size, -1, 1))
        self._rows.extend((cosine, size, norm(step.theta - self._start), norm(step.theta)))

    def result(self) -> xarray.Dataset:
        rows = self._table()
        length, slope = {"units": "parameter"}, {"units": "nat / parameter"}
        return xarray.Dataset(
            {
                "cosine": ("step", rows[:, 0], {"units": "1", "long_name": "cosine with the gradient before"}),
                "gradient_norm": ("step", rows[:, 1], slope | {"long_name": "norm of the gradient"}),
                "distance": ("step", rows[:, 2], length | {"long_name": "distance from the start"}),
                "theta_norm": ("step", rows[:, 3], length | {"long_name": "norm of the parameters"}),
            },
            coords={"step": np.arange(len(rows))},
        )

    def _table(self) -> np.ndarray:
        return np.array(self._rows).reshape(-1, _COLUMNS)

    def state(self) -> Mapping[str, np.ndarray]:
        start = {} if self._start is None else {"start": as_array(self._start)}
        return {"rows": self._table(), **start}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rows = array("d", np.ravel(state["rows"]).tolist())
        if "start" in state:
            self._start = torch.as_tensor(state["start"]).to(self._device, self._dtype)
