"""The figures of *A Walk with SGD* in words and measured numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..claims.record import mean
from .findings import Findings
from .numbers_in_words import number, percent, spread
from .selection import Runs
from .walk_barriers import by_epoch, relative_barriers
from .walk_comparison import SETTLED, by_network, label_of, settled_cosine
from .walk_figures import TRAJECTORIES, endings, select
from .walk_heights import height_pairs
from .walk_noise import final_norms, in_order, losses, name_of
from .walk_record import WalkRecord, Window
from .walk_schedules import KINDS, best_accuracy, by_kind
from .walk_spectrum import spectral_norm
from .walk_sweeps import sweeps
from .walk_tables import table_of
from .walk_trajectory import UPDATES, windows_from

Records = Mapping[str, Any]
Told = tuple[str, Callable[[Records], list[str]]]


def findings(figure_id: str, runs: Runs) -> Findings:
    """What a figure is about, then one sentence a run, a setting or a row with what was measured."""
    records = select(figure_id, runs)
    lead, told = WORDS[figure_id]
    each, remarks = ([f"{said.rstrip('.')}." for said in sentences] for sentences in (told(records), endings(records)))
    return Findings(lead, each, remarks)


def _trajectories(epoch: float, records: Records) -> list[str]:
    return [_trajectory(record, epoch) for record in records.values()]


def _trajectory(record: WalkRecord, epoch: float) -> str:
    pairs = windows_from(record, epoch)
    windows = [window for _, window in pairs]
    if not windows:
        return f"{record.title}, {record.method}: no step from epoch {epoch:g} on was sampled"
    cosines = spread([_mean_cosine(record, *pair) for pair in pairs])
    distances = spread([_distance(record, *pair) for pair in pairs], ".3g")
    return (
        f"{record.title}, {record.method}, {len(windows[0].updates)} updates from epoch {epoch:g} on: "
        f"{_valley(windows)}; mean cosine {cosines}; distance {distances} at the end"
    )


def _valley(windows: Sequence[Window]) -> str:
    """Loss, interior minima, rises of the floor and barriers over seeds."""
    barriers = [int(w.crossed.sum()) for w in windows]
    starts, ends = ([float(w.iterates[i]) for w in windows] for i in (0, -1))
    return (
        f"the loss goes from {spread(starts, '.3g')} to {spread(ends, '.3g')} nats, the minimum lies inside "
        f"{percent([float(w.interior.mean()) for w in windows])} of the steps, the floor rises "
        f"{percent([float(w.rises.mean()) for w in windows if len(w.rises)])} of the time, "
        f"{spread(barriers, '.0f')} barriers are crossed"
    )


def _mean_cosine(record: WalkRecord, seed: int, window: Window) -> float:
    return mean(record.datasets[seed]["cosine"].values[window.updates + 1])


def _distance(record: WalkRecord, seed: int, window: Window) -> float:
    return float(record.datasets[seed]["distance"].values[window.updates[-1] + 1])


def _spectra(records: Records) -> list[str]:
    told = []
    for record in records.values():
        if not record.has("lambda_max"):
            told.append(f"{record.title}, \u03b7 = {record.rate:g}: the spectrum was not measured")
            continue
        _, norms = spectral_norm(record)
        validation = record.over("validation_accuracy", "evaluation")[1]
        edge = f"2/\u03b7 = {number(2 / record.rate)}"
        told.append(
            f"{record.title}, \u03b7 = {record.rate:g}: the spectral norm starts at {spread(norms[:, 0], '.3g')}, is "
            f"lowest at {spread(np.nanmin(norms, 1), '.3g')} and ends at {spread(norms[:, -1], '.3g')}, with {edge}; "
            f"validation accuracy {percent(np.nanmax(validation, 1))} at best, {percent(validation[:, -1])} at the end"
        )
    return told


def _sweeps(records: Records) -> list[str]:
    told = []
    for sweep in sweeps(records):
        if sweep.records:
            means = sweep.means()
            each = ", ".join(f"{spread(row)} for {v:g}" for v, row in zip(sweep.values, means, strict=True))
            told.append(f"By {sweep.name}, at {sweep.kept}: mean cosine {each}")
    return told


def _noise(records: Records) -> list[str]:
    told = []
    for record in in_order(records):
        ends = [row[np.isfinite(row)][-1] for row in losses(record)[1] if np.isfinite(row).any()]
        distances = [float(v[np.isfinite(v)][-1]) for v in record.of_each("distance")]
        accuracy = [float(v[-1]) for v in record.of_each("validation_accuracy") if v.size]
        cosines = [mean(v) for v in record.of_each("cosine")]
        told.append(
            f"{name_of(record)}: training loss {spread(ends, '.3g')} nats and validation accuracy {percent(accuracy)} "
            f"at the end, mean cosine {spread(cosines)}, distance {spread(distances, '.3g')}, norm of the parameters "
            f"{spread(final_norms(record), '.3g')}"
        )
    return told


def _schedules(records: Records) -> list[str]:
    told = []
    for kind, runs in by_kind(records).items():
        each = ", ".join(f"{best_accuracy(r):.1%} with a peak of {r.rate:g}" for r in runs)
        told.append(f"{KINDS.get(kind, kind)}: best validation accuracy {each}")
    return told


def _barriers(records: Records) -> list[str]:
    told = []
    for record in records.values():
        epochs = by_epoch(record)
        if not epochs:
            told.append(f"{record.title}: no step was sampled")
            continue
        shares = [float(np.median([w.crossed.mean() for w in windows])) for windows in epochs.values()]
        heights = np.concatenate([relative_barriers(w) for windows in epochs.values() for w in windows])
        high = f"; median height {number(float(np.median(heights)), '.2g')} of the loss" if len(heights) else ""
        told.append(
            f"{record.title}: no barrier in {sum(s == 0 for s in shares)} of {len(shares)} epochs, at most "
            f"{number(100 * max(shares), '.2g')}% of the updates of one epoch{high}"
        )
    return told


def _rows(figure_id: str, records: Records) -> list[str]:
    table = table_of(figure_id, records)
    at = f"at epochs {', '.join(map(str, table.epochs))}"
    told = []
    for name, cells in table.rows:
        ours, paper = (", ".join(values) for values in ([c.ours for c in cells], [c.paper for c in cells]))
        told.append(f"{name}: {ours} {at} (paper: {paper})")
    return told


def _bowl(records: Records) -> list[str]:
    data = next(iter(records.values())).first
    off = float(np.max(np.abs(data["measured_rate"].values - data["predicted_rate"].values)))
    under = data["rate"].values[:, None] * data["eigenvalue"].values > 1
    agree = bool(((data["sign_changes"].values > 0.5) == under).all())
    told = "exactly where" if agree else "not exactly where"
    return [
        f"{data.sizes['rate']} rates on a bowl of {data.sizes['component']} eigenvalues: measured contraction within "
        f"{number(off, '.1e')} of |\u03bb\u03b7 \u2212 1|; components change their sign {told} \u03bb\u03b7 > 1"
    ]


def _covariance(records: Records) -> list[str]:
    told = []
    for record in records.values():
        share = [r / h for r, h in zip(record.of_each("residual_norm"), record.of_each("hessian_norm"), strict=True)]
        aligned = record.of_each("alignment")
        told.append(
            f"{record.title} of {record.size:,} parameters: \u2016R\u2016 / \u2016H\u2016 goes from "
            f"{spread([s[0] for s in share])} to {spread([s[-1] for s in share])}, the cosine of H and C from "
            f"{spread([a[0] for a in aligned])} to {spread([a[-1] for a in aligned])}"
        )
    return told


def _heights(records: Records) -> list[str]:
    told = []
    for record in records.values():
        pairs = height_pairs(record)
        if pairs is None:
            told.append(f"{record.title}, {record.method}: slopes at the ends of the steps were not recorded")
        elif not np.isfinite(pairs.ratio()):
            told.append(f"{record.title}, {record.method}: no step has its floor inside, of {len(pairs.inside):,}")
        else:
            told.append(
                f"{record.title}, {record.method}: measured / quadratic {number(pairs.ratio(), '.3g')} in the median "
                f"of {int(pairs.inside.sum()):,} steps with the floor inside, correlation of the logarithms "
                f"{number(pairs.correlation(), '.3f')}"
            )
    return told


def _equal_terms(records: Records) -> list[str]:
    told = []
    for network, runs in by_network(records):
        parts = []
        for record in runs:
            pairs = windows_from(record, 1)
            if pairs:
                ends = spread([float(window.iterates[-1]) for _, window in pairs], ".3g")
                far = spread([_distance(record, *pair) for pair in pairs], ".3g")
                parts.append(f"{record.method} at a loss of {ends} nats and a distance of {far}")
        told.append(f"{network}, after {UPDATES} updates: {' and '.join(parts) or 'not sampled'}")
    return told


def _batchnorm(records: Records) -> list[str]:
    return [
        f"{label_of(r).replace(chr(10), ', ')}: {_valley([w for _, w in pairs])}; mean cosine "
        f"{spread(settled_cosine(r))} from update {SETTLED} on"
        for r in records.values()
        if (pairs := windows_from(r, 1))
    ]


_TRAJECTORY = "Loss along consecutive updates, the valley's floor, cosines of consecutive gradients and the distance."
_SPECTRA: Told = ("The Hessian's largest eigenvalue by size, and accuracies, over the epochs.", _spectra)
_SWEEPS: Told = ("Cosine of consecutive gradients by batch size and by learning rate.", _sweeps)
_NOISE: Told = ("Full-batch descent with and without isotropic noise.", _noise)
_SCHEDULES: Told = ("Accuracies under schedules of the learning rate.", _schedules)
WORDS: dict[str, Told] = {
    **{figure: (_TRAJECTORY, partial(_trajectories, epoch)) for figure, epoch in TRAJECTORIES.items()},
    **dict.fromkeys(("WALK-F03", "WALK-F07"), _SPECTRA),
    **dict.fromkeys(("WALK-F04", "WALK-F22", "WALK-F23", "WALK-F24"), _SWEEPS),
    **dict.fromkeys(("WALK-F05", "WALK-F25", "WALK-F26"), _NOISE),
    **dict.fromkeys(("WALK-F06", "WALK-F27"), _SCHEDULES),
    "WALK-F08": ("Updates that cross a barrier, in each of the first epochs.", _barriers),
    "WALK-F28": ("Contraction of gradient descent on a quadratic bowl, computed and simulated.", _bowl),
    "WALK-T01": ("Barriers crossed in 450 updates from the start of an epoch on.", partial(_rows, "WALK-T01")),
    "WALK-T02": ("Mean height above the valley's floor from the start of an epoch on.", partial(_rows, "WALK-T02")),
    "WALK-X01": ("Norms of the Hessian, of the gradients' covariance and of what separates them.", _covariance),
    "WALK-X02": ("Heights above the floor against those of a parabola with the same slopes at both ends.", _heights),
    "WALK-X03": ("Loss and cosine of gradient descent and SGD by updates and by distance.", _equal_terms),
    "WALK-X04": ("The first updates with and without BatchNorm.", _batchnorm),
}
