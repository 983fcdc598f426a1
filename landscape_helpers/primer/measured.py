r"""What slices of a landscape show and hide, measured on networks so small that the truth is at hand.

Five experiments for the page that comes before the chapters. Each takes seconds, in double precision on the digits that
come with scikit-learn, on a perceptron trained by full-batch gradient descent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from .. import slices
from ..curvature import HessianAt, both_ends, trace
from ..data import load_data
from ..descent import gradient_descent
from ..directions import Normalisation, gaussian
from ..objective import Objective

HIDDEN, RATE, STEPS, KEPT = 32, 0.5, 400, 40
STRETCH = 4.0  # of the first layer's weights, taken back in the second
DRAWS, PAIRS = 200, 10
PER_BATCH = 32
LENGTHS = np.logspace(-6, 0, 31)  # of the second differences' steps
DIRECTIONS = 5
COMPONENTS = "two principal components"


@dataclass(frozen=True)
class Symmetry:
    """One function written with two sets of weights, and the loss along one draw of noise around each.

    Attributes:
        at: (k,) multiples of the direction.
        model: (2, k) losses with noise scaled to the network's length, as trained and stretched.
        filters: (2, k) losses with noise scaled filter by filter.
    """

    at: np.ndarray
    model: np.ndarray
    filters: np.ndarray


@dataclass(frozen=True)
class Average:
    """Curvature along random directions of length one against the Hessian's own.

    Attributes:
        random: (draws,) z'Hz, nats per squared parameter.
        mean: tr H / P, which is its expectation.
        largest, smallest: (pairs,) eigenvalues of either end.
        distance: (k,) how far a curve goes from the network.
        curves: (3, k) the loss along a random direction and the two extreme eigenvectors.
    """

    random: np.ndarray
    mean: float
    largest: np.ndarray
    smallest: np.ndarray
    distance: np.ndarray
    curves: np.ndarray


@dataclass(frozen=True)
class Planes:
    """How much of the way from each iterate to the last lies outside a plane through the last.

    Attributes:
        steps: (j,) of the iterates, without the last.
        outside: plane -> (j,) shares in [0, 1], the sine of the angle to the plane.
    """

    steps: np.ndarray
    outside: dict[str, np.ndarray]


@dataclass(frozen=True)
class Kinks:
    """Second differences of the loss in units of z'Hz.

    Attributes:
        lengths: (k,) of the step h, units of theta.
        ratio: activation -> (directions, k) of (L(theta + h z) - 2 L(theta) + L(theta - h z)) / (h^2 z'Hz).
    """

    lengths: np.ndarray
    ratio: dict[str, np.ndarray]


class Measured:
    """The five experiments; each runs when it is first asked for.

    Args:
        data: data set, as :func:`~landscape_helpers.data.load_data` takes it.
        seed: of initialisations and directions.
    """

    def __init__(self, data: str = "digits", seed: int = 0) -> None:
        images = load_data(data)
        self.seed, self.data = seed, images.name
        self._x, self._y, _, _ = images.standardised(torch.float64)
        self._x = self._x.flatten(1)
        self._classes = images.n_classes
        self._descents: dict[str, tuple[Objective, torch.Tensor]] = {}

    @property
    def images(self) -> int:
        """How many images every network is trained on."""
        return len(self._x)

    @cached_property
    def symmetry(self) -> Symmetry:
        """A ReLU layer times a > 0 and the next divided by it are the same function (Dinh et al. 2017)."""
        objective, thetas = self._trained("relu")
        stretched = thetas[-1].clone()
        weight, bias, following, _ = objective.views(stretched)
        weight *= STRETCH
        bias *= STRETCH
        following /= STRETCH
        at = np.linspace(-1, 1, 41)

        def curves(how: Normalisation) -> np.ndarray:
            points = (thetas[-1], stretched)
            return np.array([slices.line(objective, t, gaussian(objective, t, self.seed, how), at) for t in points])

        return Symmetry(at, curves("model"), curves("filter"))

    @cached_property
    def average(self) -> Average:
        r"""For z uniform on the unit sphere :math:`\mathbb E\,z^\top Hz=\mathrm{tr}\,H/P`, whatever the largest."""
        objective, thetas = self._trained("relu")
        theta = thetas[-1]
        z = torch.randn(objective.parameters, DRAWS, generator=self._generator(), dtype=torch.float64)
        z /= z.norm(dim=0)
        with HessianAt(objective, theta) as hessian:
            random = (z * hessian.product(z)).sum(0).numpy()
        top, bottom = both_ends(objective, theta, PAIRS)
        distance = np.linspace(-1, 1, 41)
        directions = (z[:, 0], top.vectors[:, 0], bottom.vectors[:, 0])
        curves = np.array([slices.line(objective, theta, d, distance) for d in directions])
        mean = trace(objective, theta).value / objective.parameters
        return Average(random, mean, top.values, bottom.values, distance, curves)

    @cached_property
    def planes(self) -> Planes:
        """Planes through the last iterate: random, by the start and the gradient there, by principal components."""
        objective, thetas = self._trained("relu")
        end, ways = thetas[-1], thetas[:-1] - thetas[-1]
        components = torch.linalg.svd(ways, full_matrices=False).Vh
        noise = [gaussian(objective, end, self.seed + i, "model") for i in (1, 2)]
        pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {
            "two random directions": (noise[0], noise[1]),
            "the start and its gradient": (ways[0], objective.gradient(thetas[0])),
            COMPONENTS: (components[0], components[1]),
        }
        outside = {name: slices.project(end, d1, d2, thetas[:-1]).off_share for name, (d1, d2) in pairs.items()}
        return Planes(np.arange(0, STEPS, STEPS // KEPT), outside)

    @cached_property
    def normalised(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Positions, and the loss of a network with BatchNorm along one line, by what it normalises with."""
        torch.manual_seed(self.seed)
        model = nn.Sequential(
            nn.Linear(self._x.shape[1], HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self._classes)
        )
        whole = Objective(model, self._x, self._y, dtype=torch.float64)
        pieces = Objective(model, self._x, self._y, batch_size=PER_BATCH, dtype=torch.float64)
        theta = gradient_descent(whole, whole.theta, RATE, STEPS).theta
        direction, at = gaussian(whole, theta, self.seed, "filter"), np.linspace(-1, 1, 41)
        return at, {
            "statistics of all images, taken anew": np.asarray(slices.line(whole, theta, direction, at)),
            "statistics of all images at 0": np.asarray(slices.line(whole, theta, direction, at, batchnorm="frozen")),
            f"statistics of {PER_BATCH} images at a time": np.asarray(slices.line(pieces, theta, direction, at)),
        }

    @cached_property
    def kinks(self) -> Kinks:
        """Where the loss is smooth the ratio goes to one; a unit that switches within h adds its kink."""
        ratio = {}
        for activation in ("relu", "tanh"):
            objective, thetas = self._trained(activation)
            theta = thetas[-1]
            z = torch.randn(objective.parameters, DIRECTIONS, generator=self._generator(), dtype=torch.float64)
            z /= z.norm(dim=0)
            curvature = (z * objective.hvp(theta, z)).sum(0).numpy()
            here = objective.loss(theta)
            both = np.array(
                [[objective.loss(theta + h * d) + objective.loss(theta - h * d) for h in LENGTHS] for d in z.T]
            )
            ratio[activation] = (both - 2 * here) / LENGTHS**2 / curvature[:, None]
        return Kinks(LENGTHS, ratio)

    def _trained(self, activation: str) -> tuple[Objective, torch.Tensor]:
        """The perceptron with this activation, and its iterates (KEPT + 1, P) from start to end."""
        if activation not in self._descents:
            torch.manual_seed(self.seed)
            between = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
            model = nn.Sequential(nn.Linear(self._x.shape[1], HIDDEN), between(), nn.Linear(HIDDEN, self._classes))
            objective = Objective(model, self._x, self._y, dtype=torch.float64)
            thetas = [objective.theta]
            for _ in range(KEPT):
                thetas.append(gradient_descent(objective, thetas[-1], RATE, STEPS // KEPT).theta)
            self._descents[activation] = objective, torch.stack(thetas)
        return self._descents[activation]

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)
