"""How much a run of the walk's experiments computes: updates, losses between iterates, evaluations and spectra."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .landscape_cost import Work

PRODUCTS_PER_STOP = 12  # both ends of the spectrum, each stop started from the last one's vectors
PASSES_PER_EVALUATION = 2  # the loss, and the accuracy with the statistics of the whole set


def walk_work(experiment: str, p: Mapping[str, Any], images: float) -> Work:
    """The work of one seed if it does not end early.

    Args:
        images: of the training set.
    """
    if experiment == "hessian_covariance":
        return Work(gradients=images * (max(p["checkpoints"]) + len(p["checkpoints"])))
    per_epoch = 1 if p["batch_size"] is None else math.ceil(images / p["batch_size"])
    updates = p["steps"] or p["epochs"] * per_epoch
    work = Work(gradients=(updates + 1) * min(p["batch_size"] or images, images))
    starts = [((epoch - 1) * per_epoch, count) for epoch, count in p["windows"]]
    sampled = {update for first, count in starts for update in range(first, first + count)}
    work += Work(passes=images * (p["points"] + 1) * len(sampled))
    if p["full_gradients"]:
        work += Work(gradients=images * len(sampled))
    if p["evaluate_every"]:
        evaluations = 1 + updates // (p["evaluate_every"] * per_epoch)
        work += Work(passes=evaluations * (PASSES_PER_EVALUATION * images + (p["n_valid"] or 0)))
    if p["spectrum_every"]:
        stops = 1 + updates // (p["spectrum_every"] * per_epoch)
        work += Work(products=stops * PRODUCTS_PER_STOP * min(p["spectrum_images"] or images, images))
    if p["noise"]:
        work += Work(gradients=min(p["noise_images"], images))
    return work


WALK = ("walk", "hessian_covariance")
