"""What a reader chooses with: sliders over numbers, menus of names, and a cursor along the curves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FORMAT = re.compile(r"\.(\d)([gf])")


@dataclass(frozen=True)
class Band:
    """A named stretch of a slider, between two of its values, drawn under it."""

    label: str
    first: float
    last: float


@dataclass(frozen=True)
class Slider:
    """A choice among increasing values.

    Attributes:
        label: the name of the quantity, with its symbol.
        values: strictly increasing; those with a precomputed frame.
        format: how to write a value: ``".2g"`` (significant digits) or ``".2f"`` (decimals).
        scale: "linear" or "log": how values between two neighbours are interpolated, and where ticks stand.
        bands: named stretches.
    """

    label: str
    values: Sequence[float] | np.ndarray
    format: str = ".2g"
    scale: str = "linear"
    bands: Sequence[Band] = ()

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=float)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
            raise ValueError(
                f"slider {self.label!r} needs at least two finite values in strictly increasing order, "
                f"got {_shortened(values)}"
            )
        if self.scale not in ("linear", "log"):
            raise ValueError(f"scale of slider {self.label!r} must be 'linear' or 'log', got {self.scale!r}")
        if self.scale == "log" and values[0] <= 0:
            raise ValueError(f"log slider {self.label!r} needs values above 0, got {values[0]:g}")
        if not FORMAT.fullmatch(self.format):
            raise ValueError(f"format of slider {self.label!r} must look like '.2g' or '.2f', got {self.format!r}")

    def at(self, position: float) -> float:
        """The value at a position counted in values; in between, interpolated on the slider's scale."""
        values = np.asarray(self.values, dtype=float)
        if self.scale == "log":
            return float(np.exp(np.interp(position, np.arange(len(values)), np.log(values))))
        return float(np.interp(position, np.arange(len(values)), values))

    def text(self, value: float) -> str:
        """The value as the slider writes it."""
        digits, kind = FORMAT.fullmatch(self.format).groups()  # type: ignore[union-attr]
        if kind == "f":
            return f"{value:.{digits}f}"
        return f"{float(f'{value:.{max(1, int(digits))}g}'):.12g}"


@dataclass(frozen=True)
class Choice:
    """A menu of named things without an order.

    Stored frames and ``compute`` know an option by its index, 0 for the first.

    Attributes:
        label: what is chosen.
        options: at least two names, all different.
    """

    label: str
    options: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.options) < 2 or len(set(self.options)) < len(self.options):
            raise ValueError(f"menu {self.label!r} needs at least two different options, got {list(self.options)}")

    @property
    def values(self) -> Sequence[float]:
        """The indices of the options."""
        return range(len(self.options))

    def text(self, value: float) -> str:
        """The name of an option."""
        return self.options[int(value)]


Control = Slider | Choice


@dataclass(frozen=True)
class Cursor:
    """A place along the curves, moved by hand or played from one end to the other.

    What lies beyond it is veiled, and a ball runs along the first curve of every panel whose horizontal axis has its
    label. Everything it shows is in the frame already: playing asks Python for nothing.

    Attributes:
        label: that of the horizontal axis.
        first, last: whole numbers, the ends of the axis.
        seconds: from one end to the other.
    """

    label: str
    first: int
    last: int
    seconds: float = 8.0

    def __post_init__(self) -> None:
        if self.first >= self.last:
            raise ValueError(f"cursor {self.label!r} must run upwards, got {self.first} to {self.last}")
        if not self.seconds > 0:
            raise ValueError(f"seconds of cursor {self.label!r} must be above 0, got {self.seconds}")


def _shortened(values: np.ndarray) -> str:
    text = np.array2string(values, threshold=6, precision=4, separator=", ")
    return text.replace("\n", "")
