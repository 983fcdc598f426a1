r"""What chance finds: the best of as many random directions as a search could have looked at.

A curve that was searched for proves little unless chance does worse with the same effort. The effort is counted in
gradients over all n samples; an evaluation of the loss alone counts for a third of one, since a backward pass costs
about two forward passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..directions import Normalisation, gaussian
from ..objective import Objective
from ..progress import Progress
from ..shapes import middle_well, peak_height
from .result import Mined

FORWARD = 1 / 3  # of a gradient
PRODUCT = 2  # gradients: a Hessian-vector product differentiates the gradient once more
POINTS = 41  # of a curve, as the paper draws them
Score = Callable[[torch.Tensor], float]
Curve = Callable[[torch.Tensor], np.ndarray]


@dataclass(frozen=True)
class NullModel:
    """The best of several random directions.

    Attributes:
        direction: the best one (P,).
        score: its score, the largest.
        scores: of every direction, in the order drawn (draws,).
        gradients: what all of them cost, in gradients over all n samples.
        norm: the length that every direction has.
        budget: the cost that was not to be exceeded.
    """

    direction: torch.Tensor
    score: float
    scores: np.ndarray
    gradients: float
    norm: float
    budget: float


def best_random(
    objective: Objective,
    theta: torch.Tensor,
    score: Score,
    budget: float,
    *,
    norm: float,
    normalize: Normalisation | None = None,
    seed: int = 0,
    cost: float | None = None,
    progress: Progress | None = None,
) -> NullModel:
    """Score random Gaussian directions of one length until the budget is spent; keep the best.

    Args:
        objective: whose parameters the directions perturb, and whose ``counts`` say what a score costs.
        theta: the point (P,).
        score: direction (P,) -> a number, larger is better; NaN counts as worst.
        budget: in gradients over all n samples. The first direction is scored even where it costs more.
        norm: the length of every direction: that of the mined one.
        normalize: a scaling of blocks before the length is set, as :func:`.gaussian` knows it; none by default.
        seed: of the draws.
        cost: of one score, in gradients; by default that of the first, measured on ``objective.counts``.
        progress: called after each direction with (draw, draws, best score).

    Raises:
        ValueError: a budget, norm or cost that is not finite and above 0, or scores whose cost cannot be measured; as
            :func:`.gaussian`.
    """
    for name, value in (("budget", budget), ("norm", norm), ("cost", 1.0 if cost is None else cost)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and above 0, got {value}")
    scores: list[float] = []
    best, found, draws = torch.empty(0), -math.inf, 1
    while len(scores) < draws:
        sequence = np.random.SeedSequence([seed, len(scores)])
        direction = gaussian(objective, theta, seed=int(sequence.generate_state(1)[0]), normalize=normalize)
        direction = direction * (norm / float(direction.double().norm()))
        before = _spent(objective)
        value = float(score(direction))
        if cost is None:
            cost = _spent(objective) - before
            if cost <= 0:
                raise ValueError("the score left no trace in objective.counts: pass its cost in gradients")
        draws = max(1, math.floor(budget / cost + 1e-9))
        scores.append(-math.inf if math.isnan(value) else value)
        if scores[-1] > found or len(scores) == 1:
            best, found = direction, scores[-1]
        if progress is not None:
            progress(len(scores), draws, found)
    assert cost is not None
    return NullModel(best, found, np.array(scores), len(scores) * cost, norm, budget)


def null_w_peak(
    objective: Objective,
    theta: torch.Tensor,
    mined: Mined | torch.Tensor,
    at: Sequence[float] | np.ndarray | None = None,
    *,
    budget: float | None = None,
    curve: Curve | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> NullModel:
    """Random directions as long as a mined w-peak's, at the cost of its search, by the height of their peak.

    The score is :func:`.peak_height` with its sign, so that directions along which the loss rises are told apart too.

    Args:
        objective: the loss the curves are drawn of.
        theta: the point (P,) that was mined around.
        mined: what Algorithm 1 found; its direction (P,) alone will do where a budget is given.
        at: the grid of a curve; 41 points on [-1, 1] as the paper draws them. Fewer points buy more directions.
        budget: in gradients over all samples of ``objective``; by default what the search cost, which is right where
            it searched on as many samples.
        curve: direction -> losses over ``at``, where there is a faster way than one evaluation a point; each point
            counts as one evaluation all the same.
        seed: of the draws.
        progress: called after each direction with (draw, draws, best score).

    Raises:
        ValueError: a direction alone without a budget, a mined direction of length zero, a grid with no points on one
            side of 0, or as :func:`best_random`.
    """
    grid = np.linspace(-1, 1, POINTS) if at is None else at
    return _null(objective, theta, mined, partial(peak_height, signed=True), grid, budget, curve, seed, progress)


def null_vvv_basin(
    objective: Objective,
    theta: torch.Tensor,
    mined: Mined | torch.Tensor,
    at: Sequence[float] | np.ndarray | None = None,
    *,
    budget: float | None = None,
    curve: Curve | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> NullModel:
    """The same for Algorithm 2, by the depth of the well between 0 and 1 (:func:`.middle_well`).

    Args:
        objective: the loss the curves are drawn of.
        theta: the point (P,) that was mined around.
        mined: what Algorithm 2 found; its direction (P,) alone will do where a budget is given.
        at: the grid of a curve; 41 points on [0, 1] by default, all that the score looks at.
        budget: as for :func:`null_w_peak`.
        curve: as for :func:`null_w_peak`.
        seed: of the draws.
        progress: called after each direction with (draw, draws, best score).

    Raises:
        ValueError: as :func:`null_w_peak`, but for a grid that does not reach from 0 to 1 or has fewer than five points
            there.
    """
    grid = np.linspace(0, 1, POINTS) if at is None else at
    return _null(objective, theta, mined, middle_well, grid, budget, curve, seed, progress)


def _null(
    objective: Objective,
    theta: torch.Tensor,
    mined: Mined | torch.Tensor,
    shape: Callable[[np.ndarray, np.ndarray], float],
    at: Sequence[float] | np.ndarray,
    budget: float | None,
    curve: Curve | None,
    seed: int,
    progress: Progress | None,
) -> NullModel:
    """The best random direction by ``shape``, which takes a grid and the losses over it."""
    grid = np.asarray(at, dtype=np.float64)
    losses = curve or _by_points(objective, theta, grid)
    direction = mined.direction if isinstance(mined, Mined) else mined
    if budget is None:
        if not isinstance(mined, Mined):
            raise ValueError("a direction alone does not say what it cost to find: pass budget, in gradients")
        budget = mined.gradients
    norm = float(direction.double().norm())
    if not norm > 0:
        raise ValueError("the mined direction is zero: there is no length for random directions to have")

    def score(way: torch.Tensor) -> float:
        return shape(grid, losses(way))

    cost = len(grid) * FORWARD
    return best_random(objective, theta, score, budget, norm=norm, seed=seed, cost=cost, progress=progress)


def _by_points(objective: Objective, theta: torch.Tensor, grid: np.ndarray) -> Curve:
    return lambda direction: np.array([objective.loss(theta + t * direction) for t in grid.tolist()])


def _spent(objective: Objective) -> float:
    counts = objective.counts
    return FORWARD * counts.forward + counts.gradients + PRODUCT * counts.products
