"""The primer's five pictures, one function each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..figures.canvas import add_key, key_of_lines, new_figure
from ..figures.style import DOTTED, LINE_STYLES, Theme, theme
from .measured import COMPONENTS, STRETCH, Average, Kinks, Planes, Symmetry

LAMBDA = "\u03bb (multiples of the direction)"
LOSS = "loss (nats, log scale)"


def symmetry(found: Symmetry, note: str, colours: Theme) -> Figure:
    """Two networks that are one function, along noise of the network's length and along noise scaled by filters."""
    figure = new_figure(2.6, "One function, two sets of weights", note, colours)
    panels = (("noise as long as all the weights", found.model), ("noise scaled filter by filter", found.filters))
    for ax, (name, curves) in zip(_row(figure, 2, sharey=True), panels, strict=True):
        _curves(ax, found.at, curves, colours)
        ax.set_yscale("log")
        ax.set_xlabel(LAMBDA)
        ax.set_title(name)
    figure.axes[0].set_ylabel(LOSS)
    names = ["as trained", f"first layer times {STRETCH:g}, second divided by {STRETCH:g}"]
    add_key(figure, key_of_lines(names, colours))
    return figure


def average(found: Average, note: str, colours: Theme) -> Figure:
    """The loss along a random direction and the extreme eigenvectors; all curvatures on one axis."""
    figure = new_figure(2.8, "A random direction sees the average curvature", note, colours)
    left, right = _row(figure, 2)
    names = ("a random direction", "largest curvature", "most negative curvature")
    _curves(left, found.distance, found.curves, colours)
    left.set_yscale("log")
    left.set_xlabel("distance from the network (units of \u03b8)")
    left.set_ylabel(LOSS)
    left.set_title("the loss along three directions of length one")
    kinds = ((found.random, 0.0), (found.largest, 1.0), (found.smallest, 1.0))
    for (values, height), colour in zip(kinds, colours.series, strict=False):
        jitter = height + 0.28 * np.linspace(-1, 1, len(values)) * (height == 0)
        right.plot(values, jitter, linestyle="none", marker="o", markersize=3.2, alpha=0.6, color=colour)
    right.axvline(found.mean, color=colours.ink, linewidth=1, linestyle=DOTTED)
    right.annotate(
        "tr H / P", (found.mean, 0.5), xytext=(6, 0), textcoords="offset points", fontsize=8, color=colours.ink
    )
    right.set_xscale("symlog", linthresh=float(10 ** np.floor(np.log10(np.abs(found.smallest).max()))))
    right.set_ylim(-0.6, 1.5)
    extremes = len(found.largest) + len(found.smallest)
    right.set_yticks([0, 1], [f"{len(found.random)} random\ndirections", f"{extremes} extreme\neigenvalues"])
    right.grid(visible=True, axis="x")
    right.set_xlabel("curvature z\u1d40Hz (nats / parameter\u00b2)")
    right.set_title("the curvature that each meets")
    add_key(figure, key_of_lines(names, colours))
    return figure


def planes(found: Planes, note: str, colours: Theme) -> Figure:
    """The share of the way to every iterate that lies off each plane, over the steps."""
    figure = new_figure(2.5, "What a plane leaves out of a descent", note, colours)
    [ax] = _row(figure, 1)
    _curves(ax, found.steps, found.outside.values(), colours)
    ax.set_ylim(0, 1.05)
    ax.set_xlabel("step of full-batch descent")
    ax.set_ylabel("share outside the plane\n(sine of the angle to it)")
    ax.set_title("the way from each iterate to the last one, through which every plane goes")
    add_key(figure, key_of_lines(list(found.outside), colours))
    return figure


def normalised(found: tuple[np.ndarray, dict[str, np.ndarray]], note: str, colours: Theme) -> Figure:
    """One line through one network with BatchNorm, by what it normalises with."""
    at, curves = found
    figure = new_figure(2.5, "One network with BatchNorm, three functions", note, colours)
    [ax] = _row(figure, 1)
    _curves(ax, at, curves.values(), colours)
    ax.set_yscale("log")
    ax.set_xlabel(LAMBDA)
    ax.set_ylabel(LOSS)
    ax.set_title("the loss along one direction, scaled filter by filter")
    add_key(figure, key_of_lines(list(curves), colours))
    return figure


def kinks(found: Kinks, note: str, colours: Theme) -> Figure:
    """Second differences in units of the second derivative, over the length of the step."""
    figure = new_figure(2.5, "Second differences count kinks, second derivatives do not", note, colours)
    names = {"relu": "ReLU", "tanh": "tanh"}
    panels = _row(figure, len(found.ratio), sharey=True)
    for ax, (name, ratio), colour in zip(panels, found.ratio.items(), colours.series, strict=False):
        ax.plot(found.lengths, ratio.T, color=colour, linewidth=1.2, alpha=0.8)
        ax.axhline(1, color=colours.ink, linewidth=1, linestyle=DOTTED)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("length h of the step (units of \u03b8)")
        ax.set_title(f"{names[name]}, {len(ratio)} random directions")
    panels[0].set_ylabel("second difference\nin units of z\u1d40Hz (log scale)")
    add_key(figure, ([Line2D([], [], color=colours.ink, linewidth=1, linestyle=DOTTED)], ["the two agree"]))
    return figure


def _curves(ax: Axes, x: np.ndarray, rows: Iterable[np.ndarray], colours: Theme) -> None:
    for values, colour, style in zip(rows, colours.series, LINE_STYLES, strict=False):
        ax.plot(x, values, color=colour, linestyle=style, linewidth=1.6)


def _row(figure: Figure, panels: int, *, sharey: bool = False) -> list[Axes]:
    return list(figure.subplots(1, panels, sharey=sharey, squeeze=False)[0])


def _themed(draw: Callable[[Any, str, Theme], Figure]) -> Callable[[Any, str, str], Figure]:
    def drawn(found: Any, note: str, name: str) -> Figure:
        with theme(name) as colours:
            return draw(found, note, colours)

    return drawn


# By name: how it is drawn (what was measured, scale note, theme's name), and what it shows in words.
DRAWN: dict[str, tuple[Callable[[Any, str, str], Figure], str]] = {
    "symmetry": (
        _themed(symmetry),
        "Two panels of the loss along one draw of noise, for a network and for the same function with stretched "
        "weights. With noise as long as all the weights the two curves differ; with noise scaled filter by filter "
        "they are the same curve.",
    ),
    "average": (
        _themed(average),
        "Left, the loss along a random direction is flat beside that along the eigenvector of the largest curvature. "
        "Right, two hundred random directions meet curvatures close to the trace of the Hessian over the number of "
        "parameters, far below the largest eigenvalues; none is negative, though the Hessian has negative eigenvalues.",
    ),
    "planes": (
        _themed(planes),
        "The share of the way from each iterate to the last that lies outside three planes: nearly all of it for two "
        f"random directions, and least, but at the start, for {COMPONENTS}.",
    ),
    "normalised": (
        _themed(normalised),
        "The loss of one network with BatchNorm along one line, with statistics taken anew, kept from the middle, "
        "or taken over few images at a time: three curves.",
    ),
    "kinks": (
        _themed(kinks),
        "Second differences over the second derivative against the length of the step. For tanh the ratio is one up to "
        "long steps; for ReLU it is far above one over most lengths, for units switch within even a short step.",
    ),
}
