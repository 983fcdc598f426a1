"""What panels share: titles with numbers beneath, logarithmic axes, axes of counts, the key of the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .canvas import Handle
from .curves_panel import power
from .run_record import RunRecord
from .style import Theme


def headed(ax: Axes, name: str, *below: str) -> None:
    """What is shown in bold and, beneath it in plain type, lines of what was measured; these may be wide."""
    lines = [line for line in below if line]
    ax.set_title(name, fontsize=8.5, pad=4 + 11 * len(lines), y=1.0)
    if lines:
        note = ax.annotate(
            "\n".join(lines), (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8,
            va="bottom", color=ax.xaxis.label.get_color(), linespacing=1.15,
        )  # fmt: skip
        note.set_in_layout(False)


def legend_above(
    ax: Axes, name: str, handles: Sequence[Handle], labels: Sequence[str], columns: int = 2, rows: int = 0
) -> None:
    """The panel's title with its own key between title and axes, where no curve can lie under it.

    Args:
        rows: room to leave at least, so that titles side by side stand level.
    """
    rows = max(rows, -(-len(labels) // columns))
    ax.set_title(name, fontsize=9, pad=5 + 11.5 * rows, y=1.0)
    if labels:
        key = ax.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, fontsize=7.5,
            handlelength=1.2, columnspacing=1.0, labelspacing=0.2, borderaxespad=0.1,
        )  # fmt: skip
        # The title's pad keeps its room; a wide key shall not make the panel narrow.
        key.set_in_layout(False)


def log_ticks(axis: Axis, most: int = 6) -> None:
    """Powers of ten only, few enough for a small panel."""
    axis.set_major_locator(LogLocator(numticks=most))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(power)


def log_ticks_between(axis: Axis, least: float, most: float) -> None:
    """Powers of ten, and 2 and 5 between them where the former would be one or two."""
    if most / least >= 200:
        log_ticks(axis)
        return
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=10))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:,.6g}")


def count_axis(axis: Axis, most: int = 6) -> None:
    """Whole numbers at round steps: iterations, updates, epochs."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def add_range(handles: list[Handle], labels: list[str], records: Iterable[RunRecord], theme: Theme) -> None:
    """The entry of a band over seeds, where there are several."""
    seeds = max(len(record.seeds) for record in records)
    if seeds > 1:
        handles.append(Patch(color=theme.ink, alpha=0.22, linewidth=0))
        labels.append(f"range of {seeds} seeds")
