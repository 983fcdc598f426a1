"""What every alternative text of a figure must hold."""

from __future__ import annotations


def assert_told_in_numbers(text: str, unknown: str) -> None:
    """Whole sentences with numbers in them, none of which is missing: ``unknown`` is what words say instead."""
    assert sum(character.isdigit() for character in text) >= 5
    assert "nan" not in text.lower() and unknown not in text
    assert text.endswith(".") and ".." not in text
