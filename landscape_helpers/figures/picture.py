"""A drawing of its own in a page, on light and on dark, for what is no figure of a paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

from matplotlib.figure import Figure
from PIL.Image import Image

from .card_html import images_html
from .card_style import STYLE
from .image import png, render


@dataclass(frozen=True)
class Picture:
    """What a notebook shows; needs no JavaScript, no network and no other file.

    Attributes:
        draw: theme's name -> figure.
        alt: what it shows, for those who do not see it; ``print`` gives it too.
        anchor: the id that links lead to.
    """

    draw: Callable[[str], Figure]
    alt: str
    anchor: str

    @cached_property
    def _images(self) -> tuple[Image, Image]:
        return render(self.draw)

    def __str__(self) -> str:
        return self.alt

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        pictures = images_html(self._images, self.alt, self.anchor)
        html = f'<figure class="lh-card" id="{escape(self.anchor)}"><style>{STYLE}</style>{pictures}</figure>'
        return {"text/html": html, "text/plain": self.alt, "image/png": png(self._images[0]).data}
