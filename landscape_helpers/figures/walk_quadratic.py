"""Contraction of descent on a quadratic bowl: Figure 28 of *A Walk with SGD*."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from .axes import headed
from .canvas import Handle, add_key, new_figure
from .run_record import RunRecord
from .style import Theme

Records = Mapping[str, RunRecord]
GREEK = "\u03bb\u2098\u1d62\u2099", "\u03bb\u2098\u2090\u2093"


def contraction(records: Records, note: str, theme: Theme) -> Figure:
    r"""Rates :math:`|\lambda_i\eta-1|` as lines with the simulated ones on them; beside it one under-damped path."""
    data = next(iter(records.values())).first
    lambdas = data["eigenvalue"].values.astype(float)
    rates, measured = data["rate"].values.astype(float), data["measured_rate"].values.astype(float)
    changes = data["sign_changes"].values
    low, high = lambdas[0], lambdas[-1]
    last = max(2.4 / high, 1.03 * float(rates.max()))
    figure = new_figure(3.6, "Gradient descent on a quadratic bowl", note, theme)
    ax, path = figure.subplots(1, 2, width_ratios=(1.5, 1))
    eta = np.linspace(0, last, 400)
    ends = np.abs(np.outer(eta, (low, high)) - 1)
    ax.fill_between(eta, *_between(eta, low, high), color=theme.series[4], alpha=0.25, linewidth=0, zorder=1)
    ax.axvspan(1 / high, 2 / high, color=theme.series[0], alpha=0.13, linewidth=0, zorder=0.5)
    ax.axhline(1, color=theme.soft, linewidth=0.8, zorder=1.2)
    for i, curve in enumerate(ends.T):
        colour = theme.series[2 - i]
        ax.plot(eta, curve, color=colour, linewidth=1.6, zorder=2)
        column = 0 if i == 0 else len(lambdas) - 1
        flips = changes[:, column] > 0.5
        for kept, marker in ((flips, "D"), (~flips, "o")):
            ax.plot(rates[kept], measured[kept, column], marker, color=colour, markersize=4.5,
                    markeredgecolor=theme.page, markeredgewidth=0.6, zorder=3)  # fmt: skip
    ax.set_xlim(0, last)
    ax.set_ylim(0, 1.08 * max(1.0, float(ends.max())))
    ax.xaxis.set_major_locator(FixedLocator([0, 1 / high, 2 / high]))
    ax.xaxis.set_major_formatter(lambda v, _: "0" if v == 0 else f"{v * high:.0f}/{GREEK[1]}")
    ax.set_xlabel("learning rate \u03b7")
    ax.set_ylabel("contraction a step, |\u03bb\u03b7 \u2212 1|")
    headed(ax, "Contraction", f"{GREEK[0]} = {low:g}, {GREEK[1]} = {high:g}; above 1 it diverges")
    _path(path, data, theme, low, high)
    handles: list[Handle] = [
        Line2D([], [], color=theme.series[1], linewidth=1.6),
        Line2D([], [], color=theme.series[2], linewidth=1.6),
        Patch(color=theme.series[4], alpha=0.25),
        Patch(color=theme.series[0], alpha=0.13),
        Line2D([], [], color=theme.ink, marker="D", markersize=4.5, linestyle="none"),
        Line2D([], [], color=theme.ink, marker="o", markersize=4.5, linestyle="none"),
    ]
    lines = [GREEK[1], GREEK[0], "eigenvalues between", f"under-damped along {GREEK[1]}"]
    add_key(figure, (handles, [*lines, "simulated, sign flips", "keeps its sign"]))
    return figure


def _between(eta: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest rate of any eigenvalue from the smallest to the largest."""
    ends = np.abs(np.outer(eta, (low, high)) - 1)
    crosses = (low * eta <= 1) & (high * eta >= 1)
    return np.where(crosses, 0.0, ends.min(1)), ends.max(1)


def _path(ax: Axes, data: xarray.Dataset, theme: Theme, low: float, high: float) -> None:
    """The iterates of the largest simulated rate that converges, from above."""
    rates = data["rate"].values
    converging = np.flatnonzero(rates * high < 2)
    i = int(converging[-2] if len(converging) > 1 else converging[-1])
    x, y = data["position"].values[i, :, 0], data["position"].values[i, :, -1]
    reach = 1.15 * max(float(np.abs(x).max()), float(np.abs(y).max()))
    grid = np.linspace(-reach, reach, 80)
    bowl = 0.5 * (low * grid[None] ** 2 + high * grid[:, None] ** 2)
    ax.contour(grid, grid, bowl, levels=9, colors=theme.soft, linewidths=0.5, alpha=0.7)
    ax.plot(x, y, "-o", color=theme.series[0], linewidth=1, markersize=2.6, zorder=3)
    ax.set_xlim(min(-0.2 * reach, float(x.min()) * 1.1), reach)
    ax.set_ylim(-reach, reach)
    ax.grid(False)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel(f"along {GREEK[0]}")
    ax.set_ylabel(f"along {GREEK[1]}")
    headed(ax, "Iterates", f"\u03b7 = {float(rates[i]) * high:.3g}/{GREEK[1]}")
