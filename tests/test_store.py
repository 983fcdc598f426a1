"""Results on disk: addresses, staleness, atomic writes, search order."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import xarray
from synthetic_run import make_run, spec

from landscape_helpers import fingerprint, store
from landscape_helpers.fingerprint import closure_hash, import_closure, parameters_hash
from landscape_helpers.store import Store

RUN = make_run(np.linspace(2, 1, 21), np.full(21, 0.5))


@pytest.fixture
def shelf(tmp_path: Path) -> Store:
    return Store(tmp_path / "out", search=[])


def change_code(monkeypatch: pytest.MonkeyPatch, digest: str = "f" * 64) -> None:
    monkeypatch.setattr(store, "code_hash", lambda experiment: digest)


class TestSaving:
    def test_what_is_saved_is_found_and_equal(self, shelf: Store) -> None:
        path = shelf.save(spec(), 0, RUN)
        found = shelf.find(spec(), 0)
        assert found is not None and found.path == path and not found.stale
        loaded = found.load()
        xarray.testing.assert_allclose(loaded, RUN)
        np.testing.assert_array_equal(loaded["loss"], RUN["loss"])

    def test_the_windowed_mean_of_layers_is_rebuilt_as_the_experiment_makes_it(self, shelf: Store) -> None:
        from landscape_helpers.descent.correlation import windowed_mean

        noise = np.random.default_rng(0).uniform(-1, 1, (21, 3))
        noise[0] = np.nan
        run = make_run(RUN["loss"].values, noise[:, 0], layers={c: noise[:, i] for i, c in enumerate("abc")})
        path = shelf.save(spec(), 0, run)
        with xarray.open_dataset(path) as plain:
            assert "layer_windowed_correlation" not in plain
        found = shelf.find(spec(), 0)
        assert found is not None
        rebuilt = found.load()["layer_windowed_correlation"]
        np.testing.assert_allclose(rebuilt, windowed_mean(noise), atol=1e-7)
        xarray.testing.assert_allclose(rebuilt, run["layer_windowed_correlation"], atol=1e-7)

    @pytest.mark.parametrize("steps", [3, 4])
    def test_a_run_shorter_than_the_window_has_no_windowed_mean(self, shelf: Store, steps: int) -> None:
        loss, correlation = np.linspace(2, 1, steps + 1), np.full(steps + 1, 0.5)
        shelf.save(spec(), 0, make_run(loss, correlation))
        found = shelf.find(spec(), 0)
        assert found is not None
        rebuilt = found.load()["layer_windowed_correlation"]
        assert np.isfinite(rebuilt.values).all(1).tolist() == [False] * 4 + [True] * (steps - 3)
        assert rebuilt.attrs["window"] == 5

    def test_any_reader_of_netcdf_can_read_it(self, shelf: Store) -> None:
        path = shelf.save(spec(), 0, RUN)
        with xarray.open_dataset(path) as dataset:
            assert dataset.attrs["profile"] == "smoke"
            assert dataset.attrs["run"] == "cnn"
            assert int(dataset.attrs["seed"]) == 0
            assert dataset.attrs["scale_note"] == "tiny"

    def test_the_name_says_run_profile_and_seed(self, shelf: Store) -> None:
        assert shelf.save(spec(profile="laptop"), 2, RUN).name.startswith("cnn-laptop-s2-")

    def test_text_of_a_subclass_is_stored(self, shelf: Store) -> None:
        class Version(str):
            pass

        shelf.save(spec(), 0, RUN.assign_attrs(torch_version=Version("2.13.0+cpu")))
        found = shelf.find(spec(), 0)
        assert found is not None
        assert found.attributes()["torch_version"] == "2.13.0+cpu"
        assert float(found.attributes()["wall_time_s"]) == 1.5

    def test_a_write_that_fails_leaves_nothing(self, shelf: Store) -> None:
        with pytest.raises(TypeError):
            shelf.save(spec(), 0, RUN.assign_attrs(bad=object()))
        assert shelf.out is not None
        assert list(shelf.out.iterdir()) == []

    def test_a_write_that_fails_leaves_the_earlier_result(self, shelf: Store) -> None:
        path = shelf.save(spec(), 0, RUN)
        before = path.read_bytes()
        with pytest.raises(TypeError):
            shelf.save(spec(), 0, RUN.assign_attrs(bad=object()))
        assert path.read_bytes() == before
        assert shelf.out is not None and os.listdir(shelf.out) == [path.name]

    def test_others_may_read_it(self, shelf: Store) -> None:
        own = os.umask(0o027)
        try:
            modes = [shelf.save(spec(), seed, RUN).stat().st_mode & 0o777 for seed in (0, 1)]
        finally:
            left = os.umask(own)
        assert modes == [0o640, 0o640] and left == 0o027


class TestFinding:
    def test_another_seed_parameter_or_run_is_another_result(self, shelf: Store) -> None:
        shelf.save(spec(), 0, RUN)
        assert shelf.find(spec(), 1) is None
        assert shelf.find(spec(steps=21), 0) is None
        assert shelf.find(spec("vgg16"), 0) is None
        assert shelf.find(spec(profile="laptop"), 0) is None

    def test_a_run_whose_name_begins_alike_is_not_taken(self, shelf: Store) -> None:
        shelf.save(spec("cnn-small-rate"), 0, RUN)
        assert shelf.find(spec("cnn"), 0) is None

    def test_results_of_earlier_code_are_stale(self, shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        shelf.save(spec(), 0, RUN)
        change_code(monkeypatch)
        found = shelf.find(spec(), 0)
        assert found is not None and found.stale
        shelf.save(spec(), 0, RUN)
        found = shelf.find(spec(), 0)
        assert found is not None and not found.stale

    def test_the_newest_of_the_stale_ones_is_taken(self, shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        paths = []
        for digit in "abc":
            change_code(monkeypatch, digit * 64)
            paths.append(shelf.save(spec(), 0, RUN))
        for path in paths[1:]:  # a checkout sets times as it likes
            os.utime(path, (1_000_000, 1_000_000))
        change_code(monkeypatch, "d" * 64)
        found = shelf.find(spec(), 0)
        assert found is not None and found.path == paths[2]

    def test_current_code_elsewhere_beats_stale_results_at_hand(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        near, far = tmp_path / "near", tmp_path / "far"
        current = Store(far, search=[]).save(spec(), 0, RUN)
        with monkeypatch.context() as patch:
            change_code(patch)
            Store(near, search=[]).save(spec(), 0, RUN)
        found = Store(near, search=[far]).find(spec(), 0)
        assert found is not None and found.path == current and not found.stale

    def test_state_of_all_seeds(self, shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        both = spec(seeds=(0, 1))
        shelf.save(both, 0, RUN)
        assert shelf.state(both) == "missing"
        shelf.save(both, 1, RUN)
        assert shelf.state(both) == "stored"
        change_code(monkeypatch)
        assert shelf.state(both) == "stale"


class TestReading:
    def test_what_a_caller_changes_is_its_own(self, shelf: Store) -> None:
        shelf.save(spec(), 0, make_run(np.linspace(2, 1, 21), np.full(21, 0.5)))
        found = shelf.find(spec(), 0)
        assert found is not None
        found.load().loss.values[:] = 0
        assert found.load().loss[0] == 2

    def test_a_file_that_is_written_anew_is_read_anew(self, shelf: Store) -> None:
        for first in (2, 3, 4):  # at once: the file's time may not have moved
            shelf.save(spec(), 0, make_run(np.linspace(first, 1, 21), np.full(21, 0.5)))
            found = shelf.find(spec(), 0)
            assert found is not None and found.load().loss[0] == first


class TestFolders:
    def test_out_then_the_environment_then_the_standard_places(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LANDSCAPE_RESULTS", str(tmp_path / "env"))
        assert Store().folders[0] == tmp_path / "env"
        assert Store(tmp_path / "out").folders[0] == tmp_path / "out"
        assert tmp_path / "env" not in Store(tmp_path / "out").folders

    def test_smoke_and_changed_runs_are_never_published(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LANDSCAPE_RESULTS", raising=False)
        standard = Store()
        published, cache = store.published_folder(), store.cache_folder()
        assert published is not None
        assert standard.folder_for(spec(profile="laptop")) == published
        assert standard.folder_for(spec(profile="smoke")) == cache
        assert standard.folder_for(spec(profile="laptop", overridden=("lr",))) == cache

    def test_a_result_elsewhere_is_copied_out(self, tmp_path: Path) -> None:
        original = Store(tmp_path / "a", search=[]).save(spec(), 0, RUN)
        other = Store(tmp_path / "b", search=[tmp_path / "a"])
        found = other.find(spec(), 0)
        assert found is not None
        copy = other.adopt(found)
        assert copy == tmp_path / "b" / original.name
        assert copy.read_bytes() == original.read_bytes()


class TestParametersHash:
    def test_numbers_that_are_equal_hash_alike(self) -> None:
        assert parameters_hash("e", {"a": 1, "b": (1, 2)}, 0) == parameters_hash("e", {"b": [1.0, 2], "a": 1.0}, 0)

    @pytest.mark.parametrize(
        "other", [("f", {"a": 1}, 0), ("e", {"a": 2}, 0), ("e", {"a": 1}, 1), ("e", {"a": True}, 0)]
    )
    def test_everything_asked_for_counts(self, other: tuple[str, dict[str, object], int]) -> None:
        assert parameters_hash("e", {"a": 1}, 0) != parameters_hash(*other)


PACKAGE = {
    "__init__.py": "from .unrelated import z\n",
    "unrelated.py": "z = 1\n",
    "experiment.py": "from .tools import f\nfrom . import data\n\ndef run(x):\n    return f(x) + data.N\n",
    "tools/__init__.py": "from .one import f\nfrom .two import g\n",
    "tools/one.py": '''"""Doc."""
from ..deep import h

def f(x: int) -> int:
    """Doc."""
    if x < 0:
        raise ValueError(f"no {x}")
    return h(x)
''',
    "tools/two.py": "def g(x):\n    return x\n",
    "deep.py": "import numpy\n\ndef h(x):\n    from .lazy import k\n    return k + x\n",
    "lazy.py": "k = 5\n",
    "data.py": "N = 3\n\nclass Pair:\n    a: int\n    b: int\n",
}


class TestCodeHash:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name, text in PACKAGE.items():
            path = tmp_path / "package" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "package"

    def digest(self, root: Path) -> str:
        return closure_hash("package.experiment", root)

    def edit(self, root: Path, name: str, old: str, new: str) -> str:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))
        return self.digest(root)

    def test_the_closure_follows_names_to_where_they_are_defined(self, root: Path) -> None:
        modules = {"experiment", "tools.one", "deep", "lazy", "data"}
        assert import_closure("package.experiment", root) == {f"package.{m}" for m in modules}

    @pytest.mark.parametrize(
        ("name", "old", "new"),
        [
            ("lazy.py", "5", "6"),
            ("data.py", "N = 3", "N = 4"),
            ("tools/one.py", "x < 0", "x < 1"),
            ("tools/one.py", "ValueError", "TypeError"),
            ("experiment.py", "f(x) +", "f(x) -"),
            ("data.py", "    a: int\n    b: int", "    b: int\n    a: int"),
        ],
    )
    def test_what_can_change_a_result_changes_it(self, root: Path, name: str, old: str, new: str) -> None:
        assert self.digest(root) != self.edit(root, name, old, new)

    @pytest.mark.parametrize(
        ("name", "old", "new"),
        [
            ("tools/one.py", '"""Doc."""', '"""Other."""'),
            ("tools/one.py", "    return h(x)", "    # why\n    return h( x )"),
            ("tools/one.py", "x: int) -> int", "x) -> float"),
            ("tools/one.py", 'f"no {x}"', '"never"'),
            ("tools/two.py", "return x", "return -x"),
            ("tools/__init__.py", "from .two import g", "from .two import g\nfrom ..unrelated import z"),
            ("unrelated.py", "1", "2"),
            ("__init__.py", "z", "z as zz"),
            ("data.py", "N = 3", "N: int = 3"),
            ("data.py", "a: int", "a: float"),
        ],
    )
    def test_what_cannot_does_not(self, root: Path, name: str, old: str, new: str) -> None:
        assert self.digest(root) == self.edit(root, name, old, new)

    def test_a_package_with_the_name_itself_counts(self, root: Path) -> None:
        before = self.digest(root)
        self.edit(root, "tools/__init__.py", "from .one import f", "def f(x):\n    return x")
        assert "package.tools" in import_closure("package.experiment", root)
        assert self.digest(root) != before

    def test_the_real_experiment_depends_on_its_instruments_and_not_on_this(self) -> None:
        closure = import_closure("landscape_helpers.experiments.gradient_oscillation", fingerprint.PACKAGE_ROOT)
        assert {f"landscape_helpers.{m}" for m in ("objective", "layers", "descent.correlation")} <= closure
        assert not any("claims" in m or "store" in m or m == "landscape_helpers" for m in closure)


def test_a_specification_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().run = "other"  # type: ignore[misc]
