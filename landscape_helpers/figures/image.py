"""Figures as images small enough to stand in a page."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

# 8 inches at 150 pixels an inch are 1,200 pixels, about 1.6 for each CSS pixel of a text column.
DPI = 150
# Steps between the levels that are kept. A palette would be smaller still, but it merges neighbouring tints of a colour
# map into bands that are not in the data; steps of 8 out of 255 are below what the eye tells apart.
COLOUR_STEP, ALPHA_STEP = 8, 32


@dataclass(frozen=True)
class Encoded:
    """An image file and its size in pixels."""

    data: bytes
    mime: str
    width: int
    height: int


def render(draw: Callable[[str], Figure], dpi: int = DPI) -> tuple[Image.Image, Image.Image]:
    """A figure on light and on dark, transparent.

    Args:
        draw: makes the figure for a theme's name; both must have the same axes.
    """
    light, dark = draw("light"), draw("dark")
    first = _pixels(light, dpi)
    # Laying out takes longer than drawing, and the two differ in colours only.
    dark.set_layout_engine(None)
    for ax, like in zip(dark.axes, light.axes, strict=True):
        ax.set_position(like.get_position(original=True))
    return first, _pixels(dark, dpi)


def webp(image: Image.Image) -> Encoded:
    """Transparent, and lossless but for rounded colours: about half of what it would be unrounded."""
    rounded = image.convert("RGBA").point(3 * _levels(COLOUR_STEP) + _levels(ALPHA_STEP))
    return _encode(rounded, "webp", lossless=True, quality=90, method=4)


def png(image: Image.Image) -> Encoded:
    """On a white page of its own, for viewers that show neither HTML nor transparency as meant."""
    paper = Image.new("RGBA", image.size, "#ffffff")
    paper.alpha_composite(image.convert("RGBA"))
    return _encode(paper.convert("RGB").point(3 * _levels(COLOUR_STEP)), "png")


def _pixels(figure: Figure, dpi: int) -> Image.Image:
    """RGBA of the figure, drawn once; ``savefig`` would go through it twice, the first time for the layout alone."""
    figure.set_dpi(dpi)
    figure.patch.set_facecolor("none")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba()))


def _levels(step: int) -> list[int]:
    """For each level from 0 to 255 the nearest multiple of step, with 0 and 255 kept."""
    return [level if level in (0, 255) else min((level + step // 2) // step * step, 255) for level in range(256)]


def _encode(image: Image.Image, kind: str, **options: object) -> Encoded:
    file = io.BytesIO()
    image.save(file, kind.upper(), **options)
    return Encoded(file.getvalue(), f"image/{kind}", *image.size)
