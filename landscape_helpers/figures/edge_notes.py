"""The scale note of a figure of many runs, told once with what differs instead of once a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..catalogue import load_catalogue
from .run_record import RunRecord

LONGEST = 240  # characters, about two lines of a figure


def shortened(note: str, records: Mapping[str, RunRecord]) -> str:
    """The note as it is where it is short; else the runs' own notes, part by part with the values that occur.

    The panels name images and rates of each run, so that a reader knows which value belongs to which.
    """
    if len(note) <= LONGEST:
        return note
    catalogue = load_catalogue()
    profiles = {str(record.first.attrs.get("profile", "")) for record in records.values()}
    if len(profiles) != 1:
        return note
    profile = profiles.pop()
    scales = [catalogue.runs[name].scales.get(profile) for name in records if name in catalogue.runs]
    told = merged([scale.note for scale in scales if scale is not None])
    seeds = len({seed for record in records.values() for seed in record.seeds})
    short = f"{profile} scale: {told}; {seeds} seed{'' if seeds == 1 else 's'}"
    return short if told and len(short) < len(note) else note


def merged(notes: Sequence[str]) -> str:
    """Notes of as many parts each as one; empty where they differ in that number.

    >>> merged(["width 8 of 64, rate 0.1", "width 4 of 64, rate 0.1"])
    'width 8 or 4 of 64, rate 0.1'
    """
    rows = [note.split(", ") for note in notes]
    if len({len(row) for row in rows}) != 1:
        return ""
    return ", ".join(_either(list(dict.fromkeys(column))) for column in zip(*rows, strict=True))


def _either(values: Sequence[str]) -> str:
    """``"t up to 12 or 20 of 40"``: the words that all begin and end with once, between them those that differ."""
    words = [value.split(" ") for value in values]
    if len(words) == 1:
        return values[0]
    shortest = min(map(len, words))
    first = next((i for i in range(shortest) if len({w[i] for w in words}) > 1), shortest - 1)
    last = next((i for i in range(shortest - first) if len({w[-1 - i] for w in words}) > 1), 0)
    middles = dict.fromkeys(" ".join(w[first : len(w) - last]) for w in words)
    return " ".join([*words[0][:first], " or ".join(middles), *words[0][len(words[0]) - last :]])
