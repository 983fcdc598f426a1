"""The built pages in a browser, from ``file://``: no request, no error, none wider than a phone, no script needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tools.chapters import toc_pages

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build/html"
CHAPTER = "chapters/gradient-oscillation"
GROUPED = "chapters/walk-with-sgd"  # holds figures that are folded
PAGES = toc_pages(ROOT / "book/_toc.yml")
# Both are logged by the theme on every page and concern launch buttons that this book does not have.
HARMLESS = ("THEBE_JS_URL",)

pytestmark = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="the book has not been built (make book)")


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    yield context
    context.close()


def opened(context: BrowserContext, name: str) -> Page:
    page = context.new_page()
    page.goto((SITE / f"{name}.html").as_uri())
    return page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_logs_nothing_and_fits_a_phone(phone: BrowserContext, name: str) -> None:
    requests: list[str] = []
    errors: list[str] = []
    phone.on("request", lambda request: requests.append(request.url) if request.url.startswith("http") else None)
    phone.on("weberror", lambda error: errors.append(str(error.error)))
    phone.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page = opened(phone, name)
    page.wait_for_timeout(500)
    assert requests == []
    assert [error for error in errors if not any(harmless in error for harmless in HARMLESS)] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_formulas_are_set_in_their_font(phone: BrowserContext) -> None:
    page = opened(phone, CHAPTER)
    page.evaluate("document.fonts.ready")
    assert page.evaluate("document.fonts.check('16px \"Book Math\"')")
    heights = page.evaluate("[...document.querySelectorAll('mfrac')].map((e) => e.getBoundingClientRect().height)")
    assert heights and min(heights) > 12, "a fraction is taller than a line of text"


def test_without_a_script_every_explorer_is_a_picture(browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = opened(context, CHAPTER)
    explorers = page.locator("[data-explorer]")
    assert explorers.count() >= 1
    for i in range(explorers.count()):
        picture = explorers.nth(i).locator("img")
        assert picture.is_visible() and (box := picture.bounding_box()) and box["width"] > 300
    assert page.locator("math").count() > 10
    context.close()


def test_on_a_phone_a_slider_stays_in_view_and_covers_nothing(phone: BrowserContext) -> None:
    page = opened(phone, CHAPTER)
    explorer = page.locator(".lx").first
    explorer.wait_for()
    controls, note = explorer.locator(".lx-controls"), explorer.locator(".lx-note")
    page.evaluate("(top) => window.scrollTo(0, top)", explorer.bounding_box()["y"] - 300)  # type: ignore[index]
    at_rest, below = controls.bounding_box(), note.bounding_box()
    assert at_rest and below and at_rest["y"] + at_rest["height"] <= below["y"] + 1
    page.mouse.wheel(0, 600)
    page.wait_for_timeout(300)
    stuck = controls.bounding_box()
    assert stuck and 0 < stuck["y"] < 100


def test_the_search_finds_without_a_server(phone: BrowserContext) -> None:
    page = phone.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=oscillation")
    page.wait_for_selector("#search-results li", timeout=10_000)
    assert page.locator("#search-results li").count() >= 1


@pytest.mark.parametrize("script", [True, False])
def test_a_link_to_a_folded_figure_unfolds_it(browser: Browser, script: bool) -> None:
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto((SITE / f"{GROUPED}.html").as_uri() + "#WALK-F15")
    figure = page.locator("#WALK-F15")
    assert figure.is_visible() and not page.locator("#WALK-F14").is_visible()
    box = figure.bounding_box()
    assert box and -10 < box["y"] < 900
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_keeps_its_contrast(browser: Browser, theme: str) -> None:
    """At least 4.5 to 1 between running text and page (WCAG 2.1, 1.4.3)."""
    context = browser.new_context(color_scheme=theme)
    context.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")
    page = opened(context, "intro")
    ratio = page.evaluate("""(TEXT) => {
      const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3)
          .map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const page = light(getComputedStyle(document.body).backgroundColor);
      return Math.min(...[...document.querySelectorAll(TEXT)].map((e) => {
        const ink = light(getComputedStyle(e).color);
        return (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05);
      }));
    }""", ".bd-article section > p, .bd-article .lead p, .bd-article dd p, .sd-card-text, .sd-card-footer a.reference")
    assert ratio >= 4.5
    context.close()
