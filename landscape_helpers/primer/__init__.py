"""The page before the chapters: what a slice of a landscape can and cannot show."""

from .page import Primer

__all__ = ["Primer"]
