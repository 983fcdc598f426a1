r"""Lines through a model: a menu of directions and a slider over how far to look.

What :math:`\lambda\mapsto\mathcal L(\theta+\lambda\epsilon)` looks like depends on the direction and on the width of
the view (*Visualizing, Rethinking, and Mining the Loss Landscape*, Sec. 2). Here both are under the reader's hands, for
any objective.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..directions import towards
from ..objective import Objective
from .controls import Choice, Control, Slider
from .explorer import FrameExplorer
from .one_thread import one_thread
from .spec import Frame, Panel, Reference, Series
from .view import MARKS, POINTS, QUADRATIC_POINTS, VIEW, Line, View

# Half-widths of the view, a factor of the square root of two apart: half the points of a view are also points of the
# view twice as wide, and are evaluated once. 1, where another network may stand, is among them.
SCALES = tuple(2.0 ** (k / 2) for k in range(-8, 5))
START = 2**0.5  # shown first: the model and another network at 1, and both far ends
FARTHEST = 300.0  # times the loss of guessing: the whole line is cut off there


@one_thread
def line_explorer(
    objective: Objective,
    theta: torch.Tensor,
    directions: Mapping[str, torch.Tensor],
    networks: Mapping[str, torch.Tensor] | None = None,
    *,
    scales: Sequence[float] = SCALES,
    points: int = POINTS,
    batchnorm: str | None = None,
    caption: str = "",
    live: bool = True,
) -> FrameExplorer:
    r"""The loss along any directions through a model, under a menu and a slider over the width of the view.

    Every curve of the menu and the slider is evaluated now: directions x scales x points evaluations of the loss. With
    a kernel the slider also stops between the scales.

    Args:
        objective: whose loss is drawn.
        theta: the model (P,), at :math:`\lambda=0`.
        directions: :math:`\epsilon` (P,) by the name that the menu shows, taken as they come.
        networks: other points (P,) by name; each gives the direction that reaches it at :math:`\lambda=1`.
        scales: half-widths s of the view [-s, s], at least two, above 0 and strictly increasing.
        points: of a curve; odd, so that the model is among them, and at least five.
        batchnorm: as for :func:`landscape_helpers.slices.line`.
        caption: shown below; by default what was evaluated.
        live: let a kernel evaluate the loss between the scales.

    Raises:
        ValueError: no direction, a name in both mappings, vectors that :func:`landscape_helpers.slices.line` refuses,
            scales or points out of range.
    """
    networks = networks or {}
    if both := sorted(set(directions) & set(networks)):
        raise ValueError(f"{both[0]!r} names a direction and a network: give it two names")
    lines = [Line(name, direction) for name, direction in directions.items()]
    lines += [Line(name, towards(theta, other), reaches=True) for name, other in networks.items()]
    if not lines:
        raise ValueError("nothing to look along: name at least one direction or network")
    check_views(scales, points)
    view = View(objective, theta, lines, float(scales[-1]), points, batchnorm)
    text = caption or f"{type(objective.model).__name__}, {objective.parameters:,} parameters; {_about(objective)}"
    return explorer_of({"the model": view}, scales, text, live=live)


def check_views(scales: Sequence[float], points: int) -> Slider:
    """The slider over the scales, refused before any loss is evaluated."""
    slider = Slider("half-width of the view, s", tuple(scales), format=".2g", scale="log")
    if points < 5 or points % 2 == 0:
        raise ValueError(f"points must be odd, so that the model is among them, and at least 5, got {points}")
    return slider


def explorer_of(
    views: Mapping[str, View],
    scales: Sequence[float],
    caption: str,
    *,
    menu: str = "model",
    first: tuple[int, int] = (0, 0),
    live: bool,
) -> FrameExplorer:
    """The explorer over one or more models whose lines have the same names.

    Args:
        views: models by the name that a menu shows, where there are several.
        scales: half-widths of the view.
        caption: shown below.
        menu: what the models are.
        first: the model and the line shown first, at the scale nearest to :data:`START`.
        live: let a kernel evaluate the loss between the scales.
    """
    models = list(views.values())
    names = [line.name for line in models[0].lines]
    menus: list[tuple[Control, int]] = []
    if len(models) > 1:
        menus.append((Choice(menu, list(views)), first[0]))
    if len(names) > 1:
        menus.append((Choice("direction", names), first[1]))
    start = int(np.abs(np.log(scales) - np.log(START)).argmin())

    def chosen(values: Sequence[float]) -> tuple[View, int]:
        indices = [int(v) for v in values]
        model = models[indices.pop(0)] if len(models) > 1 else models[0]
        return model, indices.pop(0) if indices else 0

    def compute(*values: float) -> Frame:
        model, line = chosen(values[:-1])
        return model.frames(line, [values[-1]])[0]

    frames = [f for model, line in itertools.product(models, range(len(names))) for f in model.frames(line, scales)]
    return FrameExplorer(
        _panels(models),
        [*(menu for menu, _ in menus), check_views(scales, len(models[0].unit))],
        frames,
        initial=[*(index for _, index in menus), start],
        alt=_alt(list(views), names, frames, scales, start),
        caption=caption,
        compute=compute if live else None,
    )


def _panels(views: Sequence[View]) -> tuple[Panel, Panel]:
    view = views[0]
    guess = [Reference("guess", "guess", value=view.guess)] if math.isfinite(view.guess) else []
    marks = (Reference("model", "model", value=0.0, vertical=True), Reference("other", "other", vertical=True))
    edges = (
        Reference("left", "\N{MINUS SIGN}s", vertical=True, faint=True),
        Reference("right", "s", vertical=True, faint=True),
    )
    parabola = Series("quadratic", "second order", np.linspace(0.0, 1.0, QUADRATIC_POINTS), line="thin")
    extrema = Series("extrema", "stationary", MARKS, markers=True, line="none")
    ranges = [v.lowest_and_highest() for v in views]
    lowest, highest = min(low for low, _ in ranges), max(high for _, high in ranges)
    highest = min(highest, FARTHEST * view.guess)
    return (
        Panel(
            VIEW,
            "λ",
            view.units,
            [Series("loss", "loss", np.linspace(0.0, 1.0, len(view.unit))), parabola, extrema],
            references=(*guess, *marks),
            moving=True,
            rest=0.0,
        ),
        Panel(
            "The whole line",
            "λ",
            f"{view.units}, log scale".strip(", "),
            [Series("whole", "loss", view.whole)],
            y_range=(lowest / 1.5, max(highest, 2 * lowest) * 1.5),
            y_scale="log",
            references=(*guess, *edges),
            rest=0.0,
        ),
    )


def _about(objective: Objective) -> str:
    return f"the loss is that of {objective.n:,} samples."


def _alt(models: Sequence[str], names: Sequence[str], frames: Sequence[Frame], scales: Sequence[float], at: int) -> str:
    labels = [frame.note.split(":")[0] for frame in frames[at :: len(scales)]]
    parts = []
    for i, model in enumerate(models):
        found = dict(zip(names, labels[i * len(names) :], strict=False))
        groups = {label: [name for name in names if found[name] == label] for label in dict.fromkeys(found.values())}
        parts.append(f"{model}: " + "; ".join(f"{label} along {', '.join(group)}" for label, group in groups.items()))
    return (
        "Loss of a network along one direction at a time, close up and over the whole line, and the name of its shape. "
        f"In a view from \N{MINUS SIGN}{scales[at]:.3g} to {scales[at]:.3g}, for {'. For '.join(parts)}."
    )
