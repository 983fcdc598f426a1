"""The catalogue: complete against the paper's figures and claims, consistent, and clear about mistakes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from landscape_helpers.catalogue import PROFILES, Claim, forward_macs, load_catalogue, parse_catalogue, run_pflop
from landscape_helpers.catalogue.loader import join
from landscape_helpers.claims import check_claim
from landscape_helpers.runner import experiment

CATALOGUE = load_catalogue()
CLAIMS: list[Claim] = [
    *(check for figure in CATALOGUE.figures.values() for check in figure.checks),
    *CATALOGUE.claims.values(),
]

# Checks that the paper's inventory lists for each figure; what is added here has basis "ours".
PAPER_CHECKS = {1: 3, 2: 7, 3: 6, 4: 6, 5: 4, 6: 4, 7: 3, 8: 3, 9: 2, 10: 5, 11: 5}


def test_every_figure_and_claim_of_the_paper_is_there() -> None:
    for number, count in PAPER_CHECKS.items():
        figure = CATALOGUE.figure(f"GO-F{number:02d}")
        assert sum(check.basis != "ours" for check in figure.checks) == count, figure.id
    assert [c for c in CATALOGUE.claims if c.startswith("GO-")] == [f"GO-C{n:02d}" for n in range(1, 8)]


def test_every_figure_of_the_paper_can_be_run_at_three_scales() -> None:
    for number in PAPER_CHECKS:
        for run in CATALOGUE.figure(f"GO-F{number:02d}").runs:
            for profile in PROFILES:
                spec = CATALOGUE.spec(run, profile)
                assert spec.note
                assert spec.pflop is not None and spec.pflop > 0


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_measurements_exist_and_predicates_use_only_them(claim: Claim) -> None:
    check_claim(claim)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("loss_at, ", "loss_by, ", r"^T-F1-1: l: unknown measure 'loss_by': expected one of "),
        ("epoch: 1", "epoch: 1, layer: 2", r"^T-F1-1: l: measure loss_at: got an unexpected keyword argument 'layer'$"),
        ("l > 0}", "k > 0}", r"^T-F1-1: reproduced uses 'k', which is not among its measurements$"),
        ("l > 0}", '"l >"}', r"^T-F1-1: reproduced: predicate 'l >' cannot be read: "),
    ],
)
def test_a_claim_that_cannot_be_judged_names_its_place(old: str, new: str, message: str) -> None:
    (check,) = parse_catalogue(MINIMAL.replace(old, new, 1)).figure("T-F1").checks
    with pytest.raises(ValueError, match=message):
        check_claim(check)


def test_the_paper_scale_is_the_papers_setting() -> None:
    expected = {
        "linear": ("mnist", 60_000, "softmax", 0.01, 2500),
        "cnn": ("cifar10", 50_000, "cnn", 0.1, 1500),
        "vgg16": ("cifar10", 50_000, "vgg16", 0.1, 1500),
        "resnet18": ("cifar10", 50_000, "resnet18", 0.1, 500),
        "resnet34": ("cifar10", 50_000, "resnet34", 0.1, 500),
        "cnn-small-rate": ("cifar10", 50_000, "cnn", 0.001, 30_000),
    }
    for run, wanted in expected.items():
        p = CATALOGUE.spec(run, "paper").parameters
        assert (p["data"], p["n_train"], p["model"], p["lr"], p["steps"]) == wanted
        assert p["window"] == 5


def test_the_learning_rate_is_the_papers_at_every_scale() -> None:
    for run in CATALOGUE.runs.values():
        if run.experiment == "edge_of_stability":
            continue  # at the smallest rate 400,000 steps: reduced in the paper's ratios, see test_catalogue_sing
        assert len({scale.parameters.get("lr") for scale in run.scales.values()}) == 1, run.name


def test_claims_rest_on_three_seeds_above_smoke() -> None:
    needed = {m.run for claim in CATALOGUE.claims.values() for m in claim.measurements if not m.optional}
    assert needed >= {"cnn", "vgg16", "resnet18", "resnet34"}
    for run in needed:
        for profile in CATALOGUE.runs[run].scales.keys() - {"smoke"}:
            assert len(CATALOGUE.spec(run, profile).seeds) >= 3, run


def test_parameters_are_the_experiments() -> None:
    for run in CATALOGUE.runs.values():
        module = experiment(run.experiment)
        for profile in run.scales:
            parameters = CATALOGUE.spec(run.name, profile).parameters
            assert set(parameters) == set(module.DEFAULTS)
            assert module.validate(parameters) == parameters


def test_loading_does_not_import_torch() -> None:
    code = (
        "import sys; from landscape_helpers.catalogue import load_catalogue; import landscape_helpers.claims, "
        "landscape_helpers.cli; load_catalogue(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_root())
    assert done.stdout.strip() == "False"


def _root() -> str:
    from landscape_helpers.fingerprint import PACKAGE_ROOT

    return str(PACKAGE_ROOT.parent)


class TestSpec:
    def test_overrides(self) -> None:
        spec = CATALOGUE.spec("cnn", "smoke", {"steps": 50, "model_options": {"batchnorm": True}}, seeds=[3])
        assert spec.parameters["steps"] == 50
        assert spec.parameters["model_options"] == {"width": 8, "batchnorm": True}
        assert spec.overridden == ("steps", "model_options")
        assert spec.seeds == (3,)
        assert "steps=50" in spec.note

    def test_null_takes_an_option_of_the_catalogue_out(self) -> None:
        spec = CATALOGUE.spec("cnn", "smoke", {"model": "mlp", "model_options": {"width": None, "hidden": [16]}})
        assert spec.parameters["model_options"] == {"hidden": [16]}

    def test_an_override_with_the_catalogues_value_changes_nothing(self) -> None:
        plain = CATALOGUE.spec("cnn", "smoke")
        assert CATALOGUE.spec("cnn", "smoke", {"lr": plain.parameters["lr"]}) == plain

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: CATALOGUE.figure("GO-F2"), "unknown figure 'GO-F2': did you mean GO-F02"),
            (lambda: CATALOGUE.spec("cnn", "huge"), "unknown profile 'huge': expected one of smoke, laptop, paper"),
            (lambda: CATALOGUE.spec("cnm", "smoke"), "unknown run 'cnm': did you mean cnn"),
            (lambda: CATALOGUE.spec("cnn", "smoke", {"rate": 1}), "unknown parameter 'rate': expected one of data, "),
            (lambda: CATALOGUE.spec("cnn", "smoke", {"model_options": 4}), "model_options must be keys and values"),
            (lambda: CATALOGUE.spec("cnn", "smoke", {"model": 3}), "model must be the name of a network, got 3"),
            (lambda: CATALOGUE.spec("svhn-cnn", "smoke"), "svhn-cnn cannot be run at smoke scale: SVHN is not"),
            (lambda: CATALOGUE.runs_of(["GO-F02", "xyz"]), "unknown figure or run 'xyz': see"),
        ],
    )
    def test_mistakes_are_named(self, call: Callable[[], Any], message: str) -> None:
        with pytest.raises(ValueError) as caught:
            call()
        assert str(caught.value).startswith(message)

    def test_shared_runs_are_named_once(self) -> None:
        assert CATALOGUE.runs_of(["GO-F02", "GO-F06", "cnn", "GO-F03"]) == ("cnn", "vgg16")


class TestCost:
    def test_multiply_accumulates_are_the_known_ones(self) -> None:
        # The usual figures for 32x32 images: VGG-11 153M, VGG-16 313M, ResNet-18 556M, ResNet-34 1.16G.
        shape = (3, 32, 32)
        known = {"vgg11": 153e6, "vgg16": 313e6, "resnet18": 556e6, "resnet34": 1.16e9}
        for model, macs in known.items():
            assert forward_macs(model, shape, 10) == pytest.approx(macs, rel=0.005)

    @pytest.mark.parametrize(
        ("model", "shape", "options"),
        [
            ("softmax", (1, 8, 8), {}),
            ("mlp", (1, 8, 8), {"hidden": (7, 5)}),
            ("cnn", (1, 8, 8), {"width": 4, "batchnorm": True}),
            ("cnn", (3, 30, 28), {"width": 3}),
            ("vgg11", (1, 8, 8), {"width": 2}),
            ("vgg16_bn", (3, 30, 30), {"width": 2}),
            ("resnet10", (1, 9, 7), {"width": 2}),
            ("resnet18", (3, 15, 15), {"width": 3}),
        ],
    )
    def test_counts_agree_with_hooks_on_the_network_itself(
        self, model: str, shape: tuple[int, int, int], options: dict[str, Any]
    ) -> None:
        import torch
        from torch import nn

        from landscape_helpers.models import build_model

        counted = 0

        def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
            nonlocal counted
            weight = module.weight
            assert isinstance(weight, torch.Tensor)
            counted += output.numel() * weight[0].numel()

        network = build_model(model, 10, shape, **options).eval()
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.register_forward_hook(count)
        with torch.no_grad():
            network(torch.zeros(1, *shape))
        assert forward_macs(model, shape, 10, **options) == counted

    def test_cost_of_a_run(self) -> None:
        # The inventory's estimate for VGG-16: 313 MMAC, 50,000 images, 1,500 steps: about 140 PFLOP.
        assert CATALOGUE.spec("vgg16", "paper").pflop == pytest.approx(141, rel=0.01)

    def test_unknown_networks_and_data_have_no_cost(self) -> None:
        parameters = dict(CATALOGUE.spec("cnn", "smoke").parameters)
        assert run_pflop(parameters | {"model": "torchvision:alexnet"}) is None
        assert run_pflop(parameters | {"data": "folder:/somewhere"}) is None

    def test_an_experiment_that_is_not_counted_has_no_known_cost(self) -> None:
        assert run_pflop({"data": "digits", "points": 11}, "one_of_your_own") is None


MINIMAL = """
paper: {key: T, title: Test, authors: [A], year: 2000}
experiments: {e: {data: digits, steps: 10, model_options: {}}}
scales: {smoke: {seeds: [0]}, laptop: {seeds: [0]}, paper: {seeds: [0]}}
runs:
  r:
    network: net
    paper_steps: 10
    smoke: {note: tiny, model_options: {width: 2}}
    laptop: {note: small, steps: 5}
    paper: {unavailable: too large}
figures:
  T-F1:
    title: t
    what: w
    reported: x
    runs: [r]
    checks:
      T-F1-1: {basis: P, statement: s, measurements: {l: {measure: loss_at, run: r, epoch: 1}}, reproduced: l > 0}
claims:
  T-C1:
    basis: P
    figures: [T-F1]
    statement: s
    short: s
    measurements: {l: {measure: loss_at, run: r, epoch: 1}}
    reproduced: l > 0
    partly: l > -1
"""


class TestParsing:
    def test_a_minimal_catalogue(self) -> None:
        catalogue = parse_catalogue(MINIMAL)
        assert catalogue.runs["r"].scales["smoke"].parameters == {
            "data": "digits",
            "steps": 10,
            "model_options": {"width": 2},
        }
        assert catalogue.runs["r"].unavailable == {"paper": "too large"}

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            ("runs.r.smoke.stepz", 3, "unknown key 'stepz'"),
            ("runs.r.smoke.note", "", "a note must say how the run is reduced"),
            ("runs.r.smoke.seeds", [-1], "seeds must be a list of whole numbers"),
            ("runs.r.network", ..., "'network' is missing"),
            ("runs.r.experiment", "f", "unknown experiment 'f'"),
            ("figures.T-F1.runs", ["q"], "unknown run 'q'"),
            ("figures.T-F1.checks.T-F1-1.basis", "Q", "basis must be one of"),
            ("figures.T-F1.checks.T-F1-1.measurements.l.run", "q", "unknown run 'q'"),
            ("figures.T-F1.checks.other", {}, "must be named after its figure"),
            ("claims.T-C1.figures", ["T-F9"], "unknown figure 'T-F9'"),
            ("claims.T-C1.reproduced", ..., "'reproduced' is missing"),
            ("scales.huge", {}, "unknown key 'huge'"),
            ("experiments", {}, "experiments must name at least one"),
            ("experiments.e.model_options", [], r"model_options must be keys and values, got \[\]"),
            ("runs.r.smoke", None, "run r: smoke must be keys and values, got None"),
            ("runs.r.paper.unavailable", 3, "unavailable must be text, got 3"),
            ("figures.T-F1.runs", "r", "T-F1: runs must be a list of names, got 'r'"),
            ("figures.T-F1.title", " ", "title must be text, got ' '"),
            ("figures.T-F1.checks", None, "checks must be keys and values, got None"),
            ("figures.T-F1.checks.T-F1-1.measurements.l", 3, "T-F1-1: l: expected keys and values, got 3"),
            ("figures.T-F1.checks.T-F1-1.measurements.l.run", ["r"], r"run must be text, got \['r'\]"),
            ("claims.T-C1.figures", None, "figures must be a list of names, got None"),
            ("claims.T-C1.reproduced", 1, "reproduced must be text, got 1"),
            ("claims.T-C1.common_steps", 1, "common_steps must be true or false, got 1"),
            ("claims.T-C1.figures", ..., "T-C1: 'figures' is missing"),
            ("claims.T-C1.short", ..., "T-C1: 'short' is missing"),
            ("claims.T-C1.partly", ..., "T-C1: 'partly' is missing"),
            ("claims.X-C1", {}, "claim 'X-C1' must be named after its paper, T-..."),
            ("figures.X-F1", {}, "figure 'X-F1' must be named after its paper, T-..."),
            ("figures.T-F1.runs", [], "T-F1-1: run 'r' is not among the runs of its figure"),
            ("figures.T-F1.checks.T-F1-1.figures", ["T-F1"], "unknown key 'figures'"),
            ("figures.T-F1.checks.T-F1-1.measurements.l-1", {}, "a measurement's name must be a word"),
            ("runs.r.laptop.000 images", None, "unknown key '000 images', .*; text that holds a comma .* in quotes"),
        ],
    )
    def test_mistakes_name_their_place(self, path: str, value: Any, message: str) -> None:
        tree = yaml.safe_load(MINIMAL)
        *parents, last = path.split(".")
        node = tree
        for key in parents:
            node = node[key]
        if value is ...:
            del node[last]
        else:
            node[last] = value
        with pytest.raises(ValueError, match=message) as caught:
            parse_catalogue(yaml.safe_dump(tree), "test.yaml")
        assert str(caught.value).startswith("test.yaml")
        assert "\n" not in str(caught.value)

    def test_broken_yaml_is_one_line(self) -> None:
        with pytest.raises(ValueError, match=r"^test.yaml is not valid YAML") as caught:
            parse_catalogue("a: [", "test.yaml")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("    statement: s", "    statement: s: t", r"mapping values .*, line 24, column 17: .* quotes"),
            ("    title: t", "\ttitle: t", r"line 14, column 1: .*spaces"),
            ("  T-F1:", "  on:", r"'on' is read as True and not as a name: put it in quotes, line 13, column 3"),
        ],
    )
    def test_what_yaml_reads_otherwise_is_one_line_with_its_place(self, old: str, new: str, message: str) -> None:
        with pytest.raises(ValueError, match=f"^test.yaml is not valid YAML: .*{message}") as caught:
            parse_catalogue(MINIMAL.replace(old, new, 1), "test.yaml")
        assert "\n" not in str(caught.value) and "<" not in str(caught.value)

    def test_a_number_with_an_exponent_is_a_number(self) -> None:
        catalogue = parse_catalogue(MINIMAL.replace("steps: 5", "steps: 1e-3"))
        assert catalogue.runs["r"].scales["laptop"].parameters["steps"] == 0.001

    def test_a_claim_is_not_called_as_a_check(self) -> None:
        with pytest.raises(ValueError, match=r"^test.yaml: 'T-F1-1' names two things"):
            parse_catalogue(MINIMAL.replace("  T-C1:", "  T-F1-1:"), "test.yaml")

    def test_files_that_share_a_name_are_both_named(self) -> None:
        part = parse_catalogue(MINIMAL.replace("{e: {", "{walk: {"))
        with pytest.raises(ValueError, match=r"^b.yaml: 'T' stands in a.yaml too"):
            join({"a.yaml": part, "b.yaml": part})

    def test_an_experiment_without_its_module_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"^a.yaml: run r: experiment 'e' has no module experiments/e.py$"):
            join({"a.yaml": parse_catalogue(MINIMAL)})

    def test_a_name_that_stands_twice_is_refused(self) -> None:
        check = MINIMAL[MINIMAL.index("      T-F1-1:") : MINIMAL.index("claims:")]
        with pytest.raises(ValueError, match=r"^test.yaml .*: 'T-F1-1' stands twice, line 20, column 7$") as caught:
            parse_catalogue(MINIMAL.replace(check, check + check), "test.yaml")
        assert "\n" not in str(caught.value)
