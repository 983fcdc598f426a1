"""One model, lines through it, and what is in view of a line at a scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray

from .. import slices
from ..curvature import quadratic_model
from ..directions import angle
from ..objective import Objective
from ..shapes import Shape, describe, stationary_points
from .spec import Frame, Limits

POINTS = 61  # on [-s, s], the model among them; the paper draws 41
QUADRATIC_POINTS = 31  # enough for a parabola to look smooth
MARKS = 12  # stationary points a frame has room for; the note counts them all
CEILING = 2.0  # times the loss of guessing: the view is cut off there
ROOM = 3.0  # heights of what lies between the extrema of a view: it is cut off there, or walls would press them flat
SHARE = 0.25  # of the points of a view that are not cut off

VIEW = "Loss in view"


@dataclass(frozen=True)
class Line:
    r"""A direction to look in.

    Attributes:
        name: as the menu has it.
        direction: :math:`\epsilon` (P,).
        about: where it comes from, in a sentence; may be empty.
        reaches: whether another network stands at :math:`\lambda=1`.
    """

    name: str
    direction: torch.Tensor
    about: str = ""
    reaches: bool = False


class View:
    r"""One model and the lines through it.

    What belongs to a line alone (its angle, its second-order model, its whole course) is computed once; a frame is then
    one curve.

    Args:
        objective: whose loss is drawn.
        theta: the model (P,), at :math:`\lambda=0`.
        lines: the directions, at least one.
        farthest: half-width of the whole line.
        points: of a curve, odd.
        batchnorm: as for :func:`landscape_helpers.slices.line`.

    Attributes:
        whole: the points of the whole line.
        guess: the loss of guessing, :math:`\log C`, for the cross-entropy; else infinite.
        units: of the loss; may be empty.
    """

    def __init__(
        self,
        objective: Objective,
        theta: torch.Tensor,
        lines: Sequence[Line],
        farthest: float,
        points: int = POINTS,
        batchnorm: str | None = None,
    ) -> None:
        self.objective, self.theta, self.lines = objective, theta, tuple(lines)
        self.farthest, self.batchnorm = farthest, batchnorm
        self.unit = np.linspace(-1.0, 1.0, points)
        self.whole = farthest * np.sinh(2 * self.unit) / np.sinh(2)  # closer together about the model
        whole = [self._slice(i, self.whole) for i in range(len(self.lines))]
        self._whole = [losses for losses, _ in whole]
        about = whole[0][1]
        self.guess = float(about.get("random_guess", math.inf))
        self.units = str(about.get("units", ""))
        self._quadratic = [quadratic_model(objective, theta, line.direction) for line in self.lines]
        gradient = objective.gradient(theta)
        self._measured = [_measured(theta, gradient, line.direction) for line in self.lines]

    def frames(self, index: int, scales: Sequence[float]) -> list[Frame]:
        """A line at several scales."""
        losses, _ = self._slice(index, np.outer(scales, self.unit))
        return [self._frame(index, s, curve) for s, curve in zip(scales, losses, strict=True)]

    def lowest_and_highest(self) -> tuple[float, float]:
        """The range of the loss over all the whole lines, where it is finite and above 0."""
        losses = np.concatenate(self._whole)
        losses = losses[np.isfinite(losses) & (losses > 0)]
        return (float(losses.min()), float(losses.max())) if len(losses) else (0.1, 1.0)

    def _slice(self, index: int, at: np.ndarray) -> tuple[np.ndarray, Mapping[str, Any]]:
        """Losses in the shape of ``at``, each point evaluated once, and what the slice says of them."""
        _, first, place = np.unique(np.round(at / self.farthest, 12), return_index=True, return_inverse=True)
        direction = self.lines[index].direction
        found = slices.line(self.objective, self.theta, direction, at.ravel()[first], batchnorm=self.batchnorm)
        assert isinstance(found, xarray.DataArray)
        return found.values[place.reshape(at.shape)], found.attrs

    def _frame(self, index: int, scale: float, losses: np.ndarray) -> Frame:
        line, at = self.lines[index], scale * self.unit
        shape = describe(at, losses)
        extrema = stationary_points(losses)[:MARKS]
        facts = f"Stationary points in view: {shape.count} \N{MIDDLE DOT} {self._measured[index]}"
        return Frame(
            {
                "loss": losses,
                "quadratic": self._quadratic[index](np.linspace(-scale, scale, QUADRATIC_POINTS)),
                "extrema": np.stack([at[extrema], losses[extrema]], axis=1),
                "whole": self._whole[index],
            },
            {"other": 1.0 if line.reaches else math.nan, "left": -scale, "right": scale},
            "\n".join([f"{shape.label}: {meaning(shape)}", facts, line.about]).rstrip(),
            {VIEW: limits(scale, losses, shape, CEILING * self.guess)},
        )


def meaning(shape: Shape) -> str:
    """What the class of a curve says, in words."""
    if shape.label == "v-basin":
        return "one valley in view, and the model stands at its bottom"
    if shape.label == "v-side":
        where = "its bottom lies elsewhere" if shape.minima else "its bottom lies out of view"
        return f"the model stands on the side of a valley; {where}"
    if shape.label == "w-basin":
        return "two valleys with a barrier between them, and the model stands in one"
    if shape.label == "w-peak":
        beyond = "" if not shape.weak else ", whose bottoms are not both in view"
        return f"the model stands on a peak between two valleys{beyond}"
    if shape.label == "vvv-basin":
        return "three valleys in a row, and the model stands in one"
    valleys, peaks = _counted(shape.minima, "valley"), _counted(shape.maxima, "peak")
    return f"none of the five named shapes; {valleys} and {peaks} in view"


def limits(scale: float, losses: np.ndarray, shape: Shape, ceiling: float) -> Limits:
    """Axes for a curve: up to a ceiling, and where it has wells or peaks not much higher than these."""
    finite = losses[np.isfinite(losses)]
    loss = shape.loss if math.isfinite(shape.loss) else 0.0
    low, high = min(float(np.min(finite, initial=loss)), loss), min(float(np.max(finite, initial=loss)), ceiling)
    if len(extrema := stationary_points(losses)) > 1:
        room = low + ROOM * (float(losses[extrema].max()) - low)
        high = min(high, max(room, float(np.quantile(finite, SHARE))))
    high = max(high, loss)
    # A curve flat to rounding is drawn flat, and not its rounding over the whole height.
    span, middle = max(high - low, 1e-9 + 1e-6 * abs(loss)), (low + high) / 2
    return -scale, scale, middle - 0.55 * span, middle + 0.55 * span


def _measured(theta: torch.Tensor, gradient: torch.Tensor, direction: torch.Tensor) -> str:
    length = float(direction.double().norm() / theta.double().norm())
    degrees = f"{angle(direction, -gradient):.1f}°" if bool(gradient.any()) else "none, as the gradient is zero"
    return f"angle to the negative gradient: {degrees} \N{MIDDLE DOT} length: {length:.2g} × that of the weights"


def _counted(places: Sequence[float], what: str) -> str:
    words = {0: "no", 1: "one", 2: "two", 3: "three"}
    return f"{words.get(len(places), len(places))} {what}{'' if len(places) == 1 else 's'}"
