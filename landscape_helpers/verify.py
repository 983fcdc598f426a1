"""Re-validating stale results without computing them anew.

A result is stale as soon as any code it depends on has changed, even by what cannot matter. Where the first steps
come out again under the present code, the result is stored under the present code, with an attribute that says exactly
what was checked, how closely it agreed and by which code it was computed. On the machine that computed it a result
repeats to the last bit; another processor rounds differently, and past the edge of stability rounding grows, so that
there the first losses may differ by what rounding explains and no more. That is evidence and no proof: what only
shows later in a run, in its sharpness or in its matrices, is not looked at.

An experiment that is no single descent names a cheap part of itself, ``beginning(parameters)``, and which of the
part's numbers must come out again and how closely, ``REPEATS``: training to the last bit, what a faster or a more
careful instrument rounds differently to a small tolerance. On another processor those of its first steps, first stop
and first checkpoint must, to what rounding explains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import xarray

from .catalogue import load_catalogue
from .fingerprint import code_hash
from .runner import Job, experiment, specs_for, validate
from .store import HALF, Store, Stored

STEPS = 20
COMPARED = ("loss", "gradient_norm", "dot", "correlation")
# What rounding explains: float32 carries seven digits, of which a sum over many images loses one or two. Above the edge
# of stability a residual network multiplies a difference by hundreds at every step: only the first step can tell.
ROUNDING_STEPS, ROUNDING = 1, 1e-5
EARLY = {"step": ROUNDING_STEPS + 1, "update": ROUNDING_STEPS, "stop": 1, "checkpoint": 1}


@dataclass(frozen=True)
class Verification:
    """What became of one stale result."""

    job: Job
    identical: bool
    message: str


def verify(ids: Sequence[str], profiles: Sequence[str], store: Store) -> Iterator[Verification]:
    """Recompute the first steps of every stale result of these figures or runs; of all where none is named.

    Raises:
        ValueError: an unknown id.
    """
    catalogue = load_catalogue()
    names = catalogue.runs_of(ids) if ids else tuple(catalogue.runs)
    for profile in profiles:
        for spec in specs_for([n for n in names if profile in catalogue.runs[n].scales], profile):
            for seed in spec.seeds:
                found = store.find(spec, seed)
                if found is not None and found.stale:
                    yield _verify(Job(spec, seed), found, store)


def _verify(job: Job, found: Stored, store: Store) -> Verification:
    stored = found.load()
    device = str(stored.attrs.get("device", "cpu"))
    module = experiment(job.spec.experiment)
    in_parts = hasattr(module, "beginning")
    if not in_parts and job.spec.experiment != "gradient_oscillation":
        return Verification(job, False, f"{module.__name__} names no beginning to repeat; compute it again")
    try:
        validate([job.spec])
        if in_parts:
            parameters = module.beginning(job.spec.parameters)
        else:
            parameters = {**job.spec.parameters, "steps": min(STEPS, job.spec.parameters["steps"])}
            parameters |= {"sharpness_every": 0, "matrices_at": []}
        kept = store.checkpoint(job.spec, job.seed)
        fresh = module.run(parameters, seed=job.seed, device=device, checkpoint=kept if in_parts else None)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        return Verification(job, False, f"cannot be recomputed here: {' '.join(str(error).split())}")
    if in_parts:
        agreed, difference = _part_agreement(stored, fresh, module.REPEATS)
    else:
        agreed, difference = _descent_agreement(stored, fresh)
    if not agreed:
        return Verification(job, False, f"differs under the present code: {difference}; compute it again")
    before = found.path.stem[-HALF:]
    now = code_hash(job.spec.experiment)[:HALF]
    note = f"{agreed} under code {now}, computed under {before}"
    beside = Store(found.path.parent, search=[])
    # The file of the earlier code gives way only once the new one is there.
    path = beside.save(job.spec, job.seed, stored.assign_attrs(verified=note))
    if path != found.path:
        found.path.unlink()
    return Verification(job, True, note)


def _descent_agreement(stored: xarray.Dataset, fresh: xarray.Dataset) -> tuple[str, str]:
    """(how far the first steps of a descent agree, what differs); nothing for the former where rounding is exceeded."""
    difference = first_difference(stored, fresh)
    if not difference:
        return f"first {fresh.sizes['step'] - 1} steps bit-identical", ""
    rounding = largest_difference(stored, fresh)
    if rounding <= ROUNDING:
        return f"losses before and after the first step within {rounding:.1e} (rounding)", difference
    return "", difference


def _part_agreement(stored: xarray.Dataset, fresh: xarray.Dataset, repeats: Mapping[str, float]) -> tuple[str, str]:
    """(how closely a part of a run agrees, what differs), as :func:`_descent_agreement`."""
    difference = part_difference(stored, fresh, repeats)
    if not difference:
        closest = ", ".join(f"{name} to {tolerance:g}" for name, tolerance in repeats.items())
        return f"repeated ({closest}, relative, in the part verified)", ""
    cut = fresh[[name for name in repeats if name in fresh and EARLY.keys() & set(fresh[name].dims)]]
    cut = cut.isel({dim: slice(0, n) for dim, n in EARLY.items()}, missing_dims="ignore")
    # What has no first value, as the cosine of two gradients, is of a second gradient, where rounding has grown.
    early = {n: max(t, ROUNDING) for n, t in repeats.items() if n in cut and not np.isnan(cut[n].values.flat[0])}
    if early and not part_difference(stored, cut, early):
        return f"{', '.join(early)} at the start of the run within {ROUNDING:g} (rounding)", difference
    return "", difference


def first_difference(stored: xarray.Dataset, fresh: xarray.Dataset) -> str:
    """Where two records of the same run first differ in any bit, or nothing."""
    steps = fresh.sizes["step"]
    if steps != min(stored.sizes["step"], STEPS + 1):
        return f"{stored.sizes['step'] - 1} steps stored, of which {steps - 1} come out"
    for name in COMPARED:
        a, b = (np.asarray(d[name].values[:steps]) for d in (stored, fresh))
        different = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        if different.any():
            k = int(np.argmax(different))
            return f"{name} at step {k} is {b[k]:.9g}, was {a[k]:.9g}"
    return ""


def largest_difference(stored: xarray.Dataset, fresh: xarray.Dataset) -> float:
    """Largest relative difference of the losses before and after the first step; infinite for too short a record."""
    steps = min(fresh.sizes["step"], ROUNDING_STEPS + 1)
    a, b = (np.asarray(d["loss"].values[:steps], dtype=np.float64) for d in (stored, fresh))
    return float(np.max(np.abs(a - b) / np.abs(a))) if a.shape == b.shape else inf


def part_difference(stored: xarray.Dataset, fresh: xarray.Dataset, repeats: Mapping[str, float]) -> str:
    """Where a part that was computed anew leaves what is stored by more than is allowed, or nothing.

    The part lies at the start of every dimension: its first curve is the stored first curve.
    """
    for name, tolerance in repeats.items():
        if name not in fresh and name not in stored:
            continue  # not every run of an experiment measures everything
        if name not in fresh:
            return f"{name} did not come out"
        new = fresh[name]
        if name not in stored or set(stored[name].dims) != set(new.dims):
            there = f"stored {_along(stored[name])}" if name in stored else "not stored"
            return f"{name} is {there}, and came out {_along(new)}"
        old = stored[name].isel({d: slice(0, n) for d, n in new.sizes.items()}).transpose(*new.dims)
        a, b = np.asarray(old.values, dtype=np.float64), np.asarray(new.values, dtype=np.float64)
        if a.shape != b.shape:
            return f"{name} has shape {b.shape} where {a.shape} is stored"
        scale = np.abs(a[np.isfinite(a)]).max(initial=0.0)
        # Relative to the largest value of the series: a curve's smallest losses are differences of larger ones.
        with np.errstate(invalid="ignore"):  # both infinite, which the second term finds
            equal = (np.abs(a - b) <= tolerance * scale) | (a == b) | (np.isnan(a) & np.isnan(b))
        if not equal.all():
            at = tuple(int(i) for i in np.argwhere(~equal)[0])
            return f"{name} at {at} is {b[at]:.9g}, was {a[at]:.9g}"
    return ""


def _along(values: xarray.DataArray) -> str:
    return f"over {', '.join(map(str, values.dims))}" if values.dims else "as 1 number"
