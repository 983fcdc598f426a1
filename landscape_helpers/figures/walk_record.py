"""Records of the walk experiment as figures read them: series over the updates of every seed, and windows of steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray

from ..shapes import valley
from .numbers_in_words import seeds_in_words
from .run_record import RunRecord, told


@dataclass(frozen=True)
class Window:
    """The steps of one seed that were interpolated from the start of one epoch on (WALK-D02).

    Attributes:
        epoch: of the run, counted from 1 as in the paper; of full-batch descent the number of the first update.
        updates: t of each step from theta_t to theta_(t+1), (n,), ascending. ``alpha``: (A,) from 0 to 1.
        losses: (n, A) of the whole training set.
    """

    epoch: float
    updates: np.ndarray
    alpha: np.ndarray
    losses: np.ndarray

    @cached_property
    def start(self) -> int:
        return int(self.updates[0])

    @cached_property
    def interior(self) -> np.ndarray:
        """(n,): the least loss lies between the two iterates."""
        return np.asarray(valley.interior(self.losses))

    @cached_property
    def floor(self) -> np.ndarray:
        """(n,), WALK-D05."""
        return np.asarray(valley.floor(self.losses))

    @cached_property
    def floor_at(self) -> np.ndarray:
        """(n,): where on the axis of updates the floor lies, t - start + alpha."""
        return np.arange(len(self.updates)) + np.asarray(valley.floor_position(self.alpha, self.losses))

    @cached_property
    def heights(self) -> np.ndarray:
        """(n,), WALK-D06."""
        return np.asarray(valley.height(self.losses))

    @cached_property
    def crossed(self) -> np.ndarray:
        """(n,), WALK-D07."""
        return np.asarray(valley.crossed(self.losses))

    @cached_property
    def barriers(self) -> np.ndarray:
        """(n,), WALK-D08; 0 where none is crossed."""
        return np.asarray(valley.barrier_height(self.losses))

    @cached_property
    def rises(self) -> np.ndarray:
        """(n - 1,), WALK-D09."""
        return np.asarray(valley.floor_rises(self.floor))

    @property
    def iterates(self) -> np.ndarray:
        """(n + 1,): losses at theta_t, and at the end of the last step."""
        return np.append(self.losses[:, 0], self.losses[-1, -1])

    def first_steps(self, n: int) -> Window:
        """The window without what comes after its first n steps."""
        return Window(self.epoch, self.updates[:n], self.alpha, self.losses[:n])


class WalkRecord(RunRecord):
    """The runs of one network, rate and batch size over their seeds."""

    @cached_property
    def batch(self) -> int | None:
        """Images in a batch; None of a full-batch run."""
        size = self.parameters.get("batch_size")
        return None if size is None else int(size)

    @property
    def noise(self) -> float:
        """kappa of WALK-D11; 0 without added noise."""
        return float(self.parameters.get("noise") or 0.0)

    @property
    def per_epoch(self) -> int:
        """Updates in an epoch; 1 for a full-batch run."""
        return int(told(self.first, "iterations_per_epoch", 1))

    @property
    def method(self) -> str:
        """``"GD"``, ``"GD + noise"`` or ``"SGD, batch 100"``."""
        if self.batch is not None:
            return f"SGD, batch {self.batch:,}"
        return "GD + isotropic noise" if self.noise else "GD"

    @property
    def heading(self) -> str:
        """Network, data, method, rate and seeds in one line."""
        n = self.first.attrs.get("data_n")
        images = f", {int(n):,} images" if n else ""
        rate, seeds = f"\u03b7 = {self.rate:g}", seeds_in_words(self.seeds)
        parts = (self.title, f"{self.data}{images}", self.method, rate, seeds)
        return " \u00b7 ".join(parts)

    @property
    def endings(self) -> list[str]:
        """Of each seed that did not finish: ``"vgg11-gd, seed 1: loss became non-finite in epoch 4 (step 3)"``."""
        pairs = zip(self.seeds, self.statuses, strict=True)
        return [f"{self.run}, seed {seed}: {status}" for seed, status in pairs if status != "completed"]

    def has(self, name: str) -> bool:
        """Whether every seed recorded a variable."""
        return all(name in data for data in self.datasets)

    def over(self, name: str, coordinate: str = "step") -> tuple[np.ndarray, np.ndarray]:
        """A variable of every seed along one coordinate: positions (m,) and values (seed, m); NaN where a seed ended.

        Args:
            coordinate: "step", "evaluation", "stop" or "update".
        """
        longest = max((d[coordinate].values for d in self.datasets), key=len)
        values = np.full((len(self.datasets), len(longest)), np.nan)
        for row, data in zip(values, self.datasets, strict=True):
            row[np.searchsorted(longest, data[coordinate].values)] = data[name].values
        return longest, values

    def windows(self, seed: int = 0) -> list[Window]:
        """The windows of one seed, counted among those there are, in the order of their epochs.

        Updates that two windows share stand in both.
        """
        data = self.datasets[seed]
        if "step_loss" not in data or not data.sizes["update"]:
            return []
        asked = sorted((float(epoch), int(n)) for epoch, n in self.parameters["windows"])
        found = [_window(data, epoch, round((epoch - 1) * self.per_epoch), n) for epoch, n in asked]
        return [window for window in found if window is not None]

    def window(self, epoch: float, seed: int = 0) -> Window | None:
        """The longest window from the start of an epoch of this run, if one was recorded."""
        found = [w for w in self.windows(seed) if w.epoch == epoch]
        return max(found, key=lambda w: len(w.updates), default=None)

    def epochs(self, last: int, seed: int = 0) -> dict[int, Window]:
        """All steps of one seed that were sampled within each epoch up to one, by whichever window."""
        data = self.datasets[seed]
        if "step_loss" not in data or not data.sizes["update"]:
            return {}
        updates, losses = data["update"].values.astype(int), data["step_loss"].values.astype(float)
        of = updates // self.per_epoch + 1
        whole = np.isfinite(losses).all(axis=1)
        alpha = data["alpha"].values.astype(float)
        rows = {epoch: np.flatnonzero((of == epoch) & whole) for epoch in range(1, last + 1)}
        return {epoch: Window(epoch, updates[at], alpha, losses[at]) for epoch, at in rows.items() if len(at)}


def _window(data: xarray.Dataset, epoch: float, start: int, n: int) -> Window | None:
    """The steps from one on that follow each other and have finite losses; None where there is none."""
    updates, losses = data["update"].values.astype(int), data["step_loss"].values.astype(float)
    rows = np.flatnonzero((updates >= start) & (updates < start + n))
    good = (updates[rows] == start + np.arange(len(rows))) & np.isfinite(losses[rows]).all(axis=1)
    rows = rows[: len(rows) if good.all() else int(np.argmin(good))]
    if not len(rows):
        return None
    return Window(epoch, updates[rows], data["alpha"].values.astype(float), losses[rows])


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """(seed, m - window + 1): means of ``window`` consecutive values (WALK-D20); NaN where one of them is missing."""
    if window <= 1:
        return values
    views = np.lib.stride_tricks.sliding_window_view(values, window, axis=-1)
    return np.asarray(views.mean(axis=-1))
