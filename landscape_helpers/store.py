"""Results on disk: one netCDF file per run, profile and seed, found again by what was asked for and by which code.

A file is called ``<run>-<profile>-s<seed>-<hash>.nc``; the first half of the hash stands for experiment, parameters and
seed, the second for the code (:mod:`.fingerprint`). Same first half and another second: the result is *stale*, computed
by earlier code. Files are written beside their place and renamed, so that one is never half there. Of a layer's series
the windowed mean is not stored but rebuilt by :meth:`Stored.load`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .catalogue import RunSpec
from .fingerprint import PACKAGE_ROOT, code_hash, parameters_hash

if TYPE_CHECKING:
    import xarray

State = Literal["stored", "stale", "missing"]
HALF = 6  # hex digits; 24 bits each among the few files of one run, profile and seed
DERIVED = "layer_windowed_correlation"  # a mean of what is stored, rebuilt on loading
COMPRESSED = 4096  # bytes of an array from which deflating it saves more than the chunks it needs cost
REMEMBERED = 512  # files that a process keeps: a chapter shows the same run in many figures, at 0.1 MB in memory


@dataclass(frozen=True)
class Stored:
    """A result on disk.

    Attributes:
        path: the file.
        stale: computed by earlier code than the present.
    """

    path: Path
    stale: bool

    def load(self) -> xarray.Dataset:
        """The dataset in memory, with the file closed; a copy of its own for every caller."""
        now = self.path.stat()
        return _read(self.path, (now.st_mtime_ns, now.st_ino)).copy(deep=True)

    def attributes(self) -> dict[str, Any]:
        """The file's attributes alone, without reading its arrays."""
        import h5netcdf

        with h5netcdf.File(self.path, "r") as file:
            return dict(file.attrs)


class Store:
    """Where results are looked for and written.

    Args:
        out: write here and look here first; by default $LANDSCAPE_RESULTS, where that is set.
        search: the folders to look in after that; by default ``book/results`` of a checkout and the cache folder
            (``.cache/results`` of a checkout, else the user's).
    """

    def __init__(self, out: str | Path | None = None, search: Sequence[str | Path] | None = None) -> None:
        chosen = out or os.environ.get("LANDSCAPE_RESULTS") or None
        self.out = Path(chosen).expanduser() if chosen else None
        standard = [folder for folder in (published_folder(), cache_folder()) if folder is not None]
        folders = standard if search is None else [Path(folder) for folder in search]
        self.folders: list[Path] = [*([self.out] if self.out else []), *folders]

    def folder_for(self, spec: RunSpec) -> Path:
        """Where a new result goes: ``out``; else the published ones for a catalogue run above smoke; else the cache."""
        if self.out is not None:
            return self.out
        published = published_folder()
        if published is not None and published in self.folders and spec.profile != "smoke" and not spec.overridden:
            return published
        return self.folders[-1]

    def name(self, spec: RunSpec, seed: int) -> str:
        """The file name of a result by the present code."""
        return f"{_stem(spec, seed)}{code_hash(spec.experiment)[:HALF]}.nc"

    def find(self, spec: RunSpec, seed: int) -> Stored | None:
        """The result as asked for: by the present code in any folder, else the newest by earlier code, else None."""
        exact = self.name(spec, seed)
        for folder in self.folders:
            if (folder / exact).is_file():
                return Stored(folder / exact, stale=False)
        stem = _stem(spec, seed)
        older = [Stored(p, stale=True) for folder in self.folders for p in folder.glob(stem + "?" * HALF + ".nc")]
        # By its own account: a checkout gives all files the same time.
        return max(older, key=lambda s: (str(s.attributes().get("created", "")), s.path.name), default=None)

    def state(self, spec: RunSpec) -> State:
        """Of all its seeds together: missing if any is, else stale if any is."""
        found = [self.find(spec, seed) for seed in spec.seeds]
        if any(f is None for f in found):
            return "missing"
        return "stale" if any(f is not None and f.stale for f in found) else "stored"

    def save(self, spec: RunSpec, seed: int, dataset: xarray.Dataset) -> Path:
        """Write a result with its run, profile and seed among the attributes; the file appears whole or not at all."""
        folder = self.folder_for(spec)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name(spec, seed)
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        given = {"run": spec.run, "profile": spec.profile, "seed": seed, "scale_note": spec.note, "created": now}
        attributes = {**dataset.attrs, **given}
        # netCDF knows plain strings only; torch's version, for one, is a subclass.
        plain = {k: str(v) if isinstance(v, str) else v for k, v in attributes.items()}
        dataset = dataset.drop_vars(DERIVED, errors="ignore").assign_attrs(plain)
        encoding = {
            # Per-layer series, nearly all of a file, do not need more than single precision.
            name: {"zlib": True, "complevel": 6, "shuffle": True}
            | ({"dtype": "float32"} if "layer" in variable.dims and variable.dtype.kind == "f" else {})
            for name, variable in dataset.variables.items()
            if variable.nbytes >= COMPRESSED and variable.dtype.kind in "fiu"
        }
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".partial")
        os.close(descriptor)
        try:
            _write(dataset, temporary, encoding)
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private; a result is to be shared
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return path

    def checkpoint(self, spec: RunSpec, seed: int) -> Path:
        """The file in which an unfinished run keeps its state, beside where its result will be."""
        return self.folder_for(spec) / ".checkpoints" / (self.name(spec, seed).removesuffix(".nc") + ".npz")

    def adopt(self, stored: Stored) -> Path:
        """Copy a result that lies elsewhere into ``out``, whole or not at all; return where it is now."""
        if self.out is None or stored.path.parent == self.out:
            return stored.path
        self.out.mkdir(parents=True, exist_ok=True)
        target = self.out / stored.path.name
        temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
        temporary.write_bytes(stored.path.read_bytes())
        os.replace(temporary, target)
        return target


def _write(dataset: xarray.Dataset, path: str, encoding: dict[Any, dict[str, Any]]) -> None:
    """As ``to_netcdf`` does, in the file format of HDF5 1.10, which spends a tenth less on many small arrays."""
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    with h5netcdf.File(path, "w", libver="v110") as file:
        dataset.dump_to_store(H5NetCDFStore(file), encoding=encoding)


@lru_cache(maxsize=REMEMBERED)
def _read(path: Path, version: tuple[int, int]) -> xarray.Dataset:
    """A file's dataset; its many small variables make opening it dear, tens of milliseconds."""
    del version  # part of the key only: a file that is written anew is read anew
    import xarray

    with xarray.open_dataset(path, engine="h5netcdf") as file:
        return _with_derived(file.load())


def _with_derived(dataset: xarray.Dataset) -> xarray.Dataset:
    """The layers' windowed correlation (GO-D04), a third of a file's size, put back beside what it is the mean of."""
    if DERIVED in dataset or "layer_correlation" not in dataset:
        return dataset
    pairs = int(dataset.attrs["window"]) - 1
    correlation = np.asarray(dataset["layer_correlation"].values, dtype=np.float64)
    mean = np.full_like(correlation, np.nan)
    if len(correlation) > pairs:
        mean[pairs:] = np.lib.stride_tricks.sliding_window_view(correlation[1:], pairs, axis=0).mean(-1)
    dataset[DERIVED] = (("step", "layer"), mean, {"units": "1", "window": pairs + 1})
    return dataset


def checkout() -> Path | None:
    """The root of the checkout that holds this package; None for an installed package."""
    root = PACKAGE_ROOT.parent
    return root if (root / "pyproject.toml").is_file() and (root / "book").is_dir() else None


def published_folder() -> Path | None:
    """``book/results`` of a checkout: the results that the book shows and the repository carries."""
    root = checkout()
    return root / "book" / "results" if root else None


def cache_folder() -> Path:
    """``.cache/results`` of a checkout, else the user's cache folder."""
    if root := checkout():
        return root / ".cache" / "results"
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / PACKAGE_ROOT.name / "results"


def _stem(spec: RunSpec, seed: int) -> str:
    half = parameters_hash(spec.experiment, spec.parameters, seed)[:HALF]
    return f"{spec.run}-{spec.profile}-s{seed}-{half}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
