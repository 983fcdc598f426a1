"""The panel of curvature: what the Hessian says and what the steps met, against the edge of stability."""

from __future__ import annotations

import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from ..curvature.secant import secant_curvature
from .canvas import Marks, curve, draw_marks, epoch_axis, key_above, shade, title
from .style import Theme
from .trajectories import Trajectories, over_seeds

WINDOW = 5  # steps


def sharpness(ax: Axes, runs: Trajectories, marks: Marks, theme: Theme, named: bool = False) -> None:
    r"""Largest Hessian eigenvalue and the curvature the steps met, against :math:`1/\eta` and :math:`2/\eta`.

    The second is :func:`~landscape_helpers.curvature.secant_curvature`, the median of five steps; where it is not
    positive it leaves the logarithmic axis.

    ``named`` says in the title how many images this run has, where it is not the run of the other panels.
    """
    values = np.asarray(runs.data["sharpness"].transpose("seed", "stop").values, dtype=np.float64)
    stops = runs.data["stop"].values
    rate = runs.learning_rate
    epoch_axis(ax, runs, marks)
    shade(ax, runs.steps, runs.oscillating, theme)
    curve(ax, stops, values, theme.series[2], label="sharpness")
    secant = secant_curvature(runs.values("dot"), runs.values("gradient_norm"), rate)
    met = windowed_median(np.where(secant > 0, secant, np.nan))
    curve(ax, runs.steps, met, theme.soft, width=0.9, band=False, label="along the step")
    few = len(stops) <= 40
    if few:
        ax.plot(stops, over_seeds(values)[0], "o", markersize=3, color=theme.series[2], zorder=3)
    ax.axhline(2 / rate, color=theme.ink, linewidth=1.1, linestyle=(0, (6, 3)), zorder=2.5)
    ax.axhline(1 / rate, color=theme.soft, linewidth=0.9, linestyle=(0, (2, 2)), zorder=2.5)
    positive = bool(np.nanmin(values) > 0) if np.isfinite(values).any() else False
    if positive:
        ax.set_yscale("log")
        least = np.nanmin([np.nanmin(values), 1 / rate, *np.nanpercentile(met, [2])])
        most = max(np.nanmax(values), 2 / rate)
        ax.set_ylim(least / 1.6, most * 1.6)
        wide = most / least > 300
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    # Beside the axes, where the names cover no curve.
    for height, name, colour in ((2, f"2/\u03b7 = {2 / rate:,g}", theme.ink), (1, "1/\u03b7", theme.soft)):
        ax.annotate(
            name, (1, height / rate), xycoords=ax.get_yaxis_transform(), xytext=(2, 3 if height == 2 else -3),
            textcoords="offset points", ha="left", va="center", fontsize=7.5, color=colour,
        )  # fmt: skip
    ax.set_ylabel("curvature (nats / parameter\u00b2" + (", log)" if positive else ")"))
    draw_marks(ax, marks, theme)
    handles, _ = ax.get_legend_handles_labels()
    key_above(ax, handles, ["\u03bb\u2098\u2090\u2093 of the Hessian", "met by the step, \u03ba"], marks)
    aside = f"(not in the paper; {runs.data.attrs['data_n']:,} images)" if named else "(not in the paper)"
    title(ax, "Curvature", marks, aside, key=True)


def windowed_median(values: np.ndarray) -> np.ndarray:
    """Median of a trailing WINDOW of values (seed, step), ignoring NaN; NaN where the window holds nothing else."""
    padded = np.pad(values, ((0, 0), (WINDOW - 1, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        return np.nanmedian(windows, axis=-1)
