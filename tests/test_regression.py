"""Notebooks as regression tests: metrics, comparison, and papermill on small notebooks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from landscape_helpers import regression
from landscape_helpers.regression import Metrics, Plan, Report, compare, regress

SOURCE = "spread over seeds"


def entry(value: Any, tolerance: float = 0.0, relative: bool = False) -> dict[str, Any]:
    return {"value": value, "tolerance": tolerance, "relative": relative, "tolerance_source": SOURCE}


class TestMetrics:
    def test_the_file_is_complete_after_every_record(self, tmp_path: Path) -> None:
        metrics = Metrics(tmp_path / "m.json")
        metrics.record("a", 1.5, tolerance=0.1, source=SOURCE)
        assert json.loads((tmp_path / "m.json").read_text()) == {"a": entry(1.5, 0.1)}
        metrics.record("b", math.nan)
        metrics.record("c", "reproduced")
        held = json.loads((tmp_path / "m.json").read_text(), parse_constant=pytest.fail)
        assert held["b"]["value"] is None
        assert held["c"] == {**entry("reproduced"), "tolerance_source": "exact"}

    def test_the_environment_names_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(regression.VARIABLE, str(tmp_path / "env.json"))
        Metrics().record("a", 1)
        assert list(json.loads((tmp_path / "env.json").read_text())) == ["a"]

    def test_by_hand_nothing_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(regression.VARIABLE, raising=False)
        monkeypatch.chdir(tmp_path)
        metrics = Metrics()
        metrics.record("a", 1)
        assert list(tmp_path.iterdir()) == []
        assert metrics.quantities["a"]["value"] == 1

    def test_numpy_numbers_are_numbers(self, tmp_path: Path) -> None:
        import numpy as np

        Metrics(tmp_path / "m.json").record("a", np.float64(0.25))
        assert json.loads((tmp_path / "m.json").read_text())["a"]["value"] == 0.25

    @pytest.mark.parametrize(
        ("second", "message"),
        [
            ({"quantity": "a"}, "already recorded"),
            ({"quantity": "b", "tolerance": -1.0}, "finite and not negative"),
            ({"quantity": "b", "tolerance": math.nan}, "finite and not negative"),
            ({"quantity": "b", "tolerance": 0.1}, "needs a source"),
        ],
    )
    def test_mistakes(self, second: dict[str, Any], message: str) -> None:
        metrics = Metrics()
        metrics.record("a", 1)
        with pytest.raises(ValueError, match=message):
            metrics.record(value=1, **second)


@pytest.mark.parametrize(
    ("value", "baseline", "outcome"),
    [
        (1.05, entry(1.0, 0.1), "ok"),
        (1.15, entry(1.0, 0.1), "drifted"),
        (0.85, entry(1.0, 0.1), "drifted"),
        (103.0, entry(100.0, 1.0), "drifted"),
        (105.0, entry(100.0, 0.1, relative=True), "ok"),
        (-115.0, entry(-100.0, 0.1, relative=True), "drifted"),
        (1.0, entry(1.0), "ok"),
        (1.0000001, entry(1.0), "drifted"),
        (None, entry(None), "ok"),
        (None, entry(1.0, 9.0), "drifted"),
        (1.0, entry(None), "drifted"),
        ("partly", entry("partly"), "ok"),
        ("reproduced", entry("partly"), "drifted"),
        (True, entry(False), "drifted"),
    ],
)
def test_a_quantity_against_its_baseline(value: Any, baseline: dict[str, Any], outcome: str) -> None:
    # A generous tolerance on the measured side must not count.
    (row,) = compare({"q": entry(value, 99.0)}, {"q": baseline})
    assert row.outcome == outcome
    assert row.tolerance_source == SOURCE


def test_one_drift_among_many_is_a_failure() -> None:
    ok, drifted = compare({"a": entry(1), "b": entry(2)}, {"a": entry(1), "b": entry(1)})
    assert Report("one", (ok, ok)).passed
    assert not Report("one", (ok, drifted)).passed
    assert Report("one", (ok, drifted), updated=True).passed
    assert not Report("one", (ok,), failure="broken").passed
    assert not Report("one", failure="broken", updated=True).passed


def test_each_profile_has_a_baseline_of_its_own(tmp_path: Path) -> None:
    names = [Plan(root=tmp_path, profile=profile).baseline(Path("one.ipynb")).name for profile in ("smoke", "laptop")]
    assert names == ["one.json", "one-laptop.json"]


def test_new_and_missing_quantities_are_named() -> None:
    rows = {c.quantity: c.outcome for c in compare({"a": entry(1), "b": entry(1)}, {"a": entry(1), "c": entry(1)})}
    assert rows == {"a": "ok", "b": "new", "c": "missing"}


def notebook(path: Path, body: str, tagged: bool = True) -> None:
    def cell(source: str, tags: list[str]) -> dict[str, Any]:
        return {
            "cell_type": "code",
            "execution_count": None,
            "id": f"c{len(source)}",
            "metadata": {"tags": tags},
            "outputs": [],
            "source": source,
        }

    cells = [cell('profile = "none"\ndata = "digits"\nseeds = [9]', ["parameters"] if tagged else []), cell(body, [])]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    document = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


BODY = """
from landscape_helpers.regression import Metrics
record = Metrics().record
record("profile", profile)
record("seeds", len(seeds) + seeds[0])
record("value", {value}, tolerance=0.1, source="by hand")
"""


@pytest.mark.slow
class TestRegress:
    @pytest.fixture
    def plan(self, tmp_path: Path) -> Plan:
        notebook(tmp_path / "book" / "chapters" / "one.ipynb", BODY.format(value=1.0))
        notebook(tmp_path / "book" / "prose.ipynb", "1 / 0", tagged=False)
        return Plan(root=tmp_path, seeds=(3,), timeout=120)

    def change(self, plan: Plan, body: str) -> None:
        notebook(plan.root / "book" / "chapters" / "one.ipynb", body)

    def test_from_the_first_baseline_to_a_drift(self, plan: Plan) -> None:
        (first,) = regress(plan=plan)
        assert not first.passed and "record one with --update" in first.failure

        (updated,) = regress(update=True, plan=plan)
        assert updated.passed and updated.updated
        held = json.loads((plan.root / "tests" / "baselines" / "one.json").read_text())
        assert held["parameters"] == {"profile": "smoke", "seeds": [3]}
        assert held["metrics"]["profile"]["value"] == "smoke"  # the parameters reached the notebook
        assert held["metrics"]["seeds"]["value"] == 4

        self.change(plan, BODY.format(value=1.05))
        assert [r.passed for r in regress(plan=plan)] == [True]

        self.change(plan, BODY.format(value=1.5))
        (drifted,) = regress(["one"], plan=plan)
        assert not drifted.passed
        assert [c.quantity for c in drifted.comparisons if c.outcome == "drifted"] == ["value"]
        report = (plan.folder / "report.md").read_text()
        assert "| value | drifted | 1.5 | 1 | 0.1 | by hand |" in report
        assert json.loads((plan.folder / "report.json").read_text())[0]["passed"] is False

    def test_a_notebook_that_fails_or_records_nothing(self, plan: Plan) -> None:
        regress(update=True, plan=plan)
        self.change(plan, BODY.format(value=1.0) + "\nraise RuntimeError('broken cell')")
        (failed,) = regress(plan=plan)
        assert not failed.passed and "broken cell" in failed.failure
        self.change(plan, "pass")
        (silent,) = regress(plan=plan)
        assert silent.failure == "the notebook recorded no metric"

    def test_a_failing_notebook_never_becomes_the_baseline(self, plan: Plan) -> None:
        regress(update=True, plan=plan)
        before = (plan.root / "tests" / "baselines" / "one.json").read_text()
        self.change(plan, BODY.format(value=7.0) + "\nraise RuntimeError('broken cell')")
        (failed,) = regress(update=True, plan=plan)
        assert not failed.passed
        assert (plan.root / "tests" / "baselines" / "one.json").read_text() == before

    def test_other_parameters_are_not_compared(self, plan: Plan) -> None:
        regress(update=True, plan=plan)
        (other,) = regress(plan=Plan(root=plan.root, seeds=(4,)))
        assert "the baseline was recorded with" in other.failure

    def test_mistakes_are_refused_before_anything_is_executed(self, plan: Plan) -> None:
        with pytest.raises(ValueError, match="unknown chapter 'two': expected one of one"):
            regress(["two"], plan=plan)
        with pytest.raises(ValueError, match="unknown profile 'big'"):
            Plan(profile="big")
        with pytest.raises(ValueError, match="seeds must be whole numbers"):
            Plan(seeds=(-1,))
        with pytest.raises(ValueError, match="timeout must be above 0"):
            Plan(timeout=0)
        assert not plan.folder.exists()
