r"""The simplest case of a gradient that oscillates: descent on a quadratic bowl, in closed form.

.. math::

    f(x) = \tfrac12\sum_i \lambda_i x_i^2, \qquad x_i^{(k)} = (1-\eta\lambda_i)^k\,x_i^{(0)}

A step multiplies every coordinate by :math:`1-\eta\lambda_i`. Below :math:`\eta\lambda_i=1` the coordinate
keeps its sign, and so does its gradient; between 1 and 2 it changes sign at every step and still shrinks;
past 2 it grows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .controls import Band, Slider
from .explorer import FrameExplorer
from .spec import Frame, Panel, Reference, Series

STEPS = 24


def descend(eta: float, curvatures: np.ndarray, start: np.ndarray, steps: int = STEPS) -> np.ndarray:
    r"""Iterates (steps + 1, d) of gradient descent: :math:`x_i^{(k)}=(1-\eta\lambda_i)^k x_i^{(0)}`."""
    return start * (1.0 - eta * curvatures) ** np.arange(steps + 1)[:, None]


def quadratic_frame(product: float, curvatures: np.ndarray, start: np.ndarray, steps: int = STEPS) -> Frame:
    r"""Iterates, coordinates, loss and gradient correlation at :math:`\eta\lambda_{\max}` = ``product``.

    The correlation of adjacent gradients is :math:`\mu(k-1,k)` of eq. 2 in *Exploring Gradient
    Oscillation*, with :math:`\nabla f = (\lambda_i x_i)_i`; it stands at step k and is NaN at step 0.
    """
    x = descend(product / curvatures.max(), curvatures, start, steps)
    gradient = x * curvatures
    norm = np.linalg.norm(gradient, axis=1)
    correlation = np.full(steps + 1, np.nan)
    np.divide((gradient[1:] * gradient[:-1]).sum(1), norm[1:] * norm[:-1], out=correlation[1:], where=norm[1:] > 0)
    steep, flat = int(curvatures.argmax()), int(curvatures.argmin())
    return Frame(
        {
            "path": x[:, [flat, steep]],
            "steep": x[:, steep],
            "flat": x[:, flat],
            "loss": 0.5 * (curvatures * x**2).sum(1),
            "correlation": np.clip(correlation, -1.0, 1.0),
        },
        note=_note(product, correlation[-1]),
    )


def _note(product: float, last_correlation: float) -> str:
    if abs(product - 1) < 1e-9:
        return "One step multiplies the steep coordinate by 0: it lands on the bottom, and the flat one is left."
    factor = f"{1.0 - product:.2f}".replace("-", "\N{MINUS SIGN}")
    step = f"Each step multiplies the steep coordinate by {factor}"
    if product < 1:
        return f"{step}: it shrinks and keeps its sign. Nothing oscillates."
    if abs(product - 2) < 1e-9:
        return f"{step}: it flips for ever and never shrinks. This is the edge of stability."
    if product > 2:
        return f"{step}: it flips and grows. The descent diverges."
    then = " Once it is gone, only the flat one is left, and gradients agree again." if last_correlation > 0 else ""
    return f"{step}: it flips every time, and still shrinks.{then}"


def quadratic_explorer(
    curvatures: Sequence[float] = (1.0, 0.1), *, steps: int = STEPS, live: bool = True
) -> FrameExplorer:
    r"""Gradient descent on a quadratic in the plane, under a slider over :math:`\eta\lambda_{\max}` from
    0.1 to 2.3.

    Args:
        curvatures: two positive numbers :math:`\lambda_1 > \lambda_2`. The default ratio of ten makes the
            steep coordinate dominate the early gradients while the flat one still moves visibly within
            ``steps``.
        steps: updates drawn.
        live: let a kernel compute between the stored values (closed form, so at once).

    Raises:
        ValueError: curvatures that are not two different positive numbers, or no steps.
    """
    lam = np.asarray(curvatures, dtype=float)
    if lam.shape != (2,) or not (lam > 0).all() or lam[0] == lam[1]:
        raise ValueError(f"curvatures must be two different positive numbers, got {list(curvatures)}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    start = np.where(lam == lam.max(), 1.0, 1.6)
    k = np.arange(steps + 1)
    slider = Slider(
        "step size × largest curvature, ηλ₁",
        np.round(np.arange(0.1, 2.3001, 0.05), 2),
        format=".2f",
        bands=(Band("shrinks", 0.1, 1.0), Band("flips and shrinks", 1.0, 2.0), Band("grows", 2.0, 2.3)),
    )
    panels = (
        Panel(
            "Path over the bowl",
            "flat coordinate x₂",
            "steep coordinate x₁",
            [Series("path", "iterates", steps + 1, markers=True)],
            x_range=(-0.9, 1.8),
            y_range=(-1.35, 1.35),
            background=_contours(lam),
        ),
        Panel(
            "Coordinates",
            "step",
            "distance from the bottom",
            [Series("steep", "steep x₁", k, markers=True), Series("flat", "flat x₂", k)],
            y_range=(-2.0, 2.0),
            references=[Reference("zero", value=0.0, faint=True)],
        ),
        Panel("Loss", "step", "f, log scale", [Series("loss", "loss", k)], y_scale="log", y_range=(1e-5, 1e2)),
        Panel(
            "Correlation of adjacent gradients",
            "step",
            "cosine",
            [Series("correlation", "μ(k−1, k)", k, markers=True)],
            y_range=(-1.1, 1.1),
            references=[Reference("none", value=0.0, faint=True)],
        ),
    )

    def compute(product: float) -> Frame:
        return quadratic_frame(product, lam, start, steps)

    return FrameExplorer(
        panels,
        [slider],
        [compute(float(p)) for p in slider.values],
        initial=[int(np.abs(np.asarray(slider.values) - 1.6).argmin())],
        alt=(
            "Gradient descent on a quadratic bowl with one steep and one flat direction. Below a step size "
            "times curvature of 1 the steep coordinate shrinks without changing sign; between 1 and 2 it "
            "changes sign at every step and shrinks; past 2 it grows without bound."
        ),
        caption=(
            f"Descent on f = ½(λ₁x₁² + λ₂x₂²) with λ₁ : λ₂ = {lam.max() / lam.min():g} : 1, in closed form. "
            "Grey: lines of equal loss."
        ),
        compute=compute if live else None,
    )


def _contours(curvatures: np.ndarray) -> list[np.ndarray]:
    """Ellipses of equal loss, (flat, steep), spaced evenly in the root of the loss."""
    t = np.linspace(0.0, 2.0 * np.pi, 61)
    levels = (np.array([0.25, 0.5, 0.75, 1.0, 1.25]) ** 2) * curvatures.max() / 2
    return [
        np.stack(
            [np.sqrt(2 * f / curvatures.min()) * np.cos(t), np.sqrt(2 * f / curvatures.max()) * np.sin(t)],
            axis=1,
        )
        for f in levels
    ]
