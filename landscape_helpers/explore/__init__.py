"""Explorers: small multiples under a slider, alive with a kernel and readable without one."""

from .controls import Band, Choice, Cursor, Slider
from .directions import direction_explorer
from .edge import edge_explorer
from .explorer import FrameExplorer
from .learning_rate import learning_rate_explorer
from .lines import line_explorer
from .quadratic import quadratic_explorer
from .spec import Frame, Panel, Reference, Series
from .walk import walk_explorer

__all__ = [
    "Band",
    "Choice",
    "Cursor",
    "Frame",
    "FrameExplorer",
    "Panel",
    "Reference",
    "Series",
    "Slider",
    "direction_explorer",
    "edge_explorer",
    "learning_rate_explorer",
    "line_explorer",
    "quadratic_explorer",
    "walk_explorer",
]
