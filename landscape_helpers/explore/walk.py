r"""One training, update by update: the full loss along every step, while the reader sets learning rate and batch size.

The opening figure of the chapter on *A Walk with SGD*. A small network is trained for forty updates, once for every
pair of a rate and a batch size. Between two iterates the loss of the whole training set is drawn, also where the step
was taken on a few images: what the step flew over, and not what it could know. Small rates slide down a slope; larger
ones, and smaller batches, bounce between the walls of a valley at a height above its floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray

from ..data import load_data
from ..descent import StepLosses, Travel, sgd
from ..models import build_model
from ..objective import Objective
from ..shapes import valley
from .controls import Cursor, Slider
from .explorer import FrameExplorer, grid
from .one_thread import one_thread
from .spec import Frame, Limits, Panel, Reference, Series

# From "every step is short of the floor" to "thrown out, unless the batch is large" for the default network, in steps
# of about a half.
RATES = tuple(float(f"{rate:.2g}") for rate in np.geomspace(0.1, 3.0, 9))
SMALLEST_BATCH = 4  # and from there twice as large each time, up to the full set
POINTS = 10  # inside each step, as in the paper
# Shown first: a rate at which gradient descent bounces too, and a batch small enough for an uneven floor.
START = (1.0, 32.0)
WALK = "The walk"
ROOM = 0.06  # of the height of the view, above and below
FAR = 0.85  # of the runs stay inside the panel of distances


def train(objective: Objective, lr: float, batch_size: int, updates: int, seed: int = 0) -> xarray.Dataset:
    """Some updates of stochastic gradient descent, the loss along each, and how it turns and travels.

    Args:
        objective: what to descend on, from its own start.
        lr: the rate.
        batch_size: images an update; all of them is gradient descent.
        updates: how many.
        seed: of the order of the images.

    Returns:
        ``step_loss`` over ``update`` and ``alpha``, ``cosine`` and ``distance`` over ``step``; attributes ``status``
        and ``updates``, those asked for.
    """
    batch = None if batch_size >= objective.n else batch_size
    probes = (Travel(), StepLosses([(0, updates)], points=POINTS))
    run = sgd(objective, objective.theta, lr, steps=updates, batch_size=batch, seed=seed, probes=probes)
    return run.record.assign_attrs(updates=updates)


def regime(record: xarray.Dataset) -> str:
    """Which of three things a run did.

    Returns:
        "thrown out" when the loss overflowed or ended above its start; else "bounces" when the lowest loss of most
        steps lies inside them; else "slides".
    """
    losses = record["step_loss"].values
    if "non-finite" in record.attrs["status"] or not len(losses) or not losses[-1, -1] <= losses[0, 0]:
        return "thrown out"
    return "bounces" if valley.interior(losses).mean() > 0.5 else "slides"


def note(record: xarray.Dataset, whole: bool) -> str:
    """What happened in this run, with its numbers; the first line stands out.

    Args:
        record: see :func:`train`.
        whole: whether each update saw all images.
    """
    losses = record["step_loss"].values
    if not len(losses):
        return f"Thrown out at once: {record.attrs['status']}."
    kind, name = regime(record), "Gradient descent" if whole else "SGD"
    inside, steps = int(valley.interior(losses).sum()), len(losses)
    said = {
        "slides": f"{name} slides",
        "bounces": f"{name} bounces from wall to wall",
        "thrown out": f"{name} is thrown out of the valley",
    }[kind]
    rises = int(valley.floor_rises(valley.floor(losses)).sum())
    crossed = int(valley.crossed(losses).sum())
    facts = (
        f"Mean height {_number(np.mean(valley.height(losses)))} nat",
        f"floor rises {rises} of {steps - 1} times",
        f"barriers crossed {crossed}",
        f"mean cosine {_number(np.nanmean(record['cosine'].values))}",
    )
    return f"{said}: {inside} of {steps} steps have their lowest loss inside.\n" + " \N{MIDDLE DOT} ".join(facts)


def frame(record: xarray.Dataset, whole: bool) -> Frame:
    """A run as the explorer's frame."""
    losses, alpha = record["step_loss"].values, record["alpha"].values
    ends = losses[-1:, -1]
    floors = np.stack([np.arange(len(losses)) + valley.floor_position(alpha, losses), valley.floor(losses)], axis=1)
    return Frame(
        {
            "along": np.concatenate([losses[:, :-1].ravel(), ends]),
            "iterates": np.concatenate([losses[:, 0], ends]),
            "floor": floors,
            "cosine": record["cosine"].values,
            "distance": record["distance"].values,
        },
        note=note(record, whole),
        limits={WALK: limits(losses, int(record.attrs["updates"]))},
    )


def limits(losses: np.ndarray, updates: int) -> Limits:
    """Axes for the losses along all steps: each walk fills its panel."""
    finite = losses[np.isfinite(losses)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    air = ROOM * (high - low) or 0.5
    return 0.0, float(updates), low - air, high + air


@one_thread
def walk_explorer(
    data: str = "digits",
    seed: int = 0,
    *,
    n_train: int = 500,
    model: str = "mlp",
    model_options: dict[str, object] | None = None,
    rates: Sequence[float] = RATES,
    updates: int = 40,
    live: bool = True,
) -> FrameExplorer:
    r"""The loss along every step of a short training, under sliders over learning rate and batch size.

    All runs start at the same point; runs of one batch size see the same batches in the same order. They are computed
    now (a few seconds) and stored; with a kernel any pair between the stored ones is trained when the reader stops
    there. A cursor plays each run update by update.

    Args:
        data, n_train: what to train on.
        seed: of the network's initialisation and of the order of the images.
        model, model_options: see :func:`landscape_helpers.models.build_model`. The default, one tanh layer of 12, is
            small enough for eleven losses a step at every setting of the sliders in seconds.
        rates: learning rates, strictly increasing.
        updates: steps of a run; 40 as in the paper's figures.
        live: let a kernel train between the stored pairs.

    Raises:
        ValueError: rates that are not finite, above 0 and strictly increasing, fewer than two updates, or a data set
            too small for two batch sizes; before any training.
    """
    rate_slider = Slider("learning rate η", tuple(float(r) for r in rates), format=".2g", scale="log")
    if updates < 2:
        raise ValueError(f"updates must be at least 2 for a walk, got {updates}")
    images = load_data(data, n_train=n_train)
    x, y, _, _ = images.standardised()
    batch_slider = Slider("batch size B", batch_sizes(len(x)), format=".0f", scale="log")
    options = {"hidden": (12,), "activation": "tanh"} if model_options is None else model_options
    objective = Objective(build_model(model, images.n_classes, images.input_shape, seed=seed, **options), x, y)

    def run(rate: float, batch: float) -> xarray.Dataset:
        return train(objective, rate, round(batch), updates, seed)

    def compute(rate: float, batch: float) -> Frame:
        return frame(run(rate, batch), round(batch) >= objective.n)

    sliders = [rate_slider, batch_slider]
    runs = {(rate, batch): run(rate, batch) for rate, batch in grid(sliders)}
    frames = [frame(record, round(batch) >= objective.n) for (_, batch), record in runs.items()]
    return FrameExplorer(
        _panels(updates, runs.values()),
        sliders,
        frames,
        initial=[int(np.abs(np.log(np.divide(s.values, v))).argmin()) for s, v in zip(sliders, START, strict=True)],
        cursor=Cursor("update", 0, updates),
        alt=_alt(runs),
        caption=(
            f"{updates} updates from one and the same start, {objective.parameters:,} parameters. The curve is the "
            f"loss of all {objective.n} images of {data} along each step, at {POINTS} points between two iterates; its "
            f"axis fits each run. B = {objective.n} is gradient descent. The cosine is that between the gradients that "
            "the steps follow, of different images where B is smaller."
        ),
        compute=compute if live else None,
    )


def batch_sizes(n: int) -> tuple[float, ...]:
    """From the smallest batch, twice as large each time, and the full set n at the end.

    >>> batch_sizes(20)
    (4.0, 8.0, 20.0)
    """
    doublings = math.floor(math.log2(n / SMALLEST_BATCH)) if n >= SMALLEST_BATCH else 0
    sizes = [SMALLEST_BATCH * 2**i for i in range(doublings + 1)]
    return (*(float(s) for s in sizes if s * 1.4 < n), float(n))


def _panels(updates: int, runs: Iterable[xarray.Dataset]) -> tuple[Panel, ...]:
    steps = np.arange(updates + 1)
    # Those that are thrown out leave the panel, or they would press the others flat.
    far = 1.1 * float(np.quantile([run["distance"].values[-1] for run in runs], FAR)) or 1.0
    return (
        Panel(
            WALK,
            "update",
            "full training loss, nat",
            [
                Series("along", "along the steps", np.linspace(0.0, 1.0, updates * (POINTS + 1) + 1)),
                Series("floor", "valley floor", updates),
                Series("iterates", "iterates", np.linspace(0.0, 1.0, updates + 1), markers=True, line="none"),
            ],
            moving=True,
            wide=True,
        ),
        Panel(
            "Cosine of consecutive gradients",
            "update",
            "cosine",
            [Series("cosine", "cosine", steps, markers=True, line="thin")],
            y_range=(-1.08, 1.08),
            references=[Reference("zero", value=0.0, faint=True)],
        ),
        Panel(
            "Distance from the start",
            "update",
            "‖θₜ − θ₀‖",
            [Series("distance", "distance", steps)],
            y_range=(0.0, far),
        ),
    )


def _alt(runs: Mapping[tuple[float, float], xarray.Dataset]) -> str:
    parts = []
    for kind, meaning in (
        ("slides", "most steps go straight down"),
        ("bounces", "most steps cross a valley and end on its other wall"),
        ("thrown out", "the loss ends above its start"),
    ):
        pairs = [pair for pair, record in runs.items() if regime(record) == kind]
        if pairs:
            low, high = min(rate for rate, _ in pairs), max(rate for rate, _ in pairs)
            parts.append(f"in {len(pairs)} of {len(runs)} runs, at rates from {low:g} to {high:g}, {meaning}")
    return (
        "Full training loss along every step of a short training, cosine of consecutive gradients and distance from "
        "the start, by learning rate and batch size: " + "; ".join(parts) + "."
    )


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "\N{MINUS SIGN}")
