r"""One training at the edge of stability: how many directions get there, while the reader sets rate and classes.

The opening figure of the chapter on *There is a Singularity in the Loss Landscape*. A small network is trained by
gradient descent, once for every pair of a rate and a number of classes. Of each run one sees the stability ratios
:math:`\rho_i=\eta\lambda_i/2` of the leading eigenvectors, those of the top subspace (one fewer than classes) and the
first of the bulk, against :math:`t=n\eta`; and what the gradient has in either, and what a step along either does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray

from ..data import Data, load_data
from ..data.subset import first_classes
from ..descent import gradient_descent
from ..models import build_model
from ..objective import Objective
from .controls import Choice, Cursor, Slider
from .edge_pairs import StopTelemetry
from .edge_words import alt, note, span
from .explorer import FrameExplorer, grid
from .one_thread import one_thread
from .spec import Frame, Panel, Reference, Series

# From "nothing comes near the edge" to "the bulk gets there as well" for the default network.
RATES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
CLASSES = (2, 3, 5, 10)  # as in the paper
START = (0.4, 3)  # shown first: two directions on the edge, the third well below it
TIME, STOPS = 12, 12  # t at the end; intervals between measurements, of 1 as in the paper
LOSSES = 192  # intervals of the loss, which is known at every step
TOLERANCE = 0.07  # residual of an eigenvalue relative to it: its own error is of the order of the square
NETWORK: Mapping[str, object] = {"hidden": (24, 24, 24), "activation": "tanh", "init": "kaiming"}
HEIGHT = 2.0  # of the panel of ratios: the edge in its middle
NORMS = (0.003, 5.0)
CHANGES = (-0.5, 0.5)  # nat per unit of t


def stops(lr: float) -> np.ndarray:
    """The steps (STOPS + 1,) nearest to evenly spaced times."""
    return np.rint(np.linspace(0.0, TIME, STOPS + 1) / lr).astype(int)


def train(objective: Objective, lr: float, classes: int) -> xarray.Dataset:
    """Gradient descent from the objective's own start until t = TIME.

    Args:
        objective: what to descend on.
        lr: the rate.
        classes: n_c; the top subspace has one dimension fewer.

    Returns:
        ``loss`` over ``step``; over ``stop`` what :class:`~landscape_helpers.descent.Telemetry` measures of n_c + 1
        eigenpairs; attributes ``status`` and ``classes``.
    """
    at = stops(lr).tolist()
    run = gradient_descent(objective, objective.theta, lr, at[-1], [StopTelemetry(lr, at, classes, TOLERANCE)])
    return run.record.assign_attrs(classes=classes)


def frame(record: xarray.Dataset, lr: float) -> Frame:
    """A run as the explorer's frame."""
    top = int(record.attrs["classes"]) - 1
    measured = record.reindex(stop=stops(lr))  # a run that overflows has fewer
    rho = measured["rho"].values
    times = np.linspace(0.0, TIME, STOPS + 1)
    loss = record["loss"].values
    return Frame(
        {
            "last": rho[:, top - 1],
            "first": rho[:, top],
            "others": _side_by_side(times, rho[:, : top - 1]),
            "next": _side_by_side(times, rho[:, top + 1 :]),
            "loss": np.interp(np.linspace(0.0, TIME, LOSSES + 1), np.arange(len(loss)) * lr, loss, right=np.nan),
            "top_norm": measured["top_norm"].values,
            "bulk_norm": measured["bulk_norm"].values,
            "change_top": measured["change_top"].values / lr,
            "change_bulk": measured["change_bulk"].values / lr,
        },
        note=note(record),
    )


@one_thread
def edge_explorer(
    data: str = "digits",
    seed: int = 0,
    *,
    n_train: int = 1000,
    images: int = 150,
    classes: Sequence[int] = CLASSES,
    pool: int = 2,
    model: str = "mlp",
    model_options: Mapping[str, object] | None = None,
    rates: Sequence[float] = RATES,
    live: bool = True,
) -> FrameExplorer:
    r"""Stability ratios along a training, under a slider over the rate and a menu of the number of classes.

    All runs with the same classes start at the same point. They are computed now (some seconds) and stored; with a
    kernel any rate between the stored ones is trained when the reader stops there.

    Args:
        data, n_train: where the images come from: the first ``n_train``, of which those in the first n_c classes.
        seed: of the network's initialisation.
        images: to train on, at most; as many for each number of classes.
        classes: numbers of classes n_c to choose from, in increasing order; those beyond the data's are left out.
        pool: side of the squares over which pixels are averaged. The embedded digits are soon fitted; at 4 x 4 pixels
            they stay hard enough for their curvature to last.
        model, model_options: see :func:`landscape_helpers.models.build_model`. The default, three tanh layers of 24
            with Kaiming's initialisation, is small enough for all eigenpairs in seconds, and smooth: what it shows of
            the edge owes nothing to kinks.
        rates: learning rates, strictly increasing.
        live: let a kernel train between the stored rates.

    Raises:
        ValueError: rates that are not finite, above 0, strictly increasing and at most a stop of t apart, fewer than
            two numbers of classes, or a number out of range; before any training.
    """
    slider = Slider("learning rate η", tuple(float(r) for r in rates), format=".3g", scale="log")
    if slider.values[-1] > TIME / STOPS:
        raise ValueError(f"rates must be at most {TIME / STOPS}, the time between two measurements, got {max(rates)}")
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    everything = load_data(data, n_train=n_train)
    counts = [c for c in classes if c <= everything.n_classes]
    menu = Choice("number of classes", [str(c) for c in counts])
    options = NETWORK if model_options is None else model_options
    objectives = [_objective(first_classes(everything, c).pooled(pool), images, model, options, seed) for c in counts]

    def run(rate: float, which: float) -> xarray.Dataset:
        return train(objectives[int(which)], rate, counts[int(which)])

    runs: dict[tuple[float, ...], xarray.Dataset] = {place: run(*place) for place in grid([slider, menu])}
    shown = min(range(len(counts)), key=lambda i: abs(counts[i] - START[1]))
    held = sorted({f.n for f in objectives})
    weights = sorted({f.parameters for f in objectives})
    return FrameExplorer(
        _panels(max(counts)),
        [slider, menu],
        [frame(record, rate) for (rate, _), record in runs.items()],
        initial=[int(np.abs(np.log(np.divide(slider.values, START[0]))).argmin()), shown],
        cursor=Cursor("time t", 0, TIME),
        alt=alt(runs, counts),
        caption=(
            f"Gradient descent on {span(held)} images of {data}, averaged over {pool} × {pool} pixels; "
            f"{span(weights)} parameters, the same start at every rate. t is the number of steps times η; ratios are "
            f"measured at the steps nearest to {STOPS + 1} times. The top are the first n − 1 eigenvectors of the "
            "Hessian for n classes, the bulk is everything else. At ρ = 1 a step along an eigenvector lands as high as "
            "it began; one that comes above 0.7 counts as being there, as in the paper. Loss changes are those of a "
            "step along one part of the gradient alone, divided by η."
        ),
        compute=(lambda rate, which: frame(run(rate, which), rate)) if live else None,
    )


def _objective(data: Data, images: int, model: str, options: Mapping[str, object], seed: int) -> Objective:
    x, y, _, _ = data.standardised()
    network = build_model(model, data.n_classes, data.input_shape, seed=seed, **options)  # type: ignore[arg-type]
    return Objective(network, x[:images], y[:images], dtype=torch.float32)


def _side_by_side(times: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Several curves (n, m) as one path, with a gap behind each."""
    gap = np.full((1, 2), np.nan)
    parts = [np.concatenate([np.stack([times, curve], axis=1), gap]) for curve in curves.T]
    return np.concatenate(parts) if parts else np.empty((0, 2))


def _panels(classes: int) -> tuple[Panel, ...]:
    at = np.linspace(0.0, TIME, STOPS + 1)
    top, bulk = "along the top", "along the bulk"
    return (
        Panel(
            "Stability ratios",
            "time t",
            "ρ = ηλ/2",
            [
                Series("last", "last of the top", at, markers=True),
                Series("first", "first of the bulk", at, markers=True),
                Series("others", "others of the top", max(1, (classes - 2) * (STOPS + 2)), line="thin"),
                Series("next", "next of the bulk", STOPS + 2, line="thin"),
            ],
            x_range=(0.0, float(TIME)),
            y_range=(0.0, HEIGHT),
            references=[Reference("edge", "edge", value=1.0)],
            wide=True,
        ),
        Panel(
            "Training loss",
            "time t",
            "nat, log scale",
            [Series("loss", "loss", np.linspace(0.0, TIME, LOSSES + 1))],
            y_scale="log",
        ),
        Panel(
            "Gradient",
            "time t",
            "norm, log scale",
            [Series("top_norm", top, at, markers=True), Series("bulk_norm", bulk, at, markers=True)],
            y_scale="log",
            y_range=NORMS,
        ),
        Panel(
            "Loss change of a step",
            "time t",
            "nat per t",
            [Series("change_top", top, at, markers=True), Series("change_bulk", bulk, at, markers=True)],
            y_range=CHANGES,
            references=[Reference("zero", value=0.0, faint=True)],
        ),
    )
