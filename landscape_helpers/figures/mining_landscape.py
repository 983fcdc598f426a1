"""The figures of *Visualizing, Rethinking, and Mining the Loss Landscape of Deep Neural Networks*, and three of ours.

Every one puts several networks side by side; it draws those that there are and names those that there are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from . import (
    classes_figure,
    descent_figures,
    gaussian_figures,
    grid_figures,
    hessian_figures,
    search_figures,
    selection,
    spectrum_panel,
)
from .curves_panel import COUNTED
from .planes_panel import CLIPPED
from .selection import Runs, absent_runs, check_figure, full_note
from .slice_records import SliceRecord
from .style import Theme
from .style import theme as themed

Layout = Callable[[Mapping[str, SliceRecord], str, Theme], Figure]

LAYOUTS: dict[str, Layout] = {
    "MINE-F01": classes_figure.classes,
    "MINE-F02": gaussian_figures.conditions,
    "MINE-F03": gaussian_figures.without_shortcuts,
    "MINE-F04": descent_figures.descents,
    "MINE-F05": descent_figures.angles,
    "MINE-F06": descent_figures.best_of_gaussians,
    "MINE-F07": descent_figures.independent,
    "MINE-F08": hessian_figures.eigen_curves,
    "MINE-F09": search_figures.peaks,
    "MINE-F10": search_figures.triples,
    "MINE-F11": hessian_figures.eigen_planes,
    "MINE-F12": search_figures.planes,
    "MINE-F13": spectrum_panel.spectra,
    "MINE-F14": hessian_figures.interpolations,
    "MINE-A15": gaussian_figures.epochs,
    "MINE-B16": gaussian_figures.scales,
    "MINE-B17": gaussian_figures.normalisations,
    "MINE-X01": hessian_figures.kinks,
    "MINE-X02": grid_figures.counts,
    "MINE-X03": grid_figures.off_plane,
}


_BRACKETS = "Smallest eigenvalue in brackets; densities of all seeds, histograms of the first."
# What a reader needs to know beside the scale, under the heading.
REMARKS: dict[str, str] = {
    **dict.fromkeys(("MINE-F04", "MINE-F07", "MINE-F08", "MINE-F09", "MINE-F10"), COUNTED),
    **dict.fromkeys(("MINE-A15", "MINE-B16", "MINE-B17"), COUNTED),
    **dict.fromkeys(("MINE-F02", "MINE-F03"), f"{COUNTED} {CLIPPED}"),
    "MINE-F11": f"Planes of the first seed; over each, what kind of surface it is and for how many seeds. {CLIPPED}",
    "MINE-F12": f"Planes of the first seed; over each, the class of its slice along either axis. {CLIPPED}",
    "MINE-F13": _BRACKETS,
}


def draw(figure_id: str, runs: Runs, theme: str = "light", scale_note: str = "") -> Figure:
    """One figure of the paper, or of ours about it, from measured runs.

    Args:
        figure_id: ``"MINE-F01"`` to ``"MINE-F14"``, ``"MINE-A15"``, ``"MINE-B16"``, ``"MINE-B17"`` or ``"MINE-X01"`` to
            ``"MINE-X03"``.
        runs: by name, as in the catalogue: a dataset with or without a leading ``seed`` dimension, or one dataset a
            seed. Networks that are absent are named in the picture, with the reason.
        theme: ``"light"`` or ``"dark"``; the figure is transparent either way.
        scale_note: how the runs are reduced against the paper's; written into the picture.

    Raises:
        ValueError: an unknown figure or theme; no run that the figure shows.
    """
    records = select(figure_id, runs)
    note = full_note(scale_note, absent_runs(figure_id, records), REMARKS.get(figure_id, ""))
    with themed(theme) as chosen:
        return LAYOUTS[figure_id](records, note, chosen)


def select(figure_id: str, runs: Runs) -> dict[str, SliceRecord]:
    """The runs a figure shows, in the catalogue's order.

    Raises:
        ValueError: an unknown figure, or no run that it shows.
    """
    check_figure(figure_id, LAYOUTS)
    return selection.select(figure_id, runs, SliceRecord)
