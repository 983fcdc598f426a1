"""The figures of *Exploring Gradient Oscillation in Deep Neural Network Training*, and two of ours (GO-X01, GO-X02).

Each is laid out as in the paper, with what the paper leaves out added and named as added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator

from ..catalogue import load_catalogue
from ..claims import phases, shown_layers
from . import comparison, panels
from .canvas import Marks, absent, add_key, endings_in_words, key_of, new_figure
from .curvature_panel import sharpness
from .selection import Runs, check_figure
from .style import Theme
from .style import theme as themed
from .trajectories import Trajectories, over_seeds


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

    @property
    def comparing(self) -> bool:
        """Whether the figure puts several runs side by side, and so shows those that there are."""
        return self.layout in ("batchnorm", "unshown")


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


def draw(
    figure_id: str, runs: Runs, theme: str = "light", scale_note: str = "", log_epochs: bool | None = None
) -> Figure:
    """One figure of the paper from measured runs.

    Curves are medians over seeds, bands their range; a single seed is a line. Steps at which the windowed
    correlation is negative are shaded. Epochs that the paper names are dotted lines.
    Curves of more than a thousand points are drawn by the least and largest value of every pixel.

    Args:
        figure_id: ``"GO-F01"`` to ``"GO-F11"``, ``"GO-X01"`` or ``"GO-X02"``.
        runs: by name, as in the catalogue: a dataset of the experiment with or without a leading ``seed`` dimension, or
            one dataset a seed. The two comparisons leave a panel empty for a run that is absent.
        theme: ``"light"`` or ``"dark"``; the figure is transparent either way.
        scale_note: how the runs are reduced against the paper's; written into the picture.
        log_epochs: a logarithmic axis of epochs; by default where a phase of a few steps and one of hundreds stand
            side by side (:func:`opens_briefly`). GO-X02 has linear ones throughout.

    Raises:
        ValueError: an unknown figure or theme, or a run that the figure needs and ``runs`` does not hold.
    """
    plan = plan_of(figure_id)
    trajectories = select(figure_id, runs)
    log = any(map(opens_briefly, trajectories.values())) if log_epochs is None else log_epochs
    with themed(theme) as chosen:
        if plan.layout == "batchnorm":
            return comparison.batchnorm(trajectories, scale_note, chosen, log)
        if plan.layout == "unshown":
            expected = load_catalogue().figure(figure_id).runs
            return comparison.grid(trajectories, expected, scale_note, chosen)
        run, *others = trajectories.values()
        closer = others[0] if others else run
        marks = Marks(plan.epochs, run.planned_steps, log)
        n_layers = int(load_catalogue().figure(figure_id).presentation.get("layers", 4))
        layout: dict[str, Callable[[], Figure]] = {
            "convex": lambda: _convex(run, marks, scale_note, chosen),
            "network": lambda: _network(run, closer, marks, plan.matrices, scale_note, chosen),
            "layers": lambda: _layers(run, marks, n_layers, scale_note, chosen),
            "small_rate": lambda: _small_rate(run, marks, n_layers, scale_note, chosen),
        }
        return layout[plan.layout]()


def opens_briefly(run: Trajectories) -> bool:
    """Whether a lasting sign change falls in the first tenth of the run (in the median over seeds).

    On a linear axis such an opening phase, 10 of 1,500 epochs in the paper's CNN, would be a line's width.
    """
    median = over_seeds(run.values("windowed_correlation"))[0]
    changes = phases(median).changes
    return bool(changes) and changes[0].step < 0.1 * max(run.last_steps)


def plan_of(figure_id: str) -> Plan:
    """The plan of a figure, or one line that names the figures there are."""
    check_figure(figure_id, PLANS)
    return PLANS[figure_id]


def select(figure_id: str, runs: Runs) -> dict[str, Trajectories]:
    """The runs a figure shows, in the catalogue's order.

    Raises:
        ValueError: a run is missing; for a comparison, all of them are.
    """
    plan = plan_of(figure_id)
    needed = load_catalogue().figure(figure_id).runs
    found = {name: Trajectories(runs[name]) for name in needed if name in runs}
    # A comparison draws what there is; a figure of one network needs that network, and can do without a closer look.
    if not found or (not plan.comparing and needed[0] not in found):
        raise ValueError(f"{figure_id} needs the run {needed[0]!r}, got {', '.join(runs) or 'no run'}")
    return found


def _convex(run: Trajectories, marks: Marks, scale_note: str, theme: Theme) -> Figure:
    figure = new_figure(2.7, run.heading, scale_note, theme)
    left, right = figure.subplots(1, 2)
    panels.loss(left, run, marks, theme)
    panels.correlation(right, run, marks, theme)
    add_key(figure, key_of(run, marks, theme))
    return figure


def _network(
    run: Trajectories, closer: Trajectories, marks: Marks, matrices: tuple[int, ...], scale_note: str, theme: Theme
) -> Figure:
    """Loss, correlation, two matrices; below them, what the paper does not show.

    The sharpness is drawn from ``closer``: the run itself, or a second one that measures it in finer steps.
    """
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
    if closer.has_sharpness:
        panels.share(figure.add_subplot(grid[2, 0]), run, marks, theme)
        sharpness(figure.add_subplot(grid[2, 1]), closer, marks, theme, named=closer is not run)
    else:
        panels.share(figure.add_subplot(grid[2, :]), run, marks, theme)
    add_key(figure, key_of(run, marks, theme))
    return figure


def _layers(run: Trajectories, marks: Marks, n_layers: int, scale_note: str, theme: Theme) -> Figure:
    """Correlation over dot product, one column a layer; below, every layer at once."""
    shown = shown_layers(len(run.layers), n_layers)
    figure = new_figure(7.4, run.heading, scale_note, theme)
    rows = figure.add_gridspec(2, 1, height_ratios=(2, 1.15))
    _layer_columns(figure, rows[0], run, shown, marks, theme, absolute=False)
    panels.heat_map(figure.add_subplot(rows[1]), run, marks, theme)
    add_key(figure, key_of(run, marks, theme, layers=True))
    return figure


def _small_rate(run: Trajectories, marks: Marks, n_layers: int, scale_note: str, theme: Theme) -> Figure:
    """Loss and global correlation; layer-wise correlations; layer-wise |dot|; below, every layer at once."""
    shown = shown_layers(len(run.layers), n_layers)
    measured = run.has_sharpness
    figure = new_figure(11.6 if measured else 9.4, run.heading, scale_note, theme)
    heights = (1.05, 1.05, 1.9, 1.1) if measured else (1.05, 1.9, 1.1)
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    top = rows[0].subgridspec(1, 2)
    panels.loss(figure.add_subplot(top[0]), run, marks, theme)
    panels.correlation(figure.add_subplot(top[1]), run, marks, theme)
    if measured:
        sharpness(figure.add_subplot(rows[1]), run, marks, theme)
    _layer_columns(figure, rows[-2], run, shown, marks, theme, absolute=True)
    panels.heat_map(figure.add_subplot(rows[-1]), run, marks, theme)
    add_key(figure, key_of(run, marks, theme, layers=True, others=True))
    return figure


def _layer_columns(
    figure: Figure,
    cell: SubplotSpec,
    run: Trajectories,
    shown: Sequence[int],
    marks: Marks,
    theme: Theme,
    *,
    absolute: bool,
) -> None:
    """One column a layer: its windowed correlation over its dot product."""
    lower = []
    grid = cell.subgridspec(2, len(shown))
    for column, layer in enumerate(shown):
        colour = theme.series[_colour_of(column, len(shown))]
        ax = figure.add_subplot(grid[0, column])
        name = layer_title(run.layers, layer, named=len(shown) <= 2)
        panels.correlation(
            ax, run, marks, theme, layer=layer, colour=colour, heading=name,
            ylabel="windowed correlation" if column == 0 else "",
        )  # fmt: skip
        below = figure.add_subplot(grid[1, column])
        panels.dots(below, run, layer, marks, theme, colour, absolute=absolute)
        for each in (ax, below):
            # Four columns leave no room for the whole label.
            if len(shown) > 2:
                each.set_xlabel("epoch (log)" if marks.log else "epoch")
                if not marks.log:
                    each.xaxis.set_major_locator(MaxNLocator(2, integer=True, steps=[1, 2, 2.5, 5, 10]))
            if column:
                each.tick_params(labelleft=False)
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


def _colour_of(column: int, columns: int) -> int:
    """The first layer is always the first colour and the last layer the second; those between take the rest."""
    return 0 if column == 0 else 1 if column == columns - 1 else 2 + (column - 1) % 2


def layer_title(layers: Sequence[str], index: int, named: bool) -> str:
    """``"Layer 1 (first)"``, and its module's name where there is room: ``"Layer 1 (first): blocks.0"``."""
    place = " (first)" if index == 0 else " (last)" if index == len(layers) - 1 else ""
    # A module without a name of its own has its position in the container for one, which says nothing here.
    name = f": {layers[index]}" if named and any(map(str.isalpha, layers[index])) else ""
    return f"Layer {index + 1}{place}{name}"
