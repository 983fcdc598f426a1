"""The share of images classified as labelled, on images that the objective does not hold: a test set, as a rule.

:meth:`~landscape_helpers.objective.Objective.accuracy` answers for the objective's own samples. On others one has to
say whose statistics BatchNorm takes; here those of the objective's data, also where the objective itself keeps the
running ones (``batchnorm="frozen"``).
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .objective import Objective
from .predictions import Tally


def accuracy_on(objective: Objective, theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor, batch: int = 500) -> float:
    """Share of (x, y) classified as labelled at theta, BatchNorm with the statistics of the objective's own data.

    Those statistics are the mean over the objective's micro-batches of theirs, the variance with Bessel's correction,
    as training would leave them behind for evaluation. Networks without BatchNorm do not notice.

    Args:
        objective: whose model and BatchNorm statistics are used; they stay as they are.
        theta: the point (P,).
        x: inputs (n, ...), converted to the objective's floating type where its own inputs are floating-point numbers;
            as they are (tokens, for instance) where those are integers.
        y: class indices (n,), or (n, d1, ...) for outputs (n, C, d1, ...); labels of no class do not count.
        batch: images a pass; only memory and speed depend on it. 500 is our choice.

    Returns:
        A number from 0 to 1; NaN where no label is a class.

    Raises:
        TypeError: theta that is no tensor.
        ValueError: theta of another length than P; no samples, or x and y of different length; ``batch`` below 1;
            labels that are no class indices or of another shape than the predictions; outputs of fewer than two
            classes.
    """
    objective.move(theta)  # which checks it
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"x and y must hold the same number of samples, at least one: got {len(x)} and {len(y)}")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    model = copy.deepcopy(objective.model)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.training = True  # of the module alone: what a subclass holds, such as dropout, stays as it is
            norm.track_running_stats = True
            norm.running_mean = torch.zeros(norm.num_features, dtype=objective.dtype, device=objective.device)
            norm.running_var = torch.ones_like(norm.running_mean)
            norm.num_batches_tracked = torch.zeros((), dtype=torch.long, device=objective.device)
        seen = 0.0
        for share, own, _ in objective.weighted() if norms else ():
            seen += share
            for norm in norms:
                norm.momentum = share / seen  # so that the running average is the mean
            model(own)
        model.eval()
        tally = Tally()
        dtype = objective.dtype if next(objective.weighted())[1].is_floating_point() else None
        for inputs, labels in zip(x.split(batch), y.split(batch), strict=True):
            tally.add(model(inputs.to(objective.device, dtype)), labels)
    return tally.share
