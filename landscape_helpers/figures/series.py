"""What the drawings are made of: seeds as median and range, long runs as envelopes, the share of progress by phase."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import xarray

MOST_POINTS = 700  # about two device pixels each at the width of a panel; longer curves are drawn as envelopes


@dataclass(frozen=True)
class Band:
    """A curve over several seeds, ready to draw.

    Where the run is longer than the picture is wide, ``x`` holds bins and the four curves their extremes, so that nothing
    between two points is left out.

    Attributes:
        x: step, or the centre of a bin of steps, (m,).
        median_low, median_high: smallest and largest value, within the bin, of the median over seeds; equal where a
            bin is one step.
        low, high: smallest and largest value, within the bin, of any seed.
        binned: whether a bin holds several steps.
    """

    x: np.ndarray
    median_low: np.ndarray
    median_high: np.ndarray
    low: np.ndarray
    high: np.ndarray
    binned: bool


@dataclass(frozen=True)
class Ending:
    """How one seed's run ended before its planned length: its last step, and why."""

    seed: int
    step: int
    status: str

    @property
    def diverged(self) -> bool:
        return "non-finite" in self.status


def stack(runs: Sequence[xarray.Dataset]) -> xarray.Dataset:
    """Runs of one setting with different seeds as one dataset with a leading ``seed`` dimension.

    A shorter run is filled with NaN to the longest. Attributes are the first run's, ``status`` every seed's.

    Raises:
        ValueError: no runs.
    """
    if not runs:
        raise ValueError("nothing to stack: expected at least one run")
    seeds = [int(run.attrs.get("seed", i)) for i, run in enumerate(runs)]
    together = xarray.concat(
        runs, xarray.Variable("seed", seeds), join="outer", combine_attrs="override", data_vars="all"
    )
    status = "; ".join(f"seed {s}: {r.attrs.get('status', 'completed')}" for s, r in zip(seeds, runs, strict=True))
    return together.assign_attrs(status=status)


def endings(run: xarray.Dataset) -> list[Ending]:
    """The seeds that ended early, from the ``status`` attribute ("seed 0: completed; seed 1: stopped: ...")."""
    status = str(run.attrs.get("status", "completed"))
    parts = re.split(r"(?:^|;\s*)seed (\d+):\s*", status)
    by_seed = dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))
    found = []
    for i, seed in enumerate(run["seed"].values.tolist()):
        text = by_seed.get(int(seed), status if not by_seed else "completed").strip()
        if text != "completed":
            found.append(Ending(int(seed), last_step(run, i), text))
    return found


def last_step(run: xarray.Dataset, seed_index: int) -> int:
    """The last step of one seed at which a loss was recorded."""
    known = np.flatnonzero(np.isfinite(run["loss"].values[seed_index]))
    return int(run["step"].values[known[-1]]) if known.size else 0


def parameter(run: xarray.Dataset, name: str) -> object:
    """One of the run's parameters, from its attributes; None where it is not recorded."""
    return json.loads(run.attrs.get("parameters", "{}")).get(name)


def learning_rate(run: xarray.Dataset) -> float | None:
    value = run.attrs.get("learning_rate", parameter(run, "lr"))
    return None if value is None else float(value)  # type: ignore[arg-type]


def band(x: np.ndarray, values: np.ndarray, scale: str = "linear", points: int = MOST_POINTS) -> Band:
    """Median and range over seeds of ``values`` (seed, step) at ``x`` (step,).

    Args:
        scale: "linear" or "log", of the axis on which bins have equal widths.
        points: the most bins to draw.
    """
    values = np.asarray(values, dtype=np.float64)
    with _quiet():
        median, low, high = np.nanmedian(values, 0), np.nanmin(values, 0), np.nanmax(values, 0)
    if len(x) <= 2 * points:
        return Band(x, median, median, low, high, binned=False)
    edges = bin_edges(x, scale, points)
    starts = np.unique(np.searchsorted(x, edges[:-1]))
    starts = starts[starts < len(x)]
    stops = np.append(starts[1:], len(x))
    ends = np.minimum(stops, len(x)) - 1
    # fmin and fmax ignore NaN unless the whole bin is NaN.
    reduce = np.fmin.reduceat, np.fmax.reduceat
    return Band(
        (x[starts] + x[ends]) / 2,
        reduce[0](median, starts),
        reduce[1](median, starts),
        reduce[0](low, starts),
        reduce[1](high, starts),
        binned=True,
    )


def bin_edges(x: np.ndarray, scale: str, bins: int) -> np.ndarray:
    """Edges of at most ``bins`` bins over the steps ``x``: of equal width, or of equal ratio from step 1 on.

    Edges lie between steps, so that every bin holds at least one.
    """
    first, last = float(x[0]), float(x[-1])
    if scale == "log":
        raw = np.geomspace(max(first, 1.0), last + 1, bins + 1)
        edges = np.concatenate([[first - 0.5], np.floor(raw) - 0.5, [last + 0.5]])
    else:
        edges = np.linspace(first - 0.5, last + 0.5, min(bins, len(x)) + 1)
    edges = np.unique(edges)
    occupied = np.diff(np.searchsorted(x, edges)) > 0
    return np.append(edges[:-1][occupied], edges[-1])


def bin_means(x: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of the finite ``values`` (step, ...) in each bin; NaN where it holds none."""
    values = np.asarray(values, dtype=np.float64)
    starts = np.searchsorted(x, edges[:-1])
    finite = np.isfinite(values)
    total = np.add.reduceat(np.where(finite, values, 0.0), starts, axis=0)
    count = np.add.reduceat(finite.astype(np.float64), starts, axis=0)
    with _quiet():
        return np.where(count > 0, total / count, np.nan)


def seed_median(values: np.ndarray) -> np.ndarray:
    """Median over the leading seed axis, of those that are there."""
    with _quiet():
        return np.nanmedian(np.asarray(values, dtype=np.float64), axis=0)


def oscillating_fraction(run: xarray.Dataset) -> np.ndarray:
    r"""Share of the seeds with :math:`\bar\mu_k<0`, (step,); NaN where no seed has a windowed correlation."""
    curve = run["windowed_correlation"].values
    known = np.isfinite(curve).sum(0)
    return np.where(known > 0, (curve < 0).sum(0) / np.maximum(known, 1), np.nan)


def running_shares(loss: np.ndarray, correlation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Progress so far, and the part of it made under oscillation, as shares of one run's total loss decrease.

    .. math:: P_k=\frac{L_0-L_k}{L_0-L_K},\qquad R_k=\frac{\sum_{j<k,\,\bar\mu_j<0}(L_j-L_{j+1})}{L_0-L_K}

    :math:`R_K` is the share R of GO-D10. Both are NaN where the loss did not decrease from 0 to K.

    Args:
        loss: (K + 1,) in nats, NaN after an early end.
        correlation: windowed, (K + 1,); NaN counts as not oscillating.
    """
    known = np.flatnonzero(np.isfinite(loss))
    nothing = np.full(len(loss), np.nan)
    if known.size < 2:
        return nothing, nothing.copy()
    n = known[-1] + 1
    total = loss[0] - loss[n - 1]
    if not total > 0:
        return nothing, nothing.copy()
    progress, oscillating = nothing, nothing.copy()
    progress[:n] = (loss[0] - loss[:n]) / total
    fall = np.where(correlation[: n - 1] < 0, -np.diff(loss[:n]), 0.0)
    oscillating[:n] = np.concatenate([[0.0], np.cumsum(fall)]) / total
    return progress, oscillating


def smooth(loss: np.ndarray) -> np.ndarray:
    """Trapezoidal mean over three steps, ends kept: takes out exactly a bounce of period 2."""
    known = np.flatnonzero(np.isfinite(loss))
    if known.size < 3:
        return loss.copy()
    n, result = known[-1] + 1, loss.copy()
    result[1 : n - 1] = (loss[: n - 2] + 2 * loss[1 : n - 1] + loss[2:n]) / 4
    return result


def final_shares(run: xarray.Dataset, smoothed: bool = False) -> np.ndarray:
    """R of GO-D10 for each seed, (seed,)."""
    shares = []
    for i in range(run.sizes["seed"]):
        loss, curve = run["loss"].values[i], run["windowed_correlation"].values[i]
        _, share = running_shares(smooth(loss) if smoothed else loss, curve)
        finite = share[np.isfinite(share)]
        shares.append(finite[-1] if finite.size else np.nan)
    return np.array(shares)


@contextmanager
def _quiet() -> Iterator[None]:
    """numpy warns where all seeds are NaN; NaN is then exactly the answer."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
