"""A cursor along the curves: played by mouse and by key, moved by hand, kept while a slider moves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np
import pytest
from driving import assert_drawn, page_of, silent_page
from playwright.sync_api import Browser, Locator, Page, expect

from landscape_helpers.explore import walk_explorer

UPDATES = 8
EXPLORER = walk_explorer(rates=(0.1, 1.1), updates=UPDATES, n_train=60)
COUNTS = tuple(len(slider["values"]) for slider in EXPLORER.spec["sliders"])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "walk.html"
    file.write_text(page_of(EXPLORER.html()), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with silent_page(browser, address) as opened:
        yield opened


def assert_veiled_from(plot: Locator, update: float) -> None:
    box = json.loads(plot.get_attribute("data-box") or "")
    veil = plot.locator("rect.lx-veil")
    expect(veil).to_have_attribute("visibility", "visible")
    at = (float(veil.get_attribute("x") or "nan") - box["left"]) / box["width"] * UPDATES
    assert at == pytest.approx(update, abs=0.01)


def test_the_whole_walk_is_shown_until_somebody_plays(page: Page) -> None:
    plots = page.locator("svg.lx-plot")
    expect(plots).to_have_count(3)
    for veil in page.locator("rect.lx-veil").all():
        expect(veil).to_have_attribute("visibility", "hidden")
    expect(page.get_by_role("slider", name="update")).to_have_value(str(UPDATES))
    position = [int(p) for p in EXPLORER.position]
    along = np.asarray(EXPLORER.frame(*position).curves["along"])
    assert_drawn(page.locator(".lx"), 0, 0, along)


def test_the_first_panel_takes_the_whole_width(page: Page) -> None:
    boxes = [plot.bounding_box() for plot in page.locator("svg.lx-plot").all()]
    first, second, third = (box for box in boxes if box)
    assert first["width"] > second["width"] + third["width"] and second["y"] == third["y"] > first["y"]


def test_keys_move_the_cursor_and_every_panel_is_read_there(page: Page) -> None:
    page.get_by_role("slider", name="update").focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    position = [int(p) for p in EXPLORER.position]
    curves = EXPLORER.frame(*position).curves
    for plot in page.locator("svg.lx-plot").all():
        assert_veiled_from(plot, 3)
    for where in page.locator(".lx-where").all():
        expect(where).to_have_text("values at update 3")
    distance = float(np.asarray(curves["distance"])[3])
    shown = page.locator(".lx-value").last.inner_text()
    assert float(shown) == pytest.approx(distance, rel=0.01)
    expect(page.locator("[aria-live=polite]")).to_contain_text("update 3.")


def test_the_ball_stands_on_the_curve(page: Page) -> None:
    page.get_by_role("slider", name="update").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    plot = page.locator("svg.lx-plot").first
    box, ball = json.loads(plot.get_attribute("data-box") or ""), plot.locator("circle.lx-ball")
    position = [int(p) for p in EXPLORER.position]
    loss = float(np.asarray(EXPLORER.frame(*position).curves["iterates"])[1])
    low, high = box["y"]
    height = box["top"] + box["height"] * (1 - (loss - low) / (high - low))
    assert float(ball.get_attribute("cy") or "nan") == pytest.approx(height, abs=0.1)
    assert float(ball.get_attribute("cx") or "nan") == pytest.approx(box["left"] + box["width"] / UPDATES, abs=0.1)


def test_the_cursor_stays_while_a_slider_moves(page: Page) -> None:
    page.get_by_role("slider", name="update").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.get_by_role("slider", name="learning rate").focus()
    page.keyboard.press("Home")
    expect(page.locator(".lx")).to_have_attribute("data-position", re.compile("^0,"))
    for plot in page.locator("svg.lx-plot").all():
        assert_veiled_from(plot, 1)


@pytest.mark.parametrize("by", ["mouse", "key"])
def test_play_runs_from_the_start_pauses_and_goes_on(page: Page, by: str) -> None:
    cursor, button = page.get_by_role("slider", name="update"), page.locator("button.lx-play")

    def press() -> None:
        if by == "mouse":
            return button.click()
        button.focus()
        page.keyboard.press("Space")

    expect(button).to_have_attribute("aria-label", f"Play: update 0 to {UPDATES}")
    press()
    expect(button).to_have_attribute("aria-label", "Pause")
    expect(cursor).to_have_value("1", timeout=5_000)
    press()
    expect(button).to_have_attribute("aria-label", f"Play: update 0 to {UPDATES}")
    stopped = float(cursor.input_value())
    page.wait_for_timeout(1200)
    assert float(cursor.input_value()) == stopped < UPDATES
    for plot in page.locator("svg.lx-plot").all():
        assert_veiled_from(plot, stopped)
    press()
    page.wait_for_timeout(300)
    press()
    assert stopped <= float(cursor.input_value()) < UPDATES, "it goes on from where it stood"


def test_playing_ends_with_everything_shown(page: Page) -> None:
    cursor = page.get_by_role("slider", name="update")
    cursor.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.locator("button.lx-play").click()
    expect(cursor).to_have_value(str(UPDATES), timeout=5_000)
    expect(page.locator("button.lx-play")).to_have_attribute("aria-label", f"Play: update 0 to {UPDATES}")
    for veil in page.locator("rect.lx-veil").all():
        expect(veil).to_have_attribute("visibility", "hidden")


def test_both_sliders_choose_the_frame(page: Page) -> None:
    page.get_by_role("slider", name="batch size").focus()
    page.keyboard.press("End")
    page.get_by_role("slider", name="learning rate").focus()
    page.keyboard.press("Home")
    last = COUNTS[1] - 1
    expect(page.locator(".lx")).to_have_attribute("data-position", f"0,{last}")
    expect(page.locator(".lx-note strong")).to_contain_text("Gradient descent")
    assert_drawn(page.locator(".lx"), 0, 0, np.asarray(EXPLORER.frame(0, last).curves["along"]))


def test_on_a_phone_the_panels_stand_below_each_other(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    boxes = [plot.bounding_box() for plot in page.locator("svg.lx-plot").all()]
    assert len({box["x"] for box in boxes if box}) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("button.lx-play").tap()
    expect(page.locator("button.lx-play")).to_have_attribute("aria-label", "Pause")
    context.close()
