"""What the explorer of the edge of stability says of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray

from ..claims.edge_measures import EDGE

SETTLED = 1.0  # t from which a ratio counts: before, it is that of the initialisation


def reached(record: xarray.Dataset) -> int:
    """How many of the leading directions came to the edge, rho above 0.7, after the start."""
    later = record["rho"].values[record["time"].values >= SETTLED]
    return int((later > EDGE).any(axis=0).sum())


def note(record: xarray.Dataset) -> str:
    """What happened in this run, with its numbers; the first line stands out."""
    status, loss = str(record.attrs["status"]), record["loss"].values
    if "non-finite" in status:
        return f"Diverged: {status}."
    top = int(record.attrs["classes"]) - 1
    later = record["rho"].values[record["time"].values >= SETTLED]
    largest = [f"{value:.2f}" for value in np.fmax.reduce(later)]
    facts = [
        f"Loss from {loss[0]:.2f} to {loss[-1]:.2g}",
        f"largest ρ after t = {SETTLED:g}: {largest[0]}"
        + (f", last of the top {largest[top - 1]}" if top > 1 else "")
        + f", first of the bulk {largest[top]}",
    ]
    on = record["rho"].values[:, top - 1] > EDGE
    if on.any():
        rate = float(record.attrs["learning_rate"])
        along = [_signed(record[name].values[on].mean() / rate) for name in ("change_top", "change_bulk")]
        stops = "the one stop" if on.sum() == 1 else f"{on.sum()} stops"
        facts.append(
            f"loss change per t, mean of {stops} on the edge: {along[0]} along the top, {along[1]} along the bulk"
        )
    return f"{_said(reached(record), top, later.shape[1])}\n" + " \N{MIDDLE DOT} ".join(facts)


def alt(runs: Mapping[tuple[float, ...], xarray.Dataset], counts: Sequence[int]) -> str:
    """What the explorer shows, for those who do not see it; runs by rate and place in ``counts``."""
    parts = []
    for i, n in enumerate(counts):
        found = [f"{reached(run)} at {rate:g}" for (rate, which), run in runs.items() if which == i]
        parts.append(f"with {n} classes {', '.join(found)}")
    return (
        "Stability ratios, loss, gradient norms and loss changes of a small training against time. Directions that "
        "reach the edge of stability, by learning rate: " + "; ".join(parts) + "."
    )


def span(values: Sequence[int]) -> str:
    """From the first to the last of increasing numbers.

    >>> span([1683, 1883])
    '1,683 to 1,883'
    """
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _said(count: int, top: int, measured: int) -> str:
    if count == 0:
        return "No direction reaches the edge: there is not enough curvature for this rate."
    if count > top:
        more = " or more" if count == measured else ""
        ours = "the one" if top == 1 else f"the {top}"
        return f"The edge is reached by {count}{more} directions: {ours} of the top, and others of the bulk."
    if top == 1:
        return "The one direction of the top reaches the edge, the bulk does not."
    if count < top:
        return f"{count} of the {top} directions of the top reach{'es' if count == 1 else ''} the edge."
    return f"{'Both' if top == 2 else f'All {top}'} directions of the top reach the edge, the bulk does not."


def _signed(value: float) -> str:
    return f"{value:+.2g}".replace("-", "\N{MINUS SIGN}")
