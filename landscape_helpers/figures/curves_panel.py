"""The panel of one-dimensional curves: the loss over multiples of a direction, its class and count in the title."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullLocator

from .canvas import Handle, Key, add_key
from .numbers_in_words import MINUS, SUPERSCRIPT
from .slice_records import Curve, labels_of, mean_count
from .style import DOTTED, Theme

LAMBDA = "\u03bb (dimensionless)"
LOSS = "loss (nats)"
COUNTED = (
    "\u03bb multiplies the direction. Over each panel: class, how many curves have it, "
    "[mean count of stationary points]."
)
DECADES = 100.0  # a ratio of losses beyond which a linear axis would flatten the small ones


def lines(ax: Axes, curves: Sequence[Curve], colour: str, *, median: bool = True, stretch: float = 1.0) -> None:
    """Every curve as a light line and, of several on one grid, their median as a strong one.

    Args:
        stretch: positions are drawn at lambda / stretch.
    """
    if not curves:
        return
    several = len(curves) > 1
    for one in curves:
        ax.plot(
            one.at / stretch, _drawable(one.loss), color=colour, linewidth=0.7 if several else 1.5,
            alpha=0.45 if several and median else 0.9, zorder=2.5,
        )  # fmt: skip
    same = all(np.array_equal(c.at, curves[0].at) for c in curves)
    if several and median and same:
        middle = np.median([np.where(np.isfinite(c.loss), c.loss, np.inf) for c in curves], axis=0)
        ax.plot(curves[0].at / stretch, _drawable(middle), color=colour, linewidth=1.6, zorder=3)


def marks(ax: Axes, theme: Theme, *, other: float | None = None) -> None:
    """Dotted verticals at the perturbed checkpoint, lambda = 0, and at the other one."""
    ax.axvline(0, color=theme.ink, linewidth=1.0, linestyle=DOTTED, zorder=2)
    if other is not None:
        ax.axvline(other, color=theme.series[1], linewidth=1.2, linestyle=DOTTED, zorder=2)


def loss_axis(
    ax: Axes, losses: Sequence[np.ndarray], random_guess: float, theme: Theme, log: bool | None = None
) -> None:
    """Scale and ticks for the losses shown, and the random guess's where it is near them.

    A logarithmic axis where they span more than two decades. The dotted line at log C is left out where the panel stays
    so far below it that the axis would show little else.
    """
    shown = np.concatenate([np.ravel(y) for y in losses]) if losses else np.array([])
    shown = shown[np.isfinite(shown)]
    if not len(shown):
        return
    low, high = float(shown.min()), float(shown.max())
    logarithmic = (low > 0 and high / low > DECADES) if log is None else log and low > 0
    if _near(random_guess, low, high, logarithmic):
        ax.axhline(random_guess, color=theme.series[3], linewidth=1.2, linestyle=DOTTED, zorder=1.8)
        high, low = max(high, random_guess), min(low, random_guess)
    if logarithmic:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.4, high * 1.4)
        ax.yaxis.set_major_locator(_log_ticks(high / low))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(power)
    else:
        room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        ax.set_ylim(low - room, high + room)
        round_ticks(ax.yaxis)
        ax.yaxis.set_major_formatter(plain)


def _log_ticks(ratio: float) -> Locator:
    """Few enough ticks for a small panel, however many decades it spans, and some where it spans less than one."""
    if ratio > 20:
        return LogLocator(numticks=5)
    return LogLocator(subs=(1.0, 2.0, 5.0), numticks=5) if ratio > 4 else MaxNLocator(3, steps=[1, 2, 5, 10])


def verdict(curves: Sequence[Curve]) -> str:
    """``"v-basin 14/15 [1.1]"``: the most frequent class, how many curves have it, and the mean stationary count."""
    if not curves:
        return ""
    label, n = labels_of(curves)[0]
    return f"{label} {n}/{len(curves)} [{short(mean_count(curves))}]"


def short(value: float) -> str:
    """``"1"``, ``"1.3"``."""
    return f"{value:.1f}".removesuffix(".0")


def panel_title(ax: Axes, name: str, below: str = "") -> None:
    """What is shown in bold and, beneath it in plain type, its class and count."""
    if not below:
        ax.set_title(name, fontsize=8.5, pad=4)
        return
    ax.set_title(name, fontsize=8.5, pad=15)
    ax.annotate(
        below, (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8, va="bottom",
        color=ax.xaxis.label.get_color(),
    )  # fmt: skip


def curve_panel(
    ax: Axes,
    curves: Sequence[Curve],
    random_guess: float,
    theme: Theme,
    *,
    name: str = "",
    other: float | None = None,
    log: bool | None = None,
) -> None:
    """A whole panel: curves, marks, axis and title."""
    lines(ax, curves, theme.series[0])
    marks(ax, theme, other=other)
    loss_axis(ax, [c.loss for c in curves], random_guess, theme, log)
    ax.margins(x=0.02)
    round_ticks(ax.xaxis)
    ax.xaxis.set_major_formatter(plain)
    panel_title(ax, name, verdict(curves))


def curve_key(
    figure: Figure, theme: Theme, *, several: bool = True, other: str = "", guess: bool = True, more: Key | None = None
) -> None:
    """The key of figures of curves.

    Args:
        other: what the red-orange vertical stands for; empty where there is none.
        more: further entries, in front.
    """
    handles: list[Handle] = list(more[0]) if more else []
    labels = list(more[1]) if more else []
    if several:
        handles.append(Line2D([], [], color=theme.series[0], linewidth=1.6))
        labels.append("median (light: each curve)")
    handles.append(Line2D([], [], color=theme.ink, linewidth=1.0, linestyle=DOTTED))
    labels.append("perturbed model")
    if other:
        handles.append(Line2D([], [], color=theme.series[1], linewidth=1.2, linestyle=DOTTED))
        labels.append(other)
    if guess:
        handles.append(Line2D([], [], color=theme.series[3], linewidth=1.2, linestyle=DOTTED))
        labels.append("random guess, log C")
    add_key(figure, (handles, labels))


def round_ticks(axis: Axis, most: int = 4) -> None:
    """Ticks at round numbers."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def plain(value: float, _: object = None) -> str:
    """A tick's number: as short as it can be told, with a power of ten where it is far from 1."""
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.6g}".replace("-", MINUS)
    mantissa, exponent = f"{value:.2e}".split("e")
    digits = mantissa.rstrip("0").rstrip(".").replace("-", MINUS)
    return f"{digits}\u00b710{str(int(exponent)).translate(SUPERSCRIPT)}"


def power(value: float, _: object = None) -> str:
    """A tick of a logarithmic axis, ``"10\u207b\u00b2"``; plain near 1."""
    exponent = int(np.round(np.log10(value)))
    return f"{value:g}" if -2 <= exponent <= 2 else f"10{str(exponent).translate(SUPERSCRIPT)}"


def _near(random_guess: float, low: float, high: float, logarithmic: bool) -> bool:
    """Whether the axis can show the random guess without shrinking the curves by much."""
    if not (np.isfinite(random_guess) and random_guess > 0):
        return False
    if logarithmic:
        return bool(low / 10 < random_guess < high * 10)
    return bool(low - 0.5 * (high - low) < random_guess < high + 0.5 * (high - low))


def _drawable(loss: np.ndarray) -> np.ndarray:
    """A gap where the network has blown up."""
    return np.where(np.isfinite(loss), loss, np.nan)
