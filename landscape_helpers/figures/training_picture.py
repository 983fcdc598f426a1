"""Trainings side by side: what probes recorded along each, whoever trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .canvas import Handle, add_key, new_figure
from .decimate import extremes
from .picture import Picture
from .style import Theme, theme

RATE = (0, (1, 1.6))  # dots of the line 2 / rate
STYLES = ("-", (0, (4, 1.4)), (0, (1, 1)), (0, (4, 1.2, 1, 1.2)), (0, (8, 1.4)))
HEIGHT = 1.45  # inches of a panel


@dataclass(frozen=True)
class Quantity:
    """One panel: a variable of the records over its one dimension, under any of the names that probes give it.

    Labels name no unit of the loss, which may be any.
    """

    variables: tuple[str, ...]
    label: str
    words: str
    log: bool = False
    zero: bool = False

    def of(self, record: xarray.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values, where there are any: a window that is not yet full has none, nor has another record."""
        for name in self.variables:
            if name in record:
                values = record[name]
                [dimension] = values.dims
                known = np.isfinite(values.values)
                return values[dimension].values[known].astype(float), values.values[known].astype(float)
        return np.zeros(0), np.zeros(0)


SHARPNESS = Quantity(("sharpness", "lambda_max"), "sharpness \u03bb\u2081\n(loss / parameter\u00b2)", "the sharpness")
QUANTITIES = (
    Quantity(("loss",), "loss (log scale)", "the loss", log=True),
    Quantity(
        ("windowed_correlation",),
        "correlation of\nadjacent gradients",
        "the correlation of adjacent gradients",
        zero=True,
    ),
    SHARPNESS,
    Quantity(("distance",), "distance from the\nstart (units of \u03b8)", "the distance from the start"),
)


def training_picture(
    records: Mapping[str, xarray.Dataset], rates: Mapping[str, float] | None = None, note: str = ""
) -> Picture:
    r"""The records of trainings in one picture: a panel a quantity, a colour a training.

    Of a :class:`~landscape_helpers.watch.Watch` or of a descent. Shown are the loss, the windowed correlation of
    adjacent gradients, the sharpness and the distance from the start, as far as any record holds them.

    Args:
        records: by the name that the key gives; as many as the palette has colours.
        rates: learning rates :math:`\eta` of trainings by plain gradient descent, with or without mini-batches: their
            :math:`2/\eta` of Cohen et al. (2021), above which a quadratic diverges, is drawn beside their sharpness.
        note: what was run, in a sentence; above the panels.

    Raises:
        ValueError: no records, more than there are colours, none of these quantities, or a rate of no record.
    """
    rates = dict(rates or {})
    if not 1 <= len(records) <= len(STYLES):
        raise ValueError(f"a picture holds 1 to {len(STYLES)} trainings, got {len(records)}: draw fewer at a time")
    if unknown := [name for name in rates if name not in records]:
        raise ValueError(f"rates are given for {', '.join(unknown)}: expected names of {', '.join(records)}")
    shown = [q for q in QUANTITIES if any(q.of(record)[1].size for record in records.values())]
    if not shown:
        expected = ", ".join(name for q in QUANTITIES for name in q.variables)
        raise ValueError(f"the records hold nothing to draw: expected one of the variables {expected}")

    def draw(name: str) -> Figure:
        with theme(name) as colours:
            return _figure(records, rates, shown, note, colours)

    anchor = "training-" + "-".join("".join(c for c in name.lower() if c.isalnum()) for name in records)
    return Picture(draw, _words(records, shown), anchor)


def _figure(
    records: Mapping[str, xarray.Dataset], rates: dict[str, float], shown: list[Quantity], note: str, colours: Theme
) -> Figure:
    figure = new_figure(HEIGHT * len(shown) + 0.2, "What the probes recorded", note, colours)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for ax, quantity in zip(panels, shown, strict=True):
        _panel(ax, quantity, records, rates, colours)
    panels[-1].set_xlabel(_axis_label(records))
    keys: list[Handle] = [
        Line2D([], [], color=colour, linestyle=style)  # type: ignore[arg-type]  # dashes of a tuple
        for _, colour, style in zip(records, colours.series, STYLES, strict=False)
    ]
    names = list(records)
    if rates and SHARPNESS in shown:
        keys.append(Line2D([], [], color=colours.soft, linestyle=RATE))
        names.append("2 / \u03b7, in the colour of its training")
    add_key(figure, (keys, names))
    return figure


def _panel(
    ax: Axes, quantity: Quantity, records: Mapping[str, xarray.Dataset], rates: dict[str, float], colours: Theme
) -> None:
    positive = True
    for (name, record), colour, style in zip(records.items(), colours.series, STYLES, strict=False):
        steps, values = quantity.of(record)
        positive = positive and bool((values > 0).all())
        ax.plot(*extremes(steps, values), color=colour, linestyle=style, linewidth=1.5)
        if quantity is SHARPNESS and name in rates:
            ax.axhline(2 / rates[name], color=colour, linewidth=1, linestyle=RATE)
    if quantity.log and positive:
        ax.set_yscale("log")
    if quantity.zero:
        ax.axhline(0, color=colours.soft, linewidth=0.8)
    ax.set_ylabel(quantity.label if ax.get_yscale() == "log" else quantity.label.replace(" (log scale)", ""))


def _axis_label(records: Mapping[str, xarray.Dataset]) -> str:
    """What the records themselves call a step, where they agree."""
    names = {str(record.step.attrs.get("long_name", "step")) for record in records.values()}
    return names.pop() if len(names) == 1 else "step"


def _words(records: Mapping[str, xarray.Dataset], shown: list[Quantity]) -> str:
    told = []
    for name, record in records.items():
        parts = [
            f"{quantity.words} goes from {values[0]:.3g} to {values[-1]:.3g}, between {values.min():.3g} and "
            f"{values.max():.3g}"
            for quantity in shown
            if (values := quantity.of(record)[1]).size
        ]
        told.append(f"{name}: {'; '.join(parts)}." if parts else f"{name}: nothing was recorded.")
    return " ".join(told)
