"""How long a slider move takes, from the key press to the painted curves, with a kernel and without one.

    python benchmarks/explorer_latency.py [--moves 40] [--screenshots DIR]

Static: the learning-rate explorer in a page opened from disk, with stored frames. Live: the same explorer in
JupyterLab, where each move retrains the network (60 full-batch steps, correlations, sharpness) before it
draws. Both in headless Chromium, which must be installed.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))

import driving
from playwright.sync_api import Browser, Page, expect

from landscape_helpers.explore import FrameExplorer, learning_rate_explorer, quadratic_explorer

SOURCE = """\
import torch
torch.set_num_threads(1)
from landscape_helpers.explore import learning_rate_explorer
learning_rate_explorer()
"""


def static(browser: Browser, folder: Path, moves: int) -> list[float]:
    """Milliseconds of each arrow-key move in a page from disk."""
    page = browser.new_page()
    page.goto((folder / "explorers.html").as_uri())
    page.evaluate(driving.WATCH_KEYS)
    page.get_by_role("slider").first.focus()
    page.keyboard.press("Home")
    for _ in range(moves):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(30)
    measured = driving.latencies(page)[1:]
    page.close()
    return measured


def live(browser: Browser, folder: Path, moves: int, screenshot: Path | None) -> list[float]:
    """Milliseconds of each arrow-key move in JupyterLab to a rate that Python has to train at."""
    with driving.jupyterlab(folder) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        explorer = driving.run_notebook(page, address, folder, SOURCE)
        expect(explorer).to_have_attribute("data-state", "ready", timeout=60_000)
        page.evaluate(driving.WATCH_ANSWERS)
        page.get_by_role("slider").first.focus()
        key = "ArrowRight"
        measured: list[float] = []
        while len(measured) < moves:
            before = len(driving.latencies(page))
            position = explorer.get_attribute("data-position")
            page.keyboard.press(key)
            _settle(page, before)
            if explorer.get_attribute("data-position") == position:
                key = "ArrowLeft" if key == "ArrowRight" else "ArrowRight"
            # Every fourth move lands on a stored frame and does not ask Python.
            elif float(explorer.get_attribute("data-position") or 0) % 1:
                measured.append(driving.latencies(page)[-1])
        if screenshot:
            page.screenshot(path=screenshot)
        page.close()
    return measured


def _settle(page: Page, before: int) -> None:
    deadline = time.monotonic() + 5
    while len(driving.latencies(page)) == before and time.monotonic() < deadline:
        page.wait_for_timeout(10)


def training(explorer: FrameExplorer, slider_positions: np.ndarray) -> list[float]:
    """Milliseconds Python alone needs for a frame."""
    taken = []
    for position in slider_positions:
        rate = explorer._sliders[0].at(float(position))
        began = time.perf_counter()
        explorer._compute(rate)  # type: ignore[misc]
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def shoot(browser: Browser, folder: Path, out: Path) -> None:
    """Pictures of the page to look at: light, dark, and on a phone."""
    for name, width, theme in (("light", 800, "light"), ("dark", 800, "dark"), ("phone", 390, "light")):
        page = browser.new_page(viewport={"width": width, "height": 900}, device_scale_factor=1.5)
        page.goto((folder / "explorers.html").as_uri())
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        page.screenshot(path=out / f"explorers-{name}.png", full_page=True)
        page.close()


def report(what: str, values: list[float]) -> None:
    tail = np.quantile(values, 0.9)
    print(f"{what:<40} median {median(values):6.1f} ms   90 % within {tail:6.1f} ms   n {len(values)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--screenshots", type=Path, help="folder for pictures of both")
    arguments = parser.parse_args()
    explorer = learning_rate_explorer()
    report("training and sharpness, Python alone", training(explorer, np.linspace(0, 32, arguments.moves)))
    with driving.chromium() as browser, tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), arguments.screenshots
        if out:
            out.mkdir(parents=True, exist_ok=True)
        page = driving.page_of(explorer.html(), quadratic_explorer().html())
        (folder / "explorers.html").write_text(page, encoding="utf-8")
        report("static page, key press to painted", static(browser, folder, min(arguments.moves, 32)))
        if out:
            shoot(browser, folder, out)
        shot = out / "explorers-live.png" if out else None
        report("JupyterLab, key press to new curves", live(browser, folder, arguments.moves, shot))
        print(f"Chromium {browser.version}, Python {platform.python_version()}, {platform.machine()}")


if __name__ == "__main__":
    main()
