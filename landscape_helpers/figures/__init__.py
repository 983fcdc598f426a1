"""Figures: one plotting module a chapter, one style for all, and the card that holds a figure against its paper."""

from .gradient_oscillation import draw
from .style import OKABE_ITO, THEMES, Theme, theme
from .trajectories import Trajectories, stack_seeds

__all__ = ["OKABE_ITO", "THEMES", "Theme", "Trajectories", "draw", "stack_seeds", "theme"]
