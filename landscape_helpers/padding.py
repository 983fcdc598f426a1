"""Rows of embeddings that stand for padding: in theta by their place, and moved by no gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .objective_checks.isolation import undisturbed


def padding_rows(
    model: nn.Module, weights: Sequence[nn.Parameter], loss: Callable[[], torch.Tensor]
) -> list[tuple[int, int]]:
    """(place among ``weights``, row) of every padding row to which the loss sends no gradient.

    PyTorch keeps the gradient of an embedding with ``padding_idx`` from that row of its weight, while the loss depends
    on it: the gradient is that along all other coordinates. A weight that does other work as well, such as that of an
    output layer, gets a gradient there by this other way, and where one batch shows it, is trained there.

    Args:
        model: whose modules are looked at.
        weights: the parameters that theta holds.
        loss: evaluates the model; called once, with gradients and without a trace in the model's buffers, if there is
            a padding row at all.
    """
    paddings: dict[int, set[Any]] = {}
    for module in model.modules():
        padding = module.padding_idx if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) else None
        for parameter in module._parameters.values():
            paddings.setdefault(id(parameter), set()).add(padding)
    rows = []
    for place, weight in enumerate(weights):
        named = paddings.get(id(weight), set())  # where several modules share the weight, all must name one row
        if len(named) == 1 and isinstance(row := named.pop(), int):
            rows.append((place, row))
    if not rows:
        return []
    with undisturbed(model, weights[0].device), torch.enable_grad():
        gradients = torch.autograd.grad(loss(), [weights[place] for place, _ in rows], allow_unused=True)
    return [at for at, g in zip(rows, gradients, strict=True) if g is None or not bool(g[at[1]].any())]
