"""Table 1 of the singularity paper: the change of the loss by a step along the top and along the bulk, theirs and ours.

Means over the stops on the edge. How many there are stands with every row, also where they are too few for a mean, as
the paper leaves such rows out without saying how many it had (SING-Q05).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..catalogue import load_catalogue
from ..claims.edge_measures import EDGE, LEAST_STOPS, edge_stops, partial_change
from .canvas import new_figure
from .edge_record import EdgeRecord, common
from .numbers_in_words import MINUS, number, spread
from .selection import Runs, select
from .style import Theme

Records = Mapping[str, EdgeRecord]
FIGURE = "SING-T01"
PARTS = ("top", "bulk")
# By network and rate, as printed: mean and standard deviation along the top, and along the bulk (SING-Q16).
PRINTED: dict[tuple[str, float], tuple[str, str]] = {
    ("AlexNet-ReLU", 0.003): ("0.0043 (0.0172)", "-0.0041 (0.0010)"),
    ("AlexNet-ReLU", 0.001): ("0.0064 (0.0133)", "-0.0014 (0.0007)"),
    ("AlexNet-ReLU", 0.0003): ("-0.0001 (0.0046)", "-0.0003 (0.0001)"),
    ("AlexNet-ReLU", 0.0001): ("-0.0012 (0.0043)", "-0.0001 (0.000)"),
    ("AlexNet-tanh", 0.001): ("0.0025 (0.0048)", "-0.0017 (0.0010)"),
    ("AlexNet-tanh", 0.0003): ("0.0007 (0.0031)", "-0.0004 (0.0001)"),
    ("VGG-16-ReLU", 0.003): ("0.0710 (0.0645)", "-0.0256 (0.0111)"),
    ("VGG-16-ReLU", 0.001): ("0.0208 (0.0142)", "-0.0072 (0.0035)"),
    ("VGG-16-ReLU", 0.0001): ("0.0011 (0.0064)", "-0.0008 (0.0006)"),
}
COLUMNS = (f"stops with \u03c1 > {EDGE:g}", "step along the top part", "step along the bulk part")
CAPTION = (
    "Change of the loss in nats by one step along one part of the gradient: mean \u00b1 standard error (standard "
    f"deviation) over the stops with the last top ratio above {EDGE:g}."
)
MOST_DECIMALS = 6
ROW = 1.95  # of a row against the head


@dataclass(frozen=True)
class Cell:
    """One part of one row: the paper's entry, ours, and our range over seeds; empty where there is none."""

    paper: str
    ours: str
    over_seeds: str = ""


@dataclass(frozen=True)
class Row:
    """One network and rate.

    Attributes:
        stops: how many are on the edge, of how many there are; medians over seeds.
        cells: along the top and along the bulk.
    """

    name: str
    stops: str
    cells: Sequence[Cell]


def rows_of(records: Records) -> list[Row]:
    """A row for every run that the catalogue asks for, also where it was not run."""
    catalogue = load_catalogue()
    rows = []
    for run in catalogue.figure(FIGURE).runs:
        if run in records:
            rows.append(_row(records[run]))
        else:
            rows.append(Row(catalogue.runs[run].network, "\u2013", [Cell("\u2013", "not run")] * len(PARTS)))
    return rows


def changes_table(records: Records, note: str, theme: Theme) -> Figure:
    """Drawn."""
    rows = rows_of(records)
    heading = f"What a step along each part changes \u00b7 {common(list(records.values()))}"
    lines = 1.0 + ROW * len(rows)
    figure = new_figure(0.3 * lines, heading, f"{note} {CAPTION}", theme)
    ax = figure.add_subplot()
    ax.set_xlim(0, 1)
    ax.set_ylim(lines, 0)
    ax.xaxis.set_major_locator(NullLocator())
    ax.yaxis.set_major_locator(NullLocator())
    ax.spines[:].set_visible(False)
    centres = (0.30, 0.55, 0.85)
    for x, name in zip(centres, COLUMNS, strict=True):
        ax.text(x, 0.5, name, ha="center", va="center", fontweight="bold", color=theme.ink)
    ax.axhline(0.9, color=theme.axis, linewidth=0.8)
    for i, row in enumerate(rows):
        y = 1.0 + ROW * i
        ax.text(0.004, y + 0.5 * ROW, row.name.replace(", ", ",\n", 1), va="center", fontsize=8.5, color=theme.ink)
        ax.text(centres[0], y + 0.5 * ROW, row.stops, ha="center", va="center", fontsize=8.5, color=theme.ink)
        for x, cell in zip(centres[1:], row.cells, strict=True):
            measured = any(character.isdigit() for character in cell.ours.split("stops")[0])
            colour, weight = (theme.series[0], "bold") if measured else (theme.soft, "normal")
            style = {"fontsize": 8.5, "fontweight": weight, "color": colour}
            ax.text(x, y + 0.40 * ROW, cell.ours, style, ha="center", va="bottom")
            below = "\n".join(part for part in (cell.over_seeds, f"paper: {cell.paper}") if part)
            soft = {"fontsize": 7.5, "linespacing": 1.25, "color": theme.soft}
            ax.text(x, y + 0.45 * ROW, below, soft, ha="center", va="top")
        ax.axhline(y + ROW, color=theme.rule, linewidth=0.8)
    told = "bold: ours, medians over seeds; below it the range of the means over seeds, and the paper's numbers"
    figure.text(0.012, 0.06 / figure.get_figheight(), told, fontsize=8, color=theme.soft)
    return figure


def html_table(figure_id: str, runs: Runs) -> str:
    """The same as a table for readers and screen readers."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("Network", *COLUMNS))
    body = "".join(_html_row(row) for row in rows_of(select(figure_id, runs, EdgeRecord)))
    return f"<table><caption>{escape(CAPTION)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_row(row: Row) -> str:
    cells = [f'<td class="lh-number" data-column="{escape(COLUMNS[0])}">{escape(row.stops)}</td>']
    for name, cell in zip(COLUMNS[1:], row.cells, strict=True):
        aside = f' <span class="lh-soft">({escape(cell.over_seeds)})</span>' if cell.over_seeds else ""
        cells.append(
            f'<td class="lh-number" data-column="{escape(name)}">ours {escape(cell.ours)}{aside}'
            f'<br><span class="lh-soft">paper {escape(cell.paper)}</span></td>'
        )
    return f'<tr><th scope="row">{escape(row.name)}</th>{"".join(cells)}</tr>'


def _row(record: EdgeRecord) -> Row:
    counts = record.measured(edge_stops)
    every = [data.sizes["stop"] for data in record.datasets]
    stops = f"{spread(counts, '.0f')} of {spread(every, '.0f')}"
    printed = PRINTED.get((record.network, record.paper_rate), ("not given", "not given"))
    cells = [_cell(record, part, paper) for part, paper in zip(PARTS, printed, strict=True)]
    return Row(f"{record.network}, {record.rate_in_words}", stops, cells)


def _cell(record: EdgeRecord, part: str, printed: str) -> Cell:
    paper = printed.replace("-", MINUS)
    means, errors, deviations = (
        np.asarray(record.measured(partial_change, of=part, statistic=name)) for name in ("mean", "error", "std")
    )
    known = np.isfinite(means)
    if not known.any():
        return Cell(paper, f"fewer than {LEAST_STOPS} such stops")
    middle, error, deviation = (float(np.median(v[known])) for v in (means, errors, deviations))
    form = decimals(error)
    ours = f"{number(middle, form)} \u00b1 {number(error, form)} ({number(deviation, form)})"
    several = f"{number(float(means[known].min()), form)} to {number(float(means[known].max()), form)}"
    few = f", {int(known.sum())} of {len(known)} seeds" if not known.all() else ""
    return Cell(paper, ours, f"{several}{few}" if len(record.seeds) > 1 else "")


def decimals(error: float) -> str:
    """The format that shows an error's two first digits; powers of ten where that takes too many."""
    places = 1 - int(np.floor(np.log10(error))) if error > 0 else 4
    return f".{max(places, 0)}f" if places <= MOST_DECIMALS else ".1e"
