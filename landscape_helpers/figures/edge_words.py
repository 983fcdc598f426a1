"""The figures of the singularity paper in words and measured numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..claims.edge_measures import (
    EDGE,
    concentration,
    curvature_rise,
    edge_time,
    max_rho,
    partial_change,
    prediction_error,
    rho_gap,
    share_with_edge_count,
)
from ..claims.flow_measures import cusp_slope, opening_curvature
from ..claims.record import median
from .edge_entry import TOGETHER, moments_of, together
from .edge_figures import select
from .edge_flow import at_its_end, in_words, line_through, peak
from .edge_integrator import METHODS, deviation
from .edge_map import NUMBERS, table_of
from .edge_profile import RANGES, fits
from .edge_record import EdgeRecord, FlowRecord, grouped, unconverged
from .edge_starts import STARTS, last_loss
from .edge_table import COLUMNS, rows_of
from .findings import Findings
from .numbers_in_words import number, percent, spread
from .selection import Runs

Records = Mapping[str, Any]
Told = tuple[str, Callable[[Records], list[str]]]


def findings(figure_id: str, runs: Runs) -> Findings:
    """What a figure is about and, of many settings, what they come to; then one sentence a run, setting or row."""
    records = select(figure_id, runs)
    lead, told = WORDS[figure_id]
    if figure_id in SUMS:
        lead = f"{lead} {SUMS[figure_id](records)}"
    missed = unconverged(records.values())
    return Findings(lead, [f"{sentence.rstrip('.')}." for sentence in told(records)], [missed] if missed else [])


def _ratios_in_all(records: Records) -> str:
    last, first = (_medians(records, max_rho, pair=pair) for pair in ("last top", "first bulk"))
    counts = [sum(value > bound for value in pair) for pair in (last, first) for bound in (EDGE, 1)]
    return (
        f"In the median of its seeds the last top pair rises above {EDGE:g} in {counts[0]} of {len(records)} settings "
        f"and above 1 in {counts[1]}, the first bulk pair in {counts[2]} and {counts[3]}."
    )


def _projections_in_all(records: Records) -> str:
    ratios = [value for value in _medians(records, concentration) if np.isfinite(value)]
    longer = sum(value > 1 for value in ratios)
    return (
        f"{len(ratios)} of {len(records)} settings reach the edge; from there on the top part is the longer one in "
        f"{longer} of them, in the median of stops and seeds."
    )


def _table_in_all(records: Records) -> str:
    top, bulk = (
        [value for value in _medians(records, partial_change, of=part) if np.isfinite(value)]
        for part in ("top", "bulk")
    )
    return (
        f"{len(top)} of {len(records)} settings have three stops on the edge or more. The mean change along the top "
        f"part is positive in {sum(v > 0 for v in top)} of them and negative in {sum(v < 0 for v in top)}, that along "
        f"the bulk part negative in {sum(v < 0 for v in bulk)}."
    )


def _medians(records: Records, measure: Callable[..., float], **options: Any) -> list[float]:
    """Of every setting, over the seeds in which there is a value."""
    return [median(np.asarray(record.measured(measure, **options))) for record in records.values()]


def _ratios(records: Records) -> list[str]:
    return [f"{_setting(record)}: {_pairs(record)}{_entry(record)}" for record in records.values()]


def _setting(record: EdgeRecord) -> str:
    return f"{record.network}, {record.rate_in_words}"


def _pairs(record: EdgeRecord) -> str:
    """``"the largest last top ratio is 1.02, the largest first bulk ratio 0.23"``."""
    last, first = (spread(record.measured(max_rho, pair=pair)) for pair in ("last top", "first bulk"))
    return f"the largest ratio of pair {record.top} is {last}, of pair {record.top + 1} {first}"


def _entry(record: EdgeRecord) -> str:
    times = record.measured(edge_time)
    if not np.isfinite(times).any():
        return "; the edge is not reached"
    gaps = spread(record.measured(rho_gap), ".2g")
    return f"; on the edge from t = {spread(times, '.3g')} on, where the median of their quotient is {gaps}"


def _classes(records: Records) -> list[str]:
    told = []
    for record in sorted(records.values(), key=lambda r: r.n_classes):
        share = percent(record.measured(share_with_edge_count))
        count = "1 pair is" if record.top == 1 else f"{record.top} pairs are"
        edge = f"exactly {count} on the edge at {share} of the stops"
        told.append(f"{record.n_classes} classes: {_pairs(record)}; {edge}")
    return told


def _projections(records: Records) -> list[str]:
    told = []
    for record in records.values():
        top, bulk = (spread(_late(record, name), ".2g") for name in ("top_norm", "bulk_norm"))
        ratios = record.measured(concentration)
        reached = np.isfinite(ratios).any()
        edge = f"their ratio is {spread(ratios, '.2g')} from the edge on" if reached else "the edge is not reached"
        told.append(f"{_setting(record)}: median lengths {top} in the top and {bulk} in the bulk; {edge}")
    return told


def _late(record: EdgeRecord, name: str) -> list[float]:
    """Median over the stops of every seed."""
    return [float(np.nanmedian(series.values)) for series in record.over(name)]


def _entering(records: Records) -> list[str]:
    told = []
    for record in records.values():
        seeds = range(len(record.datasets))
        counts = [sum(together(record, seed)) for seed in seeds]
        entered = [sum(m.entry is not None for m in moments_of(record, seed)) for seed in seeds]
        burst = [sum(m.burst is not None for m in moments_of(record, seed)) for seed in seeds]
        told.append(
            f"{_setting(record)}: of {record.top} pairs {spread(entered, '.0f')} reach a ratio of 0.9 and "
            f"{spread(burst, '.0f')} coordinates burst; {spread(counts, '.0f')} do both less than {TOGETHER} "
            "iterations apart"
        )
    return told


def _flows(records: Records) -> list[str]:
    told = []
    for network, runs in grouped(records.values(), lambda r: r.network).items():
        ordered = sorted(runs, key=lambda r: r.images)
        values = ", ".join(f"{plainly(peak(r))} at {r.images:,} images" for r in ordered)
        line = line_through(ordered)
        fitted = f"; the line through them rises by {in_words(line)}" if line is not None else ""
        spike = ""
        if network.endswith("tanh"):
            spike = f"; the first value after the start is {plainly(ordered[-1].measured(opening_curvature))}"
        ends = sum(sum(at_its_end(r)) for r in ordered)
        rising = f"; {ends} of {sum(len(r.seeds) for r in ordered)} runs end at their peak" if ends else ""
        told.append(f"{network}: peaks of {values}{fitted}{spike}{rising}")
    return told


def _profiles(records: Records) -> list[str]:
    return [_profile(r) for r in sorted(records.values(), key=lambda r: r.images)]


def _profile(record: FlowRecord) -> str:
    parts = []
    for low, high in RANGES:
        laws = fits(record, low, high)
        if laws:
            error = number(max(law.error for law in laws), ".1g")
            verdicts = ", ".join(dict.fromkeys(law.verdict for law in laws))
            exponents = spread([law.exponent for law in laws])
            parts.append(f"exponent {exponents} \u00b1 {error} from {low:g} to {high:g} ({verdicts})")
    slopes = plainly(record.measured(cusp_slope))
    return f"{record.images:,} images: {'; '.join(parts) or 'not sampled'}; largest slope {slopes}"


def _table(records: Records) -> list[str]:
    told = []
    for row in rows_of(records):
        top, bulk = row.cells
        parts = f"top {top.ours} (paper {top.paper}), bulk {bulk.ours} (paper {bulk.paper})"
        told.append(f"{row.name}: {row.stops} {COLUMNS[0]}; {parts}")
    return told


def _map(records: Records) -> list[str]:
    told = []
    for quantity in NUMBERS:
        _, _, values = table_of(quantity, list(records.values()))
        finite = values[np.isfinite(values)]
        holds = sum(quantity.holds(float(v)) for v in finite)
        if not len(finite):
            told.append(f"{quantity.name}: in no cell")
            continue
        ends = " to ".join(dict.fromkeys(number(float(v), quantity.form) for v in (finite.min(), finite.max())))
        told.append(f"{quantity.name}: {ends}; {quantity.condition} in {holds} of {len(finite)} cells")
    return told


def _starts(records: Records) -> list[str]:
    told = []
    for record in records.values():
        start = STARTS.get(record.initialisation, record.initialisation)
        rise = spread(record.measured(curvature_rise), ".3g")
        ends = spread(record.measured(last_loss), ".2g")
        told.append(
            f"{_setting(record)}, {start} initialisation: \u03bb\u2081 rises to {rise} times its start; "
            f"{_pairs(record)}; the loss ends at {ends} nats"
        )
    return told


def _predicted(records: Records) -> list[str]:
    told = []
    for record in records.values():
        errors = percent(record.measured(prediction_error))
        told.append(f"{_setting(record)}: the second order misses {errors} of its terms at the median stop")
    return told


def _integrators(records: Records) -> list[str]:
    told = []
    for (network, images), runs in grouped(records.values(), lambda r: (r.network, r.images)).items():
        peaks = ", ".join(f"{METHODS.get(r.method, r.method)} {spread(peak(r), '.4g')}" for r in runs)
        series = deviation(runs)
        largest = [float(np.nanmax(np.abs(s.values))) for s in series]
        apart = f"; they differ by at most {_percents(largest)}" if series else ""
        told.append(f"{network}, {images:,} images: peak of \u03bb\u2081 by {peaks}{apart}")
    return told


def plainly(values: Sequence[float]) -> str:
    """Three digits, and no power of ten for what is large."""
    finite = [abs(v) for v in values if np.isfinite(v)]
    return spread(values, ",.0f" if finite and max(finite) >= 100 else ".3g")


def _percents(shares: Sequence[float]) -> str:
    """Shares with two digits, as differences of a per mille are of interest too."""
    return f"{spread([100 * share for share in shares], '.2g')}%"


WORDS: dict[str, Told] = {
    "SING-F01": (
        "Stability ratios \u03c1 = \u03b7\u03bb/2 of the last pair of the top and the first of the bulk subspace over "
        "time, with the edge at 1 and the threshold 0.7.",
        _ratios,
    ),
    "SING-F02": (
        "The same two ratios by number of classes, and how many pairs lie above 0.7.",
        _classes,
    ),
    "SING-F03": ("Lengths of the gradient's parts in the top and in the bulk subspace over time.", _projections),
    "SING-F04": (
        "Stability ratios of all top pairs, the gradient's coordinates along them, and when each enters and bursts.",
        _entering,
    ),
    "SING-F05": (
        "The largest Hessian eigenvalue along the gradient flow by number of images, and its peak against that number.",
        _flows,
    ),
    "SING-F06": (
        "The change of the loss along the leading eigenvector at the peak of curvature, as |change| = c |distance|^p.",
        _profiles,
    ),
    "SING-T01": ("Change of the loss in nats by a step along the top and along the bulk part of the gradient.", _table),
    "SING-X01": ("Four numbers of the edge by number of images and learning rate.", _map),
    "SING-X02": ("Largest eigenvalue, stability ratios and loss from two initialisations.", _starts),
    "SING-X03": ("What the second order predicts of a step along the top part, against what was measured.", _predicted),
    "SING-X04": ("The largest Hessian eigenvalue by the paper's rule and by Runge-Kutta's method.", _integrators),
}

SUMS: dict[str, Callable[[Records], str]] = {
    "SING-F01": _ratios_in_all,
    "SING-F03": _projections_in_all,
    "SING-T01": _table_in_all,
}
