"""The table of a chapter's claims: one short row each, with a way to where it is discussed."""

from __future__ import annotations

import re

import pytest
from test_ledger_table import Outline, row, unknown

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.claims import ledger
from landscape_helpers.figures.claims_table import ClaimsTable, short

PAPERS = sorted(load_catalogue().papers)


def claim(identity: str, verdict: str, **changes: object) -> dict[str, object]:
    return row(identity, verdict, kind="claim", **changes)


def test_claims_alone_are_rows_and_are_counted_by_verdict() -> None:
    table = ClaimsTable([row("GO-F02-1", "partly"), claim("GO-C01", "partly"), claim("GO-C06", "reproduced")])
    assert table.counts == {"reproduced": 1, "partly": 1}
    page = Outline(table._repr_html_())
    assert not page.open
    assert [given["id"] for tag, given in page.tags if tag == "tr" and "id" in given] == ["GO-C01", "GO-C06"]
    assert len(str(table).splitlines()) == 2


def test_an_id_leads_to_the_first_figure_and_the_fold_names_them_all() -> None:
    html = ClaimsTable([claim("GO-C01", "partly", figure="GO-F02, GO-F03")])._repr_html_()
    seen, fold = html.split("<details>", 1)
    assert '<a class="lh-way" href="#GO-F02">GO-C01</a>' in seen and "GO-F03" not in seen
    assert 'href="#GO-F03"' in fold
    assert "early &lt; 1" in fold and "early &lt; 1" not in seen, "the rule is folded"


def test_a_claim_that_is_not_run_says_why_and_shows_no_nan() -> None:
    table = ClaimsTable([unknown("GO-C05") | {"kind": "claim"}])
    text = "".join(Outline(table._repr_html_()).text)
    assert "cnn is not stored" in text and "nan" not in text.lower() and table.scale == ""


def test_the_scale_is_said_once() -> None:
    rows = [claim("A", "partly"), claim("B", "partly"), claim("C", "partly", profile="paper", seeds=[0])]
    assert ClaimsTable(rows).scale == "laptop scale, 3 seeds; paper scale, 1 seed"


def test_without_few_words_the_statement_stands() -> None:
    assert short(claim("A", "partly")) == "The mean is < 1 & above -0.5."


@pytest.mark.parametrize("identity", sorted(load_catalogue().claims))
def test_every_claim_has_few_words(identity: str) -> None:
    words = load_catalogue().claims[identity].short
    assert words and len(words) <= 115 and words.endswith(".")


@pytest.mark.parametrize("paper", PAPERS)
def test_every_claim_of_a_paper_is_shown_with_its_stored_verdict(paper: str) -> None:
    rows = [r for r in ledger(paper=paper) if r["kind"] == "claim"]
    html = ClaimsTable(rows)._repr_html_()
    assert re.findall(r'<tr id="([^"]+)" data-verdict="([^"]+)"', html) == [
        (r["id"], r["verdict"].replace(" ", "-")) for r in rows
    ]
    assert "<script" not in html and "http" not in html
