"""Explorers: small multiples under a slider, alive with a kernel and readable without one."""

from .explorer import FrameExplorer
from .learning_rate import learning_rate_explorer
from .quadratic import quadratic_explorer
from .spec import Band, Frame, Panel, Reference, Series, Slider

__all__ = [
    "Band",
    "Frame",
    "FrameExplorer",
    "Panel",
    "Reference",
    "Series",
    "Slider",
    "learning_rate_explorer",
    "quadratic_explorer",
]
