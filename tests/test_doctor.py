"""What the doctor finds on a machine, against machines that are made up."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers import __version__, doctor
from landscape_helpers.catalogue import PROFILES, load_catalogue
from landscape_helpers.cli import main
from landscape_helpers.store import Store

pytestmark = pytest.mark.usefixtures("isolated")
CATALOGUE = load_catalogue()
COMPLETE = {name: {"found": "here", "train_images": 10**7} for name in doctor._names(CATALOGUE)}


def cost(profile: str, left_out: str = "") -> float:
    """Floating-point operations of all runs of a profile and all their seeds."""
    specs = [CATALOGUE.spec(name, profile) for name, run in CATALOGUE.runs.items() if profile in run.scales]
    return sum((spec.pflop or 0.0) * 1e15 * len(spec.seeds) for spec in specs if spec.run != left_out)


def test_the_data_sets_of_the_catalogue_are_named_once() -> None:
    wanted = {scale.parameters.get("data") for run in CATALOGUE.runs.values() for scale in run.scales.values()}
    assert doctor._names(CATALOGUE) == sorted(wanted - {None}) and None in wanted


@pytest.mark.parametrize("profile", PROFILES)
def test_the_time_is_that_of_every_run_that_is_not_stored(profile: str, tmp_path: Path, monkeypatch) -> None:
    found = doctor._ability(profile, COMPLETE, 1e10, Store(tmp_path, search=[]))
    assert found["runnable"] == [name for name, run in CATALOGUE.runs.items() if profile in run.scales]
    assert found["seconds_for_what_is_missing"] == round(cost(profile) / 1e10) > 0
    absent = {name: run.unavailable[profile] for name, run in CATALOGUE.runs.items() if profile not in run.scales}
    assert {name: why for why, names in found["obstacles"].items() for name in names} == absent
    for state, left_out in (("stored", "cnn"), ("stale", "")):  # what is stale is computed again
        monkeypatch.setattr(Store, "state", lambda _, spec, s=state: s if spec.run == "cnn" else "missing")
        found = doctor._ability(profile, COMPLETE, 1e10, Store(tmp_path, search=[]))
        assert found["seconds_for_what_is_missing"] == round(cost(profile, left_out) / 1e10)
        assert "cnn" in found["runnable"]


def test_obstacles_name_the_runs_that_they_stop(tmp_path: Path) -> None:
    few = {name: {"found": "here", "train_images": 1999} for name in COMPLETE}
    none = {name: {"found": None, "train_images": None} for name in COMPLETE}
    shelf = Store(tmp_path, search=[])
    found = doctor._ability("laptop", few, 1e10, shelf)
    held = {run: CATALOGUE.spec(run, "laptop").parameters for run in found["runnable"]}
    assert {p.get("n_train") or 0 for p in held.values()} & set(range(1, 2000)), "some are asked for fewer"
    assert all((p.get("n_train") or 0) + (p.get("n_valid") or 0) <= 1999 for p in held.values())
    # 1,000 images to train on and 1,000 behind them to validate on.
    assert "vgg11-gd" in found["obstacles"]["data set cifar10 has 1,999 of 2,000 training images"]
    exact = doctor._ability("laptop", few | {"cifar10": {"found": "here", "train_images": 2000}}, 1e10, shelf)
    assert "vgg11-gd" in exact["runnable"]
    for profile in PROFILES:
        found = doctor._ability(profile, none, 1e10, shelf)
        closed = {run for run in found["runnable"] if "data" not in CATALOGUE.spec(run, profile).parameters}
        assert found["runnable"] and closed == set(found["runnable"]), "closed forms need no images"
        missing = {why for why in found["obstacles"] if why.endswith(" not found")}
        assert missing and all(why.removeprefix("data set ").removesuffix(" not found") in COMPLETE for why in missing)


def test_the_rate_is_that_of_the_steps_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, layers, macs = count(4), set(), []

    def counted(layer: nn.Module, _: Any, outputs: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            layers.add(layer)
            macs.append(outputs.numel() * layer.weight[0].numel())

    monkeypatch.setattr(doctor, "time", SimpleNamespace(perf_counter=lambda: 0.25 * next(clock)))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    handle = nn.modules.module.register_module_forward_hook(counted)
    try:
        rate = doctor.training_rate()
    finally:
        handle.remove()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(layer.weight.grad is not None for layer in layers)
    # A clock that goes on by a quarter of a second whenever it is read: it is below a second three times, and ends at
    # 1.25. A step is three times the forward pass, a product and a sum each; one more went before, to warm up.
    assert len(layers) == 2 and len(macs) == 2 * (1 + 3) and macs[:2] * 4 == macs
    assert rate == pytest.approx(3 * 2 * sum(macs[2:]) / 1.25)


def test_images_in_torchvisions_layout_are_those_of_the_whole_set(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    assert doctor._data_set("cifar100") == {"found": None, "train_images": None}
    for name in ("train", "test", "meta"):
        (tmp_path / "cifar-100-python").mkdir(exist_ok=True)
        (tmp_path / "cifar-100-python" / name).write_bytes(b"")
    path = str(tmp_path / "cifar-100-python" / "train")
    assert doctor._data_set("cifar100") == {"found": path, "train_images": 50_000}
    np.savez(tmp_path / "cifar100.npz", y_train=np.zeros(7), x_train=np.zeros(3))
    assert doctor._data_set("cifar100") == {"found": str(tmp_path / "cifar100.npz"), "train_images": 7}
    assert doctor._data_set("digits")["train_images"] == 1500


def test_a_damaged_data_set_is_named_and_stops_its_runs_only(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path))
    monkeypatch.setattr(doctor, "training_rate", lambda device="cpu": 1e10)
    path = tmp_path / "cifar10.npz"
    path.write_bytes(b"PK no archive")
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert f"data cifar10: {path}, which cannot be read: " in told
    assert "not: data set cifar10 not readable" in told
    np.savez(path, x_train=np.zeros(3))
    assert "which cannot be read: a header or a field is not as the format asks" in _told(capsys)


def _told(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["doctor"]) == 0
    return capsys.readouterr().out


def test_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "training_rate", lambda device: {"cpu": 1.2345e10}[device])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LANDSCAPE_RESULTS", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7}, raising=False)
    monkeypatch.setattr(os, "sysconf_names", {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 2})
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 4_000_000, "SC_PAGE_SIZE": 4096}.get)
    found: dict[str, Any] = doctor.examine()
    assert found["gflop_per_s"] == 12.3 and found["device"] == "cpu" and found["memory_gb"] == 16.4
    assert found["cores"] == 3 and found["threads"] == torch.get_num_threads() and found["torch"] == torch.__version__
    assert found["torchvision"] == metadata.version("torchvision") and found["platform"] == platform.platform()
    assert found["package"] == __version__ and found["python"] == platform.python_version()
    assert found["results"][0] == str(tmp_path) and set(found["profiles"]) == set(PROFILES)
    assert set(found["data"]) == set(COMPLETE)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 11)
    monkeypatch.setattr(os, "sysconf_names", {"SC_PAGE_SIZE": 2})
    assert doctor.examine()["cores"] == 11 and doctor._memory_gb() is None
    assert doctor._version("no-such-distribution") is None and doctor._version("numpy") == np.__version__
