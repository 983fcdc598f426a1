"""Numbers in sentences: medians with ranges, percentages, powers of ten."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

MINUS = "\u2212"
SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def spread(values: Sequence[float] | np.ndarray, form: str = ".2f") -> str:
    """``"0.83 (0.80 to 0.86)"``: median and range of the finite values; ``"not known"`` where there is none."""
    finite = [float(v) for v in values if math.isfinite(v)]
    if not finite:
        return "not known"
    middle, low, high = (number(v, form) for v in (float(np.median(finite)), min(finite), max(finite)))
    return middle if low == high else f"{middle} ({low} to {high})"


def number(value: float, form: str = ".3g") -> str:
    """``"\u22121.4 \u00d7 10\u207b\u2075"`` for a value and a format with an exponent; plain near 1."""
    mantissa, _, exponent = format(value, form).partition("e")
    if exponent and -3 < int(exponent) < 5:
        digits = len(mantissa.partition(".")[2]) - int(exponent)
        return f"{float(format(value, form)):,.{max(digits, 0)}f}".replace("-", MINUS)
    power = f" \u00d7 10{str(int(exponent)).translate(SUPERSCRIPT)}" if exponent else ""
    return mantissa.replace("-", MINUS) + power


def seeds_in_words(seeds: Sequence[int]) -> str:
    """``"seed 0"``, ``"seeds 0, 1, 2"``."""
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def percent(values: Sequence[float] | np.ndarray) -> str:
    """``"55% (41% to 60%)"`` from shares: median and range."""
    return re.sub(r"(\d)(?!\d)", r"\1%", spread([100 * v for v in values], ".0f"))
