"""Verdicts and the ledger, on stored runs of known content."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from synthetic_run import make_run, oscillation

from landscape_helpers import _json, store
from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.claims import MEASURES, VERDICTS, judge, ledger
from landscape_helpers.store import Store


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return Store(tmp_path, search=[])


def put(shelf: Store, run: str, profile: str, dataset: xarray.Dataset, seeds: tuple[int, ...] | None = None) -> None:
    spec = load_catalogue().spec(run, profile)
    for seed in seeds or spec.seeds:
        shelf.save(spec, seed, dataset)


def row(shelf: Store, claim: str, profile: str | None = None) -> dict[str, Any]:
    return next(r for r in ledger(profile, store=shelf) if r["id"] == claim)


def turning(steps: int, turn: int, direction: int, **given: Any) -> xarray.Dataset:
    """A run that turns once, its loss falling evenly."""
    return make_run(np.linspace(2.0, 0.001, steps + 1), oscillation(steps, turn, direction), windowed=True, **given)


PREDICATES = {"reproduced": "x > 1", "partly": "x > 0"}


class TestJudge:
    @pytest.mark.parametrize(
        ("values", "verdict"),
        [
            ([2, 3, 4], "reproduced"),
            ([2, 3, 0.5], "partly"),
            ([2, 3, -1], "partly"),
            ([0.5, -1, -1], "partly"),
            ([-1, -1, -1], "not reproduced"),
            ([2, 3, math.nan], "partly"),
            ([math.nan], "not reproduced"),
        ],
    )
    def test_three_levels_over_seeds(self, values: list[float], verdict: str) -> None:
        assert judge(PREDICATES, [{"x": v} for v in values])[0] == verdict

    def test_without_a_weaker_predicate_some_seeds_are_partly(self) -> None:
        assert judge({"reproduced": "x > 1"}, [{"x": 2}, {"x": 0}])[0] == "partly"
        assert judge({"reproduced": "x > 1"}, [{"x": 0}, {"x": 0}])[0] == "not reproduced"

    def test_no_seed_is_no_verdict(self) -> None:
        with pytest.raises(ValueError, match="at least one seed"):
            judge({"reproduced": "x > 1"}, [])


class TestLedger:
    def test_without_results_nothing_is_run(self, shelf: Store) -> None:
        rows = ledger(store=shelf)
        assert {r["verdict"] for r in rows} == {"not run"}
        assert all(r["reason"] for r in rows)
        ids = [r["id"] for r in rows]
        assert len(set(ids)) == len(ids)
        assert {f"GO-C{n:02d}" for n in range(1, 8)} <= set(ids)

    def test_a_row_says_what_was_measured_and_by_how_much(self, shelf: Store) -> None:
        put(shelf, "cnn", "laptop", turning(1500, 10, -1), seeds=(0, 1))
        put(shelf, "cnn", "laptop", turning(1500, 40, -1), seeds=(2,))
        found = row(shelf, "GO-F02-3")
        assert found["verdict"] == "reproduced"
        assert found["profile"] == "laptop"
        assert found["seeds"] == [0, 1, 2]
        assert found["measured"]["turn"] == {"median": 10, "low": 10, "high": 40, "values": [10, 10, 40]}
        assert found["measured_text"] == "turn 10 [10, 40]"
        assert found["margin"] == 7  # the seeds have 7 and 10 to the nearer bound, the worst counts
        assert found["expected"] == "3 <= turn <= 50 (paper: about epoch 10)"
        assert found["figure"] == "GO-F02"
        assert found["paper"] == "GO"

    def test_a_turn_that_never_comes_is_visible_and_not_reproduced(self, shelf: Store) -> None:
        put(shelf, "cnn", "smoke", turning(1500, 1501, -1))
        found = row(shelf, "GO-F02-3")
        assert found["verdict"] == "not reproduced"
        assert found["measured_text"] == "turn none"
        assert math.isnan(found["margin"])

    def test_a_seed_without_the_number_makes_it_partly(self, shelf: Store) -> None:
        put(shelf, "cnn", "laptop", turning(1500, 10, -1), seeds=(0, 1))
        put(shelf, "cnn", "laptop", turning(1500, 1501, -1), seeds=(2,))
        found = row(shelf, "GO-F02-3")
        assert found["verdict"] == "partly"
        assert found["measured_text"] == "turn 10, none in 1 of 3 seeds"

    def test_each_row_takes_the_highest_profile_that_is_stored(self, shelf: Store) -> None:
        put(shelf, "cnn", "smoke", turning(1500, 10, -1))
        put(shelf, "vgg16", "smoke", turning(1500, 500, -1))
        put(shelf, "cnn", "laptop", turning(1500, 10, -1))
        assert row(shelf, "GO-F02-1")["profile"] == "laptop"
        assert row(shelf, "GO-F03-1")["profile"] == "smoke"
        assert row(shelf, "GO-C02")["profile"] == "smoke"  # needs both
        assert row(shelf, "GO-F03-1", "laptop")["verdict"] == "not run"
        assert "vgg16 is not stored at laptop scale" in row(shelf, "GO-F03-1", "laptop")["reason"]

    def test_a_run_that_is_not_needed_does_not_lower_the_profile_nor_take_seeds(self, shelf: Store) -> None:
        for profile in ("laptop", "paper"):
            for run in ("resnet18", "resnet34"):
                put(shelf, run, profile, turning(500, 130, 1), seeds=(0, 1))
        put(shelf, "resnet18-whole-batch", "laptop", turning(500, 130, 1), seeds=(0,))
        assert row(shelf, "GO-C03")["profile"] == "paper"
        assert row(shelf, "GO-C03", "laptop")["seeds"] == [0, 1]

    def test_needed_runs_without_a_common_seed_are_not_run(self, shelf: Store) -> None:
        put(shelf, "cnn", "laptop", turning(1500, 10, -1), seeds=(0,))
        put(shelf, "vgg16", "laptop", turning(1500, 500, -1), seeds=(1,))
        found = row(shelf, "GO-C02", "laptop")
        assert (found["verdict"], found["reason"]) == ("not run", "its runs have no seed in common at laptop scale")

    def test_without_any_of_its_runs_a_claim_names_them(self, shelf: Store) -> None:
        assert "mnist-cnn is not stored at laptop scale" in row(shelf, "GO-C07", "laptop")["reason"]
        put(shelf, "cnn", "laptop", turning(1500, 10, -1), seeds=(0,))
        assert row(shelf, "GO-C02", "laptop")["reason"] == "vgg16 is not stored at laptop scale (data set cifar10)"

    def test_stale_results_are_used_and_flagged(self, shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        put(shelf, "cnn", "smoke", turning(1500, 10, -1))
        assert row(shelf, "GO-F02-3")["stale"] is False
        monkeypatch.setattr(store, "code_hash", lambda experiment: "f" * 64)
        found = row(shelf, "GO-F02-3")
        assert (found["verdict"], found["stale"]) == ("reproduced", True)

    def test_missing_seeds_and_early_ends_are_told(self, shelf: Store) -> None:
        status = "loss became non-finite at step 101"
        put(shelf, "cnn", "laptop", turning(100, 10, -1, status=status), seeds=(1,))
        found = row(shelf, "GO-F02-2")
        assert found["seeds"] == [1]
        assert "simple CNN: 1 of 3 seeds stored" in found["reason"]
        assert f"simple CNN: {status}" in found["reason"]
        assert found["verdict"] == "not reproduced"  # it should have reached epoch 800
        assert row(shelf, "GO-F02-1")["verdict"] == "reproduced"  # and did reach epoch 8

    def test_a_run_that_is_shorter_by_design_leaves_late_epochs_open(self, shelf: Store) -> None:
        spec = load_catalogue().spec("cnn-small-rate", "smoke")
        steps = spec.parameters["steps"]
        assert steps < 30_000
        shelf.save(spec, 0, turning(steps, 4500, -1))
        assert f"the first {steps:,} of 30,000 steps" in row(shelf, "GO-F10-1")["reason"]

    @pytest.mark.parametrize("claim", ["GO-F10-1", "GO-F10-3", "GO-F10-5", "GO-C05"])
    def test_a_turn_that_may_come_after_the_run_leaves_what_follows_it_open(self, shelf: Store, claim: str) -> None:
        for run in ("cnn-small-rate", "resnet18-small-rate"):
            steps = load_catalogue().spec(run, "smoke").parameters["steps"]
            put(shelf, run, "smoke", turning(steps, steps + 1, -1))
        found = row(shelf, claim)
        assert (found["verdict"], found["measured"]) == ("not run", {})
        assert "does not reach epoch 16,000" in found["reason"]

    def test_a_share_of_the_papers_epochs_that_was_not_planned_is_not_run(self, shelf: Store) -> None:
        spec = load_catalogue().spec("cnn-small-rate", "smoke")
        shelf.save(spec, 0, turning(spec.parameters["steps"], 4500, -1))
        found = row(shelf, "GO-F10-2")
        assert found["verdict"] == "not run"
        assert "does not reach epoch 30,000" in found["reason"]

    def test_what_was_not_recorded_is_not_run(self, shelf: Store) -> None:
        put(shelf, "resnet18-edge", "smoke", turning(60, 20, 1))
        found = row(shelf, "GO-F04-7")
        assert found["verdict"] == "not run"
        assert "the sharpness was not measured" in found["reason"]

    def test_an_argument_that_its_measure_refuses_names_the_claim(
        self, shelf: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> float:
            raise ValueError("of must be 'first' or 'last', got 'frist'")

        put(shelf, "cnn", "laptop", turning(1500, 10, -1))
        monkeypatch.setitem(MEASURES, "transition_epoch", refuse)
        with pytest.raises(ValueError, match=r"^GO-\S+: of must be 'first' or 'last', got 'frist'$"):
            ledger(store=shelf)

    def test_unknown_profiles_and_papers_are_errors(self, shelf: Store) -> None:
        with pytest.raises(ValueError, match="unknown profile 'big'"):
            ledger("big", store=shelf)
        with pytest.raises(ValueError, match="unknown paper 'XY': expected one of"):
            ledger(paper="XY", store=shelf)

    def test_rows_become_valid_json(self, shelf: Store) -> None:
        put(shelf, "cnn", "smoke", turning(1500, 1501, -1))
        rows = json.loads(_json.dumps(ledger(store=shelf)), parse_constant=pytest.fail)
        assert {r["verdict"] for r in rows} <= set(VERDICTS)
        found = next(r for r in rows if r["id"] == "GO-F02-3")
        assert found["margin"] is None and found["measured"]["turn"]["median"] is None


class TestClaimsOfThePaper:
    """The paper as it describes itself must be reproduced by its own predicates, and its opposite must not."""

    def as_described(self, shelf: Store) -> None:
        dots = {"first": np.full(30_001, 8.0), "middle": np.full(30_001, 1.0), "last": np.full(30_001, 1.0)}
        put(shelf, "linear", "paper", make_run(np.linspace(2, 0, 2501), np.full(2501, 0.99)))
        late = {"cnn": (1500, 10, -1), "vgg16": (1500, 500, -1), "resnet18": (500, 130, 1), "resnet34": (500, 140, 1)}
        for run, (steps, turn, direction) in late.items():
            curve = oscillation(steps, turn, direction)
            loss = np.where(curve < 0, -1.0, -0.01).cumsum()
            matrices = self.matrices(curve, run)
            put(shelf, run, "paper", make_run(loss + 2000, curve, windowed=True, matrices=matrices))
        small = oscillation(30_000, 8000, -1)
        layers = {"first": small, "last": np.full(30_001, 0.95)}
        put(
            shelf,
            "cnn-small-rate",
            "paper",
            make_run(np.linspace(2, 0.1, 30_001), small, windowed=True, layers=layers, layer_dots=dots),
        )
        dominant = oscillation(30_000, 60, -1)
        put(
            shelf,
            "resnet18-small-rate",
            "paper",
            make_run(
                np.linspace(2, 0.1, 30_001),
                dominant,
                windowed=True,
                layers={"first": dominant, "middle": 0.5 * dominant, "last": np.full(30_001, 0.95)},
                layer_dots=dots,
            ),
        )

    def matrices(self, curve: np.ndarray, run: str) -> dict[int, np.ndarray]:
        lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
        return {
            epoch: np.sign(curve[epoch]) ** lag * 0.9 ** (lag > 0)
            for epoch in load_catalogue().spec(run, "paper").parameters["matrices_at"]
        }

    def test_the_paper_reproduces_itself(self, shelf: Store) -> None:
        self.as_described(shelf)
        rows = {r["id"]: r for r in ledger("paper", "GO", store=shelf)}
        wanted = [i for i, r in rows.items() if r["basis"] != "ours" and i not in ("GO-C07", "GO-F02-4")]
        failed = {
            i: (rows[i]["verdict"], rows[i]["measured_text"]) for i in wanted if rows[i]["verdict"] != "reproduced"
        }
        assert failed == {}

    def test_networks_that_turn_the_wrong_way_reproduce_nothing(self, shelf: Store) -> None:
        for run, steps, turn, direction in (
            ("cnn", 1500, 300, 1),
            ("vgg16", 1500, 500, 1),
            ("resnet18", 500, 130, -1),
            ("resnet34", 500, 140, -1),
        ):
            put(shelf, run, "paper", turning(steps, turn, direction))
        assert row(shelf, "GO-C02", "paper")["verdict"] == "not reproduced"
        assert row(shelf, "GO-C03", "paper")["verdict"] == "not reproduced"

    def test_an_optional_run_can_make_a_claim_partly_true(self, shelf: Store) -> None:
        for run in ("resnet18", "resnet34"):
            put(shelf, run, "paper", turning(500, 130, -1))
        assert row(shelf, "GO-C03", "paper")["verdict"] == "not reproduced"
        said = "ResNet-18, statistics of the whole batch: not run at paper scale"
        assert said in row(shelf, "GO-C03", "paper")["reason"]
        put(shelf, "resnet18-whole-batch", "paper", turning(500, 130, 1))
        assert row(shelf, "GO-C03", "paper")["verdict"] == "partly"

    def test_runs_of_different_length_are_compared_over_the_common_steps(self, shelf: Store) -> None:
        catalogue = load_catalogue()
        long, short = (catalogue.spec(r, "laptop").parameters["steps"] for r in ("resnet18", "resnet18-whole-batch"))
        assert short < long
        # Both oscillate for all the steps they share; the longer one turns after that.
        put(shelf, "resnet18", "laptop", turning(long, short + 50, 1))
        put(shelf, "resnet18-whole-batch", "laptop", turning(short, short + 1, 1))
        found = row(shelf, "GO-X01-1")
        assert found["verdict"] == "reproduced"
        assert f"compared over the first {short:,} steps" in found["reason"]

    def test_one_family_alone_is_not_partly(self, shelf: Store) -> None:
        rising, falling = oscillation(500, 100, 1), oscillation(500, 100, -1)
        for run, curve in (("cnn", falling), ("vgg16", falling), ("resnet18", rising), ("resnet34", rising)):
            put(shelf, run, "paper", make_run(np.linspace(2, 0, 501), curve, windowed=True))
        found = row(shelf, "GO-C01", "paper")
        assert found["measured"]["cnn"]["median"] == pytest.approx(0.8)
        assert found["measured"]["resnet18"]["median"] == pytest.approx(96 / 500)
        assert found["verdict"] == "not reproduced"

    def test_unshown_combinations_count_only_where_they_were_run(self, shelf: Store) -> None:
        assert row(shelf, "GO-C07")["verdict"] == "not run"
        put(shelf, "mnist-cnn", "laptop", turning(600, 100, 1))
        assert row(shelf, "GO-C07")["verdict"] == "not reproduced"
        put(shelf, "mnist-cnn", "laptop", turning(600, 100, -1))
        found = row(shelf, "GO-C07")
        assert found["verdict"] == "partly"
        remarks = found["remarks"]
        assert found["reason"] == "; ".join(remarks)
        assert any("simple CNN, VGG-16, ResNet-18 and ResNet-34 on SVHN" in r and "not run" in r for r in remarks)
        assert len([r for r in remarks if "not run at laptop scale" in r]) == 1, "what several share is said once"

    def test_seeds_that_end_early_are_told_together(self, shelf: Store) -> None:
        for seed, step in ((0, 120), (1, 99)):
            status = f"stopped: loss below 0.1 at step {step}"
            put(shelf, "cnn", "laptop", turning(100, 10, -1, status=status), seeds=(seed,))
        put(shelf, "cnn", "laptop", turning(100, 10, -1), seeds=(2,))
        said = "simple CNN: stopped with its loss below 0.1 at step 99 to 120 (in 2 of 3 seeds)"
        assert said in row(shelf, "GO-F02-1")["reason"]
        put(shelf, "vgg16", "laptop", turning(100, 10, -1, status="stopped: loss below 0.1 at step 1200"))
        assert row(shelf, "GO-F03-1")["reason"].endswith("below 0.1 at step 1,200")
