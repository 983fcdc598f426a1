"""The ledger as a page shows it."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from typing import Any

import pytest

from landscape_helpers.claims import VERDICTS
from landscape_helpers.figures.ledger_table import LedgerTable
from landscape_helpers.figures.measured import number


def row(identity: str, verdict: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "paper": "GO",
        "figure": "GO-F02",
        "kind": "check",
        "basis": "C",
        "statement": "The mean is < 1 & above -0.5.",
        "verdict": verdict,
        "measured": {"early": {"median": 0.5, "low": 0.25, "high": 0.75, "values": [0.25, 0.5, 0.75]}},
        "measured_text": "",
        "expected": "early < 1 and early > -0.5",
        "margin": -0.0625,
        "profile": "laptop",
        "seeds": [0, 1, 2],
        "stale": False,
        "remarks": [],
    } | changes


def unknown(identity: str) -> dict[str, Any]:
    return row(identity, "not run", measured={}, margin=math.nan, profile=None, seeds=[], remarks=["cnn is not stored"])


class Outline(HTMLParser):
    """Tags, texts and the balance of what was opened and closed."""

    VOID = ("input", "img", "br", "wbr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def test_rows_are_counted_by_verdict() -> None:
    table = LedgerTable(rows=[row("A", "reproduced"), row("B", "partly"), row("C", "reproduced")])
    assert table.counts == {"reproduced": 2, "partly": 1, "not reproduced": 0, "not run": 0}
    assert str(table).splitlines()[0] == "2 reproduced, 1 partly, 0 not reproduced, 0 not run"
    assert len(str(table).splitlines()) == 4


def test_page_is_well_formed_and_says_what_the_rows_say() -> None:
    page = Outline(LedgerTable(rows=[row("A", "not reproduced", stale=True), unknown("B")])._repr_html_())
    assert not page.open
    text = " ".join("".join(page.text).split())
    assert "The mean is < 1 & above -0.5." in text, "text is escaped once"
    assert "early 0.5 [0.25, 0.75]" in text
    assert "−0.0625" in text and "laptop, 3 seeds, by earlier code" in text
    assert "cnn is not stored" in text and "nan" not in text.lower()
    assert [attributes["id"] for tag, attributes in page.tags if tag == "tr" and "id" in attributes] == ["A", "B"]


def test_what_is_long_is_folded() -> None:
    short = LedgerTable(rows=[row("A", "partly", remarks=["one seed; or two"])])._repr_html_()
    assert short.count("<details>") == 1 and "one seed; or two" in short, "only the rule is folded"
    one = {"median": 1.0, "low": 1.0, "high": 1.0, "values": [1.0]}
    remarks = [f"remark {k}; and more of it" for k in range(20)]
    many = row("A", "partly", remarks=remarks, measured={f"q_{k}": one for k in range(9)})
    page = Outline(LedgerTable(rows=[many])._repr_html_())
    assert not page.open and sum(tag == "details" for tag, _ in page.tags) == 3
    assert sum(tag == "li" for tag, _ in page.tags) == 20 and "9 quantities" in page.text


def test_no_script_and_nothing_from_elsewhere() -> None:
    page = LedgerTable(rows=[row("A", verdict) for verdict in VERDICTS])._repr_html_()
    assert "<script" not in page and "http" not in page and "url(" not in page


def test_every_verdict_can_be_chosen_and_has_its_rule() -> None:
    html = LedgerTable(rows=[row("A", verdict) for verdict in VERDICTS])._repr_html_()
    values = {attributes["value"] for tag, attributes in Outline(html).tags if tag == "input"}
    assert values == {"all", *(verdict.replace(" ", "-") for verdict in VERDICTS)}
    for value in values - {"all"}:
        assert f'.lh-ledger:has(input[value="{value}"]:checked) tr' in html


def test_two_tables_of_a_page_are_chosen_from_apart() -> None:
    def group(table: LedgerTable) -> set[str | None]:
        return {attributes["name"] for tag, attributes in Outline(table._repr_html_()).tags if tag == "input"}

    first, second = LedgerTable(rows=[row("A", "partly")]), LedgerTable(rows=[row("B", "partly")])
    assert len(group(first)) == 1 and group(first) != group(second)


def test_claims_stand_together_under_their_own_heading() -> None:
    page = Outline(LedgerTable(rows=[row("A", "partly"), row("B", "partly", kind="claim")])._repr_html_())
    assert sum(tag == "tbody" for tag, _ in page.tags) == 2
    assert "The paper's claims as a whole" in page.text


def test_a_folded_table_is_folded_with_its_choices() -> None:
    page = LedgerTable(rows=[row("A", "partly"), row("B", "reproduced")], folded="The 2 checks")._repr_html_()
    assert not Outline(page).open
    before, fold = page.split("<summary>The 2 checks</summary>")
    assert "<tr" not in before and "<input" not in before
    assert 'id="A"' in fold and 'id="B"' in fold and "all 2" in fold


def test_the_real_ledger_is_shown_whole() -> None:
    table = LedgerTable(paper="GO")
    assert {f"GO-C0{k}" for k in range(1, 8)} <= {r["id"] for r in table.rows}
    shown = Outline(table._repr_html_())
    assert sum("data-verdict" in attributes for tag, attributes in shown.tags if tag == "tr") == len(table.rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (-2.0, "−2"), (1500.0, "1,500"), (2e7, "2 × 10⁷"), (math.nan, ""), (math.inf, "inf")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
