"""How much a run of the singularity paper's experiments computes, and what its AlexNet costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from .landscape_cost import Work

# Products a pair of the leading k: for the first solve, and for each later one that starts from the last.
PRODUCTS_PER_FRESH_PAIR = 4
PRODUCTS_PER_TRACKED_PAIR = 2
PRODUCTS_PER_FLOW_STEP = 3  # to follow the largest eigenvalue alone
CHANGES_PER_STOP = 3  # losses behind a step along the top, the bulk and both
WIDTHS, POOLED, HIDDEN = (1, 3, 6, 4, 4), (0, 1, 4), 32  # of the AlexNet


def singularity_work(experiment: str, p: Mapping[str, Any], images: float) -> Work:
    """The work of one seed if no run ends early by its loss; a flow's steps are at the cap, and more where it is stiff.

    Args:
        images: to train on, of the classes that are kept.
    """
    if experiment == "gradient_flow":
        return _flow(p, images)
    steps = edge_steps(p)
    stops = 1 + steps // (p["telemetry_every"] or round(1 / p["lr"]))
    products = p["k"] * (PRODUCTS_PER_FRESH_PAIR + PRODUCTS_PER_TRACKED_PAIR * (stops - 1))
    return Work(passes=images * CHANGES_PER_STOP * stops, gradients=images * (steps + 1), products=images * products)


def edge_steps(p: Mapping[str, Any]) -> int:
    """Steps of a run on the edge at most: t_max / lr, SING-D12."""
    return min(round(p["t_max"] / p["lr"]), p["max_steps"] or math.inf)


def _flow(p: Mapping[str, Any], images: float) -> Work:
    steps = min(math.ceil(p["t_max"] / p["cap"]), p["max_steps"] or math.inf)
    stages = {"euler": 1, "rk4": 4}[p["method"]]
    return Work(images * p["delta_points"], images * steps * stages, images * steps * PRODUCTS_PER_FLOW_STEP)


SINGULARITY = ("edge_of_stability", "gradient_flow")


def alexnet_macs(shape: tuple[int, int, int], classes: int, width: int) -> int:
    """Multiply-accumulates of one image through :func:`~landscape_helpers.models.alexnet.alexnet`."""
    channels, h, w = shape
    macs = 0
    for j, multiple in enumerate(WIDTHS):
        if not j:
            h, w = (h + 1) // 2, (w + 1) // 2
        macs += 9 * channels * multiple * width * h * w
        channels = multiple * width
        if j in POOLED and min(h, w) >= 2:
            h, w = h // 2, w // 2
    return macs + sum(a * b for a, b in pairwise([channels * h * w, HIDDEN * width, HIDDEN * width, classes]))
