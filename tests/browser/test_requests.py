"""The page's side of the conversation with Python, whose side the test plays.

One request at a time, the latest position wins, late answers are dropped, errors are shown.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from driving import assert_drawn
from playwright.sync_api import Browser, Page, expect

from landscape_helpers.explore import Frame, FrameExplorer, Panel, Series, Slider
from landscape_helpers.explore.page import SCRIPT

K = np.arange(5.0)
RATES = (1.0, 2.0, 4.0)
MOUNT = """(state) => {
  state.frames = new DataView(Uint8Array.from(atob(state.frames), (c) => c.charCodeAt(0)).buffer);
  const listeners = {};
  window.sent = [];
  window.tell = (event, ...rest) => (listeners[event] ?? []).forEach((listener) => listener(...rest));
  const model = {
    get: (name) => state[name], set: (name, value) => { state[name] = value; }, save_changes() {},
    on: (event, listener) => (listeners[event] ??= []).push(listener), off() {},
    send: (content) => window.sent.push(content),
  };
  window.answer = (content, values) =>
    window.tell("msg:custom", content, values ? [new DataView(new Float32Array(values).buffer)] : []);
  window.put = (position) => { model.set("position", position); window.tell("change:position"); };
  const el = document.body.appendChild(document.createElement("div"));
  window.widget.render({ model, el });
}"""


def frame(rate: float) -> Frame:
    return Frame({"y": rate * K}, note=f"rate {rate:g}")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    panel = Panel("Line", "x", "y", [Series("y", "y", K)], y_range=(0.0, 20.0))
    e = FrameExplorer(
        [panel], [Slider("rate", RATES, scale="log", format=".3g")], [frame(r) for r in RATES],
        alt="a line", compute=frame,
    )  # fmt: skip
    state = {name: getattr(e, name) for name in ("spec", "notes", "position", "caption", "alt", "live")}
    opened = browser.new_page()
    opened.set_content("<!doctype html><title>One explorer</title>")
    module = SCRIPT.read_text(encoding="utf-8").replace("export default", "window.widget =")
    opened.add_script_tag(content=module, type="module")
    opened.wait_for_function("window.widget !== undefined")  # a module runs when the page gets to it
    opened.evaluate(MOUNT, {**state, "frames": base64.b64encode(e.frames).decode()})
    opened.get_by_role("slider").focus()
    yield opened
    opened.close()


def sent(page: Page) -> list[dict]:
    return page.evaluate("window.sent")


def answer(page: Page, request: dict, **changes: object) -> None:
    """Answer as Python would; with ``message`` as Python does when compute has raised."""
    kind = "error" if "message" in changes else "frame"
    reply = {"kind": kind, "view": request["view"], "id": request["id"], "note": "answered", **changes}
    values = [] if kind == "error" else [float(v) for v in request["values"][0] * K]
    page.evaluate("([reply, values]) => window.answer(reply, values)", [reply, values])


def test_a_move_between_stored_values_asks_for_the_value_it_shows(page: Page) -> None:
    page.keyboard.press("ArrowRight")
    [request] = sent(page)
    assert request["kind"] == "frame" and request["values"] == [2.38]
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "2.38"
    explorer = page.locator(".lx")
    expect(explorer).to_have_attribute("data-state", "busy")
    answer(page, request)
    expect(explorer).to_have_attribute("data-state", "ready")
    assert_drawn(explorer, 0, 0, 2.38 * K)
    expect(page.locator(".lx-note")).to_have_text("answered")


def test_while_python_computes_only_the_latest_position_waits(page: Page) -> None:
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert len(sent(page)) == 1, "one request at a time"
    answer(page, sent(page)[0])
    first, second = sent(page)
    assert second["id"] > first["id"] and second["values"] == [3.36]
    expect(page.locator(".lx")).to_have_attribute("data-state", "busy")
    answer(page, second)
    assert len(sent(page)) == 2
    expect(page.locator(".lx")).to_have_attribute("data-state", "ready")
    assert_drawn(page.locator(".lx"), 0, 0, 3.36 * K)


def test_a_stored_frame_shows_at_once_and_drops_the_answer_under_way(page: Page) -> None:
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    explorer = page.locator(".lx")
    expect(explorer).to_have_attribute("data-state", "ready")
    assert_drawn(explorer, 0, 0, 4.0 * K)
    answer(page, sent(page)[0])
    assert_drawn(explorer, 0, 0, 4.0 * K)
    expect(page.locator(".lx-note")).to_have_text("rate 4")


def test_answers_to_other_views_are_not_ours(page: Page) -> None:
    page.keyboard.press("ArrowRight")
    [request] = sent(page)
    answer(page, {**request, "view": "another"})
    answer(page, {**request, "id": request["id"] + 1})
    expect(page.locator(".lx")).to_have_attribute("data-state", "busy")


def test_an_error_is_shown_until_the_next_move(page: Page) -> None:
    alarm = page.get_by_role("alert")
    expect(alarm).to_be_hidden()
    page.keyboard.press("ArrowRight")
    answer(page, sent(page)[0], message="ArithmeticError: too steep")
    expect(alarm).to_have_text("ArithmeticError: too steep")
    expect(page.locator(".lx")).to_have_attribute("data-state", "error")
    page.keyboard.press("Home")
    expect(alarm).to_be_hidden()
    assert_drawn(page.locator(".lx"), 0, 0, 1.0 * K)


def test_a_kernel_that_never_answers_is_named(page: Page) -> None:
    page.clock.install()
    page.keyboard.press("ArrowRight")
    page.clock.fast_forward(21_000)
    expect(page.get_by_role("alert")).to_contain_text("No answer from Python")
    page.keyboard.press("ArrowRight")
    assert len(sent(page)) == 2, "and the next move tries again"


def test_python_can_move_the_slider(page: Page) -> None:
    page.evaluate("window.put([2])")
    assert page.get_by_role("slider").input_value() == "2"
    assert_drawn(page.locator(".lx"), 0, 0, 4.0 * K)
