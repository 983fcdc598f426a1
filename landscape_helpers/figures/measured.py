"""The measured numbers of a check, as cards, tables of claims and the ledger show them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from . import numbers_in_words
from .fold import folded
from .numbers_in_words import MINUS

MANY_QUANTITIES = 4  # more are folded away


def measured_html(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each quantity, folded where they are many.

    Args:
        measured: by name, as the ledger's rows have it.
    """
    lines = "".join(_quantity(name, summary) for name, summary in measured.items())
    return folded(f"{len(measured)} quantities", lines) if len(measured) > MANY_QUANTITIES else lines


def number(value: float) -> str:
    """Three significant digits, or all of a count below a million; nothing if unknown."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}".replace("-", MINUS) if 1000 <= abs(value) < 1e6 else numbers_in_words.number(value)


def breakable(text: str) -> str:
    """Text whose long names may go on in the next line where their words meet, and nowhere else."""
    return escape(text).replace("_", "_<wbr>")


def _quantity(name: str, summary: Mapping[str, Any]) -> str:
    """``"share 1.2 [1.1, 1.4], none in 1 of 3 seeds"``: the median over seeds and, where they differ, the range."""
    middle, low, high = (number(summary[key]) or "none" for key in ("median", "low", "high"))
    value = middle if low == high else f"{middle} [{low}, {high}]"
    seeds, unknown = len(summary["values"]), sum(map(math.isnan, summary["values"]))
    absent = f", none in {unknown} of {seeds} seeds" if 0 < unknown < seeds else ""
    # Where there is room a range is not torn from its median.
    value = f'<span class="lh-value">{value}</span>'
    return f'<div class="lh-measured"><code>{breakable(name)}</code> {value}{absent}</div>'
