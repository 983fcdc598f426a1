"""What is stored about a figure at one scale: its runs, the verdicts on it, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import xarray

from ..catalogue import PROFILES, Figure, RunSpec, load_catalogue
from ..catalogue.model import check_profile
from ..catalogue.naming import in_words, listed, same
from ..claims import ledger
from ..store import Store
from .papers import compares

Row = Mapping[str, Any]
MOST_NAMED = 3  # settings that a caption tells run by run
MOST_NOTED = 460  # characters of a scale in a picture, some four lines
MOST_WORDS = 3  # of an alternative, "0.1 for 0.001", that stands beside others without its run


@dataclass(frozen=True)
class Evidence:
    """Measurements behind one figure at one scale.

    Attributes:
        specs: the runs that are stored, as the catalogue asks for them.
        runs: for each of them, one dataset a seed.
        rows: the ledger's rows about the figure, from the same runs.
        missing: for each run of the figure that is not stored, why.
        stale: a result by earlier code is among them.
    """

    figure: Figure
    profile: str
    specs: Mapping[str, RunSpec]
    runs: Mapping[str, Sequence[xarray.Dataset]]
    rows: Sequence[Row]
    missing: Mapping[str, str]
    stale: bool

    @property
    def compares(self) -> bool:
        """Several networks side by side, and not one on its own."""
        return compares(self.figure.id)

    @property
    def seeds(self) -> list[int]:
        """Every seed that any run has."""
        return sorted({int(d.attrs["seed"]) for datasets in self.runs.values() for d in datasets})

    @property
    def scale(self) -> str:
        """``"laptop scale: width 16 of 32, 1,000 of 50,000 images; 3 seeds"``."""
        names = in_words({name: spec.network for name, spec in self.specs.items()})
        return self._scale(in_common({names[name]: spec.note for name, spec in self.specs.items()}))

    @property
    def note(self) -> str:
        """The scale as a picture has it: of all runs at once where telling it run by run would take many lines."""
        if len(self.scale) <= MOST_NOTED:
            return self.scale
        return self._scale(f"depending on the run, {in_kinds([spec.note for spec in self.specs.values()])}")

    def _scale(self, said: str) -> str:
        return f"{self.profile} scale: {said}; {len(self.seeds)} seed{'' if len(self.seeds) == 1 else 's'}"


def in_common(notes: Mapping[str, str]) -> str:
    """The notes of several runs as one: what all of them say and then, by run, what is left.

    ``"width 8 of 64, t up to 12; small: rate 0.1; large, larger: rate 0.2, the first 500 steps"``; of many that differ
    in the same places, in every combination or by few words, the places:
    ``"width 8 of 64, rate 0.1 / 0.2 / 0.3 / 0.4, t up to 12"``.
    """
    parts = {name: note.split(", ") for name, note in notes.items()}
    different = list(dict.fromkeys(map(tuple, parts.values())))
    if len(different) > MOST_NAMED and len({len(own) for own in different}) == 1:
        places = [_alternatives(list(dict.fromkeys(place))) for place in zip(*different, strict=True)]
        every = prod(len(middles) for _, middles, _ in places) == len(different)
        if every or all(len(middle.split()) <= MOST_WORDS for _, middles, _ in places for middle in middles):
            return ", ".join(map(_side_by_side, places))
    shared = [part for part in different[0] if all(part in own for own in different)]
    rest = {name: ", ".join(part for part in own if part not in shared) for name, own in parts.items()}
    told = [left for left in dict.fromkeys(rest.values()) if left]
    named = [_named([name for name, own in rest.items() if own == left], left) for left in told]
    return "; ".join([", ".join(shared)] * bool(shared) + named)


def in_kinds(notes: Sequence[str]) -> str:
    """What any of several runs' notes say, each once; what differs in its numbers alone stands side by side.

    ``"width 16 of 32 / 8 of 64, 500 / 300 of 60,000 images"`` for "width 16 of 32, 500 of 60,000 images" and
    "width 8 of 64, 300 of 60,000 images".
    """
    kinds: dict[str, dict[str, None]] = {}
    for part in (part for note in notes for part in note.split(", ")):
        kinds.setdefault(re.sub(r"[\d.,]+", "#", part), {})[part] = None
    return ", ".join(_side_by_side(_alternatives(list(parts))) for parts in kinds.values())


def _side_by_side(alternatives: tuple[list[str], list[str], list[str]]) -> str:
    before, middles, after = alternatives
    return " ".join([*before, *[" / ".join(middles)] * any(middles), *after])


def _named(runs: Sequence[str], note: str) -> str:
    """``"MLP: 1,000 images"``; a note that begins with what stands for the network names it already."""
    if len(runs) == 1 and "(" not in runs[0] and f" for {runs[0].split()[0]}" in note.partition(",")[0]:
        return note
    return f"{listed(runs)}: {note}"


def _alternatives(texts: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """``"rate 0.1 / 0.2"`` for "rate 0.1" and "rate 0.2": the words they begin with, the rest of each, and the last."""
    words = [text.split() for text in texts]
    before = same(words)
    rest = [own[before:] for own in words]
    after = same([own[::-1] for own in rest])
    middle = [" ".join(own[: len(own) - after]) for own in rest]
    return words[0][:before], middle, rest[0][len(rest[0]) - after :]


def gather(
    figure_id: str, profile: str | None = None, seeds: Sequence[int] | None = None, store: Store | None = None
) -> Evidence | str:
    """The evidence for a figure, or one line that says why there is none.

    Args:
        profile: "smoke", "laptop" or "paper"; None for the highest that has what the figure needs. A figure that
            compares several networks shows what there is where no scale has them all.
        seeds: in place of the catalogue's.

    Raises:
        ValueError: an unknown figure or profile.
    """
    comparing = compares(figure_id)
    figure = load_catalogue().figure(figure_id)
    store = store or Store()
    if profile is None:
        profile = _highest(figure, seeds, store, comparing)
        if profile is None:
            return _why_not(figure, None, {})
    check_profile(profile)
    specs, missing = _stored(figure, profile, seeds, store)
    if not specs or (missing and not comparing):
        return _why_not(figure, profile, missing)
    runs: dict[str, list[xarray.Dataset]] = {}
    stale = False
    for name, spec in specs.items():
        found = [store.find(spec, seed) for seed in spec.seeds]
        runs[name] = [one.load() for one in found if one is not None]
        stale |= any(one is not None and one.stale for one in found)
    rows = [row for row in _rows(profile, figure.paper, store) if row["figure"] == figure_id]
    if seeds is not None:
        # The ledger judges the catalogue's seeds; its verdict is none on others.
        rows = [row for row in rows if row["verdict"] == "not run" or sorted(row["seeds"]) == sorted(seeds)]
    return Evidence(figure, profile, specs, runs, rows, missing, stale)


def _stored(
    figure: Figure, profile: str, seeds: Sequence[int] | None, store: Store
) -> tuple[dict[str, RunSpec], dict[str, str]]:
    """What the store holds of a figure's runs, each with the seeds it holds; and why the rest is missing."""
    catalogue = load_catalogue()
    specs: dict[str, RunSpec] = {}
    missing: dict[str, str] = {}
    for name in figure.runs:
        if profile not in catalogue.runs[name].scales:
            missing[name] = catalogue.runs[name].unavailable[profile]
            continue
        asked = catalogue.spec(name, profile, seeds=seeds)
        held = [seed for seed in asked.seeds if store.find(asked, seed) is not None]
        if held:
            specs[name] = catalogue.spec(name, profile, seeds=held)
        else:
            missing[name] = f"not stored at {profile} scale"
    return specs, missing


def _highest(figure: Figure, seeds: Sequence[int] | None, store: Store, comparing: bool) -> str | None:
    found = {profile: _stored(figure, profile, seeds, store) for profile in PROFILES}
    complete = [p for p in PROFILES if not found[p][1]]
    partial = [p for p in PROFILES if found[p][0]] if comparing else []
    best = complete or partial
    return best[-1] if best else None


def _why_not(figure: Figure, profile: str | None, missing: Mapping[str, str]) -> str:
    catalogue = load_catalogue()
    where = f"at {profile} scale" if profile else "at any scale"
    reasons = "; ".join(f"{name}: {why}" for name, why in missing.items() if not why.startswith("not stored"))
    possible = [p for p in PROFILES if any(p in catalogue.runs[name].scales for name in figure.runs)]
    remedy = f"compute it with `python -m landscape_helpers run {figure.id} --profile {profile or possible[0]}`"
    if len(figure.runs) > 3 and not reasons:
        return f"none of its {len(figure.runs)} runs is stored {where}: {remedy}"
    return f"no stored results of {', '.join(figure.runs)} {where}" + (f" ({reasons})" if reasons else f": {remedy}")


def _rows(profile: str, paper: str, store: Store) -> list[Row]:
    """The ledger, computed once for all figures as long as none of its paper's results at the profile changes.

    Those of the other papers do change meanwhile: while one chapter draws, another computes.
    """
    runs = {run for f in load_catalogue().figures.values() if f.paper == paper for run in f.runs}
    files = [
        (str(f), f.stat().st_mtime_ns)
        for folder in store.folders
        for f in sorted(Path(folder).glob(f"*-{profile}-s*.nc"))
        if f.name.partition(f"-{profile}-s")[0] in runs
    ]
    return _ledger(profile, paper, tuple(map(str, store.folders)), tuple(files))


@lru_cache(maxsize=8)
def _ledger(profile: str, paper: str, folders: tuple[str, ...], files: tuple[tuple[str, int], ...]) -> list[Row]:
    del files  # part of the key only: a changed file asks for new rows
    return list(ledger(profile, paper, Store(search=folders)))
