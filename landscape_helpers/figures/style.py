"""How every figure looks: one palette, two themes, no global state.

Colours are those of Okabe and Ito (2008), which readers with any of the common colour-vision deficiencies can tell apart;
in the dark theme three of them are lightened until they reach a contrast of at least 4.5 on the page's ``#14181e``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.colors import Colormap, LinearSegmentedColormap

THEMES = ("light", "dark")
DPI = 200  # two device pixels per CSS pixel at 100 CSS pixels an inch
WIDTH = 7.4  # inches, the book's column


@dataclass(frozen=True)
class Colours:
    """The colours of one theme.

    Attributes:
        ink: text and the curve that is not about correlation (the loss).
        soft: axis labels and remarks. ``rule``: grid lines.
        page: the background the figure is meant for; never painted.
        series: Okabe and Ito's hues, in the order in which they are used.
        alarm: a run that broke off.
        shade: where adjacent gradients oppose each other.
    """

    name: str
    ink: str
    soft: str
    axis: str
    rule: str
    page: str
    series: tuple[str, ...]
    alarm: str
    shade: str

    @property
    def correlation(self) -> str:
        return self.series[0]

    @property
    def diverging(self) -> Colormap:
        """Correlation -1 ... 1: vermilion through the page's own colour to blue."""
        middle = "#f4f4f2" if self.name == "light" else "#262b33"
        ends = ("#b04a00", "#e8843f", middle, "#4a9fd0", "#00598c")
        if self.name == "dark":
            ends = ("#ff9a55", "#b45f1f", middle, "#2b79ad", "#6cc3f2")
        return LinearSegmentedColormap.from_list(f"correlation-{self.name}", ends)


LIGHT = Colours(
    name="light",
    ink="#1c1f24",
    soft="#555c66",
    axis="#9aa1ab",
    rule="#e3e6ea",
    page="#ffffff",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
    alarm="#a33b00",
    shade="#e69f00",
)
DARK = Colours(
    name="dark",
    ink="#e8eaed",
    soft="#a5adb8",
    axis="#6d7682",
    rule="#2b3038",
    page="#14181e",
    series=("#56b4e9", "#f0803c", "#1fbf92", "#dd94bd", "#f0c04a", "#3f8fd0"),
    alarm="#ff9d66",
    shade="#e69f00",
)

# Dash patterns beside the hues, so that no curve is told apart by colour alone.
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 1.8)),
    (0, (1.2, 1.2)),
    (0, (6, 1.6, 1.4, 1.6)),
    (0, (3, 1.2)),
    (0, (8, 2)),
)


def colours(theme: str) -> Colours:
    """The palette of a theme.

    Raises:
        ValueError: neither "light" nor "dark".
    """
    if theme not in THEMES:
        raise ValueError(f"unknown theme {theme!r}: expected one of {', '.join(THEMES)}")
    return LIGHT if theme == "light" else DARK


def rc_parameters(theme: str) -> dict[str, object]:
    """Matplotlib's settings for a theme; the background is transparent."""
    c = colours(theme)
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
def theme(name: str) -> Iterator[Colours]:
    """Draw with a theme: ``with theme("dark") as colours: ...``. Settings are restored afterwards.

    Raises:
        ValueError: neither "light" nor "dark".
    """
    parameters = rc_parameters(name)
    with mpl.rc_context(parameters):  # type: ignore[arg-type]
        yield colours(name)
