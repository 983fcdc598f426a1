r"""One trained network, the directions of the paper, one slider: its loss landscape is what one looks for in it.

The opening figure of the chapter on *Visualizing, Rethinking, and Mining the Loss Landscape*. The same weights stand at
the bottom of a valley, on its side, between valleys or on a peak, by the direction one looks in and by how far one
looks. A small network is trained on the embedded digits; the paper's directions are found at two of its checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..curvature import both_ends
from ..data import load_data
from ..descent import sgd
from ..directions import gaussian, negative_gradient, normalise, towards
from ..mining import Mined, vvv_basin, w_peak
from ..models import build_model
from ..objective import Objective
from .explorer import FrameExplorer
from .lines import SCALES, check_views, explorer_of
from .one_thread import one_thread
from .view import Line, View

EPOCHS = (5, 40)  # early, when the loss has just begun to fall, and converged
LAST = 80  # the later checkpoint, and the end of the independent training
INDEPENDENT = 1000  # added to the seed
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4  # Appendix A.1 of the paper has this decay
# Chosen so that each search finds what it is for within a second where it can. Algorithm 2 starts from a fresh
# initialisation that is four times as large: from a nearer one, no barrier is left on the way and so no third well.
PEAK: dict[str, Any] = {"epochs": 100, "lr": 0.3}
TRIPLE: dict[str, Any] = {"epochs": 100, "lr": 0.1, "alpha": 0.0, "gamma": 1.0}
FAR = 4.0


@dataclass(frozen=True)
class Task:
    """What is looked at.

    Attributes:
        objective: what was descended on, in single precision.
        exact: the same loss in double precision: close up, a converged loss is so flat that rounding makes extrema.
        kept: checkpoints (P,) by epoch.
        independent: the end of an independent training (P,).
        fresh: an initialisation (P,) that nothing has been trained from.
        batch_size, seed: of the training.
    """

    objective: Objective
    exact: Objective
    kept: dict[int, torch.Tensor]
    independent: torch.Tensor
    fresh: torch.Tensor
    batch_size: int
    seed: int


def trained(
    data: str, n_train: int, model: str, model_options: dict[str, Any], lr: float, batch_size: int, seed: int
) -> Task:
    """Two trainings by stochastic gradient descent, from two initialisations and in two orders of the data."""
    images = load_data(data, n_train=n_train)
    x, y, _, _ = images.standardised()

    def objective(s: int, dtype: torch.dtype = torch.float32) -> Objective:
        network = build_model(model, images.n_classes, images.input_shape, seed=s, **model_options)
        return Objective(network, x, y, dtype=dtype)

    def train(f: Objective, s: int) -> dict[int, torch.Tensor]:
        batch, keep = min(batch_size, f.n), (*EPOCHS, LAST)
        return sgd(f, f.theta, lr, LAST, batch, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, seed=s, keep=keep).kept

    first, second, third = (objective(seed + i * INDEPENDENT) for i in range(3))
    return Task(
        first,
        objective(seed, torch.float64),
        train(first, seed),
        train(second, seed + INDEPENDENT)[LAST],
        third.theta,
        batch_size,
        seed,
    )


def lines_at(task: Task, epoch: int) -> list[Line]:
    r"""The paper's directions at a checkpoint.

    Random directions, the negative gradient and the eigenvectors have theta's norm, so that :math:`\lambda` is a share
    of it; directions to another network end there; a mined w-peak is as long as Algorithm 1 left it.
    """
    f, theta, seed = task.objective, task.kept[epoch], task.seed
    search: dict[str, Any] = {"batch_size": min(2 * task.batch_size, f.n), "seed": seed}
    top, bottom = both_ends(f, theta, 1)

    def as_long_as_theta(direction: torch.Tensor) -> torch.Tensor:
        return normalise(f, theta, direction, "model")

    peak = w_peak(f, theta, **PEAK, **search)
    triple = vvv_basin(f, theta, FAR * task.fresh, **TRIPLE, **search)
    lines = [
        Line(
            f"random, draw {i + 1}",
            gaussian(f, theta, seed=seed + i, normalize="model"),
            "Chance: independent normal entries, scaled to the length of the weights.",
        )
        for i in range(3)
    ]
    lines += [
        Line(
            "negative gradient",
            as_long_as_theta(negative_gradient(f, theta)),
            "The steepest way down, scaled to the length of the weights.",
        ),
        Line(
            f"later checkpoint, E = {LAST}",
            towards(theta, task.kept[LAST]),
            f"Where training has gone by epoch {LAST}: that network stands at λ = 1.",
            reaches=True,
        ),
        Line(
            "independent training, E′",
            towards(theta, task.independent),
            f"Trained for {LAST} epochs from another start: that network stands at λ = 1.",
            reaches=True,
        ),
        Line(
            "P.E.1, largest curvature",
            as_long_as_theta(top.vectors[:, 0]),
            f"Eigenvector of the Hessian's largest eigenvalue, {_number(top.values[0])}.",
        ),
        Line(
            "N.E.1, most negative curvature",
            as_long_as_theta(bottom.vectors[:, 0]),
            f"Eigenvector of the Hessian's smallest eigenvalue, {_number(bottom.values[0])}.",
        ),
        Line(
            "mined for a w-peak",
            peak.direction,
            f"Algorithm 1: lower the loss on both sides of the model at once.{_ended(peak)}",
        ),
        Line(
            "mined for a vvv-basin",
            triple.direction,
            "Algorithm 2: train another network that also has a low loss half-way to it; it stands at λ = 1."
            f"{_ended(triple)}",
            reaches=True,
        ),
    ]
    return lines


@one_thread
def direction_explorer(
    *,
    data: str = "digits",
    n_train: int = 300,
    model: str = "mlp",
    model_options: dict[str, Any] | None = None,
    lr: float = 0.05,
    batch_size: int = 32,
    scales: tuple[float, ...] = SCALES,
    points: int = 61,
    seed: int = 0,
    live: bool = True,
) -> FrameExplorer:
    r"""The loss of one network along the paper's directions, early and late in training.

    For another model, :func:`.line_explorer`.

    Args:
        data, n_train: what to train on.
        model, model_options: see :func:`landscape_helpers.models.build_model`. The default, three ReLU layers of 24, is
            deep enough for a third well (Algorithm 2) and small enough for all curves in seconds.
        lr: of stochastic gradient descent; with it, the batch size and ten updates an epoch the default has learnt
            something after 5 epochs and everything after 40.
        batch_size: images an update; searches use twice as many.
        scales: half-widths s of the view [-s, s].
        points: of a curve; the paper draws 41.
        seed: of everything that is random.
        live: let a kernel evaluate the loss between the scales.

    Raises:
        ValueError: scales or points out of range, before any training.
    """
    check_views(scales, points)
    options: dict[str, Any] = {"hidden": (24, 24, 24)} if model_options is None else model_options
    task = trained(data, n_train, model, options, lr, batch_size, seed)
    f = task.exact
    views = {
        f"E = {epoch}, {when}": View(f, task.kept[epoch].to(f.dtype), lines_at(task, epoch), scales[-1], points)
        for epoch, when in zip(EPOCHS, ("early", "trained"), strict=True)
    }
    return explorer_of(
        views,
        scales,
        (
            f"The loss of a network of {f.parameters:,} weights after E epochs on {f.n} images of {data}, along a line "
            "through it. “model” marks λ = 0, “other” another network where the line leads to one, “guess” the loss of "
            "guessing at random, log C. “second order” is what gradient and Hessian at the model predict. Walls that "
            "would press the rest of the view flat are cut off."
        ),
        menu="checkpoint",
        first=(1, 0),
        live=live,
    )


def _ended(mined: Mined) -> str:
    """What to say of a search that did not get to its end: neither algorithm bounds its direction."""
    return "" if mined.status == "completed" else f" The search ended early: {mined.status}."


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "\N{MINUS SIGN}")
