"""The cells of a table that a card shows as HTML."""

from __future__ import annotations

from html.parser import HTMLParser


class Cells(HTMLParser):
    """Headings and cells of a table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scopes: list[str] = []
        self.cells: list[str] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "th":
            self.scopes.append(str(dict(attrs)["scope"]))
        if tag == "td":
            self.cells.append("")
        self.inside = tag == "td" or (self.inside and tag in ("span", "br"))

    def handle_data(self, text: str) -> None:
        if self.inside and self.cells:
            self.cells[-1] += text
