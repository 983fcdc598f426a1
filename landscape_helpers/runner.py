"""From the catalogue to results: which runs are missing, computing them, and handing them over."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .catalogue import PROFILES, RunSpec, load_catalogue
from .fingerprint import PACKAGE
from .locking import only_process
from .store import Store, Stored

if TYPE_CHECKING:
    import xarray

NETWORK = {"data", "n_train", "pool", "model", "model_options"}  # what read_images and build_model take


@dataclass(frozen=True)
class Job:
    """One file to compute: a run at a profile with one seed."""

    spec: RunSpec
    seed: int

    def __str__(self) -> str:
        return f"{self.spec.run} at {self.spec.profile} scale, seed {self.seed}"


# Called with (job, done, in all, loss) after each step of a descent, or after each part of another experiment.
Progress = Callable[[Job, int, int, float], None]


def specs_for(
    ids: Iterable[str],
    profile: str,
    overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[RunSpec]:
    """What the figures and runs of these ids need at a profile.

    Raises:
        ValueError: an id, profile, parameter or scale that does not exist.
    """
    catalogue = load_catalogue()
    return [catalogue.spec(run, profile, overrides, seeds) for run in catalogue.runs_of(ids)]


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds as they are.

    Raises:
        ValueError: none at all, or one that is no whole number from 0 to 2^63 - 1, which generators and files can hold.
    """
    given = seeds if isinstance(seeds, Sequence) else ()
    if not given or any(type(seed) is not int or not 0 <= seed < 2**63 for seed in given):
        shown = list(given) if given and not isinstance(given, str) else seeds
        raise ValueError(f"seeds must be whole numbers of at least 0 and below 2^63, got {shown!r}")
    return tuple(given)


def validate(specs: Iterable[RunSpec]) -> None:
    """Refuse what cannot be computed, before any work: parameters, data set, network.

    Raises:
        ValueError, FileNotFoundError: with one line that says what and why.
    """
    wanted: dict[str, RunSpec] = {}
    for spec in specs:
        check_seeds(spec.seeds)
        experiment(spec.experiment).validate(spec.parameters)
        p = spec.parameters
        if not p.keys() >= NETWORK:
            continue  # a closed form, or images and networks of its own
        wanted[repr([p.get(name) for name in (*sorted(NETWORK), "n_valid", "classes")])] = spec
    for spec in wanted.values():
        _try_data_and_model(spec.parameters)


def _try_data_and_model(p: Mapping[str, Any]) -> None:
    import torch

    from .experiments.images import read_images
    from .models import build_model

    data = read_images(p)
    with torch.device("meta"):  # checks name, options and sizes without allocating the parameters
        build_model(p["model"], data.n_classes, data.input_shape, **p["model_options"])


def missing(specs: Iterable[RunSpec], store: Store) -> list[Job]:
    """The results that the store does not hold by the present code."""
    jobs = [Job(spec, seed) for spec in specs for seed in spec.seeds]
    return [job for job in jobs if (found := store.find(job.spec, job.seed)) is None or found.stale]


def compute(
    job: Job, store: Store, device: str = "cpu", progress: Progress | None = None, *, again: bool = False
) -> Path:
    """Compute one result and store it; an interrupted one is resumed from its checkpoint.

    A run whose loss becomes non-finite is a result too: what was recorded before is kept, and ``status`` says so. Where
    another process is computing the same result, this one waits for it and takes what it stored.

    Args:
        again: compute even what is stored.
    """
    from .precision import full_precision

    checkpoint = store.checkpoint(job.spec, job.seed)
    report = None if progress is None else lambda done, total, loss: progress(job, done, total, loss)
    with only_process(checkpoint.with_suffix(".lock"), f"{job} is being computed by another process: waiting for it"):
        found = store.find(job.spec, job.seed)
        if found is not None and not found.stale and not again:
            return found.path
        with full_precision():
            dataset = experiment(job.spec.experiment).run(
                dict(job.spec.parameters), seed=job.seed, device=device, checkpoint=checkpoint, progress=report
            )
        if absent := [name for name in ("status", "wall_time_s") if name not in dataset.attrs]:
            raise ValueError(
                f"experiment {job.spec.experiment} says no {absent[0]} in its dataset's attributes: return it through "
                "with_provenance of experiments/provenance.py, with a status"
            )
        path = store.save(job.spec, job.seed, dataset)
        checkpoint.unlink(missing_ok=True)
    return path


def status_of(path: Path) -> str:
    """How a stored run ended."""
    return str(Stored(path, stale=False).attributes().get("status", "completed"))


def results(
    ids: str | Iterable[str],
    profile: str | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    store: Store | None = None,
    run_missing: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, xarray.Dataset]:
    """The runs of figures or of run names, each a dataset with a leading ``seed`` dimension.

    Args:
        ids: a figure, a run, or several: ``"GO-F02"``, ``["cnn", "vgg16"]``.
        profile: "smoke", "laptop" or "paper"; None for the highest at which all of them are stored.
        overrides, seeds: as :meth:`~landscape_helpers.catalogue.Catalogue.spec`; they need a profile.
        run_missing: compute what the store lacks; otherwise it must be there. A result of earlier code is used as it is
            when nothing is computed, and its ``stale`` attribute says so.

    Returns:
        By run name; attributes are those of the first seed's file, with ``seeds``, ``stale`` (0 or 1), ``network``,
        ``scale_note`` and the ``status`` of every seed.

    Raises:
        FileNotFoundError: a result is not stored and ``run_missing`` is off; says which command computes it.
    """
    names = [ids] if isinstance(ids, str) else list(ids)
    store = store or Store()
    if profile is None:
        profile = highest_profile(names, store)
    specs = specs_for(names, profile, overrides, seeds)
    if run_missing and (jobs := missing(specs, store)):
        validate(specs)
        for job in jobs:
            compute(job, store, device, progress)
    return {spec.run: load(spec, store) for spec in specs}


def load(spec: RunSpec, store: Store) -> xarray.Dataset:
    """All seeds of one run in one dataset (see :func:`results`).

    A shorter run is filled to the longest, as are fewer curves or planes: with NaN, or with empty text.
    """
    import xarray

    parts: list[xarray.Dataset] = []
    stale = False
    for seed in spec.seeds:
        found = store.find(spec, seed)
        if found is None:
            raise FileNotFoundError(
                f"no stored result of {Job(spec, seed)}: compute it with "
                f"`python -m {PACKAGE} run {spec.run} --profile {spec.profile}`"
            )
        stale |= found.stale
        parts.append(found.load())
    numbered, dimensions = _numbered(parts)
    together = xarray.concat(
        numbered,
        xarray.Variable("seed", list(spec.seeds)),
        join="outer",
        combine_attrs="override",
        data_vars="all",
        fill_value={name: "" for name, v in parts[0].variables.items() if v.dtype.kind in "OU"},
    )
    return together.drop_vars(dimensions).assign_attrs(
        seeds=list(spec.seeds),
        stale=int(stale),
        network=spec.network,
        scale_note=spec.note,
        status="; ".join(f"seed {s}: {p.attrs['status']}" for s, p in zip(spec.seeds, parts, strict=True)),
    )


def _numbered(parts: Sequence[xarray.Dataset]) -> tuple[list[xarray.Dataset], list[str]]:
    """The datasets with indices along the dimensions in which they differ and have none, and these dimensions."""
    sizes: dict[str, set[int]] = {}
    for part in parts:
        for name, size in part.sizes.items():
            sizes.setdefault(str(name), set()).add(size)
    ragged = [name for name, held in sizes.items() if len(held) > 1 and all(name not in part.indexes for part in parts)]
    return [part.assign_coords({name: range(part.sizes[name]) for name in ragged}) for part in parts], ragged


def highest_profile(ids: Iterable[str], store: Store) -> str:
    """The highest profile at which all runs of these figures or runs are stored.

    Raises:
        FileNotFoundError: none is.
    """
    names = list(ids)
    catalogue = load_catalogue()
    runs = [catalogue.runs[name] for name in catalogue.runs_of(names)]
    for profile in reversed(PROFILES):
        if all(profile in run.scales and store.state(catalogue.spec(run.name, profile)) != "missing" for run in runs):
            return profile
    raise FileNotFoundError(
        f"no stored results of {', '.join(names)} at any scale: compute them with "
        f"`python -m {PACKAGE} run {' '.join(names)} --profile smoke`"
    )


def experiment(name: str) -> ModuleType:
    """The module of an experiment, with ``validate`` and ``run``."""
    return importlib.import_module(f"{PACKAGE}.experiments.{name}")
