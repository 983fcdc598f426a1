r"""Algorithm 1 of the mining paper: a direction along which the loss falls on both sides."""

from __future__ import annotations

from pathlib import Path

import torch

from ..minibatch import MiniBatches
from ..objective import Objective
from ..progress import Progress
from .loop import Algorithm, check, mine
from .result import Mined


def w_peak(
    objective: Objective,
    theta: torch.Tensor,
    epochs: int,
    lr: float,
    batch_size: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
) -> Mined:
    r"""Mine a w-peak: minimise the loss on the line through theta over the line's direction.

    .. math:: \arg\min_\epsilon\ \mathbb E_{\lambda\in[-1,1]}\,\mathcal L(\theta+\lambda\epsilon)

    (*Visualizing, Rethinking, and Mining*, eq. 2) by its Algorithm 1, exactly as printed: from :math:`\epsilon=0`, in
    epoch e of E with :math:`\alpha=e/E`, for each mini-batch

    .. math::

        \lambda\sim U[-\alpha,\alpha],\quad \hat\theta=\theta+\lambda\epsilon,\quad
        \epsilon\leftarrow\epsilon-\eta\,\lambda\,\nabla_{\hat\theta}\mathcal L

    No weight decay and no bound on :math:`\|\epsilon\|`, whose growth :attr:`.Mined.norms` logs. At a point where every
    batch's gradient vanishes :math:`\epsilon` never leaves zero: a batch's gradient has to start it, before curvature
    can make it grow. The mean of the first step over :math:`\lambda` is zero, so seeds matter: repeat with several.

    Args:
        objective: the loss; its model, loss and BatchNorm policy are used on mini-batches of its data.
        theta: the point (P,); left as it is.
        epochs: E, the number of *mining* epochs, at least 1. Not stated in the paper.
        lr: :math:`\eta`, finite and above 0. Not stated in the paper.
        batch_size: 128, as the paper trains with; for mining it is not stated. All n where there are fewer.
        seed: of the data's order and of :math:`\lambda`.
        progress: called after each batch with (step, steps, loss).
        checkpoint: a file in which to save state; where it exists, the search goes on from it and ends as it would have
            without the interruption. Deleted at the end.
        checkpoint_every: seconds between two saves.

    Returns:
        The direction; ``record`` has the losses ``loss`` at :math:`\hat\theta` and ``mean_loss``.

    Raises:
        ValueError: an option out of range, theta of the wrong length or not finite, or a checkpoint that belongs to
            another search; all before any work.
    """
    theta = check(objective, theta, epochs, lr, seed)
    batches = MiniBatches(objective, min(batch_size, objective.n), seed)
    at, gradient = torch.empty_like(theta), torch.empty_like(theta)

    def update(epsilon: torch.Tensor, batch: torch.Tensor, lam: float, out: torch.Tensor) -> tuple[float, ...]:
        torch.add(theta, epsilon, alpha=lam, out=at)
        loss, _ = batches.gradient(at, batch, out=gradient)
        torch.add(epsilon, gradient, alpha=-lr * lam, out=out)
        return (loss,)

    def interval(epoch: int) -> tuple[float, float]:
        alpha = (epoch + 1) / epochs
        return -alpha, alpha

    algorithm = Algorithm(
        theta=theta,
        start=torch.zeros_like(theta),
        is_point=False,
        interval=interval,
        update=update,
        losses={"loss": "loss of the batch on the line"},
        gradients=1,
        settings=("w_peak", lr),
    )
    return mine(algorithm, batches, epochs, progress, checkpoint, checkpoint_every)
