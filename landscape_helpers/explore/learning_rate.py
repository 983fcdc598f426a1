r"""One network, one slider: what the learning rate does to loss, gradient correlation and sharpness.

The opening figure of the gradient-oscillation chapter. A small network is trained on the embedded digits by
full-batch gradient descent, once per rate. Along the slider the reader meets three regimes: the paper's two, adjacent
gradients that agree (correlation near 1) and adjacent gradients that oppose each other (near -1) while the loss still
falls, and divergence; beside them the sharpness and the line :math:`2/\eta` that it settles around.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray

from ..data import load_data
from ..descent import GradientCorrelation, Sharpness, gradient_descent
from ..models import build_model
from ..objective import Objective
from .controls import Band, Slider
from .explorer import FrameExplorer
from .one_thread import one_thread
from .spec import Frame, Panel, Reference, Series

# From "nothing oscillates and little is learnt" to "diverges at once" for the default network, in steps of
# a sixth: fine enough that neighbouring frames look alike. Two significant digits, so that the label says
# the whole rate.
RATES = tuple(float(f"{rate:.2g}") for rate in np.geomspace(0.03, 6.0, 33))


def train(
    objective: Objective, lr: float, steps: int = 60, window: int = 5, sharpness_every: int = 5
) -> xarray.Dataset:
    r"""Full-batch gradient descent from the objective's own start, with what the explorer draws.

    Returns:
        ``loss``, ``correlation`` (:math:`\mu(k-1,k)`, eq. 2 of *Exploring Gradient Oscillation*) and
        ``windowed_correlation`` over ``step``; ``sharpness`` (:math:`\lambda_{\max}` of the Hessian) over
        ``stop``; attributes ``learning_rate`` and ``status``.
    """
    probes = (GradientCorrelation(window=window), Sharpness(every=sharpness_every))
    return gradient_descent(objective, objective.theta, lr, steps, probes).record


def regime(record: xarray.Dataset) -> str:
    """Which of three things a run did.

    Returns:
        "diverges" when the loss overflowed or ended above its start; else "oscillates" when the windowed
        correlation is negative somewhere; else "smooth".
    """
    loss = record["loss"].values
    if "non-finite" in record.attrs["status"] or loss[-1] > loss[0]:
        return "diverges"
    return "oscillates" if (record["windowed_correlation"].values < 0).any() else "smooth"


def note(record: xarray.Dataset) -> str:
    """What happened in this run, in a sentence with its numbers."""
    loss, mu = record["loss"].values, record["correlation"].values
    status = str(record.attrs["status"])
    if "non-finite" in status:
        return f"Diverged: {status}."
    kind = regime(record)
    negative = int((mu < 0).sum())
    pairs = f"{negative} of {len(mu) - 1} gradients point against the one before"
    if kind == "diverges":
        return f"Diverged: the loss ends at {loss[-1]:.3g}, above its start {loss[0]:.3g}; {pairs}."
    if kind == "smooth":
        return f"Smooth: the loss falls from {loss[0]:.2f} to {loss[-1]:.2g}; {pairs}."
    opposed = float(-np.diff(loss)[1:][mu[1:-1] < 0].sum() / (loss[0] - loss[-1]))
    # Where other steps raise the loss, these make up for it: their share then exceeds the whole.
    share = "none" if opposed <= 0 else f"{opposed:.0%}" if opposed <= 1 else "more than all"
    falls = f"The loss still falls from {loss[0]:.2f} to {loss[-1]:.2g}"
    return f"Oscillating: {pairs}. {falls}, {share} of it in those steps."


def frame(record: xarray.Dataset) -> Frame:
    """A run as the explorer's frame."""
    rate = float(record.attrs["learning_rate"])
    return Frame(
        {
            "loss": record["loss"].values,
            "correlation": record["correlation"].values,
            "windowed": record["windowed_correlation"].values,
            "sharpness": record["sharpness"].values,
        },
        {"two": 2.0 / rate, "one": 1.0 / rate},
        note(record),
    )


@one_thread
def learning_rate_explorer(
    rates: Sequence[float] | None = None,
    *,
    data: str = "digits",
    n_train: int = 500,
    model: str = "mlp",
    model_options: dict[str, object] | None = None,
    steps: int = 60,
    window: int = 5,
    sharpness_every: int = 5,
    seed: int = 0,
    live: bool = True,
) -> FrameExplorer:
    r"""Loss, adjacent-gradient correlation and sharpness under a slider over the learning rate.

    All runs start at the same point. The runs of ``rates`` are trained now (a few seconds) and stored; with
    a kernel any rate between them is trained when the reader stops there.

    Args:
        rates: learning rates, strictly increasing; by default 33 from 0.03 to 6, evenly spaced on a log
            scale.
        data, n_train: what to train on. 500 of the embedded digits retrain well within the 300 ms that feel
            immediate.
        model, model_options: see :func:`landscape_helpers.models.build_model`. The default, two tanh layers
            of 24, shows the three regimes in order whatever the seed. With tanh the last layer sees bounded
            inputs and cross-entropy grows linearly, so that this network diverges without overflowing; with
            ReLU the loss does become infinite, and the note says at which step.
        steps: updates a run.
        window: h of the windowed correlation; 5 as in the paper (Section II-A).
        sharpness_every: steps between two measurements of the sharpness.
        seed: of the network's initialisation.
        live: let a kernel train between the stored rates.

    Raises:
        ValueError: rates that are not finite, above 0 and strictly increasing, before any training.
    """
    chosen = RATES if rates is None else tuple(float(r) for r in rates)
    label = "learning rate η"
    slider = Slider(label, chosen, format=".3g", scale="log")  # refuses bad rates before any work
    images = load_data(data, n_train=n_train)
    x, y, _, _ = images.standardised()
    options = {"hidden": (24, 24), "activation": "tanh"} if model_options is None else model_options
    network = build_model(model, images.n_classes, images.input_shape, seed=seed, **options)
    objective = Objective(network, x, y)

    def run(rate: float) -> xarray.Dataset:
        return train(objective, rate, steps, window, sharpness_every)

    runs = [run(rate) for rate in chosen]
    slider = Slider(label, chosen, format=".3g", scale="log", bands=_bands(chosen, [regime(r) for r in runs]))
    return FrameExplorer(
        _panels(steps, window, sharpness_every),
        [slider],
        [frame(r) for r in runs],
        initial=[_first_to_show(runs)],
        alt=_alt(chosen, runs),
        caption=(
            f"Full-batch gradient descent on {objective.n} images of {data}, {steps} steps from one and the "
            f"same start; {objective.parameters:,} parameters. Correlation: cosine of each gradient with the "
            "one before; near \N{MINUS SIGN}1, every step throws the weights across the valley. Sharpness: "
            "largest eigenvalue λ of the Hessian."
        ),
        compute=(lambda rate: frame(run(rate))) if live else None,
    )


def _panels(steps: int, window: int, sharpness_every: int) -> tuple[Panel, ...]:
    k = np.arange(steps + 1)
    return (
        Panel(
            "Training loss",
            "step",
            "nat, log scale",
            [Series("loss", "loss", k)],
            y_scale="log",
            y_range=(0.02, 200.0),
        ),
        Panel(
            "Gradient correlation",
            "step",
            "cosine",
            [Series("correlation", "adjacent", k), Series("windowed", f"window {window}", k)],
            y_range=(-1.08, 1.08),
            references=[Reference("zero", value=0.0, faint=True)],
        ),
        Panel(
            "Sharpness",
            "step",
            "log scale",
            [Series("sharpness", "λ", np.arange(0, steps + 1, sharpness_every), markers=True)],
            y_scale="log",
            y_range=(0.2, 100.0),
            references=[Reference("two", "2/η"), Reference("one", "1/η", faint=True)],
        ),
    )


def _bands(rates: Sequence[float], regimes: Sequence[str]) -> tuple[Band, ...]:
    """Stretches of equal regime; neighbours meet half-way between their rates on the log scale."""
    edges = [rates[0], *np.sqrt(np.multiply(rates[1:], rates[:-1])), rates[-1]]
    bands: list[Band] = []
    for i, kind in enumerate(regimes):
        if bands and bands[-1].label == kind:
            bands[-1] = Band(kind, bands[-1].first, float(edges[i + 1]))
        else:
            bands.append(Band(kind, float(edges[i]), float(edges[i + 1])))
    return tuple(bands)


def _first_to_show(runs: Sequence[xarray.Dataset]) -> int:
    """The run that learns and yet oscillates most strongly: what the chapter is about. Else the middle."""

    def depth(i: int) -> float:
        loss = runs[i]["loss"].values
        learns = regime(runs[i]) == "oscillates" and loss[-1] < 0.1 * loss[0]
        return float(runs[i]["windowed_correlation"].min()) if learns else 0.0

    deepest = min(range(len(runs)), key=depth)
    return deepest if depth(deepest) < 0 else len(runs) // 2


def _alt(rates: Sequence[float], runs: Sequence[xarray.Dataset]) -> str:
    parts = []
    for kind, meaning in (
        ("smooth", "adjacent gradients agree throughout"),
        ("oscillates", "adjacent gradients come to oppose each other and the loss still falls"),
        ("diverges", "the loss ends above its start"),
    ):
        of_kind = [rate for rate, run in zip(rates, runs, strict=True) if regime(run) == kind]
        if of_kind:
            parts.append(f"at rates from {min(of_kind):g} to {max(of_kind):g} {meaning}")
    return (
        "Training loss, correlation of adjacent gradients, and sharpness against step, by learning rate: "
        + "; ".join(parts)
        + "."
    )
