"""Check a built site: nothing it loads lies elsewhere, and every link within it leads somewhere.

``python -m tools.check_site [FOLDER]`` prints one line a problem.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser loads by itself when it meets the element; a link is followed only by the reader.
LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "audio": ("src",),
    "video": ("src", "poster"),
    "track": ("src",),
    "input": ("src",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
# Relations of <link> that make a browser fetch; "canonical", "author", "search", "next" and the like do not.
FETCHING = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "manifest"}
ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


class Page(HTMLParser):
    """What one page loads, links to and can be linked at, and its pictures without alternative text."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles: list[str] = []
        self.silent_pictures: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self._in_style = tag == "style"
        for name in LOADING.get(tag, ()):
            if name in values:
                self.loads += _addresses(values[name]) if name == "srcset" else [values[name]]
        if tag == "link" and FETCHING & set(values.get("rel", "").lower().split()):
            self.loads.append(values.get("href", ""))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        # An empty alt is said on purpose, of a picture that only decorates; none at all is forgotten.
        if tag == "img" and "alt" not in values:
            self.silent_pictures.append(values.get("src", "")[:80])
        if "style" in values:
            self.styles.append(values["style"])

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append(data)


def _addresses(srcset: str) -> list[str]:
    if srcset.startswith("data:"):  # a comma is part of it
        return [srcset]
    return [part.split()[0] for part in srcset.split(",") if part.strip()]


def read_page(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def problems(site: Path) -> list[str]:
    """One line for each thing in ``site`` that would make a request to another host, or lead nowhere.

    Raises:
        FileNotFoundError: there is no index.html.
    """
    site = site.resolve()
    if not (site / "index.html").exists():
        raise FileNotFoundError(f"{site} holds no index.html: build the book first (make book)")
    # _static holds fragments of the theme's own, which are not pages.
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.relative_to(site).parts]
    pages = {path: read_page(path) for path in paths}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found += [f"{name} loads {address}" for address in page.loads if ELSEWHERE.match(address)]
        found += [f"{name} loads {match}" for style in page.styles for match in IN_STYLE.findall(style)]
        local = [address for address in page.loads + page.links if not _leads_out(address)]
        found += [f"{name} {why}" for address in local if (why := _nowhere(address, path, pages, site))]
    for path in sorted(site.rglob("*.css")):
        for match in IN_STYLE.findall(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(site).as_posix()} loads {match}")
    return found


def _leads_out(address: str) -> bool:
    return bool(ELSEWHERE.match(address) or urlsplit(address).scheme)


def _nowhere(address: str, path: Path, pages: dict[Path, Page], site: Path) -> str:
    """Why a relative address leads nowhere, or an empty string."""
    parts = urlsplit(address)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target = target / "index.html"
    if not target.exists():
        return f"points to {address}, which is not there"
    if not target.is_relative_to(site):
        return f"points to {address}, outside the site"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors and anchor != "top":
        return f"points to {address}, and that page has no such place"
    return ""


def main(arguments: list[str]) -> int:
    site = Path(arguments[0]) if arguments else Path("_build/html")
    try:
        found = problems(site)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(found) if found else f"{site}: nothing is loaded from elsewhere, and every link leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
