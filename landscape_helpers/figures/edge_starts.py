"""What the initialisation decides: curvature, ratios and loss from either of two of them (SING-X02, ours)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..claims.edge_measures import curvature_rise, max_rho
from ..claims.record import Record
from .axes import headed
from .canvas import Handle, new_figure
from .edge_axes import (
    DASHED,
    DOTTED,
    edge_key,
    edge_lines,
    endings,
    log_axis,
    ratio_axis,
    seeds_curve,
    time_axis,
)
from .edge_record import EdgeRecord, Series, common, grouped
from .numbers_in_words import number
from .panel_table import empty
from .style import Theme

Records = Mapping[str, EdgeRecord]
STARTS = {"kaiming": "Kaiming", "default": "framework's"}


def starts(records: Records, note: str, theme: Theme) -> Figure:
    """A row a network: lambda_1 with the line 2 / eta, the two ratios with the edge, and the loss."""
    networks = grouped(records.values(), lambda r: (r.network, r.rate_in_words))
    heading = f"Two initialisations \u00b7 {common(list(records.values()))}"
    figure = new_figure(2.35 * len(networks), heading, note, theme)
    axes = figure.subplots(len(networks), 3, squeeze=False)
    for ((network, rate), runs), row in zip(networks.items(), axes, strict=True):
        for record in runs:
            _draw(row, record, _colour(record, theme), theme)
        largest, ratios, loss = row
        for at in {r.rate for r in runs}:
            largest.axhline(2 / at, color=theme.ink, linewidth=0.9, linestyle=DASHED, zorder=1.5)
        values = [s.values for r in runs for s in r.over("eigenvalue", 1)]
        log_axis(largest, [*values, np.array([2 / r.rate for r in runs])])
        largest.set_ylabel("\u03bb\u2081 (nats / param.\u00b2, log)")
        headed(largest, network, f"rises to {_of_each(runs, curvature_rise)} times its start")
        edge_lines(ratios, theme)
        ratio_axis(ratios, [s for r in runs for s in r.over("rho", r.top)])
        headed(ratios, f"Ratios, {rate}", f"largest \u03c1\u2081: {_of_each(runs, max_rho, pair='first')}")
        loss.set_ylim(bottom=0)
        loss.set_ylabel("training loss (nats)")
        missing = [name for key, name in STARTS.items() if key not in {r.initialisation for r in runs}]
        headed(loss, "Loss", f"not run: {', '.join(missing)}" if missing else f"ends at {_of_each(runs, last_loss)}")
        for ax in row:
            time_axis(ax)
    handles: list[Handle] = [Line2D([], [], color=theme.series[i], linewidth=1.6) for i in range(len(STARTS))]
    handles += [Line2D([], [], color=theme.ink, linewidth=1.4, linestyle=style) for style in ("-", DOTTED)]
    handles.append(Line2D([], [], color=theme.ink, linewidth=0.9, linestyle=DASHED))
    labels = [*STARTS.values(), "last top pair", "first bulk pair", "2/\u03b7"]
    edge_key(figure, records.values(), theme, (handles, labels))
    return figure


def loss_over_time(record: EdgeRecord) -> list[Series]:
    """The training loss of every seed over t."""
    found = []
    for data in record.datasets:
        found.append(Series(data["step"].values * record.rate, np.asarray(data["loss"].values, dtype=float)))
    return found


def _draw(row: np.ndarray, record: EdgeRecord, colour: str, theme: Theme) -> None:
    largest, ratios, loss = row
    panels: list[tuple[Axes, list[Series], bool]] = [
        (largest, record.over("eigenvalue", 1), False),
        (ratios, record.over("rho", record.top), False),
        (ratios, record.over("rho", record.top + 1), True),
        (loss, loss_over_time(record), False),
    ]
    for ax, series, dotted in panels:
        if not series:
            empty(ax, "not recorded", theme)
            continue
        seeds_curve(ax, series, colour, dotted=dotted)
        endings(ax, record, series, colour, theme)


def _colour(record: EdgeRecord, theme: Theme) -> str:
    known = list(STARTS)
    return theme.series[known.index(record.initialisation) if record.initialisation in known else len(known)]


def last_loss(r: Record) -> float:
    """The loss at the last step."""
    return float(r["loss"][-1])


def _of_each(runs: Sequence[EdgeRecord], measure: Callable[..., float], **arguments: str) -> str:
    """``"1.2 | 3.4"``: of every initialisation in their order, a dash for a missing one; medians over seeds."""
    values = {r.initialisation: number(float(np.median(r.measured(measure, **arguments))), ".2g") for r in runs}
    return " | ".join(values.get(start, "\u2013") for start in STARTS)
