"""The figures and the table of *There is a Singularity in the Loss Landscape*, and four of ours (SING-X01 to SING-X04).

Every one draws the runs that there are and names those that there are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from . import (
    edge_entry,
    edge_flow,
    edge_integrator,
    edge_map,
    edge_profile,
    edge_projections,
    edge_ratios,
    edge_starts,
    edge_table,
    edge_taylor,
    selection,
)
from .edge_record import EdgeRecord, FlowRecord, FullBatchRecord, unconverged
from .selection import Runs, absent_runs, check_figure, full_note
from .style import Theme
from .style import theme as themed

Layout = Callable[[Mapping[str, Any], str, Theme], Figure]

LAYOUTS: dict[str, Layout] = {
    "SING-F01": edge_ratios.by_rate,
    "SING-F02": edge_ratios.by_classes,
    "SING-F03": edge_projections.projections,
    "SING-F04": edge_entry.entering,
    "SING-F05": edge_flow.peaks,
    "SING-F06": edge_profile.profiles,
    "SING-T01": edge_table.changes_table,
    "SING-X01": edge_map.verdicts,
    "SING-X02": edge_starts.starts,
    "SING-X03": edge_taylor.predictions,
    "SING-X04": edge_integrator.integrators,
}
FLOWS = ("SING-F05", "SING-F06", "SING-X04")

_FIRST = "Lines are of the first seed."
_RATES = "Over each panel \u03b7 (in brackets the paper's rate that it stands for) and"
REMARKS: dict[str, str] = {
    "SING-F01": f"{_RATES} the largest ratio of the last top | first bulk pair. {_FIRST}",
    "SING-F02": f"Over the left panel the largest ratio of the last top | first bulk pair. {_FIRST}",
    "SING-F03": f"{_RATES} the median of top over bulk from the edge on (\u2013: never there). {_FIRST}",
    "SING-F04": _FIRST,
    "SING-F05": "The paper's sizes are lost with its legend; these are ours.",
    "SING-F06": "The paper's sizes are lost with its legend; these are ours.",
    "SING-X02": "Numbers over the panels are of Kaiming's | the framework's initialisation.",
    "SING-X03": "Beyond the last recorded pair the curvature of the bulk is unknown and taken as none.",
}


def draw(figure_id: str, runs: Runs, theme: str = "light", scale_note: str = "") -> Figure:
    """One figure or the table of the paper, or one of ours about it, from measured runs.

    Args:
        figure_id: ``"SING-F01"`` to ``"SING-F06"``, ``"SING-T01"`` or ``"SING-X01"`` to ``"SING-X04"``.
        runs: by name, as in the catalogue: a dataset with or without a leading ``seed`` dimension, or one dataset a
            seed. Runs that are absent are named in the picture, with the reason.
        theme: ``"light"`` or ``"dark"``; the figure is transparent either way.
        scale_note: how the runs are reduced against the paper's; written into the picture.

    Raises:
        ValueError: an unknown figure or theme; no run that the figure shows.
    """
    records = select(figure_id, runs)
    # The table has a row for every run, also for those that are missing.
    missing = [] if figure_id == edge_table.FIGURE else absent_runs(figure_id, records)
    remarks = " ".join(filter(None, (REMARKS.get(figure_id, ""), unconverged(records.values()))))
    note = full_note(scale_note, missing, remarks)
    with themed(theme) as chosen:
        return LAYOUTS[figure_id](records, note, chosen)


def select(figure_id: str, runs: Runs) -> dict[str, Any]:
    """The runs a figure shows, in the catalogue's order.

    Raises:
        ValueError: an unknown figure, or no run that it shows.
    """
    check_figure(figure_id, LAYOUTS)
    kind: type[FullBatchRecord] = FlowRecord if figure_id in FLOWS else EdgeRecord
    return dict(selection.select(figure_id, runs, kind))
