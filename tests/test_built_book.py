"""The site that ``make book`` built: whole, and asking no other host for anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from landscape_helpers.catalogue import load_catalogue
from tools import check_site
from tools.chapters import toc_pages

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build/html"

pytestmark = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the book has not been built (make book)")


def page(name: str) -> str:
    return (SITE / f"{name}.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere_and_every_link_leads_somewhere() -> None:
    assert check_site.problems(SITE) == []


def test_every_page_of_the_contents_is_there() -> None:
    for name in toc_pages(ROOT / "book/_toc.yml"):
        assert (SITE / f"{name}.html").exists(), name


def test_formulas_are_set_without_a_script() -> None:
    chapter = page("chapters/gradient-oscillation")
    assert "<math" in chapter and 'class="eqno"' in chapter
    assert "mathjax" not in chapter.lower()


def test_no_widget_waits_for_a_kernel() -> None:
    chapter = page("chapters/gradient-oscillation")
    assert "application/vnd.jupyter.widget-view" not in chapter
    assert "data-explorer=" in chapter, "the explorer stands in the page as HTML"


def test_every_figure_says_in_words_what_it_shows() -> None:
    for path in [SITE / "index.html", SITE / "ledger.html", *sorted((SITE / "chapters").glob("*.html"))]:
        silent = check_site.read_page(path).silent_pictures
        assert not silent, f"{path.name}: pictures without alternative text: {silent[:3]}"


def test_the_ledger_is_a_table_in_the_page() -> None:
    ledger = page("ledger")
    assert ledger.count("GO-F0") > 20 and "not run" in ledger and "reproduced" in ledger


def test_every_figure_can_be_linked_to_whether_folded_or_not() -> None:
    shown = {path: check_site.read_page(path).anchors for path in (SITE / "chapters").glob("*.html")}
    anchors = set().union(*shown.values())
    assert [figure for figure in load_catalogue().figures if figure not in anchors] == []
