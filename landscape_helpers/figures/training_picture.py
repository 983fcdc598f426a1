"""Trainings side by side: what probes recorded along each, whoever trained."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .canvas import add_key, key_of_lines, mark_end, new_figure
from .decimate import extremes
from .picture import Picture
from .style import DOTTED, LINE_STYLES, Theme, theme

TRAINING = "training_step"  # the coordinate of looks that were told where the training stands
HEIGHT = 1.45  # inches of a panel


@dataclass(frozen=True)
class Quantity:
    """One panel: a variable of the records over its one dimension, under any of the names that probes give it.

    A name may end in the place of its probe, ``lambda_max_1``, as
    :meth:`~landscape_helpers.descent.probes.Probes.record` says. Labels name no unit of the loss, which may be any.
    """

    variables: tuple[str, ...]
    label: str
    words: str
    loss: bool = False
    zero: bool = False

    def of(self, record: xarray.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values, where there are any: a window that is not yet full has none, nor has another record."""
        for variable in self.variables:
            for name in sorted(str(name) for name in record if re.fullmatch(rf"{variable}(_\d+)?", str(name))):
                values = record[name]
                known = np.isfinite(values.values)
                return _steps(record, values)[known], values.values[known].astype(float)
        return np.zeros(0), np.zeros(0)

    def ends_in(self, record: xarray.Dataset) -> bool:
        """Whether the curve of this training ends because its loss became non-finite."""
        return self.loss and _diverged(record) and self.of(record)[1].size > 0


SHARPNESS = Quantity(("sharpness", "lambda_max"), "sharpness \u03bb\u2081\n(loss / parameter\u00b2)", "the sharpness")
QUANTITIES = (
    Quantity(("loss",), "loss (log scale)", "the loss", loss=True),
    Quantity(("batch_loss",), "loss of mini-batches\n(log scale)", "the loss of the mini-batches", loss=True),
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

    Of a :class:`~landscape_helpers.watch.Watch` or of a descent. Shown are the loss, or of
    :func:`~landscape_helpers.descent.sgd` that of each step's mini-batch, the windowed correlation of adjacent
    gradients, the sharpness and the distance from the start, as far as any record holds them. A training that became
    non-finite ends in a cross. Steps are counted as each record counts them, those of a watch by its looks, or by the
    training where its looks were told ``training_step``: trainings looked at differently often share an axis so.

    Args:
        records: by the name that the key gives; as many as the palette has colours.
        rates: learning rates :math:`\eta` of trainings by plain gradient descent, with or without mini-batches: their
            :math:`2/\eta` of Cohen et al. (2021), above which a quadratic diverges, is drawn beside their sharpness.
        note: what was run, in a sentence; above the panels.

    Raises:
        TypeError: records without names, or something that is no record.
        ValueError: no records, more than there are colours, none of these quantities, or a rate that is not above 0 or
            of no record.
    """
    rates = dict(rates or {})
    _check_types(records)
    if not 1 <= len(records) <= len(LINE_STYLES):
        raise ValueError(f"a picture holds 1 to {len(LINE_STYLES)} trainings, got {len(records)}: draw fewer at a time")
    if unknown := [name for name in rates if name not in records]:
        raise ValueError(f"rates are given for {', '.join(unknown)}: expected names of {', '.join(records)}")
    if wrong := [f"{name}: {rate}" for name, rate in rates.items() if not (math.isfinite(rate) and rate > 0)]:
        raise ValueError(f"rates must be finite learning rates above 0, got {', '.join(wrong)}")
    shown = [q for q in QUANTITIES if any(q.of(record)[1].size for record in records.values())]
    if not shown:
        expected = ", ".join(name for q in QUANTITIES for name in q.variables)
        raise ValueError(f"the records hold nothing to draw: expected one of the variables {expected}")

    def draw(name: str) -> Figure:
        with theme(name) as colours:
            return _figure(records, rates, shown, note, colours)

    anchor = "training-" + "-".join("".join(c for c in name.lower() if c.isalnum()) for name in records)
    return Picture(draw, _words(records, shown), anchor)


def _check_types(records: object) -> None:
    if isinstance(records, xarray.Dataset) or not isinstance(records, Mapping):
        raise TypeError(
            f"records must be a dictionary of records by name, got {type(records).__name__}: give "
            "{'my training': watch.record()}"
        )
    for name, record in records.items():
        if not isinstance(record, xarray.Dataset):
            raise TypeError(
                f"the record of {name!r} must be an xarray.Dataset, got {type(record).__name__}: give watch.record(), "
                "or the attribute record of what a descent returned"
            )


def _figure(
    records: Mapping[str, xarray.Dataset], rates: dict[str, float], shown: list[Quantity], note: str, colours: Theme
) -> Figure:
    figure = new_figure(HEIGHT * len(shown) + 0.2, "What the probes recorded", note, colours)
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for ax, quantity in zip(panels, shown, strict=True):
        _panel(ax, quantity, records, rates, colours)
    panels[-1].set_xlabel(_axis_label(records))
    panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 2.5, 5, 10], min_n_ticks=1))
    keys, names = key_of_lines(list(records), colours)
    if rates and SHARPNESS in shown:
        keys.append(Line2D([], [], color=colours.soft, linestyle=DOTTED))
        names.append("2 / \u03b7, in the colour of its training")
    if any(quantity.ends_in(record) for quantity in shown for record in records.values()):
        keys.append(Line2D([], [], color=colours.alarm, marker="X", linestyle="none"))
        names.append("became non-finite")
    add_key(figure, (keys, names))
    return figure


def _panel(
    ax: Axes, quantity: Quantity, records: Mapping[str, xarray.Dataset], rates: dict[str, float], colours: Theme
) -> None:
    positive = True
    for (name, record), colour, style in zip(records.items(), colours.series, LINE_STYLES, strict=False):
        steps, values = quantity.of(record)
        positive = positive and bool((values > 0).all())
        alone = "o" if len(steps) == 1 else ""  # no line goes through one point
        ax.plot(*extremes(steps, values), color=colour, linestyle=style, linewidth=1.5, marker=alone, markersize=4)
        if quantity.ends_in(record):
            mark_end(ax, steps[-1], values[-1], True, colours)
        if quantity is SHARPNESS and name in rates:
            ax.axhline(2 / rates[name], color=colour, linewidth=1, linestyle=DOTTED)
    if quantity.loss and positive:
        ax.set_yscale("log")
    if quantity.zero:
        ax.axhline(0, color=colours.soft, linewidth=0.8)
    ax.set_ylabel(quantity.label if ax.get_yscale() == "log" else quantity.label.replace(" (log scale)", ""))


def _steps(record: xarray.Dataset, values: xarray.DataArray) -> np.ndarray:
    """Where the values were measured: the training's own steps if the looks were told them, else looks or steps."""
    [dimension] = values.dims
    at = values[dimension].values
    return np.asarray(record[TRAINING].values[at] if TRAINING in record else at, dtype=float)


def _status(record: xarray.Dataset) -> str:
    return str(record.attrs.get("status", ""))


def _diverged(record: xarray.Dataset) -> bool:
    return "non-finite" in _status(record)


def _axis_label(records: Mapping[str, xarray.Dataset]) -> str:
    """What the records themselves call a step, where they agree."""
    names = {
        str(record[axis].attrs.get("long_name", "step"))
        for record in records.values()
        if (axis := TRAINING if TRAINING in record else "step") in record
    }
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
        if _diverged(record) or _status(record).startswith("stopped"):
            parts.append(_status(record))
        told.append(f"{name}: {'; '.join(parts)}." if parts else f"{name}: nothing was recorded.")
    return " ".join(told)
