"""What a figure shows, in words and measured numbers: for readers who cannot see it, and for its card."""

from __future__ import annotations

from . import gradient_oscillation_words, mining_words
from .gradient_oscillation import Runs
from .numbers_in_words import spread
from .papers import is_mining

__all__ = ["alt_text", "findings", "spread"]


def alt_text(figure_id: str, runs: Runs) -> str:
    """What the figure shows, for readers who cannot see it: what was run, then :func:`findings`.

    Args:
        figure_id, runs: as for :func:`~landscape_helpers.figures.draw`.

    Raises:
        ValueError: as :func:`~landscape_helpers.figures.draw`.
    """
    if is_mining(figure_id):
        return " ".join(mining_words.findings(figure_id, runs))
    return gradient_oscillation_words.alt_text(figure_id, runs)


def findings(figure_id: str, runs: Runs) -> list[str]:
    """Sentences with the numbers that the figure shows: medians over seeds, and ranges where seeds differ.

    Of a figure that compares networks, the first sentence says what the others are about, one a network.
    """
    words = mining_words if is_mining(figure_id) else gradient_oscillation_words
    return words.findings(figure_id, runs)
