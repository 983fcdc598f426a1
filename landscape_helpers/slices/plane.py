r"""The loss in a plane, :math:`\mathcal L(\theta+\lambda_1\epsilon_1+\lambda_2\epsilon_2)` over its coordinates."""

from __future__ import annotations

from pathlib import Path

import torch
import xarray

from ..objective import Objective
from .arguments import (
    Values,
    check_direction,
    check_policy,
    check_targets,
    check_values,
    cosine,
    norm,
    relative,
)
from .evaluator import Span
from .record import common_attributes, coordinate, record
from .sweep import Progress, sweep


def plane(
    objective: Objective,
    theta: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    at1: Values,
    at2: Values,
    *,
    batchnorm: str | None = None,
    accuracy: bool = False,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
) -> xarray.DataArray | xarray.Dataset:
    r"""The loss at every point of a rectangular grid in a plane through theta.

    .. math::

        f(\lambda_1, \lambda_2) = \mathcal L(\theta + \lambda_1\epsilon_1 + \lambda_2\epsilon_2)

    *Visualizing, Rethinking, and Mining the Loss Landscape*, Sec. 2.1. The directions are taken as they come and are
    not made orthogonal: their cosine stands in the attributes.

    Args:
        objective: whose loss is wanted, over all its n samples.
        theta: the point (P,) at the origin; left as it is.
        first: :math:`\epsilon_1` (P,).
        second: :math:`\epsilon_2` (P,), not parallel to the first.
        at1: values of :math:`\lambda_1`, at least two, in any order and with any spacing.
        at2: values of :math:`\lambda_2`, likewise; there may be more or fewer of them.
        batchnorm: None, ``"re-estimated"`` or ``"frozen"``, as for :func:`landscape_helpers.slices.line`.
            ``"interpolated"`` needs two points to interpolate between and is refused.
        accuracy: also the share of labels that are the largest output over the classes, as
            :meth:`.Objective.accuracy` counts them.
        progress: called with (points done, points in all).
        checkpoint: a file in which to save what is computed, as for a line.
        checkpoint_every: seconds between two saves, as for a line.

    Returns:
        ``loss`` over (``lambda1``, ``lambda2``); with ``accuracy`` a dataset of ``loss`` and ``accuracy``. Attributes:
        ``direction_norm1``, ``direction_norm2``, ``relative_norm1``, ``relative_norm2``, ``cosine``, ``batchnorm``,
        ``samples``, and for the cross-entropy ``random_guess``; units as for a line.

    Raises:
        TypeError: as for a line.
        ValueError: as for a line, or if the directions are parallel.
    """
    theta = objective.finite_vector(theta)
    first = check_direction(objective, first, "the first direction")
    second = check_direction(objective, second, "the second direction")
    values = check_values(at1, "at1"), check_values(at2, "at2")
    check_policy(batchnorm, 2)
    check_targets(objective, accuracy)
    attributes: dict[str, float | str] = {"cosine": cosine(first, second)}
    span = Span(objective, theta, (first, second), batchnorm, accuracy)
    losses, accuracies = sweep(span, values, progress, checkpoint, checkpoint_every)
    for i, direction in enumerate(span.directions, start=1):
        length = norm(direction)
        attributes |= {f"direction_norm{i}": length, f"relative_norm{i}": relative(length, norm(theta))}
    axes = {f"lambda{i}": coordinate(f"lambda{i}", v) for i, v in enumerate(values, start=1)}
    return record(span, losses, accuracies, axes, common_attributes(span) | attributes)
