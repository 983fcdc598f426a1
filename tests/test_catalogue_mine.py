"""The catalogue of the mining paper: complete, at the paper's setting, and reduced in the way its notes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from catalogued import every_claim, figures_and_claims
from synthetic_slices import slice_run

from landscape_helpers.catalogue import PROFILES, Run, forward_macs, load_catalogue, parse_catalogue, run_pflop
from landscape_helpers.catalogue.landscape_cost import landscape_work
from landscape_helpers.claims import ledger
from landscape_helpers.runner import experiment, load
from landscape_helpers.store import Store

CATALOGUE = load_catalogue()
FIGURES, CLAIMS = figures_and_claims("MINE")
RUNS: dict[str, Run] = {n: r for n, r in CATALOGUE.runs.items() if r.experiment.startswith("landscape_")}

# Checks that the paper's inventory lists for each figure; what is added here has basis "ours".
PAPER_CHECKS = {
    "F01": 2, "F02": 5, "F03": 5, "F04": 4, "F05": 4, "F06": 2, "F07": 3, "F08": 4, "F09": 4, "F10": 3, "F11": 5,
    "F12": 3, "F13": 7, "F14": 3, "A15": 2, "B16": 2, "B17": 2,
}  # fmt: skip
CHECKPOINTS = (0, 10, 50, 100, 200)


def test_every_figure_check_and_claim_of_the_paper_is_there() -> None:
    for name, count in PAPER_CHECKS.items():
        checks = [check for check in FIGURES[f"MINE-{name}"].checks if check.basis != "ours"]
        # One that names two data sets is judged in two parts, a and b.
        assert {check.id.rstrip("ab") for check in checks} == {f"MINE-{name}-{i}" for i in range(1, count + 1)}
    assert list(CLAIMS) == [f"MINE-C{n:02d}" for n in range(1, 14)]
    assert all("partly" in claim.predicates for claim in CLAIMS.values())
    assert {"MINE-X01", "MINE-X02", "MINE-X03"} <= set(FIGURES)


def test_the_defaults_are_the_experiments() -> None:
    text = (Path(__file__).parents[1] / "landscape_helpers" / "catalogue" / "mine.yaml").read_text("utf-8")
    for name, defaults in yaml.safe_load(text)["experiments"].items():
        assert defaults == experiment(name).DEFAULTS, name


def test_the_paper_scale_is_the_papers_setting() -> None:
    expected = {
        "mlp-slices": ("cifar10", "mlp", 0.1, {}),
        "resnet-mining": ("cifar100", "resnet32", 0.1, {}),
        "resnet20-slices": ("cifar100", "resnet110", 0.1, {}),
        "finetuned-slices": ("folder:CUB_200_2011@224", "torchvision:mobilenet_v2", 0.01, {}),
        "noskip-slices": ("cifar10", "resnet56", 0.1, {"skip": False}),
        "noskip-deep-slices": ("cifar10", "resnet110", 0.1, {"skip": False}),
        "noskip-c100-slices": ("cifar100", "resnet56", 0.1, {"skip": False}),
    }
    for run, wanted in expected.items():
        p = CATALOGUE.spec(run, "paper").parameters
        assert (p["data"], p["model"], p["lr"], p["model_options"]) == wanted
        assert (p["epochs"], tuple(p["keep"]), p["train_batch"], p["weight_decay"]) == (200, CHECKPOINTS, 128, 5e-4)


def test_shorter_trainings_keep_the_papers_checkpoints_in_proportion_and_say_so() -> None:
    for run in RUNS.values():
        for profile, scale in run.scales.items():
            p = scale.parameters
            if run.name == "resnext-slices":
                continue  # nothing is trained
            assert {epoch * 200 / p["epochs"] for epoch in p["keep"]} <= set(CHECKPOINTS), (run.name, profile)
            if p["epochs"] < 200:
                assert f"{p['epochs']} of 200 epochs with checkpoints at 0" in scale.note, (run.name, profile)


def test_every_epoch_that_is_measured_is_kept() -> None:
    for claim in every_claim("MINE"):
        for m in claim.measurements:
            epochs = m.arguments.get("epoch", [])
            for scale in CATALOGUE.runs[m.run].scales.values():
                p = scale.parameters
                named = {e * p["epochs"] / 200 for e in (epochs if isinstance(epochs, list) else [epochs])}
                assert named <= set(p["keep"]), (claim.id, m.name)


def test_fewer_images_and_a_stand_in_are_said_in_the_note() -> None:
    for run in RUNS.values():
        if "laptop" in run.scales and "paper" in run.scales:
            laptop, paper = run.scales["laptop"], run.scales["paper"]
            images = laptop.parameters["n_train"]
            said = [f"{images:,} of", f"{images:,} images", f"{images // 2:,} images each"]
            assert any(words in laptop.note for words in said), run.name
            if laptop.parameters["model"] != paper.parameters["model"]:
                assert " for " in laptop.note, run.name


def test_what_cannot_be_run_says_why() -> None:
    for run in RUNS.values():
        assert set(run.scales) | set(run.unavailable) == set(PROFILES)
        assert all(len(reason) > 10 for reason in run.unavailable.values())
    assert set(RUNS["resnext-slices"].unavailable) == {"smoke", "laptop"}


def test_claims_rest_on_three_seeds_above_smoke() -> None:
    for claim in CLAIMS.values():
        for m in claim.measurements:
            if not m.optional:
                assert len(CATALOGUE.spec(m.run, "laptop").seeds) >= 3, (claim.id, m.run)


def test_smoke_runs_are_small() -> None:
    costs = [CATALOGUE.spec(name, "smoke").pflop for name, run in RUNS.items() if "smoke" in run.scales]
    assert sum(c for c in costs if c is not None) < 0.002  # 2 TFLOP: of the order of a minute


class TestCost:
    def test_the_cifar_residual_networks_have_their_known_cost(self) -> None:
        # He et al. (2016): 0.27M, 0.46M and 0.85M parameters; 41, 69 and 126 million multiply-accumulates.
        for model, macs in (("resnet20", 41e6), ("resnet32", 69e6), ("resnet56", 126e6)):
            assert forward_macs(model, (3, 32, 32), 10) == pytest.approx(macs, rel=0.02)

    def test_the_count_agrees_with_hooks_on_the_network(self) -> None:
        import torch

        from landscape_helpers.models import build_model

        counted = 0

        def count(module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
            nonlocal counted
            counted += output.numel() * module.weight[0].numel()  # type: ignore[index]

        network = build_model("resnet14", 10, (3, 15, 15), width=3, skip=False).eval()
        for module in network.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                module.register_forward_hook(count)
        with torch.no_grad():
            network(torch.zeros(1, 3, 15, 15))
        assert forward_macs("resnet14", (3, 15, 15), 10, width=3, skip=False) == counted

    def test_a_run_of_slices_adds_up(self) -> None:
        p = {
            **experiment("landscape_slices").DEFAULTS,
            "epochs": 10,
            "keep": [0, 10],
            "n_eval": 50,
            "points": 11,
            "draws": 2,
            "conditions": [{}, {}],
            "fine": False,
            "plane_points": 5,
            "planes": [{}],
            "barriers": [[10, 10]],
            "interpolation": False,
        }
        work = landscape_work("landscape_slices", p, images=100)
        assert work.gradients == 2 * 10 * 100  # the network and an independent one
        # 2 x 2 curves of 11 points, one plane, one barrier curve of 3/2 x 11, counted as two of 11.
        assert work.passes == 50 * ((4 + 2) * 11 + 25)
        assert work.products == 0

    def test_training_dominates_a_run_without_slices(self) -> None:
        p = {**experiment("landscape_slices").DEFAULTS, "interpolation": False}
        # 6 x 8 x 8 x 128 + 128 x 10 multiply-accumulates, 1,500 images, 200 epochs.
        assert run_pflop(p, "landscape_slices") == pytest.approx(6 * (64 * 128 + 128 * 10) * 1500 * 200 / 1e15)

    @pytest.mark.parametrize(("run", "classes"), [("finetuned-slices", 200), ("resnext-slices", 1000)])
    def test_networks_of_torchvision_cost_what_hooks_count(self, run: str, classes: int) -> None:
        import torch

        from landscape_helpers.models import build_model

        p = CATALOGUE.spec(run, "paper").parameters
        counted = 0

        def count(module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
            nonlocal counted
            each = module.weight[0].numel() if isinstance(module, torch.nn.Conv2d) else module.in_features  # type: ignore[index]
            counted += output.numel() * int(each)

        with torch.device("meta"):
            network = build_model(p["model"], classes, (3, 224, 224)).eval()
            for module in network.modules():
                if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                    module.register_forward_hook(count)
            network(torch.zeros(1, 3, 224, 224))
        assert forward_macs(p["model"], (3, 224, 224), classes) == counted

    def test_other_sizes_and_options_of_torchvisions_networks_are_unknown(self) -> None:
        name = "torchvision:mobilenet_v2"
        assert forward_macs(name, (3, 32, 32), 10) is None
        assert forward_macs(name, (3, 224, 224), 10, width_mult=0.5) is None

    def test_a_network_that_is_not_trained_costs_no_training(self) -> None:
        p = CATALOGUE.spec("resnext-slices", "paper").parameters
        macs = forward_macs(p["model"], (3, 224, 224), 1000)
        assert macs is not None
        curves = 2 * 5  # conditions, draws
        assert run_pflop(p, "landscape_slices") == pytest.approx(2 * macs * curves * 41 * 150 / 1e15)


TWO_EXPERIMENTS = """
paper: {key: T, title: Test, authors: [A], year: 2000}
experiments:
  e: {data: digits, steps: 10, model_options: {}}
  f: {data: digits, points: 5, model_options: {}}
scales: {smoke: {seeds: [0], f: {points: 3}}, laptop: {seeds: [0]}, paper: {seeds: [0]}}
runs:
  a: {network: net, smoke: {note: n}, laptop: {note: n}, paper: {note: n}}
  b: {experiment: f, network: net, smoke: {note: n}, laptop: {note: n, points: 4}, paper: {note: n}}
figures: {}
claims: {}
"""


class TestScales:
    def test_a_scale_speaks_to_one_experiment(self) -> None:
        runs = parse_catalogue(TWO_EXPERIMENTS).runs
        assert [runs["b"].scales[profile].parameters["points"] for profile in PROFILES] == [3, 4, 5]
        assert "points" not in runs["a"].scales["smoke"].parameters
        assert runs["a"].paper_steps is None

    def test_what_another_experiment_has_is_refused(self) -> None:
        with pytest.raises(ValueError, match="run a at smoke: unknown key 'points'"):
            parse_catalogue(TWO_EXPERIMENTS.replace("seeds: [0], f: {points: 3}", "seeds: [0], points: 3"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("results"), search=[])
    for name, run in RUNS.items():
        if "smoke" in run.scales:
            store.save(CATALOGUE.spec(name, "smoke"), 0, slice_run(name, 0, "smoke"))
    return store


class TestLedger:
    def test_every_claim_is_decided_where_its_runs_exist(self, shelf: Store) -> None:
        rows = {row["id"]: row for row in ledger("smoke", "MINE", shelf)}
        assert set(rows) == {claim.id for claim in every_claim("MINE")}
        undecided = {name for name, row in rows.items() if row["verdict"] == "not run"}
        assert undecided == {"MINE-F03-1b", "MINE-F03-2b", "MINE-F03-3"}
        assert all("CIFAR-100 is not embedded" in rows[name]["reason"] for name in undecided)

    def test_a_shorter_training_is_remarked(self, shelf: Store) -> None:
        row = next(row for row in ledger("smoke", "MINE", shelf) if row["id"] == "MINE-A15-1")
        assert "40 instead of 200 epochs" in row["reason"]

    def test_seeds_with_unequal_numbers_of_planes_are_stacked(self, shelf: Store, tmp_path: Path) -> None:
        whole = slice_run("mlp-mining", 0, "smoke")
        spec, store = CATALOGUE.spec("mlp-mining", "smoke", seeds=[0, 1]), Store(tmp_path, search=[])
        store.save(spec, 0, whole)
        store.save(spec, 1, whole.isel(plane=slice(0, 2)))
        stacked = load(spec, store)
        assert stacked.sizes["plane"] == whole.sizes["plane"]
        assert stacked["plane_first"].values[1, 1] == whole["plane_first"].values[1]
        assert stacked["plane_first"].values[1, 2] == ""
        assert bool(stacked["plane_loss"][1, 2].isnull().all())
        assert "plane" not in stacked.coords
