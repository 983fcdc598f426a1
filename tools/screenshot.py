"""Pictures of the built book in headless Chromium: ``python -m tools.screenshot PAGE [PAGE ...] --out FOLDER``.

Each page is taken light and dark, at desktop and at phone width, from ``file://`` and with no network. Whatever
the page asks another host for, and every error in its console, is printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--allow-file-access-from-files"]
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Every page of the theme logs these two, which name nothing that fails.
HARMLESS = ("THEBE_JS_URL", "invalid theme mode")


def executable() -> str:
    """Path of Chromium.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("no chromium on PATH: install it (Debian: apt-get install chromium)")


def take(browser: Browser, page: Path, target: Path, *, theme: str, width: str, full: bool, script: bool) -> list[str]:
    """Write one picture; what was wrong with the page on the way, one line each."""
    size = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=script,
        device_scale_factor=2 if width == "phone" else 1,
    )
    remarks: list[str] = []
    context.on("request", lambda r: remarks.append(f"asks for {r.url}") if r.url.startswith("http") else None)
    tab = context.new_page()
    tab.on(
        "console",
        lambda m: remarks.append(m.text) if m.type == "error" and not any(h in m.text for h in HARMLESS) else None,
    )
    tab.on("pageerror", lambda error: remarks.append(str(error)) if "THEBE" not in str(error) else None)
    if script:
        tab.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")
    tab.goto(page.resolve().as_uri())
    tab.wait_for_timeout(600)
    if script and (overflow := tab.evaluate(OVERFLOW)) > 0:
        remarks.append(f"is {overflow} px wider than the {width} screen")
    tab.screenshot(path=target, full_page=full)
    context.close()
    return [f"{page.name} ({theme}, {width}): {remark}" for remark in remarks]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.screenshot", description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", help="pages of the site, e.g. intro chapters/gradient-oscillation")
    parser.add_argument("--site", type=Path, default=Path("_build/html"))
    parser.add_argument("--out", type=Path, default=Path("build/screenshots"))
    parser.add_argument("--full", action="store_true", help="the whole length of the page")
    parser.add_argument("--no-script", action="store_true", help="with JavaScript off")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    remarks = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        for page in arguments.pages:
            for theme in ("light", "dark"):
                for width in WIDTHS:
                    target = arguments.out / f"{page.replace('/', '-')}-{theme}-{width}.png"
                    remarks += take(
                        browser, arguments.site / f"{page}.html", target,
                        theme=theme, width=width, full=arguments.full, script=not arguments.no_script,
                    )  # fmt: skip
                    print(target)
        browser.close()
    print("\n".join(remarks), file=sys.stderr)
    return 1 if remarks else 0


if __name__ == "__main__":
    raise SystemExit(main())
