"""Tables 1 and 2 of *A Walk with SGD*: the paper's numbers and ours side by side, drawn and as an HTML table.

Table 1 counts the updates of an epoch that cross a barrier, Table 2 averages the height above the valley's floor.
Runs of ours have epochs of another length, so that counts stand with the number of updates they are of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .canvas import new_figure
from .numbers_in_words import number
from .selection import Runs, select
from .style import Theme
from .walk_record import WalkRecord, Window

Records = Mapping[str, WalkRecord]
EPOCHS = (1, 10, 25, 100)
UPDATES = 450  # in an epoch of the paper
# The perceptron was trained for 40 epochs.
BARRIERS: dict[str, tuple[int | None, ...]] = {"vgg11": (0, 0, 5, 13), "resnet": (0, 0, 2, 23), "mlp": (0, 3, 5, None)}
HEIGHTS: dict[tuple[str, float], tuple[float, ...]] = {
    ("vgg11", 0.1): (0.0625, 0.0199, 0.0104, 0.0025),
    ("vgg11", 0.05): (0.0102, 0.0050, 0.0035, 0.0011),
    ("resnet", 0.3): (0.0380, 0.0131, 0.0094, 0.0017),
    ("resnet", 0.15): (0.0084, 0.0034, 0.0020, 0.0013),
}
NOTHING = "\u2013"
ROW = 1.55  # of a row against the head


@dataclass(frozen=True)
class Cell:
    """One epoch of one row.

    Attributes:
        paper: the paper's number as it prints it; a dash where it gives none.
        ours: the median over seeds, or why there is none.
        asides: the range over seeds, and which updates of ours it is of.
    """

    paper: str
    ours: str
    asides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows by name, a cell for every epoch of the paper."""

    title: str
    caption: str
    epochs: Sequence[int]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def table_of(figure_id: str, records: Records) -> Table:
    """The table with what was measured in it.

    Args:
        figure_id: ``"WALK-T01"`` or ``"WALK-T02"``.
    """
    if figure_id == "WALK-T01":
        rows = [(_name(r), [_crossed(r, epoch) for epoch in EPOCHS]) for r in records.values()]
        caption = "Barriers in 450 updates from the start of an epoch on, at the share of those sampled."
        return Table("Barriers crossed in one epoch", caption, EPOCHS, rows)
    rows = [(_name(r), [_height(r, epoch) for epoch in EPOCHS]) for r in records.values()]
    caption = "Mean height above the valley's floor over the updates from the start of an epoch on, in nats."
    return Table("Height above the valley's floor", caption, EPOCHS, rows)


def _name(record: WalkRecord) -> str:
    return f"{record.title}, \u03b7 = {record.rate:g}"


def barriers_table(records: Records, note: str, theme: Theme) -> Figure:
    """Table 1."""
    return _drawn(table_of("WALK-T01", records), note, theme)


def heights_table(records: Records, note: str, theme: Theme) -> Figure:
    """Table 2."""
    return _drawn(table_of("WALK-T02", records), note, theme)


def html_table(figure_id: str, runs: Runs) -> str:
    """The same as a table for readers and screen readers."""
    table = table_of(figure_id, select(figure_id, runs, WalkRecord))
    head = "".join(f'<th scope="col">Epoch {epoch}</th>' for epoch in table.epochs)
    body = "".join(_html_row(table.epochs, name, cells) for name, cells in table.rows)
    return (
        f"<table><caption>{escape(table.caption)}</caption>"
        f'<thead><tr><th scope="col">Network</th>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _html_row(epochs: Sequence[int], name: str, cells: Sequence[Cell]) -> str:
    columns = "".join(_html_cell(epoch, cell) for epoch, cell in zip(epochs, cells, strict=True))
    return f'<tr><th scope="row">{escape(name)}</th>{columns}</tr>'


def _html_cell(epoch: int, cell: Cell) -> str:
    aside = f' <span class="lh-soft">({escape("; ".join(cell.asides))})</span>' if cell.asides else ""
    return (
        f'<td class="lh-number" data-column="Epoch {epoch}">ours {escape(cell.ours)}{aside}'
        f'<br><span class="lh-soft">paper {escape(cell.paper)}</span></td>'
    )


def family(record: WalkRecord) -> str:
    """The paper's network that a run stands for: "vgg11", "resnet" or "mlp"."""
    model = str(record.parameters.get("model", ""))
    return next((name for name in ("vgg11", "resnet", "mlp") if model.startswith(name)), model)


def windows_of(record: WalkRecord, epoch: int) -> list[Window]:
    """Of every seed what was sampled from the start of an epoch on."""
    found = [record.window(epoch, seed) for seed in range(len(record.datasets))]
    return [window for window in found if window is not None]


def _crossed(record: WalkRecord, epoch: int) -> Cell:
    reported = BARRIERS.get(family(record), (None,) * len(EPOCHS))[EPOCHS.index(epoch)]
    windows = windows_of(record, epoch)
    counts = [UPDATES * float(w.crossed.mean()) for w in windows]
    paper = NOTHING if reported is None else f"{reported}"
    crossed, sampled = sum(int(w.crossed.sum()) for w in windows), sum(len(w.updates) for w in windows)
    return _cell(paper, counts, ".3g", f"{crossed:,} of {sampled:,} sampled" if sampled else "")


def _height(record: WalkRecord, epoch: int) -> Cell:
    reported = HEIGHTS.get((family(record), record.rate))
    windows = windows_of(record, epoch)
    means = [float(w.heights.mean()) for w in windows]
    paper = NOTHING if reported is None else f"{reported[EPOCHS.index(epoch)]:.4f}"
    return _cell(paper, means, "#.2g", "")


def _cell(paper: str, values: Sequence[float], form: str, aside: str) -> Cell:
    """Ours with its range over seeds."""
    if not values:
        return Cell(paper, "not sampled")
    middle, low, high = (
        number(v, form).removesuffix(".") for v in (float(np.median(values)), min(values), max(values))
    )
    asides = (f"{low} to {high}" if low != high else "", aside)
    return Cell(paper, middle, tuple(filter(None, asides)))


def _drawn(table: Table, note: str, theme: Theme) -> Figure:
    """A row for every run; in each cell ours above the paper's."""
    lines = 0.95 + ROW * len(table.rows)
    figure = new_figure(0.42 * lines + 0.15, table.title, f"{note} {table.caption}", theme)
    ax = figure.add_subplot()
    ax.set_xlim(0, 1)
    ax.set_ylim(lines, 0)
    ax.xaxis.set_major_locator(NullLocator())
    ax.yaxis.set_major_locator(NullLocator())
    ax.spines[:].set_visible(False)
    left, width = 0.245, (1 - 0.245) / len(table.epochs)
    for j, epoch in enumerate(table.epochs):
        ax.text(left + (j + 0.5) * width, 0.55, f"epoch {epoch}", ha="center", fontweight="bold", color=theme.ink)
    ax.axhline(0.8, color=theme.axis, linewidth=0.8)
    for i, (name, cells) in enumerate(table.rows):
        y = 1.3 + ROW * i
        ax.text(0.005, y + 0.1, name.replace(", ", ",\n", 1), va="center", fontsize=8.5, color=theme.ink)
        for j, cell in enumerate(cells):
            x = left + (j + 0.5) * width
            ax.text(x, y, cell.ours, ha="center", va="bottom", fontsize=9, color=theme.series[0], fontweight="bold")
            below = [*cell.asides, f"paper: {cell.paper}"]
            style: dict[str, Any] = {
                "ha": "center",
                "va": "top",
                "fontsize": 7.5,
                "linespacing": 1.3,
                "color": theme.soft,
            }
            ax.text(x, y + 0.03, "\n".join(below), **style)
        ax.axhline(y + 1.05, color=theme.rule, linewidth=0.8)
    figure.text(
        0.012, 0.012, "bold: ours, the median over seeds, with their range below it", fontsize=8, color=theme.soft
    )
    return figure
