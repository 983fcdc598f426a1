"""The figures of *Exploring Gradient Oscillation in Deep Neural Network Training*, and two of ours (GO-X01, GO-X02).

Each is laid out as in the paper, with what the paper leaves out added and named as added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import xarray
from matplotlib.figure import Figure

from ..catalogue import load_catalogue
from ..claims.record import shown_layers
from . import comparison, panels
from .canvas import Marks, absent, add_key, endings_in_words, key_of, new_figure
from .style import Theme, theme as themed
from .trajectories import Trajectories

Runs = Mapping[str, xarray.Dataset | Sequence[xarray.Dataset]]


@dataclass(frozen=True)
class Plan:
    """How one figure is laid out.

    Attributes:
        layout: name of the function of this module that draws it.
        epochs: the epochs that the paper's text names for what this figure shows; marked on every axis.
        matrices: epochs of the correlation matrices in the paper; empty where it does not give them.
    """

    layout: str
    epochs: tuple[int, ...] = ()
    matrices: tuple[int, ...] = ()


PLANS: dict[str, Plan] = {
    "GO-F01": Plan("convex"),
    "GO-F02": Plan("network", epochs=(10, 800), matrices=(5, 675)),
    "GO-F03": Plan("network", epochs=(500,), matrices=(5, 915)),
    "GO-F04": Plan("network", epochs=(120, 150), matrices=(60, 490)),
    "GO-F05": Plan("network"),
    "GO-F06": Plan("layers", epochs=(10, 800)),
    "GO-F07": Plan("layers", epochs=(500,)),
    "GO-F08": Plan("layers", epochs=(120, 150)),
    "GO-F09": Plan("layers"),
    "GO-F10": Plan("small_rate", epochs=(8000,)),
    "GO-F11": Plan("small_rate"),
    "GO-X01": Plan("batchnorm"),
    "GO-X02": Plan("unshown"),
}


def draw(figure_id: str, runs: Runs, theme: str = "light", scale_note: str = "") -> Figure:
    """One figure of the paper from measured runs.

    Curves are medians over seeds, bands their range; a single seed is a line. Steps at which the windowed
    correlation is negative are shaded. Epochs that the paper names are dotted lines, mapped to the length of our
    run. Curves of more than a thousand points are drawn by the least and largest value of every pixel.

    Args:
        figure_id: ``"GO-F01"`` to ``"GO-F11"``, ``"GO-X01"`` or ``"GO-X02"``.
        runs: by name, as in the catalogue: a dataset of the experiment with or without a leading ``seed`` dimension, or
            one dataset a seed. The two comparisons leave a panel empty for a run that is absent.
        theme: ``"light"`` or ``"dark"``; the figure is transparent either way.
        scale_note: how the runs are reduced against the paper's; written into the picture.

    Raises:
        ValueError: an unknown figure or theme, or a run that the figure needs and ``runs`` does not hold.
    """
    plan = plan_of(figure_id)
    trajectories = select(figure_id, runs)
    with themed(theme) as chosen:
        if plan.layout == "batchnorm":
            return comparison.batchnorm(trajectories, scale_note, chosen)
        if plan.layout == "unshown":
            expected = load_catalogue().figure(figure_id).runs
            return comparison.grid(trajectories, expected, scale_note, chosen)
        (name, run), *_ = trajectories.items()
        marks = Marks(plan.epochs, load_catalogue().runs[name].paper_steps, run.planned_steps)
        n_layers = int(load_catalogue().figure(figure_id).presentation.get("layers", 4))
        layout: dict[str, Callable[[], Figure]] = {
            "convex": lambda: _convex(run, marks, scale_note, chosen),
            "network": lambda: _network(run, marks, plan.matrices, scale_note, chosen),
            "layers": lambda: _layers(run, marks, n_layers, scale_note, chosen),
            "small_rate": lambda: _small_rate(run, marks, n_layers, scale_note, chosen),
        }
        return layout[plan.layout]()


def plan_of(figure_id: str) -> Plan:
    """The plan of a figure, or one line that names the figures there are."""
    if figure_id not in PLANS:
        raise ValueError(f"unknown figure {figure_id!r}: expected one of {', '.join(PLANS)}")
    return PLANS[figure_id]


def select(figure_id: str, runs: Runs) -> dict[str, Trajectories]:
    """The runs a figure shows, in the catalogue's order.

    Raises:
        ValueError: a run is missing; for a comparison, all of them are.
    """
    plan = plan_of(figure_id)
    needed = load_catalogue().figure(figure_id).runs
    found = {name: Trajectories(runs[name]) for name in needed if name in runs}
    comparing = plan.layout in ("batchnorm", "unshown")
    if (comparing and not found) or (not comparing and len(found) < len(needed)):
        missing = [name for name in needed if name not in found]
        raise ValueError(f"{figure_id} needs the run {missing[0]!r}, got {', '.join(runs) or 'no run'}")
    return found


def _convex(run: Trajectories, marks: Marks, scale_note: str, theme: Theme) -> Figure:
    figure = new_figure(2.7, run.heading, scale_note, theme)
    left, right = figure.subplots(1, 2)
    panels.loss(left, run, marks, theme)
    panels.correlation(right, run, marks, theme)
    add_key(figure, key_of(run, marks, theme))
    return figure


def _network(run: Trajectories, marks: Marks, matrices: tuple[int, ...], scale_note: str, theme: Theme) -> Figure:
    """Loss, correlation, two matrices; below them, what the paper does not show."""
    figure = new_figure(8.1, run.heading, scale_note, theme)
    grid = figure.add_gridspec(3, 2, height_ratios=(1, 1.12, 1))
    panels.loss(figure.add_subplot(grid[0, 0]), run, marks, theme)
    panels.correlation(figure.add_subplot(grid[0, 1]), run, marks, theme, zoom=True)
    recorded = run.data.sizes.get("epoch", 0)
    axes = [figure.add_subplot(grid[1, column]) for column in (0, 1)]
    for index, (ax, paper_epoch) in enumerate(zip_longest(axes, matrices[:2])):
        if index < recorded:
            panels.matrix(ax, run, index, paper_epoch, theme)
        else:
            wanted = run.parameters.get("matrices_at", [])
            when = f" at epoch {wanted[index]:,}" if index < len(wanted) else ""
            absent(ax, f"no correlation matrix{when}: {endings_in_words(run) or 'not recorded'}", theme)
    if "sharpness" in run.data and run.data.sizes.get("stop", 0):
        panels.share(figure.add_subplot(grid[2, 0]), run, marks, theme)
        panels.sharpness(figure.add_subplot(grid[2, 1]), run, marks, theme)
    else:
        panels.share(figure.add_subplot(grid[2, :]), run, marks, theme)
    add_key(figure, key_of(run, marks, theme))
    return figure


def _layers(run: Trajectories, marks: Marks, n_layers: int, scale_note: str, theme: Theme) -> Figure:
    """Correlation over dot product, one column a layer; below, every layer at once."""
    shown = shown_layers(len(run.layers), n_layers)
    figure = new_figure(7.4, run.heading, scale_note, theme)
    grid = figure.add_gridspec(3, len(shown), height_ratios=(1, 1, 1.15))
    _layer_columns(figure, grid, 0, run, shown, marks, theme, absolute=False)
    _every_layer(figure, grid[2, :], run, marks, theme)
    add_key(figure, key_of(run, marks, theme))
    return figure


def _small_rate(run: Trajectories, marks: Marks, n_layers: int, scale_note: str, theme: Theme) -> Figure:
    """Loss and global correlation; layer-wise correlations; layer-wise |dot|; below, every layer at once."""
    shown = shown_layers(len(run.layers), n_layers)
    figure = new_figure(9.4, run.heading, scale_note, theme)
    grid = figure.add_gridspec(4, 2 * len(shown), height_ratios=(1.05, 0.95, 0.95, 1.1))
    panels.loss(figure.add_subplot(grid[0, : len(shown)]), run, marks, theme)
    panels.correlation(figure.add_subplot(grid[0, len(shown) :]), run, marks, theme)
    _layer_columns(figure, grid, 1, run, shown, marks, theme, absolute=True, span=2)
    _every_layer(figure, grid[3, :], run, marks, theme)
    add_key(figure, key_of(run, marks, theme))
    return figure


def _layer_columns(
    figure: Figure,
    grid: object,
    row: int,
    run: Trajectories,
    shown: Sequence[int],
    marks: Marks,
    theme: Theme,
    *,
    absolute: bool,
    span: int = 1,
) -> None:
    upper, lower = [], []
    for column, layer in enumerate(shown):
        cell = slice(span * column, span * (column + 1))
        colour = theme.series[_colour_of(column, len(shown))]
        ax = figure.add_subplot(grid[row, cell])  # type: ignore[index]
        name = layer_title(run.layers, layer, len(shown))
        panels.correlation(
            ax, run, marks, theme, layer=layer, colour=colour, heading=name,
            ylabel="windowed correlation" if column == 0 else "",
        )  # fmt: skip
        below = figure.add_subplot(grid[row + 1, cell])  # type: ignore[index]
        panels.dots(below, run, layer, marks, theme, colour, absolute=absolute)
        for each in (ax, below):
            # Four columns leave no room for a label under each; the middle of the row says it once.
            if len(shown) > 2:
                each.set_xlabel("epoch")
            if column:
                each.tick_params(labelleft=False)
        upper.append(ax)
        lower.append(below)
    lower[0].set_ylabel(
        "|dot product| (nats\u00b2 / param.\u00b2)" if absolute else "dot product (nats\u00b2 / param.\u00b2)"
    )
    if absolute:
        sizes = np.concatenate([np.abs(run.of_layer("layer_dot", i)).ravel() for i in shown])
        sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
        if len(sizes):
            for ax in lower:
                ax.set_ylim(sizes.min() / 2, sizes.max() * 2)
    else:
        panels.dots_scale(lower, run, shown)


def _every_layer(figure: Figure, cell: object, run: Trajectories, marks: Marks, theme: Theme) -> None:
    ax = figure.add_subplot(cell)  # type: ignore[arg-type]
    image = panels.heat_map(ax, run, marks, theme)
    panels.colour_bar(figure.colorbar(image, ax=ax, aspect=18, pad=0.01, fraction=0.04), "windowed correlation")


def _colour_of(column: int, columns: int) -> int:
    """The first layer is always the first colour and the last layer the second; those between take the rest."""
    return 0 if column == 0 else 1 if column == columns - 1 else 2 + (column - 1) % 2


def layer_title(layers: Sequence[str], index: int, columns: int) -> str:
    """``"First layer: blocks.0"``, ``"Layer 13 of 38"``."""
    place = "First layer" if index == 0 else "Last layer" if index == len(layers) - 1 else f"Layer {index + 1}"
    if columns > 2:
        return f"{place} of {len(layers)}" if place.startswith("Layer") else f"{place} ({index + 1})"
    return f"{place}: {layers[index]}"
