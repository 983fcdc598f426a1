"""Every configuration behind the figures of a paper, so that a reader sees what was chosen from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..catalogue import PROFILES, Figure, load_catalogue
from ..store import Store

STYLE = """
.lh-runs table { width: 100%; border-collapse: collapse; font-size: 0.88rem; }
.lh-runs th, .lh-runs td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0;
  background: transparent; white-space: normal; }
.lh-runs .lh-scroll { overflow-x: auto; }
.lh-runs code { white-space: nowrap; }
"""
COLUMNS = ("run", "network", "scale", "seeds", "ended", "shown in")
# How a run ended, without where.
PLACE = re.compile(r" (at|after|in) (step|epoch|update|stop) [\d,]+.*$")


@dataclass(frozen=True)
class RunRow:
    """One run of the catalogue.

    Attributes:
        note: its scale in words, or why it cannot be run.
        stored, planned: seeds.
        ended: how its seeds ended, with their number where there are several.
        figures: where it is shown.
    """

    run: str
    network: str
    note: str
    stored: int
    planned: int
    ended: str
    figures: tuple[str, ...]


class RunsTable:
    """The runs of all figures of one paper, at the highest scale at which any is stored.

    ``print`` gives the same as plain text.

    Args:
        paper: its key, such as "SING".
        store: where results are looked for.

    Raises:
        ValueError: an unknown paper.
    """

    def __init__(self, paper: str, store: Store | None = None) -> None:
        catalogue = load_catalogue()
        if paper not in catalogue.papers:
            raise ValueError(f"unknown paper {paper!r}: expected one of {', '.join(catalogue.papers)}")
        store = store or Store()
        figures = [figure for figure in catalogue.figures.values() if figure.paper == paper]
        names = list(dict.fromkeys(run for figure in figures for run in figure.runs))
        for self.profile in reversed(PROFILES):
            self.rows = [_row(name, self.profile, figures, store) for name in names]
            if any(row.stored for row in self.rows):
                break

    @property
    def summary(self) -> str:
        """Counts: configurations, results, and what is missing."""
        stored = sum(row.stored for row in self.rows)
        absent = sum(not row.stored for row in self.rows)
        text = f"{len(self.rows)} configurations at {self.profile} scale, {stored} results over all seeds"
        return f"{text}; {absent} configurations not run" if absent else text

    def __str__(self) -> str:
        lines = [f"{row.run:24} {row.stored} of {row.planned} seeds  {row.ended}" for row in self.rows]
        return "\n".join([self.summary, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
        body = "".join(_html(row) for row in self.rows)
        return (
            f'<div class="lh-runs"><style>{STYLE}</style><details><summary>{escape(self.summary)}</summary>'
            f'<div class="lh-scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            "</details></div>"
        )


def _row(name: str, profile: str, figures: Sequence[Figure], store: Store) -> RunRow:
    run = load_catalogue().runs[name]
    shown = tuple(figure.id for figure in figures if name in figure.runs)
    if profile not in run.scales:
        return RunRow(name, run.network, run.unavailable[profile], 0, 0, "", shown)
    spec = load_catalogue().spec(name, profile)
    found = [stored for seed in spec.seeds if (stored := store.find(spec, seed)) is not None]
    ways = Counter(PLACE.sub("", str(stored.attributes().get("status", "completed"))) for stored in found)
    ended = "; ".join(way if n == len(found) else f"{way} ({n})" for way, n in ways.items())
    return RunRow(name, run.network, spec.note, len(found), len(spec.seeds), ended, shown)


def _html(row: RunRow) -> str:
    seeds = f"{row.stored} of {row.planned}" if row.planned else "not run"
    cells = (escape(row.network), escape(row.note), seeds, escape(row.ended), ", ".join(row.figures))
    return f"<tr><td><code>{escape(row.run)}</code></td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
