"""Slices of a loss landscape: the loss along a line or in a plane through a point, and what a plane leaves out."""

from .line import line
from .plane import plane

__all__ = ["line", "plane"]
