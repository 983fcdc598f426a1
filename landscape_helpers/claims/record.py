"""One run's record as measures see it: numpy arrays and windows of epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray

Array = np.ndarray


class NotRecorded(ValueError):
    """The run exists but does not hold what a measure needs; the claim is then "not run", with this reason."""


@dataclass(frozen=True)
class Record:
    """The dataset of one run and seed.

    Attributes:
        dataset: as the ``run`` of an experiment returns it.
        planned_steps: K as asked for; a descent that ended earlier has a shorter ``step`` dimension. None: as recorded,
            or no descent at all.
        paper_steps: K of the paper's run, of which shares are taken; None where it is not stated: as recorded.
    """

    dataset: xarray.Dataset
    planned_steps: int | None = None
    paper_steps: int | None = None

    def __getitem__(self, name: str) -> Array:
        if name not in self.dataset:
            raise NotRecorded(f"the run holds no {name}")
        return np.asarray(self.dataset[name].values, dtype=np.float64)

    @cached_property
    def last_step(self) -> int:
        return self.dataset.sizes["step"] - 1

    @cached_property
    def layers(self) -> list[str]:
        return [str(name) for name in self.dataset["layer"].values]

    def window(
        self,
        start: float | None = None,
        end: float | None = None,
        first: float | None = None,
        last: float | None = None,
    ) -> slice:
        """The steps of a window of epochs, both ends included, or of a share of the recorded run.

        A window is judged whole or not at all. One that the run was never meant to reach is not recorded; one that it
        missed because it ended early is empty, and a number over it NaN.

        Args:
            start, end: epochs, that is, steps; None for the run's own start or end.
            first, last: instead, a share in (0, 1]: ``first=0.2`` is the first 20% of the paper's epochs.

        Raises:
            NotRecorded: the run was planned to end before the window does.
        """
        K = self.last_step
        if first is not None or last is not None:
            if (first is not None and last is not None) or start is not None or end is not None:
                raise ValueError("a window is given by start and end, by first, or by last")
            whole = K if self.paper_steps is None else self.paper_steps
            if first is not None:
                return self.window(0, first * whole)
            assert last is not None
            return self.window((1 - last) * whole, whole)
        low = 0 if start is None else math.ceil(start)
        high = K if end is None else math.floor(end)
        return slice(low, high + 1) if self.reaches(max(low, high)) else slice(0, 0)

    def reaches(self, step: int) -> bool:
        """Whether the step is recorded; False where the run ended early.

        Raises:
            NotRecorded: the run was planned to end before.
        """
        if self.planned_steps is not None and step > self.planned_steps:
            raise NotRecorded(f"the run has {self.planned_steps:,} steps and does not reach epoch {step:,}")
        return step <= self.last_step

    def until(self, step: int) -> Record:
        """The run as if it had been planned to end at ``step``."""
        part = self.dataset.isel(step=slice(0, step + 1))
        if "stop" in part.coords:
            part = part.isel(stop=part["stop"].values <= step)
        planned = step if self.planned_steps is None else min(step, self.planned_steps)
        return Record(part, planned, self.paper_steps)

    def layer_indices(self, which: str) -> list[int]:
        """Positions of "all", "shown", "first" or "last" layers, or of the layer of that name."""
        L = len(self.layers)
        match which:
            case "all":
                return list(range(L))
            case "shown":
                return shown_layers(L)
            case "first":
                return [0]
            case "last":
                return [L - 1]
        if which in self.layers:
            return [self.layers.index(which)]
        expected = ", ".join(("all", "shown", "first", "last", *self.layers))
        raise ValueError(f"unknown layers {which!r}: expected one of {expected}")


def shown_layers(n_layers: int, count: int = 4) -> list[int]:
    """Which layers stand for a network in a figure: the first, the last and evenly spaced ones between them.

    The paper shows "a subset of the layers" (Section III-C) and names only the first and the last; four is our choice.

    >>> shown_layers(38)
    [0, 12, 25, 37]
    """
    return sorted({round(i) for i in np.linspace(0, n_layers - 1, min(count, n_layers))})


def mean(values: Array) -> float:
    """Mean of the finite entries; NaN without a warning where there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def median(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def pearson(a: Array, b: Array) -> float:
    """Correlation coefficient over the entries finite in both; NaN where fewer than three or one is constant."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3:
        return math.nan
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm > 0 else math.nan


def ranks(values: Array) -> Array:
    """Ranks from 0, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse]
