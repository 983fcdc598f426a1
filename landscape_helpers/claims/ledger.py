"""The ledger: every check of every figure and every claim, with what was measured and what follows.

A claim is decided seed by seed and then over the seeds: *reproduced* if every seed satisfies its predicate, *not
reproduced* if no seed satisfies it nor the predicate for "partly", else *partly*. Without the runs it needs, or where
these are too short to tell, it is *not run*.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..catalogue import PROFILES, Catalogue, Claim, Measurement, RunSpec, load_catalogue
from ..catalogue.model import check_profile
from ..catalogue.naming import in_words, listed
from ..store import Store, Stored
from .check import check_claim
from .expression import Outcome, evaluate
from .measures import measure
from .record import NotRecorded, Record

VERDICTS = ("reproduced", "partly", "not reproduced", "not run")
Row = dict[str, Any]


def ledger(profile: str | None = None, paper: str | None = None, store: Store | None = None) -> list[Row]:
    """One row per check and claim, figures first.

    Args:
        profile: "smoke", "laptop" or "paper"; None takes for each row the highest at which its runs are stored.
        paper: a paper's key, such as "GO"; None for all.
        store: where results lie; by default the standard places.

    Returns:
        Rows with ``id, paper, figure, kind, basis, statement, verdict, measured, measured_text, expected, margin,
        profile, seeds, stale, remarks, reason``. ``measured`` gives for each number its median, lowest and highest
        value and the values by seed. ``margin`` is that of the worst seed: how far inside the bound "reproduced" the
        measured values lie, negative outside. ``stale`` says that a result by earlier code was used. ``remarks`` are
        what a reader of the verdict has to know, or why there is none; ``reason`` is all of them in one line. Unknown
        numbers are NaN.

    Raises:
        ValueError: an unknown profile or paper; a claim that cannot be judged, before any is.
    """
    catalogue = load_catalogue()
    if profile is not None:
        check_profile(profile)
    if paper is not None and paper not in catalogue.papers:
        raise ValueError(f"unknown paper {paper!r}: expected one of {', '.join(catalogue.papers)}")
    shelf = _Shelf(catalogue, store or Store())
    checks = [check for figure in catalogue.figures.values() for check in figure.checks]
    chosen = [c for c in (*checks, *catalogue.claims.values()) if paper in (None, c.paper)]
    for claim in chosen:
        check_claim(claim)
    return [_row(claim, profile, shelf) for claim in chosen]


@dataclass(frozen=True)
class _Result:
    record: Record
    stale: bool
    status: str


class _Shelf:
    """Stored runs, each read once."""

    def __init__(self, catalogue: Catalogue, store: Store) -> None:
        self.catalogue, self.store = catalogue, store
        self.find = cache(self._find)
        self.read = cache(self._read)
        self.available = cache(self._available)

    def spec(self, run: str, profile: str) -> RunSpec | None:
        return self.catalogue.spec(run, profile) if profile in self.catalogue.runs[run].scales else None

    def _available(self, run: str, profile: str) -> tuple[int, ...]:
        """Seeds with a result."""
        spec = self.spec(run, profile)
        return tuple(s for s in spec.seeds if self.find(run, profile, s)) if spec else ()

    def _find(self, run: str, profile: str, seed: int) -> Stored | None:
        spec = self.spec(run, profile)
        return None if spec is None else self.store.find(spec, seed)

    def _read(self, run: str, profile: str, seed: int) -> _Result:
        spec = self.spec(run, profile)
        assert spec is not None
        found = self.find(run, profile, seed)
        assert found is not None
        dataset = found.load()
        record = Record(dataset, spec.parameters.get("steps"), self.catalogue.runs[run].paper_steps)
        return _Result(record, found.stale, str(dataset.attrs.get("status", "completed")))

    def why_missing(self, run: str, profile: str) -> str:
        if profile not in self.catalogue.runs[run].scales:
            return f"{run} has no {profile} scale: {self.catalogue.runs[run].unavailable[profile]}"
        data = self.catalogue.runs[run].scales[profile].parameters.get("data")
        return f"{run} is not stored at {profile} scale" + (f" (data set {data})" if data else "")


def _row(claim: Claim, profile: str | None, shelf: _Shelf) -> Row:
    chosen = profile or _highest(claim, shelf)
    row: Row = {
        "id": claim.id,
        "paper": claim.paper,
        "figure": ", ".join(claim.figures),
        "kind": claim.kind,
        "basis": claim.basis,
        "statement": claim.statement,
        "verdict": "not run",
        "measured": {},
        "measured_text": "",
        "expected": _expected(claim),
        "margin": math.nan,
        "profile": chosen,
        "seeds": [],
        "stale": False,
    } | _told([])
    if chosen is None:
        wanted = _required(claim)
        which = f"all of {', '.join(wanted)}" if wanted else f"any of {', '.join(claim.runs)}"
        return row | _told([f"no scale has {which} stored"])
    absent = [run for run in claim.runs if not shelf.available(run, chosen)]
    used = [run for run in claim.runs if run not in absent]
    blocking = [run for run in absent if run in _required(claim)]
    if blocking or not used:
        return row | _told([shelf.why_missing(run, chosen) for run in blocking or absent])
    seeds = _seeds(claim, chosen, shelf)
    if not seeds:
        return row | _told([f"its runs have no seed in common at {chosen} scale"])
    try:
        by_seed = [_measure(claim, chosen, seed, shelf) for seed in seeds]
    except NotRecorded as error:
        return row | _told([str(error), *_remarks(claim, chosen, [], used, absent, shelf)])
    except ValueError as error:
        raise ValueError(f"{claim.id}: {error}") from error
    verdict, outcomes = judge(claim.predicates, by_seed)
    measured = {m.name: _summary([values[m.name] for values in by_seed]) for m in claim.measurements}
    return row | {
        "verdict": verdict,
        "measured": measured,
        "measured_text": "; ".join(f"{name} {_text(s)}" for name, s in measured.items()),
        "margin": _worst(outcomes),
        "seeds": list(seeds),
        "stale": any(
            shelf.read(run, chosen, s).stale for run in used for s in seeds if s in shelf.available(run, chosen)
        ),
    } | _told(_remarks(claim, chosen, seeds, used, absent, shelf))


def _told(remarks: list[str]) -> Row:
    return {"remarks": remarks, "reason": "; ".join(remarks)}


def judge(predicates: Mapping[Any, str], by_seed: Sequence[Mapping[str, float]]) -> tuple[str, list[Outcome]]:
    """The verdict over seeds, and each seed's outcome of the predicate "reproduced".

    Args:
        predicates: "reproduced" and perhaps "partly", as expressions.
        by_seed: the measured numbers of each seed, at least one.
    """
    if not by_seed:
        raise ValueError("a verdict needs the numbers of at least one seed")
    outcomes = [evaluate(predicates["reproduced"], values) for values in by_seed]
    if all(o.satisfied for o in outcomes):
        return "reproduced", outcomes
    weaker = predicates.get("partly")
    partly = any(o.satisfied for o in outcomes) or (
        weaker is not None and any(evaluate(weaker, values).satisfied for values in by_seed)
    )
    return ("partly" if partly else "not reproduced"), outcomes


def _required(claim: Claim) -> list[str]:
    """Runs without which the claim is not run: those of measurements that are not optional."""
    return list(dict.fromkeys(m.run for m in claim.measurements if not m.optional))


def _highest(claim: Claim, shelf: _Shelf) -> str | None:
    """The highest profile that has every required run; for a claim with none required, any of its runs."""
    for profile in reversed(PROFILES):
        required = _required(claim)
        stored = [bool(shelf.available(run, profile)) for run in required or claim.runs]
        if all(stored) if required else any(stored):
            return profile
    return None


def _seeds(claim: Claim, profile: str, shelf: _Shelf) -> list[int]:
    """Seeds that all required runs have; for a claim with none required, that any run has."""
    required = _required(claim)
    held = [set(shelf.available(run, profile)) for run in required or claim.runs]
    return sorted(set.intersection(*held) if required else set.union(*held))


def _measure(claim: Claim, profile: str, seed: int, shelf: _Shelf) -> dict[str, float]:
    limit = _common_steps(claim, profile, shelf)
    return {m.name: _one(m, profile, seed, shelf, limit) for m in claim.measurements}


def _one(m: Measurement, profile: str, seed: int, shelf: _Shelf, limit: int | None) -> float:
    if m.optional and seed not in shelf.available(m.run, profile):
        return math.nan
    record = shelf.read(m.run, profile, seed).record
    return measure(m.measure, record if limit is None else record.until(limit), **m.arguments)


def _common_steps(claim: Claim, profile: str, shelf: _Shelf) -> int | None:
    """Steps that all runs of a comparison have by plan; None for a claim that compares none."""
    if not claim.common_steps:
        return None
    specs = [shelf.spec(run, profile) for run in claim.runs]
    return min(spec.parameters["steps"] for spec in specs if spec is not None)


def _remarks(
    claim: Claim, profile: str, seeds: Sequence[int], used: Sequence[str], absent: Sequence[str], shelf: _Shelf
) -> list[str]:
    """What a reader of the verdict has to know: parts not run, seeds missing, shortened runs, runs that ended early."""
    runs = shelf.catalogue.runs
    called = in_words({run: runs[run].network for run in claim.runs})
    said = [(run, _not_run(runs[run].unavailable.get(profile), profile)) for run in absent]
    remarks = _by_run(said, called)
    if (limit := _common_steps(claim, profile, shelf)) is not None:
        remarks.append(f"compared over the first {limit:,} steps, which all runs have")
    said = []
    for run in used:
        spec = shelf.spec(run, profile)
        assert spec is not None
        said += [(run, text) for text in _shortened(spec, shelf.catalogue)]
        if len(held := shelf.available(run, profile)) < len(spec.seeds):
            said.append((run, f"{len(held)} of {len(spec.seeds)} seeds stored"))
        own = [shelf.read(run, profile, seed).status for seed in seeds if seed in held]
        said += [(run, text) for text in _endings(own)]
    return remarks + _by_run(said, called) + ([claim.remark] if claim.remark else [])


def _not_run(why: str | None, profile: str) -> str:
    return f"not run at {profile} scale" + (f", since {why}" if why else "")


def _by_run(said: Sequence[tuple[str, str]], called: Mapping[str, str]) -> list[str]:
    """Remarks on runs, by their names; one that several have is made once."""
    return [
        f"{listed([called[run] for run, own in said if own == text])}: {text}"
        for text in dict.fromkeys(text for _, text in said)
    ]


def _endings(statuses: Sequence[str]) -> list[str]:
    """How a run's seeds ended before their last step: ``["stopped with its loss below 0.1 at step 123 to 138"]``."""
    steps: dict[str, list[str]] = {}
    for status in statuses:
        if status != "completed":
            what, _, step = status.partition(" at step ")
            steps.setdefault(what.replace("stopped: ", "stopped with its "), []).append(step)
    return [
        what + _at(own) + (f" (in {len(own)} of {len(statuses)} seeds)" if len(own) < len(statuses) else "")
        for what, own in steps.items()
    ]


def _at(steps: Sequence[str]) -> str:
    known = sorted({int(step) for step in steps if step.isdigit()})
    if not known:
        return ""
    return f" at step {known[0]:,}" + (f" to {known[-1]:,}" if len(known) > 1 else "")


def _shortened(spec: RunSpec, catalogue: Catalogue) -> list[str]:
    """What a run's length is against the paper's, where it is shorter: a descent's steps, or epochs of training."""
    run = catalogue.runs[spec.run]
    steps, epochs = spec.parameters.get("steps"), spec.parameters.get("epochs")
    if steps is not None and run.paper_steps is not None and steps < run.paper_steps:
        return [f"the first {steps:,} of {run.paper_steps:,} steps"]
    if epochs is not None and "paper" in run.scales and epochs < (full := run.scales["paper"].parameters["epochs"]):
        moved = ", its checkpoints moved in proportion" if "keep" in spec.parameters else ""
        return [f"{epochs:,} instead of {full:,} epochs{moved}"]
    return []


def _expected(claim: Claim) -> str:
    text = " ".join(claim.predicates["reproduced"].split())
    if "partly" in claim.predicates:
        text += "; partly: " + " ".join(claim.predicates["partly"].split())
    return text + (f" (paper: {claim.paper_value})" if claim.paper_value else "")


def _worst(outcomes: Sequence[Outcome]) -> float:
    margins = [o.margin for o in outcomes]
    return math.nan if any(map(math.isnan, margins)) else min(margins)


def _summary(values: Sequence[float]) -> dict[str, Any]:
    known = [v for v in values if not math.isnan(v)]
    return {
        "median": statistics.median(known) if known else math.nan,
        "low": min(known, default=math.nan),
        "high": max(known, default=math.nan),
        "values": list(values),
    }


def _text(summary: Mapping[str, Any]) -> str:
    values = summary["values"]
    absent = sum(math.isnan(v) for v in values)
    if absent == len(values):
        return "none"
    text = f"{summary['median']:.4g}"
    if summary["low"] != summary["high"]:
        text += f" [{summary['low']:.4g}, {summary['high']:.4g}]"
    return text + (f", none in {absent} of {len(values)} seeds" if absent else "")
