"""The edge's explorer in a page: a slider and a menu together, and several curves drawn as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from driving import assert_drawn, page_of, silent_page
from playwright.sync_api import Browser, Page, expect

from landscape_helpers.explore import edge_explorer
from landscape_helpers.explore.edge import STOPS

EXPLORER = edge_explorer(
    n_train=150, images=30, classes=(2, 4), model_options={"hidden": (5,), "activation": "tanh"}, rates=(0.25, 0.6)
)


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "edge.html"
    file.write_text(page_of(EXPLORER.html()), encoding="utf-8")
    with silent_page(browser, file.as_uri(), height=1000) as opened:
        yield opened


def test_rate_and_classes_choose_the_frame(page: Page) -> None:
    page.get_by_role("slider", name="learning rate").focus()
    page.keyboard.press("Home")
    page.get_by_role("combobox", name="number of classes").select_option("4")
    explorer = page.locator(".lx")
    expect(explorer).to_have_attribute("data-position", "0,1")
    curves = EXPLORER.frame(0, 1).curves
    assert_drawn(explorer, 0, 0, np.asarray(curves["last"]))
    assert_drawn(explorer, 0, 1, np.asarray(curves["first"]))
    others = np.asarray(curves["others"])
    assert np.isfinite(others[:, 1]).sum() == 2 * (STOPS + 1)
    assert_drawn(explorer, 0, 2, others[:, 1])
    assert_drawn(explorer, 1, 0, np.asarray(curves["loss"]))


def test_curves_that_share_a_path_are_not_joined(page: Page) -> None:
    page.get_by_role("combobox", name="number of classes").select_option("4")
    path = page.locator("svg.lx-plot").first.locator("path.lx-curve").nth(2).get_attribute("d") or ""
    assert path.count("M") == 2
    page.get_by_role("combobox", name="number of classes").select_option("2")
    expect(page.locator("svg.lx-plot").first.locator("path.lx-curve").nth(2)).to_have_attribute("d", "")


def test_the_first_panel_takes_the_whole_width_and_three_stand_below(page: Page) -> None:
    first, *others = (box for plot in page.locator("svg.lx-plot").all() if (box := plot.bounding_box()))
    assert len(others) == 3 and len({box["y"] for box in others}) == 1 and others[0]["y"] > first["y"]
    assert first["width"] > 2.9 * others[0]["width"]
