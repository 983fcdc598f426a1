"""How a long computation tells how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int, float], None]
"""Called as a run goes on, with (done, in all, loss); null models tell their best score for the loss."""
