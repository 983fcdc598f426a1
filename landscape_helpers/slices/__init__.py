"""Slices of a loss landscape: the loss along a line or in a plane through a point, and what a plane leaves out."""

from .line import line
from .plane import plane
from .projection import Projection, project

__all__ = ["Projection", "line", "plane", "project"]
