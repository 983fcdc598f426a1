"""What became of each claim of a paper: one short row a claim, for the top of its chapter."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..catalogue import load_catalogue
from .card_checks import badge, tally
from .fold import folded
from .ledger_table import STYLE, Row, remarks_html, rule_html, slug
from .measured import measured_html, number

COLUMNS = ("Claim", "The paper says", "Verdict")
OWN_STYLE = """
.lh-ledger.lh-claims thead th:nth-child(1) { width: 6.6rem; }
.lh-ledger.lh-claims thead th:nth-child(2) { width: auto; }
.lh-ledger.lh-claims thead th:nth-child(3) { width: 9.2rem; }
.lh-claims .lh-way { font-family: monospace; font-size: 0.9em; white-space: nowrap; }
.lh-claims p { margin: 0.3rem 0; }
.lh-claims .lh-counts { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; margin: 0 0 0.6rem; }
.lh-claims td > details:not([open]) { display: inline; }
.lh-claims td > details > summary { display: inline; white-space: nowrap; }
.lh-claims td > details > summary::before { content: "\u25b8 "; }
.lh-claims td > details[open] > summary::before { content: "\u25be "; }
@media (max-width: 700px) {
  .lh-ledger.lh-claims tbody tr { display: grid; grid-template-columns: 1fr auto; }
  .lh-claims tbody td:nth-child(2) { order: 1; grid-column: 1 / -1; }
}
"""


class ClaimsTable:
    """The claims of one paper and their verdicts; ``print`` gives the same as plain text.

    An id leads to the figure that decides the claim; what was measured and by which rule is folded below each.

    Args:
        rows: as :func:`landscape_helpers.claims.ledger` gives them; the checks among them are left out.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = [row for row in rows if row["kind"] == "claim"]

    @property
    def counts(self) -> dict[str, int]:
        """How many claims have each verdict that occurs, in the order of ``VERDICTS``."""
        return tally(row["verdict"] for row in self.rows)

    @property
    def scale(self) -> str:
        """At which scales and over how many seeds the claims were decided: ``"laptop scale, 3 seeds"``."""
        decided = [(row["profile"], len(row["seeds"])) for row in self.rows if row["seeds"]]
        return "; ".join(f"{p} scale, {n} seed{'' if n == 1 else 's'}" for p, n in dict.fromkeys(decided))

    def __str__(self) -> str:
        return "\n".join(f"{row['id']:9} {row['verdict']:15} {short(row)}" for row in self.rows)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        counts = "".join(badge(verdict, n) for verdict, n in self.counts.items())
        scale = f'<span class="lh-scale">{escape(self.scale)}</span>'
        head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
        body = "".join(map(_row, self.rows))
        table = f"<table><caption hidden>The paper's claims and their verdicts</caption><thead><tr>{head}</tr></thead>"
        return (
            f'<div class="lh-ledger lh-claims"><style>{STYLE}{OWN_STYLE}</style>'
            f'<p class="lh-counts">{counts}{scale}</p>{table}<tbody>{body}</tbody></table></div>'
        )


def short(row: Row) -> str:
    """A claim in the catalogue's few words, or its whole statement."""
    claim = load_catalogue().claims.get(row["id"])
    return (claim and claim.short) or row["statement"]


def _row(row: Row) -> str:
    figures = row["figure"].split(", ")
    name = _link(figures[0], row["id"])
    said = short(row)
    whole = [f"<p>{escape(row['statement'])}</p>"] if said != row["statement"] else []
    shown = f"<p>Shown in {', '.join(_link(figure, figure) for figure in figures)}.</p>"
    margin = number(row["margin"])
    inside = f"<p>Margin {margin}</p>" if margin else ""
    parts = [*whole, shown, measured_html(row["measured"]), inside, f"<p>{rule_html(row)}</p>"]
    decided = folded("how it was decided", "".join(parts) + remarks_html(row["remarks"]))
    cells = (name, f"{escape(said)} {decided}", badge(row["verdict"]))
    body = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr id="{escape(row["id"])}" data-verdict="{slug(row["verdict"])}">{body}</tr>'


def _link(figure: str, text: str) -> str:
    """To a figure's card on the same page."""
    return f'<a class="lh-way" href="#{escape(figure)}">{escape(text)}</a>'
