"""Which runs of a figure there are, which are missing and why, and the note that says so in the picture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import xarray

from ..catalogue import PROFILES, load_catalogue
from .run_record import Data, RunRecord

Runs = Mapping[str, xarray.Dataset | Sequence[xarray.Dataset]]
Record = TypeVar("Record", bound=RunRecord)


def check_figure(figure_id: str, known: Collection[str]) -> None:
    """Raise ValueError, with the figures there are, unless ``figure_id`` is one of ``known``."""
    if figure_id not in known:
        raise ValueError(f"unknown figure {figure_id!r}: expected one of {', '.join(known)}")


def select(figure_id: str, runs: Runs, record: Callable[[str, Data], Record]) -> dict[str, Record]:
    """The runs a figure shows, in the catalogue's order.

    Args:
        record: makes a record of a run's name and its data.

    Raises:
        ValueError: no run that the figure shows.
    """
    needed = load_catalogue().figure(figure_id).runs
    found = {name: record(name, runs[name]) for name in needed if name in runs}
    if not found:
        raise ValueError(f"{figure_id} needs one of the runs {', '.join(needed)}, got {', '.join(runs) or 'no run'}")
    return found


def absent_runs(figure_id: str, records: Mapping[str, RunRecord]) -> list[str]:
    """What a figure cannot show, each with the reason.

    A network of which nothing is shown is told once, by its name; of a network that is shown, its missing runs by
    theirs.
    """
    catalogue = load_catalogue()
    profiles = {str(r.first.attrs.get("profile", "")) for r in records.values()} & set(PROFILES)
    shown = {catalogue.runs[name].network for name in records}
    missing: dict[str, str] = {}
    for name in catalogue.figure(figure_id).runs:
        if name not in records:
            run = catalogue.runs[name]
            reasons = [run.unavailable[p] for p in profiles if p in run.unavailable]
            missing[name if run.network in shown else run.network] = reasons[0] if reasons else "not run"
    return [f"{what} ({reason})" for what, reason in missing.items()]


def full_note(scale_note: str, missing: Sequence[str], remark: str = "") -> str:
    """Scale, what is not shown, and what else a reader has to know, as sentences."""
    said = [scale_note, f"Not shown: {'; '.join(missing)}" if missing else "", remark]
    return " ".join(sentence.rstrip(".") + "." for sentence in said if sentence)
