"""Menus and moving axes: lines through a double well, in a page without a kernel and in a running JupyterLab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from driving import WATCH_ANSWERS, assert_drawn, curve, jupyterlab, latencies, page_of, run_notebook, silent_page
from playwright.sync_api import Browser, Locator, Page, expect
from torch import nn

from landscape_helpers.explore import FrameExplorer, direction_explorer, line_explorer
from landscape_helpers.objective import Objective

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w.expand(len(x), 1)


def double_well() -> FrameExplorer:
    x, one = torch.zeros(2, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    objective = Objective(Weight(), x, x, loss=lambda outputs, _: ((outputs**2 - 1) ** 2).mean())
    return line_explorer(objective, -one, {"up": one, "down": -one}, {"the other well": one}, scales=SCALES)


EXPLORER = double_well()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "lines.html"
    file.write_text(page_of(EXPLORER.html()), encoding="utf-8")
    with silent_page(browser, file.as_uri()) as opened:
        yield opened


def box_of(plot: Locator) -> dict:
    return json.loads(plot.get_attribute("data-box") or "")


def test_the_keyboard_opens_another_direction_and_widens_the_view(page: Page) -> None:
    explorer, plot = page.locator(".lx"), page.locator("svg.lx-plot").first
    menu = page.get_by_role("combobox", name="direction")
    menu.focus()
    page.keyboard.press("End")
    expect(menu).to_have_value("the other well")
    page.get_by_role("slider").focus()
    for index, scale in enumerate(SCALES):
        page.keyboard.press("Home" if index == 0 else "ArrowRight")
        expect(explorer).to_have_attribute("data-position", f"2,{index}")
        frame = EXPLORER.frame(2, index)
        left, right, bottom, top = frame.limits["Loss in view"]
        box = box_of(plot)
        assert (box["x"], right) == ([-scale, scale], scale) and left == -scale
        assert box["y"] == pytest.approx([bottom, top])
        assert_drawn(explorer, 0, 0, np.asarray(frame.curves["loss"]))
        np.testing.assert_allclose(curve(explorer, 0, 0)[[0, -1], 0], [-scale, scale], rtol=1e-3)
    expect(page.locator(".lx-note strong")).to_have_text(EXPLORER.frame(2, 4).note.split("\n")[0])


def test_lines_stand_where_the_networks_do(page: Page) -> None:
    plot = page.locator("svg.lx-plot").first
    upright = plot.locator("line.lx-upright")
    page.get_by_role("combobox", name="direction").select_option(label="up")
    expect(upright.nth(1)).to_have_attribute("visibility", "hidden")
    page.get_by_role("combobox", name="direction").select_option(label="the other well")
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    for line, at in ((upright.nth(0), 0.0), (upright.nth(1), 1.0)):
        expect(line).to_have_attribute("visibility", "visible")
        box = box_of(plot)
        share = (float(line.get_attribute("x1") or "nan") - box["left"]) / box["width"]
        assert box["x"][0] + share * (box["x"][1] - box["x"][0]) == pytest.approx(at, abs=0.01)
    expect(plot.locator("text.lx-reference-label")).to_have_text(["model", "other"])
    edges = page.locator("svg.lx-plot").nth(1).locator("line.lx-upright")
    expect(edges).to_have_count(2)


def test_stationary_points_are_dots(page: Page) -> None:
    page.get_by_role("combobox", name="direction").select_option(label="the other well")
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    dots = page.locator("svg.lx-plot").first.locator("path.lx-dots").nth(2)
    assert (dots.get_attribute("d") or "").count("M") == 3


def test_at_rest_the_legend_reads_the_model(page: Page) -> None:
    expect(page.locator(".lx-where").first).to_have_text("values at λ 0")
    expect(page.locator(".lx-value").first).to_have_text("0.0")


def test_a_phone_holds_menus_and_slider(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "lines.html"
    file.write_text(page_of(EXPLORER.html()), encoding="utf-8")
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    menu = page.get_by_role("combobox").bounding_box()
    assert menu and menu["height"] >= 32
    page.close()


SOURCE = """
import torch
torch.set_num_threads(1)
from landscape_helpers.explore import direction_explorer
direction_explorer(n_train=100, scales=(0.25, 1.0, 4.0))
"""


@pytest.mark.timeout(240)
def test_python_evaluates_the_line_between_the_scales(browser: Browser, tmp_path: Path) -> None:
    expected = direction_explorer(n_train=100, scales=(0.25, 1.0, 4.0))
    assert expected._compute is not None
    with jupyterlab(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        explorer = run_notebook(page, address, tmp_path, SOURCE)
        expect(explorer).to_have_attribute("data-state", "ready", timeout=90_000)
        menu = page.get_by_role("combobox", name="direction")
        menu.focus()
        page.keyboard.press("ArrowDown")
        expect(explorer).to_have_attribute("data-position", "1,1,1")
        page.evaluate(WATCH_ANSWERS)
        slider = page.get_by_role("slider", name="half-width")
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(explorer).to_have_attribute("data-position", "1,1,1.25")
        expect(explorer).to_have_attribute("data-state", "ready")
        scale = float(slider.get_attribute("aria-valuetext") or "nan")
        assert_drawn(explorer, 0, 0, np.asarray(expected._compute(1, 1, scale).curves["loss"]))
        print(f"\nlive, one move: {latencies(page)[0]:.0f} ms")
        page.close()
