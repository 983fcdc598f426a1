"""Length of the gradient's parts in the top and in the bulk subspace: Figure 3 of the singularity paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..claims.edge_measures import concentration
from .edge_axes import edge_key, endings, log_axis, pair_entries, seeds_curve
from .edge_ratios import rate_panels
from .edge_record import EdgeRecord, common
from .numbers_in_words import number
from .style import Theme

Records = Mapping[str, EdgeRecord]
PARTS = (("top_norm", False), ("bulk_norm", True))


def projections(records: Records, note: str, theme: Theme) -> Figure:
    """A panel a network, a colour a rate: the top part solid, the bulk part dotted, on one logarithmic axis."""

    def panel(ax: Axes, record: EdgeRecord, colour: str) -> str:
        for name, dotted in PARTS:
            series = record.over(name)
            seeds_curve(ax, series, colour, dotted=dotted)
            endings(ax, record, series, colour, theme)
        return f"{record.rate_in_short}: {top_over_bulk(record)}"

    heading = f"Gradient in the top and in the bulk subspace \u00b7 {common(list(records.values()))}"
    figure, axes = rate_panels(records, heading, note, theme, panel)
    values = [s.values for r in records.values() for name, _ in PARTS for s in r.over(name)]
    for ax in axes:
        log_axis(ax, values)
        ax.set_ylabel("length of the part\n(nats / parameter, log)")
    parts = pair_entries(theme, "part of the gradient in the top subspace", "in the bulk")
    edge_key(figure, records.values(), theme, parts)
    return figure


def top_over_bulk(record: EdgeRecord) -> str:
    """``"3.1"``, the median from the first stop on the edge on, a dash without one; median over seeds."""
    ratios = [v for v in record.measured(concentration) if np.isfinite(v)]
    return number(float(np.median(ratios)), ".2g") if ratios else "\u2013"
