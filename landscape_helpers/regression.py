"""Notebooks as regression tests: metrics they record, compared with recorded baselines.

A notebook records what must not drift::

    from landscape_helpers.regression import Metrics
    metrics = Metrics()
    metrics.record("GO-F02 share of the decrease", 0.93, tolerance=0.05, source="spread over 3 seeds")

Run by papermill through :func:`regress`, each record goes to the JSON file named by ``$LANDSCAPE_METRICS``; in a
notebook that is opened by hand the variable is not set, and nothing is written.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _json
from .catalogue.model import check_profile
from .fingerprint import PACKAGE_ROOT
from .runner import check_seeds

VARIABLE = "LANDSCAPE_METRICS"
Value = float | int | bool | str | None


class Metrics:
    """Quantities recorded by one notebook.

    Args:
        path: JSON file to keep up to date; by default the one $LANDSCAPE_METRICS names, if any.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        chosen = path or os.environ.get(VARIABLE) or None
        self.path = Path(chosen) if chosen else None
        self.quantities: dict[str, dict[str, Any]] = {}

    def record(
        self, quantity: str, value: Value, tolerance: float = 0.0, source: str = "", relative: bool = False
    ) -> None:
        """Record one quantity; the file is complete after every call.

        Args:
            quantity: its name, unique in the notebook.
            value: a number, or a text or truth value that must stay the same; NaN is recorded as null.
            tolerance: largest accepted difference from the baseline.
            source: where the tolerance comes from, such as "spread over 3 seeds"; required where there is one.
            relative: the tolerance is a share of the baseline's size.

        Raises:
            ValueError: a name used twice, a negative tolerance or one without a source.
        """
        if quantity in self.quantities:
            raise ValueError(f"metric {quantity!r} is already recorded: give each quantity its own name")
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"tolerance of {quantity!r} must be finite and not negative, got {tolerance}")
        if tolerance > 0 and not source:
            raise ValueError(f"tolerance of {quantity!r} needs a source that says where it comes from")
        self.quantities[quantity] = {
            "value": _json.finite(value),
            "tolerance": tolerance,
            "relative": relative,
            "tolerance_source": source or "exact",
        }
        if self.path is not None:
            _json.write(self.path, self.quantities)


@dataclass(frozen=True)
class Comparison:
    """One quantity against its baseline.

    Attributes:
        outcome: "ok", "drifted", "new" (no baseline) or "missing" (no longer recorded).
    """

    quantity: str
    outcome: str
    value: Value
    baseline: Value
    allowed: float | None
    tolerance_source: str


@dataclass(frozen=True)
class Report:
    """What became of one notebook; ``failure`` is empty unless it could not be executed or compared."""

    notebook: str
    comparisons: tuple[Comparison, ...] = ()
    failure: str = ""
    updated: bool = False

    @property
    def passed(self) -> bool:
        return not self.failure and (self.updated or all(c.outcome == "ok" for c in self.comparisons))


def compare(measured: Mapping[str, Mapping[str, Any]], baseline: Mapping[str, Mapping[str, Any]]) -> list[Comparison]:
    """Every quantity of either side. The baseline's tolerance counts: it is what was reviewed."""
    rows: list[Comparison] = []
    for quantity in dict.fromkeys([*baseline, *measured]):
        if quantity not in measured:
            b = baseline[quantity]
            rows.append(Comparison(quantity, "missing", None, b["value"], b["tolerance"], b["tolerance_source"]))
            continue
        value = measured[quantity]["value"]
        if quantity not in baseline:
            rows.append(Comparison(quantity, "new", value, None, None, measured[quantity]["tolerance_source"]))
            continue
        b = baseline[quantity]
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (value, b["value"]))
        allowed = b["tolerance"] * (abs(b["value"]) if numbers and b["relative"] else 1)
        same = abs(value - b["value"]) <= allowed if numbers else value == b["value"]
        rows.append(
            Comparison(quantity, "ok" if same else "drifted", value, b["value"], allowed, b["tolerance_source"])
        )
    return rows


@dataclass(frozen=True)
class Plan:
    """Where notebooks, baselines and reports lie, and the papermill parameters of a run."""

    root: Path = field(default_factory=lambda: PACKAGE_ROOT.parent)
    profile: str = "smoke"
    data: str | None = None
    seeds: tuple[int, ...] | None = None
    timeout: float = 900.0

    def __post_init__(self) -> None:
        check_profile(self.profile)
        if self.seeds is not None:
            check_seeds(self.seeds)
        if not self.timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, got {self.timeout}")

    @property
    def parameters(self) -> dict[str, Any]:
        """What replaces the notebook's own parameters."""
        given = {"profile": self.profile, "data": self.data, "seeds": self.seeds and list(self.seeds)}
        return {k: v for k, v in given.items() if v is not None}

    @property
    def folder(self) -> Path:
        return self.root / "build" / "regress"

    def baseline(self, notebook: Path) -> Path:
        suffix = "" if self.profile == "smoke" else f"-{self.profile}"
        return self.root / "tests" / "baselines" / f"{notebook.stem}{suffix}.json"

    def notebooks(self, ids: Sequence[str] = ()) -> list[Path]:
        """The chapters with a cell tagged ``parameters``, or those named.

        Raises:
            ValueError: an unknown chapter, or none at all.
        """
        found = {p.stem: p for p in sorted((self.root / "book" / "chapters").rglob("*.ipynb")) if _has_parameters(p)}
        if not found:
            raise ValueError(f"no notebook with a parameters cell under {self.root / 'book' / 'chapters'}")
        if unknown := [i for i in ids if i not in found]:
            raise ValueError(f"unknown chapter {unknown[0]!r}: expected one of {', '.join(found)}")
        return [found[i] for i in (ids or found)]


def regress(ids: Sequence[str] = (), *, update: bool = False, plan: Plan | None = None) -> list[Report]:
    """Execute chapters, compare or rewrite their baselines, and write ``build/regress/report.md`` and ``.json``.

    Args:
        ids: chapters by file name without suffix; all by default.
        update: take what was measured as the new baselines.

    Raises:
        ValueError: an unknown chapter, profile or seed; before anything is executed.
    """
    plan = plan or Plan()
    notebooks = plan.notebooks(ids)
    reports = [_regress_one(notebook, plan, update) for notebook in notebooks]
    _json.write(plan.folder / "report.json", [_as_dict(r) for r in reports])
    (plan.folder / "report.md").write_text(markdown(reports, plan), "utf-8")
    return reports


def _regress_one(notebook: Path, plan: Plan, update: bool) -> Report:
    file = plan.baseline(notebook)
    metrics = plan.folder / f"{notebook.stem}.metrics.json"
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.unlink(missing_ok=True)
    if failure := _execute(notebook, plan, metrics):
        return Report(notebook.stem, failure=failure)
    if not metrics.exists():
        return Report(notebook.stem, failure="the notebook recorded no metric")
    measured = json.loads(metrics.read_text("utf-8"))
    recorded = {"parameters": plan.parameters, "metrics": {}}
    if file.exists():
        recorded = json.loads(file.read_text("utf-8"))
    elif not update:
        return Report(notebook.stem, failure=f"no baseline {file.name}: record one with --update")
    if update:
        comparisons = tuple(compare(measured, recorded["metrics"]))
        _json.write(file, {"parameters": plan.parameters, "metrics": measured})
        return Report(notebook.stem, comparisons, updated=True)
    if recorded["parameters"] != plan.parameters:
        return Report(
            notebook.stem,
            failure=f"the baseline was recorded with {recorded['parameters']}, this run has {plan.parameters}",
        )
    return Report(notebook.stem, tuple(compare(measured, recorded["metrics"])))


def _execute(notebook: Path, plan: Plan, metrics: Path) -> str:
    """Run papermill in a process of its own; return why it failed, or nothing."""
    output = plan.folder / notebook.name
    command = [sys.executable, "-m", "papermill", str(notebook), str(output), "-k", "python3"]
    command += ["--cwd", str(notebook.parent), "--no-progress-bar", "--execution-timeout", str(math.ceil(plan.timeout))]
    for name, value in plan.parameters.items():
        command += ["-y", json.dumps({name: value})]
    # The kernel imports the package of this checkout, whatever else is installed.
    path = os.pathsep.join(p for p in (str(PACKAGE_ROOT.parent), os.environ.get("PYTHONPATH", "")) if p)
    environment = {**os.environ, VARIABLE: str(metrics), "PYTHONPATH": path}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * plan.timeout)
    except subprocess.TimeoutExpired:
        return f"papermill did not end within {2 * plan.timeout:g} s"
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return f"papermill failed with status {done.returncode}: {lines[-1] if lines else 'no message'} (see {output})"
    return ""


def markdown(reports: Sequence[Report], plan: Plan) -> str:
    """The report for people: the drifted quantities first."""
    lines = [f"# Regression at {plan.profile} scale", ""]
    for report in reports:
        state = "baseline updated" if report.updated else "passed" if report.passed else "FAILED"
        lines += [f"## {report.notebook}: {state}", ""]
        if report.failure:
            lines += [report.failure, ""]
        if report.comparisons:
            lines += ["| quantity | outcome | value | baseline | allowed difference | tolerance from |"]
            lines += ["|---|---|---|---|---|---|"]
            for c in sorted(report.comparisons, key=lambda c: c.outcome == "ok"):
                cells = (c.quantity, c.outcome, *map(_cell, (c.value, c.baseline, c.allowed)), c.tolerance_source)
                lines.append("| " + " | ".join(cells) + " |")
            lines.append("")
    return "\n".join(lines)


def _cell(value: Value) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_dict(report: Report) -> dict[str, Any]:
    rows = [vars(c) for c in report.comparisons]
    return {
        "notebook": report.notebook,
        "passed": report.passed,
        "updated": report.updated,
        "failure": report.failure,
        "comparisons": rows,
    }


def _has_parameters(notebook: Path) -> bool:
    if ".ipynb_checkpoints" in notebook.parts:
        return False
    cells = json.loads(notebook.read_text("utf-8")).get("cells", [])
    return any("parameters" in cell.get("metadata", {}).get("tags", []) for cell in cells)
