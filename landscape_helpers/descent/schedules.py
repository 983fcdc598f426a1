"""Learning rates that change through training, as factors of the base rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Cyclical:
    """See :func:`cyclical`."""

    low: float
    high: float
    period: float

    def __call__(self, share: float) -> float:
        phase = share / self.period % 1.0
        return self.low + (self.high - self.low) * (1 - abs(2 * phase - 1))


@dataclass(frozen=True)
class Trapezoid:
    """See :func:`trapezoid`."""

    low: float
    high: float
    rise: float
    fall: float
    end: float

    def __call__(self, share: float) -> float:
        if share < self.rise:
            return self.low + (self.high - self.low) * share / self.rise
        if share > 1 - self.fall:
            return self.end + (self.high - self.end) * (1 - share) / self.fall
        return self.high


@dataclass(frozen=True)
class StepsAt:
    """See :func:`steps_at`."""

    milestones: tuple[float, ...]
    factor: float

    def __call__(self, share: float) -> float:
        return self.factor ** sum(milestone <= share for milestone in self.milestones)


def cyclical(low: float, high: float, period: float) -> Schedule:
    r"""Straight up from ``low`` to ``high`` and down again, over and over (Smith 2017; Sec. 5 of *A Walk with SGD*).

    .. math:: \eta(s)=\eta_{lo}+(\eta_{hi}-\eta_{lo})\,\mathrm{tri}(s/T)

    The triangle tri rises from 0 to 1 in the first half of each period and falls in the second.

    Args:
        low, high: factors of the base rate.
        period: T, of one rise and fall, as a share of the training, in (0, 1].

    Raises:
        ValueError: a factor or a period out of range, or ``low`` above ``high``.

    >>> up_and_down = cyclical(0.0, 1.0, 0.5)
    >>> [up_and_down(share) for share in (0.0, 0.125, 0.25, 0.5)]
    [0.0, 0.5, 1.0, 0.0]
    """
    _check_levels(low=low, high=high)
    if low > high:
        raise ValueError(f"a cycle rises from low to high: expected low <= high, got {low} and {high}")
    if not 0 < period <= 1:
        raise ValueError(f"period must be a share of the training in (0, 1], got {period}: a longer cycle never ends")
    return Cyclical(float(low), float(high), float(period))


def trapezoid(low: float, high: float, rise: float, fall: float, end: float = 0.0) -> Schedule:
    """Up as in the first half of a cycle, level, and down in a straight line (Sec. 5 of *A Walk with SGD*).

    Args:
        low: factor of the base rate at the start.
        high: on the level part.
        rise: share of the training until the level part.
        fall: share of the training behind it; the two together are at most 1.
        end: factor at the end of the training; 0 is our choice, for the paper gives none.

    Raises:
        ValueError: a factor or a share out of range, or shares that are more than 1 together.

    >>> shape = trapezoid(0.0, 1.0, rise=0.25, fall=0.5)
    >>> [shape(share) for share in (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    _check_levels(low=low, high=high, end=end)
    if not (0 <= rise <= 1 and 0 <= fall <= 1 and rise + fall <= 1):
        raise ValueError(
            f"rise and fall must be shares of the training, together at most 1, got {rise} and {fall}: the schedule "
            "would be longer than the run"
        )
    return Trapezoid(float(low), float(high), float(rise), float(fall), float(end))


def steps_at(milestones: Sequence[float], factor: float) -> Schedule:
    """The rate times ``factor`` at each milestone, a share of the training in (0, 1).

    Raises:
        ValueError: a milestone out of range, or a factor not above 0.

    >>> annealed = steps_at([0.5, 0.75], 0.1)
    >>> [round(annealed(share), 12) for share in (0.49, 0.5, 0.75)]
    [1.0, 0.1, 0.01]
    """
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"factor must be a finite number above 0, got {factor}")
    for milestone in milestones:
        if not 0 < milestone < 1:
            raise ValueError(
                f"milestones must be shares of the training in (0, 1), got {milestone}: the schedule would be longer "
                "than the run"
            )
    return StepsAt(tuple(sorted(float(m) for m in milestones)), float(factor))


# The factor of the base rate at a share of the training in [0, 1].
SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "step": step}
# Those that have options.
SCHEDULE_FACTORIES: dict[str, Callable[..., Schedule]] = {
    "cyclical": cyclical,
    "trapezoid": trapezoid,
    "steps_at": steps_at,
}


def named_schedule(name: str, **options: Any) -> Schedule:
    """The schedule of this name, made with these options.

    Raises:
        ValueError: an unknown name, options that the schedule does not have or lacks, or values out of range.
    """
    if name in SCHEDULES:
        if options:
            raise ValueError(f"schedule {name!r} has no options, got {sorted(options)}")
        return SCHEDULES[name]
    if name not in SCHEDULE_FACTORIES:
        raise ValueError(f"unknown schedule {name!r}: expected one of {sorted({*SCHEDULES, *SCHEDULE_FACTORIES})}")
    try:
        return SCHEDULE_FACTORIES[name](**options)
    except TypeError as error:
        raise ValueError(f"schedule {name!r}: {error}") from error


def _check_levels(**levels: float) -> None:
    for name, value in levels.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite factor of the base rate, not negative, got {value}")
