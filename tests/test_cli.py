"""The command line as a user meets it: output, exit statuses, one clear line for what cannot be done."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray
from synthetic_run import make_run, oscillation

from landscape_helpers import cli, runner, store, verify
from landscape_helpers.catalogue import PROFILES, load_catalogue
from landscape_helpers.cli import main
from landscape_helpers.fingerprint import PACKAGE_ROOT
from landscape_helpers.locking import only_process
from landscape_helpers.store import Store, Stored

TINY = ["--set", "steps=12", "--set", "n_train=20", "--set", "model_options.width=2", "--set", "sharpness_every=0"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees or touches the results of the checkout, or any data set of this machine."""
    monkeypatch.setattr(store, "published_folder", lambda: None)
    monkeypatch.setattr(store, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("LANDSCAPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("LANDSCAPE_RESULTS", raising=False)
    return tmp_path


def put(folder: Path, run: str, profile: str, dataset: xarray.Dataset) -> None:
    spec = load_catalogue().spec(run, profile)
    for seed in spec.seeds:
        Store(folder, search=[]).save(spec, seed, dataset)


class TestRun:
    def test_writes_netcdf_with_the_attributes_of_the_contract(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["run", "GO-F02", "--profile", "smoke", "--out", str(tmp_path / "out"), *TINY]) == 0
        (path,) = (tmp_path / "out").glob("*.nc")
        assert f"written: {path}" in capsys.readouterr().out
        with xarray.open_dataset(path) as dataset:
            assert dataset.sizes["step"] == 13
            parameters = json.loads(dataset.attrs["parameters"])
            assert (parameters["steps"], parameters["n_train"], parameters["model_options"]) == (12, 20, {"width": 2})
            wanted = ["profile", "seed", "data_name", "data_sha256", "package_version", "torch_version", "device"]
            wanted += ["dtype", "wall_time_s", "peak_memory_mb"]
            assert [name for name in wanted if name not in dataset.attrs] == []
        assert not (tmp_path / "out" / ".checkpoints").exists()

    def test_what_is_stored_is_not_computed_again(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = ["run", "cnn", "--out", str(tmp_path / "out"), *TINY]
        assert main(command) == 0
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(runner, "compute", lambda *a, **k: pytest.fail("computed again"))
            assert main(command) == 0
        assert "stored: " in capsys.readouterr().out
        assert main([*command, "--again"]) == 0
        assert "written: " in capsys.readouterr().out

    def test_runs_shared_by_figures_are_computed_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", "GO-F02", "GO-F06", "cnn", "--out", str(tmp_path / "out"), *TINY]) == 0
        assert capsys.readouterr().out.count("written: ") == 1

    def test_a_diverging_run_is_a_result_that_says_so(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["run", "cnn", "--out", str(tmp_path), *TINY, "--set", "lr=1e12"]
        assert main(command) == 0
        assert "loss became non-finite at step" in capsys.readouterr().out

    def test_an_interrupted_run_says_how_to_go_on_and_does(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from landscape_helpers.descent import gradient_descent
        from landscape_helpers.experiments import gradient_oscillation

        command = ["run", "cnn", "--out", str(tmp_path), *TINY]
        original = runner.compute

        def interrupt(job: runner.Job, shelf: Store, device: str, progress: Any, **_: Any) -> Path:
            def stop(at: runner.Job, step: int, steps: int, loss: float) -> None:
                if step == 7:
                    raise KeyboardInterrupt

            return original(job, shelf, device, stop)

        def saving(*arguments: Any, **options: Any) -> Any:
            return gradient_descent(*arguments, **options, checkpoint_every=0.0)

        monkeypatch.setattr(gradient_oscillation, "gradient_descent", saving)
        with monkeypatch.context() as patch:
            patch.setattr(runner, "compute", interrupt)
            with pytest.raises(SystemExit) as caught:
                main(command)
        assert caught.value.code == 130
        assert "the same command goes on from there" in capsys.readouterr().err
        (checkpoint,) = (tmp_path / ".checkpoints").iterdir()
        assert checkpoint.suffix == ".npz"
        assert checkpoint.exists()

        resumed: list[int] = []

        def watch(job: runner.Job, shelf: Store, device: str, progress: Any, **_: Any) -> Path:
            return original(job, shelf, device, lambda at, step, steps, loss: resumed.append(step))

        monkeypatch.setattr(runner, "compute", watch)
        assert main(command) == 0
        assert resumed == list(range(7, 13))
        assert not checkpoint.exists()
        (path,) = tmp_path.glob("*.nc")
        with xarray.open_dataset(path) as dataset:
            assert dataset.sizes["step"] == 13
            assert bool(np.isfinite(dataset["loss"]).all())

    @pytest.mark.parametrize(
        ("error", "hint"),
        [
            (RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
            (MemoryError("no room"), True),
            (RuntimeError("something else"), False),
        ],
    )
    def test_a_run_that_does_not_fit_says_what_to_make_smaller(
        self,
        error: Exception,
        hint: bool,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(*_: Any, **__: Any) -> Path:
            raise error

        monkeypatch.setattr(runner, "compute", fail)
        assert main(["run", "cnn", "--out", str(tmp_path), *TINY, "--set", "batch_size=10"]) == 1
        said = capsys.readouterr().err
        assert f"cnn at smoke scale, seed 0 failed: {error}" in said
        assert ("; set batch_size lower with --set, or take another device" in said) == hint

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["GO-F2"], "unknown figure or run 'GO-F2': did you mean GO-F02"),
            (["GO-F02", "--profile", "big"], "unknown profile 'big': expected one of smoke, laptop, paper"),
            (["GO-F02", "--set", "lr=-1"], "lr must be a finite learning rate above 0, got -1"),
            (["GO-F02", "--set", "rate=1"], "unknown parameter 'rate': expected one of data, "),
            (["GO-F02", "--set", "lr"], "--set expects name=value, got 'lr'"),
            (["GO-F02", "--set", "model_options={"], "--set model_options: '{' is not a YAML value"),
            (["GO-F02", "--set", "model=cmm"], "unknown model 'cmm'"),
            (["GO-F02", "--set", "model_options.widht=2"], "model 'cnn' has no option 'widht'"),
            (["GO-F02", "--profile", "laptop"], "data set 'cifar10' not found"),
            (["svhn-cnn"], "svhn-cnn cannot be run at smoke scale"),
            (["GO-F02", "--seeds", "1,b"], "--seeds expects whole numbers with commas between them, got '1,b'"),
            (["GO-F02", "--seeds", "-1"], "seeds must be whole numbers of at least 0"),
            (["GO-F02", "--device", "tpu9"], "unknown device 'tpu9'"),
            (["GO-F02", "--threads", "0"], "--threads must be at least 1, got 0"),
            (["GO-F02", "--out", __file__], "--out must be a folder, got the file"),
            ([], "the following arguments are required: ID"),
        ],
    )
    def test_what_cannot_be_done_is_one_line_before_any_work(
        self,
        arguments: list[str],
        line: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        elsewhere: Path,
    ) -> None:
        monkeypatch.setattr(runner, "compute", lambda *a, **k: pytest.fail("work was begun"))
        try:
            status = main(["run", *arguments])
        except SystemExit as stopped:
            status = stopped.code  # type: ignore[assignment]
        captured = capsys.readouterr()
        assert status == 2
        assert captured.err.startswith(f"error: {line}"), captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""
        assert not (elsewhere / "cache").exists()

    def test_cuda_is_refused_where_there_is_none(self, capsys: pytest.CaptureFixture[str]) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a CUDA device")
        assert main(["run", "cnn", "--device", "cuda"]) == 2
        assert "sees no CUDA device" in capsys.readouterr().err


class TestList:
    def test_names_every_figure_at_three_scales(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["list", "--json"]) == 0
        rows = {r["id"]: r for r in json.loads(capsys.readouterr().out, parse_constant=pytest.fail)}
        for number in range(1, 12):
            row = rows[f"GO-F{number:02d}"]
            assert row["kind"] == "figure" and row["paper"] == "GO" and row["title"]
            assert list(row["profiles"]) == list(PROFILES)
            for at in row["profiles"].values():
                assert at["state"] == "missing"
                assert at["cost"]["pflop"] > 0 and at["cost"]["seconds"] is None
                assert at["runs"] and at["seeds"] and at["notes"]
        assert rows["cnn"]["kind"] == "run"
        assert "SVHN" in rows["svhn-cnn"]["profiles"]["smoke"]["reason"]

    def test_stored_results_give_state_and_seconds(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "cnn", "laptop", make_run(np.linspace(2, 0, 21), np.full(21, 0.9)))
        assert main(["list", "--json", "--out", str(tmp_path)]) == 0
        rows = {r["id"]: r for r in json.loads(capsys.readouterr().out)}
        at = rows["GO-F06"]["profiles"]["laptop"]
        assert at["state"] == "stored"
        assert at["cost"]["seconds"] == pytest.approx(1.5 * len(at["seeds"]))
        assert rows["GO-F06"]["profiles"]["smoke"]["state"] == "missing"
        monkeypatch.setattr(store, "code_hash", lambda experiment: "f" * 64)
        main(["list", "--json", "--out", str(tmp_path)])
        rows = {r["id"]: r for r in json.loads(capsys.readouterr().out)}
        assert rows["GO-F06"]["profiles"]["laptop"]["state"] == "stale"

    def test_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["list"]) == 0
        assert "GO-F02" in capsys.readouterr().out


class TestClaims:
    def test_json_has_the_columns_of_the_contract(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        put(tmp_path, "cnn", "smoke", make_run(np.linspace(2, 0, 1501), oscillation(1500, 10, -1), windowed=True))
        assert main(["claims", "--json", "--out", str(tmp_path)]) == 0
        rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        columns = "id paper figure statement verdict measured expected margin profile".split()
        assert all(set(columns) <= set(row) for row in rows)
        verdicts = {row["id"]: row["verdict"] for row in rows}
        assert verdicts["GO-F02-3"] == "reproduced"
        assert verdicts["GO-C03"] == "not run"

    def test_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["claims", "--paper", "GO"]) == 0
        assert "GO-C01" in capsys.readouterr().out

    def test_mistakes(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["claims", "--paper", "XY"]) == 2
        assert main(["claims", "--profile", "XY"]) == 2
        assert capsys.readouterr().err.count("\n") == 2


class TestVerify:
    TINY = json.dumps({"steps": 30, "n_train": 20, "model_options": {"width": 2}, "sharpness_every": 0})

    @pytest.fixture
    def stale(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A result of a small run of the catalogue, and then the code changes."""
        catalogue = load_catalogue()
        changes = json.loads(self.TINY)
        small = catalogue.spec("cnn", "smoke", changes)
        catalogue_spec = type(catalogue).spec

        def spec(self: Any, run: str, profile: str, *_: Any, **__: Any) -> Any:
            return small if (run, profile) == ("cnn", "smoke") else catalogue_spec(self, run, profile)

        monkeypatch.setattr(type(catalogue), "spec", spec)
        path = runner.compute(runner.Job(small, 0), Store(tmp_path, search=[]))
        for module in (store, verify):
            monkeypatch.setattr(module, "code_hash", lambda experiment: "f" * 64)
        return path

    def test_identical_steps_renew_a_result(self, stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = Stored(stale, stale=True).load()
        assert main(["verify", "cnn", "--out", str(stale.parent)]) == 0
        assert "1 stale, 1 verified" in capsys.readouterr().out
        (path,) = stale.parent.glob("*.nc")
        assert path.stem.endswith("ffffff")
        after = Stored(path, stale=False).load()
        xarray.testing.assert_identical(after.drop_attrs(), before.drop_attrs())
        code = stale.stem[-6:]
        assert after.attrs["verified"] == f"first 20 steps bit-identical under code ffffff, computed under {code}"
        assert main(["verify", "cnn", "--out", str(stale.parent)]) == 0
        assert "0 stale, 0 verified" in capsys.readouterr().out

    def test_an_experiment_without_a_beginning_is_computed_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = runner.Job(load_catalogue().spec("quadratic-bowl", "smoke"), 0)
        shelf = Store(tmp_path, search=[])
        path = runner.compute(job, shelf)
        monkeypatch.delattr(runner.experiment("quadratic_bowl"), "beginning")
        found = verify._verify(job, Stored(path, stale=True), shelf)
        assert not found.identical and "quadratic_bowl names no beginning to repeat; compute it again" in found.message

    def test_what_rounding_explains_is_said_and_accepted(self, stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
        dataset = Stored(stale, stale=True).load()
        dataset["loss"][1] *= 1 + 2e-7
        dataset.to_netcdf(stale, engine="h5netcdf")
        assert main(["verify", "cnn", "--out", str(stale.parent)]) == 0
        (path,) = stale.parent.glob("*.nc")
        note = Stored(path, stale=False).attributes()["verified"]
        assert note.startswith("losses before and after the first step within 2.0e-07 (rounding) under code ffffff")
        assert "1 stale, 1 verified" in capsys.readouterr().out

    def test_a_larger_difference_is_not(self, stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
        dataset = Stored(stale, stale=True).load()
        dataset["loss"][1] *= 1 + 1e-4
        dataset.to_netcdf(stale, engine="h5netcdf")
        before = stale.read_bytes()
        assert main(["verify", "cnn", "--out", str(stale.parent)]) == 1
        assert "loss at step 1" in capsys.readouterr().out
        assert [p.read_bytes() for p in stale.parent.glob("*.nc")] == [before]

    def test_a_run_that_ends_elsewhere_does_not(self) -> None:
        long, short = (make_run(np.ones(n), np.ones(n)) for n in (31, 11))
        assert "30 steps stored, of which 10 come out" in verify.first_difference(long, short)
        assert verify.first_difference(short, short) == ""

    def test_a_part_may_differ_by_its_tolerance_relative_to_its_largest_value(self) -> None:
        stored = xarray.Dataset({"loss": ("at", [1e3, 1e-3, np.inf, -np.inf, np.nan, 7.0])})
        fresh = xarray.Dataset({"loss": ("at", [1e3, 2e-3, np.inf, -np.inf, np.nan])})
        assert verify.part_difference(stored, fresh, {"loss": 1.1e-6}) == ""
        assert verify.part_difference(stored, fresh, {"loss": 0.9e-6}) == "loss at (1,) is 0.002, was 0.001"
        for at in (2, 4):
            other = fresh.copy(deep=True)
            other["loss"][at] = 1.0
            assert verify.part_difference(stored, other, {"loss": 1.1e-6}).startswith(f"loss at ({at},) is 1, was ")

    def test_a_part_may_differ_by_rounding_that_grows_if_its_start_agrees(self) -> None:
        """On another processor: the first two steps to 1e-5, what lies behind a training not at all."""
        start = {"loss": ("step", [1.0, 0.5, 0.4]), "norm": ("checkpoint", [2.0, 3.0]), "curve": ("point", [7.0])}
        start["cosine"] = ("step", [np.nan, 0.1, 0.2])  # of two gradients
        stored = xarray.Dataset(start)
        repeats = {"loss": 0.0, "norm": 0.0, "curve": 1e-4, "cosine": 0.0, "absent": 0.0}
        assert verify._part_agreement(stored, stored, repeats)[0].startswith("repeated (loss to 0, ")

        def changed(name: str, at: int, value: float) -> tuple[str, str]:
            fresh = stored.copy(deep=True)
            fresh[name][at] = value
            return verify._part_agreement(stored, fresh, repeats)

        small = ("loss", 1, 0.500001), ("norm", 0, 2.00001)
        for case in (*small, ("loss", 2, 0.3), ("norm", 1, 5.0), ("curve", 0, 8.0), ("cosine", 1, 0.3)):
            agreed, difference = changed(*case)
            assert agreed == "loss, norm at the start of the run within 1e-05 (rounding)", case
            assert difference.startswith(case[0])
        for case in (("loss", 0, 1.0001), ("loss", 1, 0.51), ("norm", 0, 2.001)):
            assert changed(*case)[0] == "", case
        untimed = stored[["curve"]]
        assert verify._part_agreement(untimed, untimed + 1, {"curve": 1e-4})[0] == ""

    def test_a_part_of_another_layout_differs(self) -> None:
        """A result of earlier code may lack what the present one records, or hold it along other dimensions."""
        stored = xarray.Dataset({"loss": (("curve", "at"), np.ones((3, 2))), "noise": ("curve", np.ones(3))})
        fresh = xarray.Dataset({"loss": (("at", "curve"), np.ones((2, 1))), "noise": ("at", np.ones(2)), "new": 1.0})
        assert verify.part_difference(stored, fresh, {"loss": 0, "absent": 0}) == ""
        for name, message in (
            ("new", "new is not stored, and came out as 1 number"),
            ("noise", "noise is stored over curve, and came out over at"),
        ):
            assert verify.part_difference(stored, fresh, {"loss": 0, name: 0}) == message


def test_two_processes_compute_a_result_once(tmp_path: Path) -> None:
    code = (
        "import sys; from landscape_helpers.cli import main; "
        f"sys.exit(main(['run', 'cnn', '--out', {str(tmp_path)!r}, *{TINY!r}]))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=PACKAGE_ROOT.parent, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert len(list(tmp_path.glob("*.nc"))) == 1
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".nc"] == []
    for process in both:
        assert process.stdout is not None
        process.stdout.close()


def test_a_lock_makes_the_second_wait_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with only_process(tmp_path / "locks" / "a.lock", "busy"):
            inside.set()
            leave.wait(30)
            order.append("first")

    def second() -> None:
        with only_process(tmp_path / "locks" / "a.lock", "busy, waiting"):
            order.append("second")

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert inside.wait(30)
    two.start()
    deadline = time.monotonic() + 30
    while "busy, waiting" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    leave.set()
    one.join(30)
    two.join(30)
    assert order == ["first", "second"]
    assert "busy, waiting" in caplog.text
    assert not (tmp_path / "locks").exists()


def test_doctor_says_what_is_here_and_what_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from landscape_helpers import doctor

    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.01)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["torch"] and found["python"] and found["cores"] >= 1 and found["gflop_per_s"] > 0
    assert found["data"]["digits"]["found"]
    assert found["data"]["cifar10"] == {"found": None, "train_images": None}
    assert "cnn" in found["profiles"]["smoke"]["runnable"]
    assert "cnn" in found["profiles"]["laptop"]["obstacles"]["data set cifar10 not found"]
    assert main(["doctor"]) == 0
    assert "data cifar10: not found" in capsys.readouterr().out


def test_doctor_counts_the_images_that_are_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from landscape_helpers import doctor

    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.01)
    (tmp_path / "data").mkdir()
    labels = np.zeros(1200, dtype=np.uint8)
    np.savez(tmp_path / "data" / "cifar10.npz", y_train=labels)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["cifar10"]["train_images"] == 1200
    assert "cnn" in found["profiles"]["paper"]["obstacles"]["data set cifar10 has 1,200 of 50,000 training images"]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (["lr=0.5", "steps=3"], {"lr": 0.5, "steps": 3}),
        (["lr=1e-3"], {"lr": 0.001}),
        (["n_train=null", "model=mlp"], {"n_train": None, "model": "mlp"}),
        (["matrices_at=[1, 2]"], {"matrices_at": [1, 2]}),
        (["model_options={width: 2}"], {"model_options": {"width": 2}}),
        (["model_options.width=2", "model_options.batchnorm=true"], {"model_options": {"width": 2, "batchnorm": True}}),
    ],
)
def test_values_are_yaml(pairs: list[str], expected: dict[str, Any]) -> None:
    assert cli._overrides(pairs) == expected


def test_results_stacks_seeds_and_says_how_each_ended(tmp_path: Path) -> None:
    spec = load_catalogue().spec("cnn", "laptop")
    shelf = Store(tmp_path, search=[])
    for seed, length in zip(spec.seeds, (21, 21, 11), strict=True):
        status = "completed" if length == 21 else "loss became non-finite at step 11"
        shelf.save(spec, seed, make_run(np.linspace(2, 1, length), np.full(length, 0.5), status=status))
    together = runner.results("GO-F02", store=shelf)["cnn"]
    assert together["loss"].dims == ("seed", "step")
    assert together.sizes["step"] == 21
    assert np.isnan(together["loss"].sel(seed=2)[11:]).all()
    assert "seed 2: loss became non-finite at step 11" in together.attrs["status"]
    assert together.attrs["profile"] == "laptop" and together.attrs["stale"] == 0


def test_results_that_are_missing_name_the_command(tmp_path: Path) -> None:
    shelf = Store(tmp_path, search=[])
    with pytest.raises(FileNotFoundError, match="landscape_helpers run cnn --profile laptop"):
        runner.results("GO-F02", "laptop", store=shelf)
    with pytest.raises(FileNotFoundError, match="no stored results of GO-F02 at any scale"):
        runner.results("GO-F02", store=shelf)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ([0.5, 0.25], "2 results, 0.75 PFLOP"),
        ([0.5, None], "2 results, 0.5 PFLOP and more of unknown cost"),
        ([None], "1 result, of unknown cost"),
        ([216.0], "1 result, 216 PFLOP, about 2 GPU-hours at 30 TFLOP/s"),
    ],
)
def test_what_is_announced_before_a_run(costs: list[float | None], said: str) -> None:
    jobs = [SimpleNamespace(spec=SimpleNamespace(pflop=cost)) for cost in costs]
    assert cli._announcement(jobs) == f"to compute: {said}"
