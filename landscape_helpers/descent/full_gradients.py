r"""Full-batch gradients at both ends of a descent's updates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray

from ..checkpoint import array
from ..objective import Objective
from .probe import Step
from .windows import Windows


class FullGradients:
    r"""Records how the gradient of the whole loss turns along updates, whatever gradient the updates took.

    For steps on mini-batches the cosine of consecutive *mini-batch* gradients says little of the valley: the batches
    differ. Here both gradients are the whole set's.

    Result, over ``update`` (t): ``full_cosine`` between :math:`\bar{\mathbf g}(\theta_t)` and
    :math:`\bar{\mathbf g}(\theta_{t+1})`, the norms ``full_gradient_norm`` and ``full_gradient_norm_next``, and the
    slopes along the step, ``slope_start`` :math:`=\bar{\mathbf g}(\theta_t)^\top(\theta_{t+1}-\theta_t)` and
    ``slope_end`` with the gradient at its end.

    Args:
        windows: the updates to look at, as (first update, how many).
        objective: whose gradient; by default the descent's own.

    Raises:
        ValueError: no window, or an empty or negative one.
    """

    history = 0

    def __init__(self, windows: Sequence[tuple[int, int]], objective: Objective | None = None) -> None:
        self._windows, self._given = Windows(windows), objective
        self.settings = (self._windows.all, objective)

    def begin(self, objective: Objective) -> None:
        self._objective = self._given or objective
        self._own, self._dtype = self._objective is objective, objective.dtype
        self._rows: list[tuple[float, ...]] = []
        self._updates: list[int] = []
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def observe(self, step: Step) -> None:
        before, starts = self._windows.of(step.index - 1) is not None, self._windows.of(step.index) is not None
        if not (before or starts):
            self._last = None
            return
        here = step.gradient if self._own and step.whole else self._objective.gradient(step.theta)
        if before and self._last is not None:
            theta, gradient = self._last
            way, g, h = (v.double() for v in (step.theta - theta, gradient, here))
            first, second = float(g.norm()), float(h.norm())
            cosine = float(g @ h) / first / second if first > 0 and second > 0 else math.nan
            self._updates.append(step.index - 1)
            # Clipped by NumPy, for which what is no number stays none.
            self._rows.append((float(np.clip(cosine, -1, 1)), first, second, float(g @ way), float(h @ way)))
        self._last = step.theta.clone(), here.clone()

    def result(self) -> xarray.Dataset:
        rows = self._table()
        norm, slope = {"units": "nat / parameter"}, {"units": "nat"}
        return xarray.Dataset(
            {
                "full_cosine": ("update", rows[:, 0], {"units": "1"}),
                "full_gradient_norm": ("update", rows[:, 1], norm | {"long_name": "norm of the gradient in front"}),
                "full_gradient_norm_next": ("update", rows[:, 2], norm | {"long_name": "norm of the gradient behind"}),
                "slope_start": ("update", rows[:, 3], slope | {"long_name": "slope along the step at its start"}),
                "slope_end": ("update", rows[:, 4], slope | {"long_name": "slope along the step at its end"}),
            },
            coords={"update": np.array(self._updates, dtype=np.int64)},
        )

    def _table(self) -> np.ndarray:
        return np.array(self._rows, dtype=np.float64).reshape(-1, 5)

    def state(self) -> Mapping[str, np.ndarray]:
        names = ("theta", "gradient")
        last = {} if self._last is None else {n: array(t) for n, t in zip(names, self._last, strict=True)}
        return {"rows": self._table(), "updates": np.array(self._updates, dtype=np.int64), **last}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rows, self._updates = [tuple(row) for row in state["rows"]], state["updates"].tolist()
        if "theta" in state:
            theta, gradient = (torch.as_tensor(state[n]).to(self._objective.device) for n in ("theta", "gradient"))
            self._last = theta.to(self._dtype), gradient.to(self._objective.dtype)
