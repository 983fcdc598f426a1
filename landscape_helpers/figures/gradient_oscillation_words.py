"""The figures of *Exploring Gradient Oscillation* in words and measured numbers."""

from __future__ import annotations

import math

import numpy as np

from ..claims import phases, shown_layers
from ..curvature.secant import secant_curvature
from .findings import Findings
from .gradient_oscillation import plan_of, select
from .numbers_in_words import percent, spread
from .selection import Runs
from .trajectories import Trajectories


def alt_text(figure_id: str, runs: Runs) -> str:
    """What the figure shows, for readers who cannot see it: what was run, then :func:`findings`.

    Args:
        figure_id, runs: as for :func:`~landscape_helpers.figures.draw`.

    Raises:
        ValueError: as :func:`~landscape_helpers.figures.draw`.
    """
    shown = list(select(figure_id, runs).values())
    head = [f"{shown[0].heading}."] if len(shown) == 1 else []
    return " ".join([*head, str(findings(figure_id, runs))])


def findings(figure_id: str, runs: Runs) -> Findings:
    """Sentences with the numbers that the figure shows: medians over seeds, and ranges where seeds differ."""
    trajectories = select(figure_id, runs)
    layout = plan_of(figure_id).layout
    if layout == "batchnorm":
        lead = "Mean windowed correlation by phase, and the share of the loss decrease made while it is negative."
        return Findings(lead, [_share_of(name, run) for name, run in trajectories.items()])
    if layout == "unshown":
        lead = "Mean windowed correlation by phase."
        return Findings(lead, [f"{_label(name)}: {_phases_in_words(run)}." for name, run in trajectories.items()])
    run, *others = trajectories.values()
    parts = [f"The windowed correlation averages {_phases_in_words(run)}."]
    if layout == "network":
        parts.append(_decrease_in_words(run))
        parts += [f"{other.heading}: {_sharpness_in_words(other)}" for other in others] or [_sharpness_in_words(run)]
    if layout in ("layers", "small_rate"):
        parts.append(_layers_in_words(run))
    if layout == "small_rate":
        parts.append(_sharpness_in_words(run))
    return Findings(_loss_in_words(run), [part for part in parts if part])


def _loss_in_words(run: Trajectories) -> str:
    loss = run.values("loss")
    last = [row[step] for row, step in zip(loss, run.last_steps, strict=True)]
    end = _steps(run)
    return f"The training loss goes from {spread(loss[:, 0], '.3g')} to {spread(last, '.3g')} nats in {end}."


def _steps(run: Trajectories) -> str:
    """How long the seeds ran, and why one of them stopped early."""
    lasts = sorted(set(run.last_steps))
    length = f"{lasts[0]:,}" if len(lasts) == 1 else f"{lasts[0]:,} to {lasts[-1]:,}"
    ended = "; ".join(f"seed {e.seed}: {e.status}" for e in run.endings)
    return f"{length} full-batch steps" + (f" ({ended})" if ended else "")


def _phases_in_words(run: Trajectories) -> str:
    """``"0.98 until epoch 91 (82 to 96), then -0.83"``: the phases of the seeds that agree on their number."""
    windowed = run.values("windowed_correlation")
    found = [phases(row[: last + 1]) for row, last in zip(windowed, run.last_steps, strict=True)]
    counts = [len(f.changes) for f in found]
    usual = max(set(counts), key=lambda n: (counts.count(n), -n))
    pairs = zip(windowed, found, strict=True)
    agreeing = [(row, [c.step for c in f.changes]) for row, f in pairs if len(f.changes) == usual]
    who = f" in {len(agreeing)} of {len(found)} seeds" if len(agreeing) < len(found) else ""
    if usual == 0:
        return f"{spread([_mean(row) for row, _ in agreeing])} without a lasting sign change{who}"
    told = []
    for i in range(usual + 1):
        bounds = [(turns[i - 1] if i else 0, turns[i] if i < usual else len(row)) for row, turns in agreeing]
        mean = spread([_mean(row[a:b]) for (row, _), (a, b) in zip(agreeing, bounds, strict=True)])
        until = f" until epoch {spread([b for _, b in bounds], ',.0f')}" if i < usual else ""
        told.append(("then " if i == usual else "") + mean + until)
    return f"{', '.join(told)}{who}"


def _decrease_in_words(run: Trajectories) -> str:
    if not np.isfinite(run.final_share).any():
        return "The loss did not decrease."
    return f"{percent(run.final_share)} of the loss decrease is made at steps with negative correlation."


def _sharpness_in_words(run: Trajectories) -> str:
    if not run.has_sharpness:
        return ""
    values = np.asarray(run.data["sharpness"].transpose("seed", "stop").values, dtype=float)
    known = [row[np.isfinite(row)] for row in values]
    last, largest = [row[-1] for row in known if len(row)], [row.max() for row in known if len(row)]
    limit = format(2 / run.learning_rate, ",.4g")
    text = f"The sharpness peaks at {spread(largest, '.3g')} and ends at {spread(last, '.3g')}; 2/\u03b7 is {limit}."
    secant = secant_curvature(run.values("dot"), run.values("gradient_norm"), run.learning_rate)
    opposed = run.values("windowed_correlation") < 0
    met = [float(np.nanmedian(row[under])) for row, under in zip(secant, opposed, strict=True) if under.any()]
    if not met:
        return text
    return f"{text} While gradients oppose each other, the steps meet a median curvature of {spread(met, '.3g')}."


def _layers_in_words(run: Trajectories) -> str:
    """First and last layer against each other, while the network oscillates and over all."""
    ends = shown_layers(len(run.layers), 2)
    oscillating = run.values("windowed_correlation") < 0
    parts = []
    for layer in ends:
        curves = run.of_layer("layer_windowed_correlation", layer)
        means = spread([_mean(row) for row in curves])
        sizes = [_median(np.abs(row)) for row in run.of_layer("layer_dot", layer)]
        place = "first" if layer == 0 else "last"
        size = spread(sizes, ".1e")
        parts.append(
            f"the {place} has a windowed correlation of {means} on average and a median |dot product| of {size}"
        )
    text = f"Of {len(run.layers)} layers, {', and '.join(parts)} nats\u00b2 / param.\u00b2."
    if oscillating.any():
        agreeing = [
            _mean(np.where(mask[:, None], rows < 0, np.nan).astype(float))
            for mask, rows in zip(oscillating, _all_layers(run), strict=True)
            if mask.any()
        ]
        text += f" While the whole gradient oscillates, {percent(agreeing)} of layers and steps do too."
    return text


def _all_layers(run: Trajectories) -> np.ndarray:
    """(seed, step, layer) windowed correlations."""
    return np.asarray(run.data["layer_windowed_correlation"].transpose("seed", "step", "layer").values, dtype=float)


def _share_of(name: str, run: Trajectories) -> str:
    known = np.isfinite(run.final_share).any()
    share = percent(run.final_share) if known else "the loss did not decrease"
    return f"{_label(name)}: {_phases_in_words(run)}; {share}."


def _label(run_name: str) -> str:
    from ..catalogue import load_catalogue

    network = load_catalogue().runs[run_name].network
    return network[:1].upper() + network[1:]


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan
