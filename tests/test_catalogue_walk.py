"""The catalogue of the walk: complete, at the paper's setting, and reduced in the way its notes say."""

from __future__ import annotations

import pytest
from catalogued import every_claim, figures_and_claims

from landscape_helpers.catalogue import PROFILES, Run, forward_macs, load_catalogue, run_pflop
from landscape_helpers.catalogue.walk_cost import walk_work
from landscape_helpers.runner import experiment, validate

CATALOGUE = load_catalogue()
FIGURES, CLAIMS = figures_and_claims("WALK")
USED = {run for figure in FIGURES.values() for run in figure.runs}
RUNS: dict[str, Run] = {n: CATALOGUE.runs[n] for n in USED}
WALKS = {name: run for name, run in RUNS.items() if run.experiment == "walk"}

# Checks that the paper's inventory lists for each figure and table; what is added here has basis "ours".
PAPER_CHECKS = {
    **dict.fromkeys([f"F{n:02d}" for n in (9, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 25, 26, 28)], 3),
    **dict.fromkeys([f"F{n:02d}" for n in (4, 6, 22, 23, 24, 27)], 2),
    "F01": 5, "F02": 5, "F03": 4, "F05": 6, "F07": 3, "F08": 3, "F10": 5, "F18": 4, "T01": 4, "T02": 3,
}  # fmt: skip


def test_every_figure_table_check_and_claim_of_the_paper_is_there() -> None:
    assert {f"WALK-{name}" for name in PAPER_CHECKS} | {f"WALK-X{n:02d}" for n in range(1, 5)} == set(FIGURES)
    for name, count in PAPER_CHECKS.items():
        found = [check.id for check in FIGURES[f"WALK-{name}"].checks if check.basis != "ours"]
        assert found == [f"WALK-{name}-{i}" for i in range(1, count + 1)]
    assert list(CLAIMS) == [f"WALK-C{n:02d}" for n in range(1, 12)]
    assert all("partly" in claim.predicates for claim in CLAIMS.values())


def test_no_run_of_the_paper_stands_unused() -> None:
    own = {n for n, r in CATALOGUE.runs.items() if r.experiment in ("walk", "hessian_covariance", "quadratic_bowl")}
    assert own == USED


def test_rates_batches_points_and_noise_are_the_same_at_every_scale() -> None:
    for run in WALKS.values():
        for name in ("lr", "batch_size", "points", "noise", "schedule", "schedule_options", "batchnorm"):
            values = [scale.parameters[name] for scale in run.scales.values()]
            assert all(value == values[0] for value in values), (run.name, name)


def test_the_paper_scale_is_the_papers_setting() -> None:
    expected = {
        "vgg11-gd": ("vgg11_bn", 0.1, None, 45_000),
        "vgg11-sgd": ("vgg11_bn", 0.1, 100, 45_000),
        "vgg11-sgd-rate-0.05": ("vgg11_bn", 0.05, 100, 45_000),
        "resnet56-sgd": ("resnet56", 0.1, 100, 45_000),
        "resnet56-sgd-rate-0.3": ("resnet56", 0.3, 100, 45_000),
        "resnet56-sgd-rate-0.15": ("resnet56", 0.15, 100, 45_000),
        "mlp-mnist-sgd": ("mlp", 0.1, 100, 55_000),
        "tiny-sgd": ("vgg11_bn", 0.1, 100, None),
    }
    for run, wanted in expected.items():
        p = CATALOGUE.spec(run, "paper").parameters
        assert (p["model"], p["lr"], p["batch_size"], p["n_train"]) == wanted
        assert p["points"] == 10 and p["schedule"] == "constant" and p["noise"] == 0
    assert CATALOGUE.spec("vgg11-sgd", "paper").parameters["epochs"] == 100
    assert CATALOGUE.spec("mlp-mnist-sgd", "paper").parameters["epochs"] == 40
    assert [CATALOGUE.spec(f"vgg11-noise-{k}", "paper").parameters["noise"] for k in (0.05, 0.1)] == [0.05, 0.1]


def test_the_audited_epochs_are_whole_at_paper_scale() -> None:
    windows = {run: dict(CATALOGUE.spec(run, "paper").parameters["windows"]) for run in WALKS}
    for run in ("vgg11-sgd", "resnet56-sgd", "vgg11-sgd-rate-0.05", "resnet56-sgd-rate-0.3", "resnet56-sgd-rate-0.15"):
        assert all(windows[run][epoch] == 450 for epoch in (1, 10, 25, 100)), run
    assert all(windows["vgg11-sgd"][epoch] == 450 for epoch in range(1, 41))
    assert all(windows["mlp-mnist-sgd"][epoch] == 550 for epoch in (1, 10, 25))


def test_every_sampled_window_that_is_measured_is_asked_for() -> None:
    over_windows = ("interior_share", "floor_rise_share", "mean_height", "barrier_share", "barriers_per_epoch")
    for claim in every_claim("WALK"):
        for m in claim.measurements:
            if m.measure not in over_windows:
                continue
            for profile, scale in CATALOGUE.runs[m.run].scales.items():
                lengths = {epoch: count for epoch, count in scale.parameters["windows"]}
                epoch, end = m.arguments.get("epoch", 1), m.arguments.get("end")
                assert lengths[epoch] >= (end or 1), (claim.id, m.name, profile)


def test_every_one_of_the_first_forty_epochs_is_sampled_for_figure_8() -> None:
    for profile in PROFILES:
        p = CATALOGUE.spec("vgg11-sgd", profile).parameters
        per_epoch = -(-p["n_train"] // p["batch_size"])
        updates = {u for epoch, n in p["windows"] for u in range((epoch - 1) * per_epoch, (epoch - 1) * per_epoch + n)}
        assert {u // per_epoch + 1 for u in updates} >= set(range(1, 41))


def test_what_is_smaller_is_said_in_the_note() -> None:
    for run in WALKS.values():
        for profile, scale in run.scales.items():
            p, note = scale.parameters, scale.note
            if profile == "paper":
                continue
            said = f"{p['n_train']:,} of" if profile == "laptop" else f"{p['n_train']} digits"
            assert said in note, (run.name, profile)
            paper = run.scales["paper"].parameters
            if p["model"] != paper["model"]:
                assert "ResNet-8" in note or "ResNet-20 of width 8 for ResNet-56" in note, (run.name, profile)
            for name in ("steps", "epochs"):
                if p["steps"] is None and p["epochs"] < paper["epochs"] and name == "epochs":
                    assert f"{p['epochs']} of {paper['epochs']:,}" in note, (run.name, profile)
                if name == "steps" and p["steps"] is not None and p["steps"] < (paper["steps"] or 0):
                    assert f"{p['steps']} of {paper['steps']:,} updates" in note, (run.name, profile)


def test_tiny_imagenet_stands_at_paper_scale_with_reasons_elsewhere() -> None:
    for name, run in WALKS.items():
        expected = {"smoke", "laptop"} if name.startswith("tiny-") else set()
        assert set(run.unavailable) == expected
        assert all("Tiny ImageNet" in reason for reason in run.unavailable.values())


def test_every_run_that_can_be_checked_here_passes_its_validation() -> None:
    validate([CATALOGUE.spec(name, "smoke") for name, run in RUNS.items() if "smoke" in run.scales])
    for run in RUNS.values():
        for scale in run.scales.values():
            assert experiment(run.experiment).validate(scale.parameters) == scale.parameters


def test_smoke_runs_are_small() -> None:
    costs = [CATALOGUE.spec(name, "smoke").pflop for name, run in RUNS.items() if "smoke" in run.scales]
    assert sum(c for c in costs if c is not None) < 0.001  # 1 TFLOP: a minute or two of small passes


class TestCost:
    P = experiment("walk").DEFAULTS

    def test_a_run_adds_up(self) -> None:
        p = {
            **self.P, "epochs": 4, "windows": [[1, 3], [2, 2]], "points": 10, "full_gradients": True,
            "evaluate_every": 2, "n_valid": 30, "spectrum_every": 4, "spectrum_images": 50,
        }  # fmt: skip
        work = walk_work("walk", p, images=200)
        # 2 updates an epoch, 8 in all; updates 0, 1, 2 and 2, 3 are sampled: 4 of them; evaluations at 0, 4 and 8.
        assert work.gradients == 9 * 100 + 4 * 200
        assert work.passes == 4 * 11 * 200 + 3 * (2 * 200 + 30)
        assert work.products == 2 * 12 * 50

    def test_a_full_batch_update_is_an_epoch(self) -> None:
        p = {**self.P, "epochs": 5, "batch_size": None, "windows": [], "evaluate_every": 0, "noise": 0.1}
        assert walk_work("walk", p, images=200).gradients == 6 * 200 + 200

    def test_in_operations(self) -> None:
        p = {**self.P, "model": "mlp", "model_options": {"hidden": [8]}, "n_train": 100, "steps": 9, "windows": [],
             "evaluate_every": 0}  # fmt: skip
        assert run_pflop(p, "walk") == pytest.approx(6 * (64 * 8 + 8 * 10) * 100 * 10 / 1e15)

    def test_classes_that_are_left_out_cost_nothing(self) -> None:
        p = CATALOGUE.spec("tiny-sgd", "paper").parameters
        macs = forward_macs("vgg11_bn", (3, 64, 64), 200)
        assert macs is not None and p["classes"] == 50
        n, updates = 25_000, 40
        passes = n * 11 * updates + (1 + updates // 250) * 2 * n
        expected = macs * (6 * 100 * (updates + 1) + 2 * passes) / 1e15
        assert run_pflop(p, "walk") == pytest.approx(expected)

    def test_what_is_unknown_has_no_cost(self) -> None:
        assert CATALOGUE.spec("quadratic-bowl", "smoke").pflop is None
