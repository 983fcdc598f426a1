"""The learning-rate explorer in a running JupyterLab: Python trains at the rate the reader stops at."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import WATCH_ANSWERS, assert_drawn, jupyterlab, latencies, run_notebook
from playwright.sync_api import Browser, expect

from landscape_helpers.explore import learning_rate_explorer

RATES = (0.03, 0.3, 1.6, 6.0)
SOURCE = f"""
import torch
torch.set_num_threads(1)
from landscape_helpers.explore import learning_rate_explorer
explorer = learning_rate_explorer({RATES})
explorer
"""


@pytest.mark.timeout(150)
def test_moving_the_slider_trains_and_draws_a_new_run(browser: Browser, tmp_path: Path) -> None:
    expected = learning_rate_explorer(RATES)
    assert expected._compute is not None
    with jupyterlab(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        explorer = run_notebook(page, address, tmp_path, SOURCE)
        expect(explorer).to_have_attribute("data-state", "ready", timeout=60_000)
        before = explorer.locator("path.lx-curve").first.get_attribute("d")
        start = float(explorer.get_attribute("data-position") or "nan")

        page.evaluate(WATCH_ANSWERS)
        slider = page.get_by_role("slider", name="learning rate")
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(explorer).to_have_attribute("data-position", f"{start + 0.25}")
        expect(explorer).to_have_attribute("data-state", "ready")
        assert explorer.locator("path.lx-curve").first.get_attribute("d") != before

        # The page asks for the rate it shows, so training here at that rate must give the curves drawn there.
        rate = float((slider.get_attribute("aria-valuetext") or "").replace("\N{MINUS SIGN}", "-"))
        curves = expected._compute(rate).curves
        assert_drawn(explorer, 0, 0, curves["loss"])
        assert_drawn(explorer, 1, 0, curves["correlation"])
        assert_drawn(explorer, 2, 0, curves["sharpness"])

        # A burst of key presses ends at the last one, whatever was asked on the way.
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
        expect(explorer).to_have_attribute("data-position", f"{start + 0.25 - 1.5}")
        expect(explorer).to_have_attribute("data-state", "ready")
        print(f"\nlive, one move: {latencies(page)[0]:.0f} ms")
        page.close()
