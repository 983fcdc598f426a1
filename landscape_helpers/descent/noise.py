r"""Isotropic noise on gradients, and how large the gradients' own variance is.

Section 4 of *A Walk with SGD* asks whether the structure of mini-batch noise matters: it descends by full-batch
gradients :math:`\bar{\mathbf g}(\theta_t)+\xi_t` with :math:`\xi_t\sim\mathcal N(0,vI)`, where v is a share of the
largest variance that a gradient has at the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.func import functional_call, grad, vmap

from ..layers import trainable_parameters
from ..objective import Objective
from ..objective_checks.evaluation import explained
from ..resources import SAMPLE_GRADIENTS
from ..slices.batchnorm import Statistics, batchnorm_modules, fixed, normalising, recording


@dataclass(frozen=True)
class IsotropicNoise:
    """Gaussian noise of one variance for every coordinate.

    The draw of a step depends on the seed and the step alone, and is made on the CPU in single precision, so
    that a resumed run, or one on another device, meets the same noise.

    Attributes:
        variance: v, of each coordinate; at least 0.
        seed: of all draws.

    Raises:
        ValueError: a variance that is negative or not finite, or a negative seed.
    """

    variance: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.variance) and self.variance >= 0):
            raise ValueError(f"variance of the noise must be a finite number of at least 0, got {self.variance}")
        if self.seed < 0:
            raise ValueError(f"seed of the noise must not be negative, got {self.seed}")

    def draw(self, step: int, like: torch.Tensor) -> torch.Tensor:
        r""":math:`\xi_t` (P,) of step t, on the device and of the dtype of ``like`` (P,)."""
        state = int(np.random.SeedSequence((self.seed, step)).generate_state(1, np.uint64)[0])
        generator = torch.Generator().manual_seed(state >> 1)
        xi = torch.randn(like.shape, generator=generator, dtype=torch.float32)
        return xi.mul_(math.sqrt(self.variance)).to(like.device, like.dtype)


def largest_gradient_variance(objective: Objective, theta: torch.Tensor, images: int | None = 2000) -> float:
    r"""The largest variance, over coordinates, of the gradients of single samples.

    .. math:: \max_j\ \frac1n\sum_i\Big(\frac{\partial\mathcal L_i}{\partial\theta_j}-\bar g_j\Big)^2

    The paper says neither what its maximum runs over nor whether the variance is that of samples or of mini-batches;
    this reading takes the diagonal of its gradient covariance :math:`\mathbf C(\theta)` (App. D). BatchNorm that
    normalises with its batch makes a sample's gradient depend on the others: here its statistics are those of the
    samples used and are held fixed. A sample whose label the loss leaves out counts with a gradient of zero.

    Args:
        objective: whose samples and loss.
        theta: the point (P,).
        images: take the first so many samples, all n where there are fewer; None for all. 2000 by our choice, to bound
            the cost: one gradient a sample.

    Raises:
        ValueError: fewer than two samples asked for or there, of which there is no variance; a model or a loss that
            does not take a single sample.
    """
    if min(objective.n, objective.n if images is None else images) < 2:
        raise ValueError(
            f"a variance needs at least 2 samples: got images={images} of an objective that holds {objective.n}"
        )
    x, y = (held[:images] for held in objective.samples())
    objective.move(theta)
    statistics = _statistics(objective, x)
    names = [name for name, _ in trainable_parameters(objective.model)]
    parameters = {name: weight.detach() for name, weight in zip(names, objective.weights, strict=True)}
    first = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in parameters.items()}
    second = {name: torch.zeros_like(value) for name, value in first.items()}
    size = max(1, min(SAMPLE_GRADIENTS // objective.parameters, 256))
    for samples, labels in zip(x.split(size), y.split(size), strict=True):
        found = _sample_gradients(objective, parameters, samples, labels, statistics)
        for name, values in found.items():
            rows = values.detach().double()
            first[name] += rows.sum(0)
            second[name] += rows.square_().sum(0)
    n = len(x)
    objective.counts.gradients += math.ceil(n / objective.n)
    return max(float((second[name] / n - (first[name] / n) ** 2).max()) for name in first)


def _statistics(objective: Objective, x: torch.Tensor) -> list[Statistics]:
    """What each BatchNorm normalises with: the running statistics of a frozen one, else those of ``x``."""
    found: list[Statistics] = []
    if batchnorm_modules(objective.model):
        with torch.no_grad(), normalising(objective.model, recording(found, objective.batchnorm == "frozen")):
            objective.model(x)
    return found


def _sample_gradients(
    objective: Objective,
    parameters: dict[str, torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    statistics: list[Statistics],
) -> dict[str, torch.Tensor]:
    """By the parameter's name, the gradients (n, ...) of the samples' own losses where the objective's model stands."""
    model = objective.model

    def loss(at: dict[str, torch.Tensor], sample: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return objective.loss_function(functional_call(model, at, (sample[None],)), label[None])

    try:
        with normalising(model, fixed(statistics)):
            return vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x.contiguous(), y)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:  # a transform that the forward pass does not go through, as that of recurrent layers
        return _one_by_one(objective, list(parameters), x, y, statistics)


def _one_by_one(
    objective: Objective, names: list[str], x: torch.Tensor, y: torch.Tensor, statistics: list[Statistics]
) -> dict[str, torch.Tensor]:
    def refused(said: str) -> str:
        return (
            f"{type(objective.model).__name__} or its loss does not take a single sample ({said}), whose gradient the "
            "variance is made of: use a model that takes any number of samples"
        )

    weights = objective.weights
    rows: list[list[torch.Tensor]] = [[] for _ in names]
    for i in range(len(x)):
        with explained(refused), torch.enable_grad(), normalising(objective.model, fixed(statistics)):
            value = objective.loss_function(objective.model(x[i : i + 1]), y[i : i + 1])
        pieces = torch.autograd.grad(value, weights, allow_unused=True)
        for row, piece, weight in zip(rows, pieces, weights, strict=True):
            row.append(torch.zeros_like(weight) if piece is None else piece)
    return {name: torch.stack(row) for name, row in zip(names, rows, strict=True)}
