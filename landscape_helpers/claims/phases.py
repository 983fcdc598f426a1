r"""Phases of a correlation curve and the lasting sign changes between them.

The paper speaks of a sharp transition at an epoch without saying what makes a sign change count (GO-D11). One
definition serves all networks here. Let :math:`\bar\mu_k` be the windowed correlation, K the last recorded step and
:math:`m=\max(5,\lceil 0.05K\rceil)`:

1. the *opening sign* is that of the median of the first h = 5 values;
2. walking on, step k is a **lasting sign change** if :math:`\bar\mu_k` has the sign opposite to the present phase's and
   so has the median of the m values from k on, that is, more than half of the next 5% of the run keeps the new sign;
3. from there on the phase has the new sign, and step 2 goes on from k + 1.

The condition is on the phase that begins and not on the one that ends: the paper's CNN is positive for 10 of 1,500
epochs only, and those must count. Excursions shorter than about half of m change nothing. In the last m steps nothing
can be shown to last, so that no change is found there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

OPENING = 5  # values: the paper's window h, Section II-A
SHARE = 0.05  # of the run that a new sign must dominate


@dataclass(frozen=True)
class Change:
    """A lasting sign change: the step at which the new phase begins, and its sign (+1 or -1)."""

    step: int
    sign: int


@dataclass(frozen=True)
class Phases:
    """Attributes:
    opening: sign of the first phase, +1 or -1; 0 where the curve is too short or flat to have one.
    changes: the lasting sign changes in order; their signs alternate.
    """

    opening: int
    changes: tuple[Change, ...]

    @property
    def closing(self) -> int:
        return self.changes[-1].sign if self.changes else self.opening

    def first_change(self, sign: int) -> int | None:
        """Step of the first lasting change to ``sign``, or None."""
        return next((c.step for c in self.changes if c.sign == sign), None)


def phases(curve: np.ndarray) -> Phases:
    """The phases of a windowed correlation (K + 1,); leading NaN are skipped, others count for neither sign."""
    steps = np.flatnonzero(np.isfinite(curve))
    if len(steps) < OPENING:
        return Phases(0, ())
    signs = np.sign(np.nan_to_num(curve))
    sign = opening = int(np.sign(np.median(curve[steps[:OPENING]])))
    m = max(OPENING, math.ceil(SHARE * (len(curve) - 1)))
    changes: list[Change] = []
    # Only a step of another sign can begin a phase.
    k = int(steps[0])
    while len(ahead := np.flatnonzero((signs[k:] != sign) & (signs[k:] != 0))):
        k += int(ahead[0])
        if k + m > len(curve):
            break
        here = int(signs[k])
        if int(np.sign(_median(curve[k : k + m]))) == here:
            if sign != 0:
                changes.append(Change(k, here))
            else:
                opening = here
            sign = here
        k += 1
    return Phases(opening, tuple(changes))


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if 2 * len(finite) > len(values) else 0.0
