"""A reader's hands and eyes: Chromium, a JupyterLab to look at, and what an explorer has drawn."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PAGE = """<!doctype html><html lang="en"{theme}><head><meta charset="utf-8"><title>Explorers</title>
<meta name="viewport" content="width=device-width"><style>
body {{ max-width: 760px; margin: 1rem auto; padding: 0 12px; font-family: sans-serif }}
html[data-theme=dark] body {{ background: #14181e; color: #ddd }}</style></head><body>{body}</body></html>"""

# From the key press, as the browser stamps it, until after the frame that shows its effect is painted.
WATCH_KEYS = """() => {
  window.latencies = [];
  const channel = new MessageChannel();
  document.addEventListener("keydown", (event) => {
    requestAnimationFrame(() => {
      channel.port1.onmessage = () => window.latencies.push(performance.now() - event.timeStamp);
      channel.port2.postMessage("painted");
    });
  }, true);
}"""
# From the key press until the frame after the explorer's next "ready": through Python and back, and drawn.
WATCH_ANSWERS = """() => {
  window.latencies = [];
  const root = document.querySelector(".lx");
  let pressed = null;
  document.addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    if (root.dataset.state !== "ready" || pressed === null) return;
    const began = pressed;
    pressed = null;
    requestAnimationFrame(() => window.latencies.push(performance.now() - began));
  }).observe(root, { attributes: true, attributeFilter: ["data-state"] });
}"""


@contextlib.contextmanager
def silent_page(browser: Browser, address: str, height: int = 900) -> Iterator[Page]:
    """A page on a desk, which must ask no other host for anything and put nothing on the console."""
    page = browser.new_page(viewport={"width": 900, "height": height})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url),
    )
    page.goto(address)
    yield page
    assert complaints == []
    page.close()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


def page_of(*pieces: str, theme: str = "light") -> str:
    return PAGE.format(theme=f' data-theme="{theme}"', body="\n".join(pieces))


def curve(explorer: Locator, panel: int, series: int) -> np.ndarray:
    """What a curve shows, (n, 2): the points of its path, from pixels back to the units of the axes."""
    plot = explorer.locator("svg.lx-plot").nth(panel)
    path = plot.locator("path.lx-curve").nth(series).get_attribute("d") or ""
    box = json.loads(plot.get_attribute("data-box") or "")
    pixels = np.array([[float(v) for v in p.split(",")] for p in re.findall(r"L([-\d.]+,[-\d.]+)", path)])
    (x0, x1), (y0, y1) = box["x"], box["y"]
    across = (pixels[:, 0] - box["left"]) / box["width"]
    up = 1 - (pixels[:, 1] - box["top"]) / box["height"]
    y = y0 * (y1 / y0) ** up if box["scale"] == "log" else y0 + up * (y1 - y0)
    return np.stack([x0 + across * (x1 - x0), y], axis=1)


def assert_drawn(explorer: Locator, panel: int, series: int, expected: np.ndarray) -> None:
    """Assert that a curve shows the finite values of ``expected`` (n,), to a tenth of a pixel."""
    plot = explorer.locator("svg.lx-plot").nth(panel)
    box = json.loads(plot.get_attribute("data-box") or "")
    values = np.asarray(expected, dtype=float)
    values = values[np.isfinite(values) & ((values > 0) | (box["scale"] == "linear"))]
    shown = curve(explorer, panel, series)[:, 1]
    assert len(shown) == len(values)
    low, high = box["y"]
    inside = (values >= low) & (values <= high)
    assert inside.any()
    if box["scale"] == "log":
        shown, values, low, high = np.log(shown), np.log(values), np.log(low), np.log(high)
    np.testing.assert_allclose(shown[inside], values[inside], atol=0.1 * (high - low) / box["height"])


def latencies(page: Page) -> list[float]:
    """Milliseconds, one per key press so far."""
    return [float(v) for v in page.evaluate("window.latencies")]


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """A JupyterLab that serves ``folder`` and keeps its own files there; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    private = {
        name: str(folder / ".jupyter" / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    }
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--allow-root", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--LabApp.workspaces_dir={folder / '.jupyter' / 'workspaces'}",
    ]  # fmt: skip
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | private | {"PYTHONPATH": path}, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(address, server, folder / "lab.log")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not come up:\n{log.read_text()[-2000:]}")


def run_notebook(page: Page, address: str, folder: Path, source: str) -> Locator:
    """Open a one-cell notebook in JupyterLab, run it, and wait for the explorer it shows."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "live.ipynb")
    page.goto(f"{address}/lab/workspaces/auto-x/tree/live.ipynb")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    explorer = page.locator(".lx").first
    started = page.locator(".jp-Notebook .jp-InputPrompt").filter(has_text=re.compile(r"\[[*\d]+\]")).first
    for _ in range(4):
        # Just after the indicator says idle, JupyterLab reconnects to the kernel and drops what it is told.
        page.wait_for_timeout(2500)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with contextlib.suppress(PlaywrightTimeout):
            started.wait_for(timeout=5_000)
            break
    explorer.wait_for(timeout=60_000)
    return explorer
