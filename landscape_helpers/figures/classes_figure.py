"""The five classes of curves, each by an example: Figure 1 of the mining paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import Handle, new_figure
from .curves_panel import curve_key, lines, marks, panel_title, round_ticks
from .panel_table import table
from .slice_records import Curve, SliceRecord
from .style import Theme

Records = Mapping[str, SliceRecord]
DRAWN = (0, (4, 1.5))
POINTS = 41  # of a schematic curve, as of the measured ones


@dataclass(frozen=True)
class Kind:
    """A class of curves: the directions that give it, the families of the record, and a schematic curve.

    Attributes:
        extrema: (lambda, height) of the schematic's extrema, the outer ones beyond the view.
        other: where the other checkpoint stands, if the class has one.
    """

    label: str
    directions: str
    families: tuple[str, ...]
    view: tuple[float, float]
    extrema: tuple[tuple[float, float], ...]
    other: float | None = None


KINDS: tuple[Kind, ...] = (
    Kind(
        "v-basin", "Gaussian;\npositive eigenvectors", ("gaussian", "positive"), (-1, 1), ((-2, 4), (0, 0.3), (2, 4))
    ),
    Kind(
        "v-side", "negative gradient;\nlater checkpoint", ("later", "gradient"), (-1, 1),
        ((-2, 4), (0.7, 0.5), (3, 5)), 1.0,
    ),
    Kind(
        "w-basin", "independently\ntrained checkpoint", ("independent",), (-1, 2),
        ((-2, 5), (0, 0.2), (0.5, 1.7), (1, 0.2), (3, 5)), 1.0,
    ),
    Kind(
        "w-peak", "negative eigenvectors;\nAlgorithm 1", ("mined", "negative"), (-1, 1),
        ((-1.6, 4), (-0.5, 0.6), (0, 1.2), (0.5, 0.6), (1.6, 4)),
    ),
    Kind(
        "vvv-basin", "Algorithm 2", ("triple",), (-0.5, 1.5),
        ((-1, 4), (0, 0.2), (0.25, 1.0), (0.5, 0.45), (0.75, 1.0), (1, 0.2), (2, 4)), 1.0,
    ),
)  # fmt: skip


def exemplar(records: Records, kind: Kind) -> tuple[SliceRecord, Curve] | None:
    """The first measured curve that has the class, looked for in the families that the paper names for it."""
    for family in kind.families:
        for record in records.values():
            for curve in record.curves(family):
                if curve.shape.label == kind.label and not curve.shape.weak and np.isfinite(curve.loss).all():
                    return record, curve
    return None


def schematic(kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """A drawn curve of the class: (lambda, height)."""
    at = np.linspace(*kind.view, POINTS)
    knots, heights = np.array(kind.extrema).T
    # Cosine steps from extremum to extremum keep them where they are put, and add none.
    place = np.searchsorted(knots, at, side="right") - 1
    share = (at - knots[place]) / (knots[place + 1] - knots[place])
    return at, heights[place] + (heights[place + 1] - heights[place]) * (1 - np.cos(np.pi * share)) / 2


def examples(records: Records) -> Iterator[tuple[Kind, tuple[SliceRecord, Curve] | None]]:
    """Each class with its measured example, where there is one."""
    for kind in KINDS:
        yield kind, exemplar(records, kind)


def classes(records: Records, note: str, theme: Theme) -> Figure:
    """A column a class: measured where the records hold an example, else drawn and said to be."""
    found = list(examples(records))
    figure = new_figure(2.5, "Five classes of one-dimensional curves", note, theme)

    def panel(ax: Axes, i: int, j: int, _: str) -> str:
        kind, example = found[j]
        if example is None:
            at, height = schematic(kind)
            ax.plot(at, height, color=theme.soft, linewidth=1.6, linestyle=DRAWN)
            told = "schematic"
        else:
            record, curve = example
            lines(ax, [curve], theme.series[0])
            told = f"{record.title.split(',')[0]}, E = {curve.fields['epoch']:.0f}"
        known = example is None or np.isfinite(example[1].fields["target"]) or kind.label == "vvv-basin"
        other = kind.other if known else None
        marks(ax, theme, other=other)
        round_ticks(ax.xaxis, 3)
        round_ticks(ax.yaxis, 3)
        ax.set_xlabel(f"\u03bb\n{kind.directions}", linespacing=1.35)
        panel_title(ax, kind.label, told)
        return ""

    table(figure, figure.add_gridspec(1, 1)[0], [""], [""] * len(found), panel, theme, ylabel="loss (nats)")
    drawn: list[Handle] = [Line2D([], [], color=theme.series[0], linewidth=1.5)]
    drawn.append(Line2D([], [], color=theme.soft, linewidth=1.6, linestyle=DRAWN))
    more = (drawn, ["measured", "drawn, not measured"])
    curve_key(figure, theme, several=False, other="other checkpoint, or mined model", guess=False, more=more)
    return figure
