r"""A valley seen along one update: its floor, the height above it, and barriers.

*A Walk with SGD* samples the loss between two iterates, at
:math:`\theta_t^\alpha=(1-\alpha)\theta_t+\alpha\theta_{t+1}`, and reads everything off these samples: the floor that
the step passes over, how high its two ends stand above it, and whether something in between is higher than both. The
functions here take such samples, ``losses`` (..., A) over the last axis, from :math:`\alpha=0` to 1 with both ends,
for any number of updates at once.

Values that are not finite count as they compare: a NaN is neither floor nor barrier. Fewer than three samples of a
step raise a ValueError, and so does an ``alpha`` that does not ascend or fit the losses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def floor(losses: ArrayLike) -> np.ndarray:
    r"""The least loss along each step, :math:`\min_\alpha\mathcal L(\theta_t^\alpha)`, ends included (Sec. 3.1).

    Args:
        losses: (..., A).

    Returns:
        (...,).

    Examples:
        >>> float(floor([3.0, 1.0, 2.0]))
        1.0
    """
    return np.fmin.reduce(_samples(losses), axis=-1)


def floor_position(alpha: ArrayLike, losses: ArrayLike) -> np.ndarray:
    r"""Where along the step the floor lies, :math:`\alpha^*=\arg\min_\alpha\mathcal L(\theta_t^\alpha)` (Sec. 3.2).

    Args:
        alpha: (A,).
        losses: (..., A).

    Returns:
        (...,) of ``alpha``, the first of equally low ones; NaN where every loss is NaN.
    """
    y = _samples(losses)
    grid = _grid(alpha, y)
    lost = np.isnan(y)
    places = grid[np.where(lost, np.inf, y).argmin(-1)]
    return np.where(lost.all(-1), np.nan, places)


def interior(losses: ArrayLike) -> np.ndarray:
    """(...,) whether the floor lies inside the step: lower than both its ends."""
    y = _samples(losses)
    return np.fmin.reduce(y[..., 1:-1], axis=-1) < np.fmin(y[..., 0], y[..., -1])


def height(losses: ArrayLike) -> np.ndarray:
    r"""How high a step's ends stand above its floor, in the mean (Sec. 3.2 and Table 2).

    .. math:: h_t=\tfrac12\big(\mathcal L(\theta_t)+\mathcal L(\theta_{t+1})\big)-\min_\alpha\mathcal L(\theta_t^\alpha)

    Where the lowest sample is an end this is half the change of the loss, and not zero.

    Args:
        losses: (..., A).

    Returns:
        (...,), in units of the loss.

    Examples:
        >>> float(height([3.0, 1.0, 2.0]))
        1.5
    """
    y = _samples(losses)
    return (y[..., 0] + y[..., -1]) / 2 - floor(y)


def crossed(losses: ArrayLike, tolerance: float = 0.0) -> np.ndarray:
    r"""Whether a step crosses a barrier: a point inside it is higher than both its ends (footnote 1).

    Args:
        losses: (..., A).
        tolerance: by what share of the higher end the point must exceed it; 0 as in the paper, which gives none.

    Returns:
        bool (...,).

    Raises:
        ValueError: a negative tolerance.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be a share of the loss, not negative, got {tolerance}")
    y = _samples(losses)
    return np.fmax.reduce(y[..., 1:-1], axis=-1) > np.maximum(y[..., 0], y[..., -1]) * (1 + tolerance)


def barrier_height(losses: ArrayLike) -> np.ndarray:
    r"""How much the highest point of a step exceeds its higher end; 0 where no barrier is crossed.

    .. math:: b_t=\max_\alpha\mathcal L(\theta_t^\alpha)-\max\{\mathcal L(\theta_t),\mathcal L(\theta_{t+1})\}

    The paper's Figure 8 prints the formula of :func:`height` in this place, which measures a depth; this reading is
    ours.

    Args:
        losses: (..., A).

    Returns:
        (...,), in units of the loss.
    """
    y = _samples(losses)
    over = np.fmax.reduce(y[..., 1:-1], axis=-1) - np.maximum(y[..., 0], y[..., -1])
    return np.where(crossed(y), over, 0.0)


def floor_rises(floors: ArrayLike) -> np.ndarray:
    """Whether the floor is higher at the next update: the second thing that the paper calls a barrier (Sec. 3.1).

    Args:
        floors: (T,) of consecutive updates.

    Returns:
        bool (T - 1,).

    Raises:
        ValueError: not one dimension.
    """
    y = np.asarray(floors, dtype=np.float64)
    if y.ndim != 1:
        raise ValueError(f"floors must be those of consecutive updates, in one dimension, got shape {y.shape}")
    return y[1:] > y[:-1]


def quadratic_fit(alpha: ArrayLike, losses: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""The parabola nearest to the losses along each step, by least squares.

    Args:
        alpha: (A,), at least four values.
        losses: (..., A).

    Returns:
        ``(r_squared, curvature, position)``, each (...,): the share of the variance that the parabola explains, its
        second derivative in :math:`\alpha` and the :math:`\alpha` of its vertex. NaN where a loss is not finite, for
        the share also where the losses are all equal, for the position where the parabola is a line.

    Raises:
        ValueError: fewer than four values, for any three lie on a parabola.
    """
    y = _samples(losses)
    grid = _grid(alpha, y)
    if len(grid) < 4:
        raise ValueError(f"a parabola fits any three points: at least four are needed to judge it, got {len(grid)}")
    powers = np.vander(grid, 3)
    known = np.where(np.isfinite(y).all(-1, keepdims=True), y, np.nan)
    centred = known - known.mean(-1, keepdims=True)
    coefficients = centred @ np.linalg.pinv(powers).T
    rest, whole = ((centred - coefficients @ powers.T) ** 2).sum(-1), (centred**2).sum(-1)
    square, slope = coefficients[..., 0], coefficients[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        r_squared = np.where(whole > 0, 1 - rest / whole, np.nan)
        position = np.where(square != 0, -slope / (2 * square), np.nan)
    return r_squared, 2 * square, position


def predicted_height(
    lr: ArrayLike, gradient_norm: ArrayLike, next_gradient_norm: ArrayLike, cosine: ArrayLike
) -> np.ndarray:
    r"""The height that a full-batch step would have above the floor of a quadratic valley.

    Along :math:`-\eta\mathbf g` a quadratic of curvature k changes the gradient's component from
    :math:`\|\mathbf g\|` to :math:`(1-\eta k)\|\mathbf g\|`, so that with
    :math:`r=\cos(\mathbf g,\mathbf g')\,\|\mathbf g'\|/\|\mathbf g\|`

    .. math::

        \eta k=1-r,\qquad \alpha^*=\frac1{\eta k},\qquad
        h=\tfrac14\,\eta^2k\,\|\mathbf g\|^2\big(\alpha^{*2}+(1-\alpha^*)^2\big)

    where :math:`\alpha^*` lies in [0, 1]; half the change of the loss elsewhere, as in :func:`height`. Nothing of it is
    in the paper: it is what the two gradients say, to hold against the height that was measured.

    Args:
        lr: the rate of the step.
        gradient_norm: of the gradient in front of it.
        next_gradient_norm: of the one behind it.
        cosine: between the two.

    Returns:
        Heights in units of the loss, of the shape the arguments have together.
    """
    rate, norm, following, cos = (
        np.asarray(a, dtype=np.float64) for a in (lr, gradient_norm, next_gradient_norm, cosine)
    )
    return predicted_height_from_slopes(-rate * norm**2, -rate * norm * following * cos)


def predicted_height_from_slopes(start: ArrayLike, end: ArrayLike) -> np.ndarray:
    r"""The height above the floor of a parabola with given slopes at both ends of a step.

    The slopes :math:`\frac{d}{d\alpha}\mathcal L(\theta_t^\alpha)` at :math:`\alpha=0` and 1 are the full gradients
    there times the step, whatever the step. Their difference is the curvature :math:`\kappa`, the vertex is at
    :math:`\alpha^*=-\text{start}/\kappa`, and
    :math:`h=\tfrac14\kappa(\alpha^{*2}+(1-\alpha^*)^2)` with the vertex inside; else half the change of the loss.

    Args:
        start, end: the slopes, of any shape, in units of the loss.

    Returns:
        Heights in units of the loss, of the shape the two have together.

    Examples:
        >>> float(predicted_height_from_slopes(-1.0, 1.0)), float(predicted_height_from_slopes(-1.0, -1.0))
        (0.25, 0.5)
    """
    before, behind = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    curvature = behind - before
    inside = (before <= 0) & (behind >= 0) & (curvature > 0)
    # kappa alpha*^2 is start^2 / kappa, and kappa (1 - alpha*)^2 is end^2 / kappa.
    valley = (before**2 + behind**2) / (4 * np.where(inside, curvature, 1.0))
    return np.where(inside, valley, np.abs(before + behind) / 4)


def _samples(losses: ArrayLike) -> np.ndarray:
    y = np.asarray(losses, dtype=np.float64)
    if y.ndim == 0 or y.shape[-1] < 3:
        raise ValueError(f"a step needs its two ends and a point between them to show a valley, got shape {y.shape}")
    return y


def _grid(alpha: ArrayLike, y: np.ndarray) -> np.ndarray:
    grid = np.asarray(alpha, dtype=np.float64)
    if grid.shape != y.shape[-1:]:
        raise ValueError(f"alpha must have one value for each of the {y.shape[-1]} losses, got shape {grid.shape}")
    if not (np.isfinite(grid).all() and (np.diff(grid) > 0).all()):
        raise ValueError(f"alpha must be finite, ascending values, got {grid[0]:g} to {grid[-1]:g}")
    return grid
