"""The catalogue as a table: what is stored, what it costs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from .catalogue import PROFILES, RunSpec, load_catalogue
from .store import Store


def overview(store: Store) -> list[dict[str, Any]]:
    """Every figure and every run, with state and cost at each profile.

    Returns:
        Rows with ``id, kind, title, paper, profiles``; for each profile ``state`` (stored, stale or missing), ``cost``
        with ``pflop`` and, where results are stored, ``seconds`` measured for all seeds, ``runs``, ``seeds``, ``notes``
        and, where the scale does not exist, ``reason``.
    """
    catalogue = load_catalogue()
    papers = {run: figure.paper for figure in catalogue.figures.values() for run in figure.runs}
    timed = {(r, p): _cost(catalogue.spec(r, p), store) for r, run in catalogue.runs.items() for p in run.scales}
    rows: list[dict[str, Any]] = []
    for figure in catalogue.figures.values():
        profiles = {p: _at(figure.runs, p, timed, store) for p in PROFILES}
        rows.append(_row(figure.id, "figure", figure.title, figure.paper, profiles))
    for name, run in catalogue.runs.items():
        profiles = {p: _at([name], p, timed, store) for p in PROFILES}
        rows.append(_row(name, "run", run.network, papers.get(name, ""), profiles))
    return rows


Cost = tuple[float | None, float | None]


def _row(row_id: str, kind: str, title: str, paper: str, profiles: dict[str, Any]) -> dict[str, Any]:
    return {"id": row_id, "kind": kind, "title": title, "paper": paper, "profiles": profiles}


def _at(runs: Sequence[str], profile: str, timed: dict[tuple[str, str], Cost], store: Store) -> dict[str, Any]:
    catalogue = load_catalogue()
    specs = [catalogue.spec(r, profile) for r in runs if profile in catalogue.runs[r].scales]
    absent = [catalogue.runs[r].unavailable[profile] for r in runs if profile not in catalogue.runs[r].scales]
    states = {store.state(spec) for spec in specs} | ({"missing"} if absent else set())
    costs = [timed[spec.run, profile] for spec in specs]
    return {
        "state": next(state for state in ("missing", "stale", "stored") if state in states),
        "cost": {"pflop": _sum([c[0] for c in costs]), "seconds": _sum([c[1] for c in costs])},
        "runs": [spec.run for spec in specs],
        "seeds": sorted({seed for spec in specs for seed in spec.seeds}),
        "notes": {spec.run: spec.note for spec in specs},
        **({"reason": "; ".join(dict.fromkeys(absent))} if absent else {}),
    }


def _cost(spec: RunSpec, store: Store) -> Cost:
    """PFLOP and seconds of all seeds; the seconds from the stored ones, None where there is none."""
    seconds = [
        float(found.attributes()["wall_time_s"]) for seed in spec.seeds if (found := store.find(spec, seed)) is not None
    ]
    each = statistics.mean(seconds) if seconds else None
    n = len(spec.seeds)
    return (None if spec.pflop is None else spec.pflop * n), (None if each is None else round(each * n, 1))


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if values and len(known) == len(values) else None
