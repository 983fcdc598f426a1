"""Learning rates that change through training, as factors of the base rate."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(share: float) -> float:
    """The base rate throughout."""
    return 1.0


def cosine(share: float) -> float:
    r"""Half a cosine from the base rate to zero, :math:`\tfrac12(1+\cos\pi s)` (Loshchilov and Hutter 2017, eq. 5).

    >>> cosine(0.0), round(cosine(0.5), 12), cosine(1.0)
    (1.0, 0.5, 0.0)
    """
    return 0.5 * (1 + math.cos(math.pi * share))


def step(share: float) -> float:
    """A tenth of the rate after half of the training and a hundredth after three quarters (He et al. 2016, 4.2)."""
    return 1.0 if share < 0.5 else 0.1 if share < 0.75 else 0.01


# The factor of the base rate at a share of the training in [0, 1].
SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "step": step}
