r"""The loss along a line, :math:`\lambda\mapsto\mathcal L(\theta+\lambda\epsilon)`."""

from __future__ import annotations

from pathlib import Path

import torch
import xarray

from ..objective import Objective
from .arguments import Values, check_direction, check_policy, check_targets, check_values, norm, relative
from .evaluator import Span
from .record import common_attributes, coordinate, record
from .sweep import Progress, sweep


def line(
    objective: Objective,
    theta: torch.Tensor,
    direction: torch.Tensor,
    at: Values,
    *,
    batchnorm: str | None = None,
    accuracy: bool = False,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
) -> xarray.DataArray | xarray.Dataset:
    r"""The loss at :math:`\theta+\lambda\epsilon` for each :math:`\lambda` of ``at``.

    .. math::

        f(\lambda) = \mathcal L(\theta + \lambda\epsilon)

    *Visualizing, Rethinking, and Mining the Loss Landscape*, Sec. 2.1. The direction is taken as it comes: scale it
    with :mod:`landscape_helpers.directions` first.

    Args:
        objective: whose loss is wanted, over all its n samples.
        theta: the point (P,) at :math:`\lambda=0`; left as it is.
        direction: :math:`\epsilon` (P,).
        at: values of :math:`\lambda`, at least two, in any order and with any spacing, with or without 0.
        batchnorm: what BatchNorm normalises with; without BatchNorm it changes nothing.

            - None (default): what the objective does.
            - ``"re-estimated"``: mean and variance over all n samples, taken anew at every point (the mining paper's
              UpBN, its default). One pass in training mode, exact: no running average.
            - ``"frozen"``: those of the whole data set at :math:`\lambda=0`, kept (No UpBN); the model's own running
              statistics if that is what the objective uses.
            - ``"interpolated"``: linear in :math:`\lambda` between those of the whole data set at 0 and at 1, as
              interpolating whole state dictionaries does. Beyond them a variance that would be negative is 0.

            The variance is the one BatchNorm normalises with in training, divided by the number of values and not by
            one less, so that all three agree at :math:`\lambda=0`, unless ``"frozen"`` means the model's own.
        accuracy: also the share of labels that are the largest output over the classes, as
            :meth:`.Objective.accuracy` counts them.
        progress: called with (points done, points in all).
        checkpoint: a file in which to save what is computed. Where it exists the slice goes on from it; it is deleted
            at the end.
        checkpoint_every: seconds between two saves; 60 costs nothing and loses a minute at most, and an interruption
            by an exception loses nothing.

    Returns:
        ``loss`` over ``lambda``, in nats for the cross-entropy; with ``accuracy`` a dataset of ``loss`` and
        ``accuracy``. Losses that overflow are kept as inf or NaN. Attributes: ``direction_norm``, ``relative_norm``
        (:math:`\|\epsilon\|/\|\theta\|`), ``batchnorm``, ``samples`` (n), and for the cross-entropy ``random_guess``,
        :math:`\log C`.

    Raises:
        TypeError: theta or direction that is no tensor.
        ValueError: theta or direction of the wrong length or not finite, a direction of norm 0, fewer than two grid
            values or one that is not finite, an unknown policy, accuracy without class labels, a negative
            ``checkpoint_every``, or a checkpoint of another slice; before any work.
    """
    theta = objective.finite_vector(theta)
    direction = check_direction(objective, direction, "direction")
    values = check_values(at, "at")
    check_policy(batchnorm, 1)
    check_targets(objective, accuracy)
    span = Span(objective, theta, (direction,), batchnorm, accuracy)
    losses, accuracies = sweep(span, (values,), progress, checkpoint, checkpoint_every)
    length = norm(direction)
    attributes = common_attributes(span) | {
        "direction_norm": length,
        "relative_norm": relative(length, norm(theta)),
    }
    return record(span, losses, accuracies, {"lambda": coordinate("lambda", values)}, attributes)
