"""The figures and tables of *A Walk with SGD*, and four of ours (WALK-X01 to WALK-X04).

Every one draws the runs that there are and names those that there are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from . import (
    selection,
    walk_barriers,
    walk_comparison,
    walk_covariance,
    walk_heights,
    walk_noise,
    walk_quadratic,
    walk_schedules,
    walk_spectrum,
    walk_sweeps,
    walk_tables,
)
from .selection import Runs, absent_runs, check_figure, full_note
from .style import Theme
from .style import theme as themed
from .walk_record import WalkRecord
from .walk_trajectory import trajectory

Layout = Callable[[Mapping[str, Any], str, Theme], Figure]

# The epoch of the paper that each trajectory shows.
TRAJECTORIES: dict[str, float] = {
    "WALK-F01": 1, "WALK-F02": 1, "WALK-F09": 1, "WALK-F10": 1, "WALK-F11": 2, "WALK-F12": 25, "WALK-F13": 100,
    "WALK-F14": 2, "WALK-F15": 25, "WALK-F16": 100, "WALK-F17": 1, "WALK-F18": 1, "WALK-F19": 2, "WALK-F20": 1,
    "WALK-F21": 1,
}  # fmt: skip
LAYOUTS: dict[str, Layout] = {
    **{figure: partial(trajectory, epoch) for figure, epoch in TRAJECTORIES.items()},
    **dict.fromkeys(("WALK-F03", "WALK-F07"), walk_spectrum.spectral_norms),
    **dict.fromkeys(("WALK-F04", "WALK-F22", "WALK-F23", "WALK-F24"), walk_sweeps.cosines_by_setting),
    **dict.fromkeys(("WALK-F05", "WALK-F25", "WALK-F26"), walk_noise.noise),
    **dict.fromkeys(("WALK-F06", "WALK-F27"), walk_schedules.schedules),
    "WALK-F08": walk_barriers.barriers,
    "WALK-F28": walk_quadratic.contraction,
    "WALK-T01": walk_tables.barriers_table,
    "WALK-T02": walk_tables.heights_table,
    "WALK-X01": walk_covariance.covariance,
    "WALK-X02": walk_heights.heights,
    "WALK-X03": walk_comparison.equal_terms,
    "WALK-X04": walk_comparison.batchnorm,
}

ENDINGS = 4  # that are told one by one
_SWEEP = "The paper's batch sizes and rates are lost with its legends; these are ours."
REMARKS: dict[str, str] = {
    **dict.fromkeys(("WALK-F04", "WALK-F22", "WALK-F23", "WALK-F24"), _SWEEP),
    **dict.fromkeys(("WALK-F06", "WALK-F27"), "The paper's end values are lost; peaks are chosen from a small grid."),
    "WALK-X02": "The quadratic has the slopes that the gradients give at both ends of the step.",
}


def draw(figure_id: str, runs: Runs, theme: str = "light", scale_note: str = "") -> Figure:
    """One figure or table of the paper, or one of ours about it, from measured runs.

    Args:
        figure_id: ``"WALK-F01"`` to ``"WALK-F28"``, ``"WALK-T01"``, ``"WALK-T02"`` or ``"WALK-X01"`` to ``"WALK-X04"``.
        runs: by name, as in the catalogue: a dataset with or without a leading ``seed`` dimension, or one dataset a
            seed. Runs that are absent are named in the picture, with the reason.
        theme: ``"light"`` or ``"dark"``; the figure is transparent either way.
        scale_note: how the runs are reduced against the paper's; written into the picture.

    Raises:
        ValueError: an unknown figure or theme; no run that the figure shows.
    """
    records = select(figure_id, runs)
    remarks = [REMARKS.get(figure_id, "").rstrip("."), "; ".join(endings(records))]
    note = full_note(scale_note, absent_runs(figure_id, records), ". ".join(filter(None, remarks)))
    with themed(theme) as chosen:
        return LAYOUTS[figure_id](records, note, chosen)


def endings(records: Mapping[str, WalkRecord]) -> list[str]:
    """What became of the seeds that did not finish; of many, of the first ones and how many there are."""
    told = [ending for record in records.values() for ending in record.endings]
    rest = len(told) - ENDINGS
    return told if rest <= 1 else [*told[:ENDINGS], f"{rest} further seeds did not finish"]


def select(figure_id: str, runs: Runs) -> dict[str, WalkRecord]:
    """The runs a figure shows, in the catalogue's order.

    Raises:
        ValueError: an unknown figure, or no run that it shows.
    """
    check_figure(figure_id, LAYOUTS)
    return selection.select(figure_id, runs, WalkRecord)
