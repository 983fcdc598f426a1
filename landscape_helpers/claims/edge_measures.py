r"""Measures of a descent's telemetry: stability ratios, the gradient's parts, and what a step along each part changes.

With :math:`n_c` classes the top subspace is spanned by the first :math:`n_c-1` eigenvectors (SING-D09). *last top* is
the pair number :math:`n_c-1`, 9 for ten classes, *first bulk* the pair :math:`n_c` behind it. A run *is on the edge* at
a stop where the stability ratio :math:`\rho=\eta\lambda/2` of its last top pair lies above a threshold (SING-D08).
"""

from __future__ import annotations

import math

import numpy as np

from .record import Array, NotRecorded, Record, mean, median
from .registry import divide, register

EDGE = 0.7  # Section 5.3
LEAST_STOPS = 3  # Section 5.3
STATISTICS = {"mean": mean, "median": median}

# The stability ratios


@register
def max_rho(r: Record, *, pair: str, start: float | None = None, end: float | None = None) -> float:
    """Largest stability ratio of the "last top" or "first bulk" pair, or of the "first" of all, over a window of t."""
    values = _of_pair(r, "rho", pair)[_window(r, start, end)]
    return float(np.nanmax(values)) if np.isfinite(values).any() else math.nan


@register
def edge_time(r: Record, *, above: float = EDGE) -> float:
    """The time t of the first stop on the edge; NaN where there is none."""
    stops = np.flatnonzero(on_edge(r, above))
    return float(r["time"][stops[0]]) if len(stops) else math.nan


@register
def edge_stops(r: Record, *, above: float = EDGE) -> float:
    """Number of stops on the edge."""
    return float(np.count_nonzero(on_edge(r, above)))


@register
def edge_share(r: Record, *, above: float = EDGE) -> float:
    """Share of the stops that are on the edge."""
    return float(np.mean(on_edge(r, above)))


@register
def rho_gap(r: Record, *, above: float = EDGE) -> float:
    """Median of rho of the last top pair over that of the first bulk pair, from the first stop on the edge on."""
    since = _since_edge(r, above)
    return _reduced(divide(_of_pair(r, "rho", "last top"), _of_pair(r, "rho", "first bulk"))[since], "median")


@register
def share_with_edge_count(r: Record, *, above: float = EDGE) -> float:
    r"""Share of the stops at which exactly :math:`n_c-1` of all recorded ratios lie above a threshold."""
    return float(np.mean(np.count_nonzero(r["rho"] > above, axis=1) == _classes(r) - 1))


# The gradient


@register
def gradient_part(r: Record, *, of: str, start: float, end: float, by: str = "mean") -> float:
    """Mean or median length of the gradient's "top" or "bulk" part over a window of t, both ends included."""
    return _reduced(r[_part(of, "norm")][_window(r, start, end)], by)


@register
def concentration(r: Record, *, above: float = EDGE) -> float:
    """Median of the gradient's top part over its bulk part, from the first stop on the edge on."""
    return _reduced(divide(r["top_norm"], r["bulk_norm"])[_since_edge(r, above)], "median")


@register
def entries_together(r: Record, *, iterations: float = 50, above: float = 0.9, times: float = 10) -> float:
    r"""Number of top pairs whose coordinate blows up as they enter the edge, to less than so many iterations.

    Entry: the first stop with :math:`\rho_i` above a threshold behind one below it; a pair that starts above has to
    leave first. Blow-up: the first stop at which :math:`|d_i|` is more than ``times`` the median of the stops before
    it, of which there must be three.
    """
    stops, together = r["stop"], 0
    for ratio, size in _top_pairs(r):
        entry, burst = entry_stops(ratio, above), burst_stops(size, times)
        together += bool(len(entry) and len(burst) and abs(stops[entry[0]] - stops[burst[0]]) < iterations)
    return float(together)


@register
def bursts(r: Record, *, above: float = 0.9, times: float = 10) -> float:
    r"""Number of top pairs whose largest :math:`|d_i|` exceeds ``times`` its median before their entry into the edge.

    A pair that never enters, or with fewer than three stops before, has no burst.
    """
    count = 0
    for ratio, size in _top_pairs(r):
        entry = entry_stops(ratio, above)
        count += bool(len(entry) and np.nanmax(size) > times * _usual(size[: entry[0]]))
    return float(count)


@register
def top_pairs(r: Record) -> float:
    """Number of pairs in the top subspace."""
    return float(_classes(r) - 1)


# Steps along one part of the gradient


@register
def partial_change(r: Record, *, of: str, statistic: str = "mean", above: float = EDGE) -> float:
    """The change of the loss by a step along the gradient's "top" or "bulk" part, over the stops on the edge.

    Args:
        of: "top" or "bulk".
        statistic: "mean", "median", "std" (of the sample), or "error" (standard error of the mean).
        above: the threshold of the edge.

    Returns:
        NaN with fewer than three stops on the edge, the paper's rule.
    """
    values = r[_part(of, "change")][on_edge(r, above)]
    values = values[np.isfinite(values)]
    if len(values) < LEAST_STOPS:
        return math.nan
    spread = float(np.std(values, ddof=1))
    match statistic:
        case "std":
            return spread
        case "error":
            return spread / math.sqrt(len(values))
    return _reduced(values, statistic)


@register
def prediction_error(r: Record) -> float:
    r"""Median over the stops of what the second order misses of a step along the top, relative to what it predicts.

    Predicted is :math:`\eta\sum_{i<n_c}d_i^2(\tfrac12\eta\lambda_i-1)` (SING-D04); the scale is the sum of the sizes of
    its terms, since they nearly cancel on the edge.
    """
    rate, top = float(r.dataset.attrs["learning_rate"]), _classes(r) - 1
    terms = rate * r["coordinate"][:, :top] ** 2 * (r["rho"][:, :top] - 1)
    return _reduced(divide(np.abs(r["change_top"] - terms.sum(1)), np.abs(terms).sum(1)), "median")


# Curvature and weights


@register
def curvature_between(r: Record, *, pair: str, start: float, end: float, by: str = "mean") -> float:
    """Mean or median eigenvalue of a pair over a window of t, both ends included."""
    return _reduced(_of_pair(r, "eigenvalue", pair)[_window(r, start, end)], by)


@register
def rho_between(r: Record, *, pair: str, start: float, end: float, by: str = "mean") -> float:
    """Mean or median stability ratio of a pair over a window of t, both ends included."""
    return _reduced(_of_pair(r, "rho", pair)[_window(r, start, end)], by)


@register
def norm_growth(r: Record) -> float:
    """Largest growth of the length of theta over its start, as a share of it."""
    lengths = np.append(r["theta_norm"], r["theta_norm_end"])
    return float(np.nanmax(lengths) / r["theta_norm_start"] - 1)


@register
def negative_share(r: Record) -> float:
    """Magnitude of the smallest eigenvalue at the end over the last top eigenvalue at the last stop."""
    last = _of_pair(r, "eigenvalue", "last top")[-1]
    return abs(min(float(r["smallest_eigenvalue"]), 0.0)) / last if last > 0 else math.nan


@register
def curvature_rise(r: Record) -> float:
    """Largest of all leading eigenvalues over the one at the start: 1 for a run that starts at its peak."""
    first = _of_pair(r, "eigenvalue", "first")
    return float(np.nanmax(first) / first[0])


def on_edge(r: Record, above: float = EDGE) -> Array:
    """Which stops are on the edge (stop,)."""
    return np.asarray(_of_pair(r, "rho", "last top") > above)


def _classes(r: Record) -> int:
    return int(r.dataset.attrs["n_classes"])


def _of_pair(r: Record, name: str, pair: str) -> Array:
    columns = {"first": 0, "last top": _classes(r) - 2, "first bulk": _classes(r) - 1}
    if pair not in columns:
        raise ValueError(f"pair must be one of {', '.join(columns)}, got {pair!r}")
    return r[name][:, columns[pair]]


def _part(of: str, kind: str) -> str:
    if of not in ("top", "bulk"):
        raise ValueError(f"of must be 'top' or 'bulk', got {of!r}")
    return f"{of}_norm" if kind == "norm" else f"change_{of}"


def _since_edge(r: Record, above: float) -> slice:
    stops = np.flatnonzero(on_edge(r, above))
    return slice(int(stops[0]), None) if len(stops) else slice(0, 0)


def _top_pairs(r: Record) -> list[tuple[Array, Array]]:
    """Stability ratio and size of the coordinate over the stops, of each pair of the top subspace."""
    return [(r["rho"][:, i], np.abs(r["coordinate"][:, i])) for i in range(_classes(r) - 1)]


def entry_stops(ratio: Array, above: float) -> Array:
    """The stops at which a ratio has come to lie above a threshold from below it.

    A stop whose curvature overflowed is NaN, and passed over: it is neither above nor below.
    """
    known = np.flatnonzero(~np.isnan(ratio))
    over = ratio[known] > above
    return np.asarray(known[1:][over[1:] & ~over[:-1]])


def burst_stops(size: Array, times: float) -> Array:
    """The stops at which :math:`|d_i|` is more than ``times`` its median before, for which three stops are needed."""
    return np.array([s for s in range(len(size)) if size[s] > times * _usual(size[:s])], dtype=int)


def _usual(before: Array) -> float:
    """The median of what was measured at the stops before; NaN where they are too few."""
    known = before[~np.isnan(before)]
    return float(np.median(known)) if len(known) >= LEAST_STOPS else math.nan


def _window(r: Record, start: float | None, end: float | None) -> Array:
    """The stops of a window of t, ends included; those that there are where the run ended before by its loss.

    Raises:
        NotRecorded: the run was planned to end before the window does.
    """
    time, rate = r["time"], float(r.dataset.attrs["learning_rate"])
    ended, slack = rate * r.last_step, 0.5 * rate  # the steps need not meet the ends of a window
    if end is not None and ended < end - slack and str(r.dataset.attrs["status"]) == "completed":
        raise NotRecorded(f"the run ends at t = {ended:g} and does not reach {end:g}")
    low = -math.inf if start is None else start - slack
    return np.asarray((time >= low) & (time <= (math.inf if end is None else end + slack)))


def _reduced(values: Array, by: str) -> float:
    """The mean or median of the finite values; NaN where there are none."""
    if by not in STATISTICS:
        raise ValueError(f"a statistic must be one of {', '.join(STATISTICS)}, got {by!r}")
    return STATISTICS[by](values)
