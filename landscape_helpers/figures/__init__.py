"""Figures: one plotting module a chapter, one style for all, and the card that holds a figure against its paper.

The card itself is ``card`` of :mod:`landscape_helpers.figures.card`; under that name here it would hide its module.
"""

from .card import Card
from .papers import draw
from .picture import Picture
from .style import OKABE_ITO, THEMES, Theme, theme
from .training_picture import training_picture
from .trajectories import Trajectories, stack_seeds
from .words import alt_text

__all__ = [
    "OKABE_ITO",
    "THEMES",
    "Card",
    "Picture",
    "Theme",
    "Trajectories",
    "alt_text",
    "draw",
    "stack_seeds",
    "theme",
    "training_picture",
]
