r"""Algorithm 2 of the mining paper: another solution with a third well half-way to it."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from ..minibatch import MiniBatches
from ..objective import Objective
from ..progress import Progress
from .loop import Algorithm, check, mine
from .result import Mined


def vvv_basin(
    objective: Objective,
    theta: torch.Tensor,
    phi: torch.Tensor,
    epochs: int,
    lr: float,
    alpha: float = 0.0,
    gamma: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
) -> Mined:
    r"""Mine a vvv-basin: train a second network that also has a low loss half-way to the first.

    .. math::

        \arg\min_\phi\ \mathbb E_{\lambda\in[0.5-\alpha,0.5+\alpha]}
        \left[\mathcal L(\phi)+\gamma\,\mathcal L((1-\lambda)\theta+\lambda\phi)\right]

    (*Visualizing, Rethinking, and Mining*, eq. 3) by its Algorithm 2, in which the point of the second gradient is read
    as :math:`\hat\phi` and the distribution of :math:`\lambda` as uniform: for each mini-batch

    .. math::

        \lambda\sim U[0.5-\alpha,0.5+\alpha],\quad \hat\phi=(1-\lambda)\theta+\lambda\phi,\quad
        \phi\leftarrow\phi-\eta\,(\nabla_\phi\mathcal L+\gamma\lambda\nabla_{\hat\phi}\mathcal L)

    and at the end :math:`\epsilon=\phi-\theta`, so that theta is at 0 and the mined network at 1. Both gradients use
    the same mini-batch. Weight decay, which the paper trains with, is not in its algorithm.

    Args:
        objective: the loss; its model, loss and BatchNorm policy are used on mini-batches of its data.
        theta: a trained point (P,), held fixed.
        phi: where the search starts (P,). The paper does not say; a fresh random initialisation is meant to be given.
        epochs: the number of mining epochs, at least 1. Not stated in the paper.
        lr: :math:`\eta`, finite and above 0. Not stated in the paper.
        alpha: half the width of the interval, 0 to 0.5; 0 means :math:`\lambda=0.5` always. The paper tries 0 and 0.1.
        gamma: the weight of the middle, not negative. The paper tries 0.1, 0.5 and 0.9, and sees a vvv-basin of
            ResNet-32 with alpha = 0 and gamma = 0.1 (Figure 10, 4th plot), our defaults.
        batch_size: 128, as the paper trains with; for mining it is not stated. All n where there are fewer.
        seed: of the data's order and of :math:`\lambda`.
        progress: called after each batch with (step, steps, loss at phi).
        checkpoint: as in :func:`.w_peak`.
        checkpoint_every: seconds between two saves.

    Returns:
        The direction; ``record`` has the losses ``loss`` at :math:`\phi`, ``between`` at :math:`\hat\phi`, and their
        means over epochs; ``norm`` is :math:`\|\phi-\theta\|`.

    Raises:
        ValueError: an option out of range, a vector of the wrong length or not finite, phi equal to theta, or a
            checkpoint that belongs to another search; all before any work.
    """
    theta = check(objective, theta, epochs, lr, seed)
    phi = objective.finite_vector(phi, "phi")
    if bool((phi == theta).all()):
        raise ValueError(
            "phi equals theta, a minimum of both terms already: the direction would stay zero. Start phi elsewhere, "
            "for instance at a fresh initialisation"
        )
    if not 0 <= alpha <= 0.5:
        raise ValueError(f"alpha must be between 0 and 0.5, so that lambda stays between the two points, got {alpha}")
    if not (math.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"gamma must be finite and not negative, got {gamma}")
    batches = MiniBatches(objective, min(batch_size, objective.n), seed)
    middle, gradient = torch.empty_like(theta), torch.empty_like(theta)

    def update(current: torch.Tensor, batch: torch.Tensor, lam: float, out: torch.Tensor) -> tuple[float, ...]:
        loss, _ = batches.gradient(current, batch, out=gradient)
        torch.add(current, gradient, alpha=-lr, out=out)
        torch.lerp(theta, current, lam, out=middle)
        between, _ = batches.gradient(middle, batch, out=gradient)
        out.add_(gradient, alpha=-lr * gamma * lam)
        return loss, between

    algorithm = Algorithm(
        theta=theta,
        start=phi,
        is_point=True,
        interval=lambda epoch: (0.5 - alpha, 0.5 + alpha),
        update=update,
        losses={"loss": "loss of the batch at phi", "between": "loss of the batch between theta and phi"},
        gradients=2,
        settings=("vvv_basin", lr, alpha, gamma),
    )
    return mine(algorithm, batches, epochs, progress, checkpoint, checkpoint_every)
