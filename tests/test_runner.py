"""From the catalogue to results: what is missing, what is computed, and how seeds are put together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray
from data_files import one_line
from synthetic_run import make_run, spec

from landscape_helpers import runner, store
from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.runner import Job
from landscape_helpers.store import Store

RUN = make_run(np.linspace(2, 1, 21), np.full(21, 0.5))


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return Store(tmp_path / "out", search=[])


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What an experiment was asked for; each takes three steps and gives the same run."""
    asked: list[dict[str, Any]] = []

    def run(parameters: dict[str, Any], **given: Any) -> xarray.Dataset:
        asked.append({"parameters": parameters, **given})
        given["checkpoint"].parent.mkdir(parents=True, exist_ok=True)
        given["checkpoint"].write_bytes(b"half")
        if given["progress"] is not None:
            given["progress"](1, 3, 0.5)
        return RUN

    monkeypatch.setattr(runner, "experiment", lambda name: SimpleNamespace(run=run, validate=lambda p: p))
    return asked


def newer_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "code_hash", lambda experiment: "f" * 64)


def test_a_job_says_what_it_is() -> None:
    assert str(Job(spec(profile="laptop"), 3)) == "cnn at laptop scale, seed 3"


def test_what_is_not_stored_by_the_present_code_is_missing(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [spec(seeds=(0, 1)), spec("vgg16", seeds=(2,))]
    for one, seed in ((wanted[0], 0), (wanted[1], 2)):
        shelf.save(one, seed, RUN)
    assert runner.missing(wanted, shelf) == [Job(wanted[0], 1)]
    newer_code(monkeypatch)
    assert runner.missing(wanted, shelf) == [Job(wanted[0], 0), Job(wanted[0], 1), Job(wanted[1], 2)]


def test_a_result_is_computed_once_and_again_where_asked_or_stale(
    shelf: Store, computed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, steps = Job(spec(), 4), []
    path = runner.compute(job, shelf, "cpu", lambda *step: steps.append(step))
    checkpoint = shelf.checkpoint(job.spec, 4)
    assert path == shelf.find(job.spec, 4).path and steps == [(job, 1, 3, 0.5)]
    (asked,) = computed
    assert asked["parameters"] == job.spec.parameters and asked["parameters"] is not job.spec.parameters
    assert (asked["seed"], asked["device"], asked["checkpoint"]) == (4, "cpu", checkpoint)
    assert not checkpoint.exists() and not checkpoint.with_suffix(".lock").exists()
    assert runner.compute(job, shelf) == path and len(computed) == 1
    assert runner.compute(job, shelf, again=True) == path and len(computed) == 2
    assert computed[1]["progress"] is None and computed[1]["device"] == "cpu"
    newer_code(monkeypatch)
    assert runner.compute(job, shelf, "meta") != path and len(computed) == 3 and computed[2]["device"] == "meta"


def test_a_dataset_that_does_not_say_how_it_ended_is_not_stored(
    shelf: Store, computed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(RUN.attrs, "status")
    with pytest.raises(ValueError, match=r"^experiment gradient_oscillation says no status in its .* with_provenance"):
        runner.compute(Job(spec(), 4), shelf)
    assert shelf.find(spec(), 4) is None


def test_images_and_networks_are_tried_only_where_all_that_names_them_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(runner, "experiment", lambda name: SimpleNamespace(validate=lambda p: p))
    monkeypatch.setattr(runner, "_try_data_and_model", tried.append)
    whole = spec()
    own = replace(whole, parameters={k: v for k, v in whole.parameters.items() if k != "pool"})
    runner.validate([whole, own])
    assert tried == [whole.parameters]


def test_how_a_stored_run_ended(shelf: Store) -> None:
    paths = [shelf.save(spec(), seed, RUN.assign_attrs(status=how)) for seed, how in enumerate(("completed", "lost"))]
    silent = RUN.copy()
    del silent.attrs["status"]
    paths.append(shelf.save(spec(), 2, silent))
    assert [runner.status_of(path) for path in paths] == ["completed", "lost", "completed"]


@pytest.mark.parametrize("seeds", [(0, 2**63 - 1), [5]])
def test_seeds_that_generators_and_files_can_hold(seeds: Any) -> None:
    assert runner.check_seeds(seeds) == tuple(seeds)


@pytest.mark.parametrize("seeds", [(), [-1], [2**63], [True], [1.0], "01", "", 3, None, range(0)])
def test_other_seeds_are_refused(seeds: Any) -> None:
    with pytest.raises(ValueError) as error:
        runner.check_seeds(seeds)
    shown = list(seeds) if seeds and isinstance(seeds, (list, tuple)) else seeds
    one_line(error, "seeds must be whole numbers", f"got {shown!r}")


def test_each_network_is_tried_once_on_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(runner, "_try_data_and_model", tried.append)
    checked: list[Any] = []
    monkeypatch.setattr(runner, "experiment", lambda name: SimpleNamespace(validate=checked.append))
    others = {"data": "mnist", "n_train": 20, "n_valid": 5, "classes": 2, "pool": 2, "model": "mlp"}
    runs = [spec() for _ in range(2 + len(others))]
    for one, (name, value) in zip(runs[1:], others.items(), strict=False):
        one.parameters[name] = value
    runs[-1].parameters["model_options"] = {"width": 2}
    again, closed = spec("vgg16", steps=30), spec("bowl")
    del closed.parameters["data"]
    runner.validate([again, closed, *runs])
    assert tried == [one.parameters for one in runs] and len(checked) == len(runs) + 2
    with pytest.raises(ValueError, match="seeds must be whole numbers"):
        runner.validate([spec(seeds=(-1,))])


def test_shorter_runs_are_filled_up_with_nan_and_empty_text(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(curves: int, steps: int) -> xarray.Dataset:
        families = np.array(["gaussian", "layer", "filter"][:curves])
        held = {"family": ("curve", families), "height": ("curve", np.arange(curves, dtype=float))}
        return xarray.Dataset({**held, "loss": ("step", np.arange(steps, dtype=float))}, {"step": np.arange(steps)})

    two = spec(seeds=(0, 5), profile="laptop", note="small")
    shelf.save(two, 0, made(1, 4).assign_attrs(status="lost", learning_rate=0.5))
    with pytest.raises(FileNotFoundError) as error:
        runner.load(two, shelf)
    one_line(error, "cnn at laptop scale, seed 5", "`python -m landscape_helpers run cnn --profile laptop`")
    shelf.save(two, 5, made(3, 2).assign_attrs(status="completed", learning_rate=0.25))
    found = runner.load(two, shelf)
    assert found.family.values.tolist() == [["gaussian", "", ""], ["gaussian", "layer", "filter"]]
    np.testing.assert_array_equal(found.height, [[0, np.nan, np.nan], [0, 1, 2]])
    np.testing.assert_array_equal(found.loss, [[0, 1, 2, 3], [0, 1, np.nan, np.nan]])
    assert found.seed.values.tolist() == [0, 5] and set(found.coords) == {"seed", "step"}
    own = {"seeds": [0, 5], "stale": 0, "network": "simple CNN", "scale_note": "small", "learning_rate": 0.5}
    assert {name: found.attrs[name] for name in own} == own
    assert found.attrs["status"] == "seed 0: lost; seed 5: completed"
    newer_code(monkeypatch)
    assert runner.load(two, shelf).attrs["stale"] == 1
    shelf.save(two, 5, made(3, 2).assign_attrs(status="completed"))
    assert runner.load(two, shelf).attrs["stale"] == 1, "one stale seed is enough"


def test_the_highest_profile_at_which_all_are_stored(shelf: Store) -> None:
    catalogue = load_catalogue()

    def put(run: str, profile: str) -> None:
        one = catalogue.spec(run, profile)
        for seed in one.seeds:
            shelf.save(one, seed, RUN)

    with pytest.raises(FileNotFoundError) as error:
        runner.highest_profile(["cnn", "vgg16"], shelf)
    one_line(error, "no stored results of cnn, vgg16 at any scale", "run cnn vgg16 --profile smoke`")
    for run, profile in (("cnn", "smoke"), ("vgg16", "smoke"), ("cnn", "laptop")):
        put(run, profile)
    assert runner.highest_profile(iter(["cnn", "vgg16"]), shelf) == "smoke"
    assert runner.highest_profile(["cnn"], shelf) == "laptop"
    found = runner.results(["cnn", "vgg16"], store=shelf)
    assert list(found) == ["cnn", "vgg16"] and {one.attrs["profile"] for one in found.values()} == {"smoke"}


def test_what_is_missing_is_computed_where_asked(shelf: Store, computed: list[dict[str, Any]], monkeypatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(runner, "_try_data_and_model", lambda p: order.append("tried"))
    steps: list[Any] = []
    with pytest.raises(FileNotFoundError, match="no stored result of cnn at smoke scale, seed 3"):
        runner.results("cnn", "smoke", seeds=[3], store=shelf)
    assert not computed
    given = {"overrides": {"steps": 7}, "store": shelf, "run_missing": True}
    for seeds in ([3], [3, 4]):
        found = runner.results("cnn", "smoke", seeds=seeds, progress=lambda *s: steps.append(s), **given)["cnn"]
        assert found.seed.values.tolist() == seeds
    assert [(asked["seed"], asked["parameters"]["steps"]) for asked in computed] == [(3, 7), (4, 7)]
    assert [str(job) for job, *_ in steps] == [f"cnn at smoke scale, seed {seed}" for seed in (3, 4)]
    assert order == ["tried", "tried"] and {asked["device"] for asked in computed} == {"cpu"}
    runner.results("cnn", "smoke", seeds=[3], **given)
    assert len(computed) == 2 and len(order) == 2, "nothing is tried where nothing is missing"
