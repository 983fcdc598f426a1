"""How every figure looks: one palette, two themes, no global state.

Colours are those of Okabe and Ito (2008), which readers with any of the common colour-vision deficiencies can tell
apart; in the dark theme they are lightened until they stand out from the page's ``#14181e``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex

THEMES = ("light", "dark")
DPI = 200  # two device pixels for each CSS pixel at 100 CSS pixels an inch

DOTTED = (0, (1, 1.6))
# Of curves in the order of a theme's colours, for those who do not tell these apart.
LINE_STYLES = ("-", (0, (4, 1.4)), (0, (1, 1)), (0, (4, 1.2, 1, 1.2)), (0, (8, 1.4)))

OKABE_ITO = {
    "black": "#000000",
    "orange": "#e69f00",
    "sky blue": "#56b4e9",
    "bluish green": "#009e73",
    "yellow": "#f0e442",
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "reddish purple": "#cc79a7",
}


@dataclass(frozen=True)
class Theme:
    """The colours of one theme.

    Attributes:
        ink: titles and numbers. ``soft``: axis labels and reference lines. ``rule``: grid. ``axis``: spines and ticks.
        page: the page's background, behind labels that stand on curves; the figure itself is transparent.
        series: curves, in the order in which they are used.
        alarm: a run that broke off.
        oscillating: steps at which adjacent gradients oppose each other, shaded with ``band_opacity``; ``progress``:
            the curve of what was gained there, the same hue with the contrast of a line.
        diverging: colours at -1, -1/2, 0, 1/2 and 1: the hue of oscillation is negative, blue is positive, and what is
            near zero recedes into the page.
    """

    name: str
    ink: str
    soft: str
    axis: str
    rule: str
    page: str
    series: tuple[str, ...]
    alarm: str
    oscillating: str
    progress: str
    band_opacity: float
    diverging: tuple[str, ...]

    @property
    def correlation_map(self) -> Colormap:
        """The colour map of a correlation over [-1, 1]; what is not a number is transparent."""
        return LinearSegmentedColormap.from_list(f"correlation-{self.name}", self.diverging).with_extremes(bad="none")

    def shades(self, n: int) -> list[str]:
        """n colours in order of a setting, dark to light, that stay apart from the page and for any colour vision."""
        low, high = (0.05, 0.82) if self.name == "light" else (0.32, 0.98)
        return [to_hex(mpl.colormaps["viridis"](value)) for value in np.linspace(low, high, max(n, 2))[:n]]


LIGHT = Theme(
    name="light",
    ink="#1c1f24",
    soft="#555c66",
    axis="#9aa1ab",
    rule="#e3e6ea",
    page="#ffffff",
    series=tuple(OKABE_ITO[c] for c in ("blue", "vermilion", "bluish green", "reddish purple", "orange")),
    alarm="#a33b00",
    oscillating=OKABE_ITO["orange"],
    progress="#b86f00",
    band_opacity=0.2,
    diverging=("#a83c00", "#ec9f66", "#f6f5f3", "#78b4da", "#005a94"),
)
DARK = Theme(
    name="dark",
    ink="#e8eaed",
    soft="#a5adb8",
    axis="#6d7682",
    rule="#2b3038",
    page="#14181e",
    series=("#56b4e9", "#f0803c", "#1fbf92", "#dd94bd", "#f0c04a"),
    alarm="#ff9d66",
    oscillating=OKABE_ITO["orange"],
    progress="#f0b030",
    band_opacity=0.24,
    diverging=("#ff8c4f", "#8f4520", "#252a31", "#1f6593", "#6cc0f5"),
)


def of_name(name: str) -> Theme:
    """The colours of a theme.

    Raises:
        ValueError: neither "light" nor "dark".
    """
    if name not in THEMES:
        raise ValueError(f"unknown theme {name!r}: expected one of {', '.join(THEMES)}")
    return LIGHT if name == "light" else DARK


def ink_on(colour: tuple[float, float, float, float], dark: float) -> str:
    """White on colours (RGBA) of less luminance than ``dark``, else nearly black."""
    red, green, blue, _ = colour
    return "#ffffff" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < dark else "#14181e"


def rc_parameters(c: Theme) -> dict[str, object]:
    """Matplotlib's settings for a theme; the background is transparent."""
    return {
        "figure.facecolor": "none",
        "figure.dpi": DPI,
        "savefig.facecolor": "none",
        "savefig.dpi": DPI,
        "axes.facecolor": "none",
        "axes.edgecolor": c.axis,
        "axes.linewidth": 0.7,
        "axes.labelcolor": c.soft,
        "axes.labelsize": 8.5,
        "axes.titlecolor": c.ink,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": c.rule,
        "grid.linewidth": 0.7,
        "text.color": c.ink,
        "xtick.color": c.axis,
        "ytick.color": c.axis,
        "xtick.labelcolor": c.soft,
        "ytick.labelcolor": c.soft,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.minor.size": 1.6,
        "ytick.minor.size": 0,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "legend.labelcolor": c.ink,
        "legend.handlelength": 1.9,
        "legend.borderaxespad": 0.2,
        "legend.borderpad": 0.1,
        "legend.labelspacing": 0.25,
        "legend.columnspacing": 1.2,
        "lines.linewidth": 1.4,
        "lines.solid_joinstyle": "round",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # the one font that every matplotlib carries
        "font.size": 8.5,
        "mathtext.fontset": "dejavusans",
    }


@contextmanager
def theme(name: str) -> Iterator[Theme]:
    """Draw with a theme: ``with theme("dark") as colours: ...``. Settings are restored afterwards.

    Raises:
        ValueError: neither "light" nor "dark".
    """
    chosen = of_name(name)
    with mpl.rc_context(rc_parameters(chosen)):  # type: ignore[arg-type]
        yield chosen
