"""The ledger of claims as a table that needs no JavaScript: filters, badges and a second reading on a phone are CSS."""

from __future__ import annotations

import html
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ..catalogue import load_catalogue
from ..claims import VERDICTS, ledger
from .card_checks import badge
from .card_style import verdict_style
from .fold import folded
from .measured import measured_html, number

Row = Mapping[str, Any]

# Who set the bound: the paper prints it (P), or it makes a statement in words testable (C, fixed before any run).
BASES = {
    "P": "bound of the paper",
    "C": "bound chosen here",
    "P+C": "bound of the paper, widened here",
    "ours": "a check added here",
}
COLUMNS = ("Statement", "Verdict", "Measured", "Margin")
LONG_REASON = 90  # characters; a longer one is folded away

STYLE = verdict_style("lh-ledger") + """
.lh-ledger { font-size: 0.92rem; }
.lh-ledger fieldset { border: 0; padding: 0; margin: 0 0 1rem; display: flex; flex-wrap: wrap; gap: 0.4rem 1.2rem; }
.lh-ledger legend { padding: 0; margin: 0 0 0.3rem; font-size: inherit; line-height: inherit; }
.lh-ledger label { cursor: pointer; white-space: nowrap; }
.lh-ledger table { width: 100%; border-collapse: collapse; margin: 0; table-layout: fixed; }
.lh-ledger thead th:nth-child(1) { width: 42%; } .lh-ledger thead th:nth-child(2) { width: 21%; }
.lh-ledger thead th:nth-child(3) { width: 24%; } .lh-ledger thead th:nth-child(4) { width: 13%; }
.lh-ledger th, .lh-ledger td { text-align: left; vertical-align: top; padding: 0.5rem 0.6rem;
  border-bottom: 1px solid var(--rule); background: transparent; white-space: normal; }
.lh-ledger tbody th { padding-top: 1.6rem; font-size: 1.05rem; }
.lh-ledger tr:target td { outline: 2px solid var(--half); outline-offset: -2px; }
.lh-ledger .lh-id { font-family: monospace; font-size: 0.85em; color: var(--none); display: block; }
.lh-ledger .lh-measured { font-variant-numeric: tabular-nums; }
.lh-ledger .lh-measured code { white-space: normal; }
.lh-ledger details, .lh-ledger .lh-reason, .lh-ledger .lh-scale { font-size: 0.9em; color: var(--none); }
.lh-ledger > details { font-size: 1em; color: inherit; margin-top: 1rem; }
.lh-ledger summary { cursor: pointer; }
.lh-ledger details ul { margin: 0.2rem 0; padding-left: 1.1rem; }
.lh-ledger details code { white-space: normal; overflow-wrap: anywhere; }
@media (max-width: 700px) {
  .lh-ledger thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .lh-ledger table { table-layout: auto; }
  .lh-ledger table, .lh-ledger tbody, .lh-ledger tr, .lh-ledger td, .lh-ledger tbody th { display: block; }
  .lh-ledger tr { border-bottom: 1px solid var(--rule); padding: 0.4rem 0; }
  .lh-ledger td, .lh-ledger tbody th { border: 0; padding: 0.15rem 0; }
  .lh-ledger td[data-column]:not(:empty)::before { content: attr(data-column) ": "; color: var(--none); }
}
"""


class LedgerTable:
    """The ledger as a page shows it; ``print`` gives the same as plain text.

    Args:
        profile: "smoke", "laptop" or "paper"; None takes for each row the highest scale at which its runs are stored.
        paper: a paper's key, such as "GO"; None for all.
        rows: rows as :func:`landscape_helpers.claims.ledger` gives them, in place of those of the stored results.
        folded: what to unfold the whole of it by, such as "The 60 checks"; None shows it open.
    """

    def __init__(
        self,
        profile: str | None = None,
        paper: str | None = None,
        *,
        rows: Sequence[Row] | None = None,
        folded: str | None = None,
    ) -> None:
        self.rows = list(ledger(profile, paper) if rows is None else rows)
        self.folded = folded
        self.titles = {figure.id: figure.title for figure in load_catalogue().figures.values()}

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each verdict, in the order of ``VERDICTS``."""
        found = Counter(row["verdict"] for row in self.rows)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def __str__(self) -> str:
        lines = [f"{row['id']:10} {row['verdict']:15} {row['statement']}" for row in self.rows]
        return "\n".join([", ".join(f"{n} {verdict}" for verdict, n in self.counts.items()), *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = f"{self._filter()}{self._table(self.rows)}"
        style = f"<style>{STYLE}{_filter_rules()}</style>"
        body = folded(html.escape(self.folded), table) if self.folded else table
        return f'<div class="lh-ledger">{style}{body}</div>'

    def _table(self, rows: Sequence[Row]) -> str:
        head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
        body = "".join(self._group(title, list(group)) for title, group in groupby(rows, key=self._heading))
        caption = "<caption hidden>Claims, verdicts and measurements</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead>{body}</table>"

    def _heading(self, row: Row) -> str:
        """The heading a row stands under: its figure, or that it is a claim of the whole paper."""
        if row["kind"] == "claim":
            return "The paper's claims as a whole"
        return f"{row['figure']} · {self.titles.get(row['figure'], '')}".removesuffix(" · ")

    def _filter(self) -> str:
        """Counts by verdict that are also the choice of what to show."""
        # Two tables on one page are chosen from apart.
        group = f"lh-{zlib.crc32(str(self).encode()):x}"
        choices = [_choice(group, "all", f"all {len(self.rows)}", checked=True)]
        choices += [_choice(group, verdict, f"{badge(verdict)} {n}") for verdict, n in self.counts.items()]
        return f"<fieldset><legend>Show</legend>{''.join(choices)}</fieldset>"

    def _group(self, title: str, rows: Sequence[Row]) -> str:
        verdicts = " ".join(sorted({slug(row["verdict"]) for row in rows}))
        heading = f'<tr><th scope="rowgroup" colspan="{len(COLUMNS)}">{html.escape(title)}</th></tr>'
        return f'<tbody data-holds="{verdicts}">{heading}{"".join(map(_table_row, rows))}</tbody>'


def slug(verdict: str) -> str:
    """A verdict as the value of an attribute."""
    return verdict.replace(" ", "-")


def _choice(group: str, verdict: str, label: str, *, checked: bool = False) -> str:
    return (
        f'<label><input type="radio" name="{group}" value="{slug(verdict)}"{" checked" if checked else ""}> '
        f"{label}</label>"
    )


def _filter_rules() -> str:
    """With one verdict chosen, the rows of the others go, and so do the groups that hold none of it."""
    rules = []
    for name in map(slug, VERDICTS):
        chosen = f'.lh-ledger:has(input[value="{name}"]:checked)'
        rules.append(f'{chosen} tr[data-verdict]:not([data-verdict="{name}"]) {{ display: none; }}')
        rules.append(f'{chosen} tbody:not([data-holds~="{name}"]) {{ display: none; }}')
    return "\n".join(rules)


def _table_row(row: Row) -> str:
    statement = (
        f'<span class="lh-id">{html.escape(row["id"])}</span>{html.escape(row["statement"])}'
        f"{folded('rule', rule_html(row))}"
        f"{remarks_html(row['remarks'])}"
    )
    verdict = badge(row["verdict"]) + f'<div class="lh-scale">{_scale(row)}</div>'
    cells = (statement, verdict, measured_html(row["measured"]), number(row["margin"]))
    labels = ("", "", *(f' data-column="{column}"' for column in COLUMNS[2:]))
    body = "".join(f"<td{label}>{cell}</td>" for label, cell in zip(labels, cells, strict=True))
    return f'<tr id="{html.escape(row["id"])}" data-verdict="{slug(row["verdict"])}">{body}</tr>'


def rule_html(row: Row) -> str:
    """What is expected, and who set the bound."""
    return f"<code>{html.escape(row['expected'])}</code> ({BASES[row['basis']]})"


def remarks_html(remarks: Sequence[str]) -> str:
    """What a reader has to know of a verdict; little of it stands open, much is folded, one remark to a line."""
    text = "; ".join(remarks)
    if len(text) <= LONG_REASON:
        return f'<div class="lh-reason">{html.escape(text)}</div>' if text else ""
    return folded("remarks", f"<ul>{''.join(f'<li>{html.escape(remark)}</li>' for remark in remarks)}</ul>")


def _scale(row: Row) -> str:
    if not row["profile"] or row["verdict"] == "not run":
        return ""
    seeds = len(row["seeds"])
    return f"{row['profile']}, {seeds} seed{'' if seeds == 1 else 's'}{', by earlier code' if row['stale'] else ''}"
