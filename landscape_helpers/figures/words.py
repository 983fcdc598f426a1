"""What a figure shows, in words and measured numbers: for readers who cannot see it, and for its card."""

from __future__ import annotations

from collections.abc import Callable

from . import edge_table
from .findings import Findings
from .numbers_in_words import spread
from .papers import PAPERS, paper_of
from .selection import Runs
from .walk_tables import html_table

__all__ = ["alt_text", "data_table", "findings", "spread"]

# Figures that are tables of numbers.
TABLES: dict[str, Callable[[str, Runs], str]] = {
    **dict.fromkeys(("WALK-T01", "WALK-T02"), html_table),
    edge_table.FIGURE: edge_table.html_table,
}


def alt_text(figure_id: str, runs: Runs) -> str:
    """What the figure shows, for readers who cannot see it: what was run, then :func:`findings`.

    Args:
        figure_id, runs: as for :func:`~landscape_helpers.figures.draw`.

    Raises:
        ValueError: as :func:`~landscape_helpers.figures.draw`.
    """
    paper = PAPERS[paper_of(figure_id)]
    return str(paper.findings(figure_id, runs)) if paper.alt_text is None else paper.alt_text(figure_id, runs)


def findings(figure_id: str, runs: Runs) -> Findings:
    """Sentences with the numbers that the figure shows: medians over seeds, and ranges where seeds differ."""
    return PAPERS[paper_of(figure_id)].findings(figure_id, runs)


def data_table(figure_id: str, runs: Runs) -> str:
    """A figure that is a table, as an HTML table for readers and screen readers; empty for every other figure."""
    return TABLES[figure_id](figure_id, runs) if figure_id in TABLES else ""
