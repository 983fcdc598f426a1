"""Explorers in a page without a kernel, opened from disk: mouse, keyboard, touch, and JavaScript off."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from driving import WATCH_KEYS, assert_drawn, curve, latencies, page_of, silent_page
from matplotlib.image import imread
from playwright.sync_api import Browser, Page, expect

from landscape_helpers.explore import (
    Band,
    Frame,
    FrameExplorer,
    Panel,
    Reference,
    Series,
    Slider,
    quadratic_explorer,
)

STEPS = np.arange(61)


def ringing() -> FrameExplorer:
    """The learning-rate explorer's shape without its training: log axes, a moving line, an early end."""
    rates = np.geomspace(0.01, 10.0, 33)
    panels = (
        Panel("Loss", "step", "nat", [Series("loss", "loss", STEPS)], y_scale="log", y_range=(1e-3, 1e2)),
        Panel(
            "Correlation", "step", "cosine", [Series("raw", "raw", STEPS), Series("mean", "mean", STEPS)],
            y_range=(-1.1, 1.1),
        ),
        Panel(
            "Sharpness", "step", "log", [Series("sharp", "sharpness", STEPS[::4], markers=True)],
            y_scale="log", y_range=(0.1, 100.0),
            references=[Reference("two", "2/η"), Reference("one", "1/η", faint=True)],
        ),
    )  # fmt: skip

    def frame(rate: float) -> Frame:
        last = 61 if rate < 3 else 14
        raw = np.cos(STEPS * rate)
        return Frame(
            {
                "loss": 2.3 * np.exp(-rate * STEPS / 20)[:last],
                "raw": raw[:last],
                "mean": (raw / 2)[:last],
                "sharp": 1 + rate * STEPS[::4][: (last + 3) // 4],
            },
            {"two": 2 / rate, "one": 1 / rate},
            "" if last == 61 else "Diverged: loss became non-finite at step 14.",
        )

    slider = Slider("rate η", rates, scale="log", format=".3g", bands=[Band("calm", 0.01, 3.0), Band("wild", 3.0, 10)])
    return FrameExplorer(panels, [slider], [frame(r) for r in rates], alt="ringing curves", caption="A caption.")


FIRST, SECOND = ringing(), quadratic_explorer()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "two.html"
    file.write_text(page_of(FIRST.html(), "<p>between</p>", SECOND.html()), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with silent_page(browser, address) as opened:
        yield opened


def assert_shows(page: Page, which: int, explorer: FrameExplorer, index: int) -> None:
    shown = page.locator(".lx").nth(which)
    expect(shown).to_have_attribute("data-position", str(index))
    curves = explorer.frame(index).curves
    for p, panel in enumerate(explorer._panels):
        for s, series in enumerate(panel.series):
            values = np.asarray(curves[series.key])
            assert_drawn(shown, p, s, values[:, 1] if series.is_path else values)


def test_both_explorers_replace_their_pictures_and_show_their_first_frame(page: Page) -> None:
    expect(page.locator(".lx")).to_have_count(2)
    expect(page.locator("img.lx-fallback")).to_have_count(0)
    assert_shows(page, 0, FIRST, 16)
    assert_shows(page, 1, SECOND, int(SECOND.position[0]))


def test_keyboard_moves_one_explorer_and_draws_its_frame(page: Page) -> None:
    page.evaluate(WATCH_KEYS)
    slider = page.get_by_role("slider", name="rate η")
    slider.focus()
    before = page.locator(".lx").nth(1).get_attribute("data-position")
    for index in range(17, 33):
        page.keyboard.press("ArrowRight")
        assert_shows(page, 0, FIRST, index)
    expect(page.locator(".lx-note").first).to_have_text("Diverged: loss became non-finite at step 14.")
    assert len(curve(page.locator(".lx").first, 0, 0)) == 14
    page.keyboard.press("Home")
    assert_shows(page, 0, FIRST, 0)
    assert page.locator(".lx").nth(1).get_attribute("data-position") == before
    measured = latencies(page)
    assert len(measured) == 17
    print(f"\nstatic page, {len(measured)} keys: median {median(measured):.1f}, worst {max(measured):.1f} ms")


def test_mouse_drags_through_the_frames(page: Page) -> None:
    slider = page.get_by_role("slider", name="step size")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    x, y = box["x"], box["y"] + box["height"] / 2
    explorer = page.locator(".lx").nth(1)
    seen = []
    page.mouse.move(x + 11, y)
    page.mouse.down()
    for share in (0.1, 0.4, 0.7, 1.0):
        page.mouse.move(x + 11 + share * (box["width"] - 22), y, steps=4)
        seen.append(explorer.locator("path.lx-curve").nth(1).get_attribute("d"))
    page.mouse.up()
    assert len(set(seen)) == 4
    assert_shows(page, 1, SECOND, len(SECOND.notes) - 1)
    expect(explorer.locator(".lx-note")).to_contain_text("diverges")


def test_the_moving_line_stands_where_the_frame_says(page: Page) -> None:
    page.get_by_role("slider", name="rate η").focus()
    page.keyboard.press("ArrowRight")
    plot = page.locator(".lx").first.locator("svg.lx-plot").nth(2)
    rule = plot.locator("line.lx-reference").first
    box = plot.evaluate("(svg) => JSON.parse(svg.dataset.box)")
    up = 1 - (float(rule.get_attribute("y1") or "nan") - box["top"]) / box["height"]
    assert 0.1 * 1000**up == pytest.approx(FIRST.frame(17).references["two"], rel=1e-3)


def test_numbers_are_announced_and_named(page: Page) -> None:
    page.get_by_role("slider", name="rate η").focus()
    page.keyboard.press("ArrowLeft")
    first = page.locator(".lx").first
    spoken = first.locator("[aria-live=polite]")
    last = f"{float(np.asarray(FIRST.frame(15).curves['loss'])[-1]):.3g}"
    expect(spoken).to_contain_text(f"rate η 0.255. Loss: loss {last}. Correlation: raw")
    expect(first.get_by_role("img", name=f"Loss. loss {last}")).to_have_count(1)
    assert page.get_by_role("slider", name="rate η").get_attribute("aria-valuetext") == "0.255"


def test_hovering_reads_every_panel_at_one_step(page: Page) -> None:
    first = page.locator(".lx").first
    plot = first.locator("svg.lx-plot").first
    box, data = plot.bounding_box(), plot.evaluate("(svg) => JSON.parse(svg.dataset.box)")
    assert box is not None
    page.mouse.move(box["x"] + data["left"] + data["width"] * 20.2 / 60, box["y"] + 60)
    for where in first.locator(".lx-where").all():
        expect(where).to_have_text("values at step 20")
    loss = float(np.asarray(FIRST.frame(16).curves["loss"])[20])
    expect(first.locator(".lx-value").first).to_have_text(f"{loss:.3g}")
    page.mouse.move(5, 5)
    expect(first.locator(".lx-where").first).to_have_text("values at step 60")


def test_phone_stacks_the_panels_without_sideways_scrolling(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    boxes = [plot.bounding_box() for plot in page.locator(".lx").first.locator("svg.lx-plot").all()]
    assert len({box["x"] for box in boxes if box}) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("slider", name="rate η").tap()
    assert_shows(page, 0, FIRST, 16)
    context.close()


def test_colours_follow_the_theme(page: Page) -> None:
    def ink() -> str:
        return page.locator(".lx").first.evaluate("(e) => getComputedStyle(e).color")

    light = ink()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark = ink()
    page.evaluate("document.documentElement.dataset.theme = 'light'; document.body.dataset.jpThemeLight = 'false'")
    assert ink() == dark != light
    page.emulate_media(color_scheme="dark")
    page.evaluate("delete document.body.dataset.jpThemeLight")
    assert ink() == light, "a page that says it is light stays light on a dark system"
    page.evaluate("delete document.documentElement.dataset.theme")
    assert ink() == dark


def test_without_javascript_there_is_a_picture(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    pictures = page.locator("img.lx-fallback")
    expect(pictures).to_have_count(2)
    expect(pictures.first).to_have_attribute("alt", "ringing curves")
    box = pictures.first.bounding_box()
    assert box is not None and box["width"] > 300 and box["height"] > 100
    image = imread(io.BytesIO(pictures.first.screenshot()))
    assert image[..., :3].std() > 0.05, "the picture must show something"
    context.close()


def test_the_same_explorer_twice_on_a_page_works_twice(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "twice.html"
    file.write_text(page_of(FIRST.html(), FIRST.html()), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    expect(page.locator(".lx")).to_have_count(2)
    page.get_by_role("slider").nth(1).focus()
    page.keyboard.press("End")
    assert_shows(page, 1, FIRST, 32)
    assert_shows(page, 0, FIRST, 16)
    page.close()
