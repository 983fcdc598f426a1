"""The graph of autograd behind a value, node by node."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.autograd.graph import Node


def nodes_of(value: torch.Tensor) -> Iterator[Node]:
    """Every node that a derivative of ``value`` may pass, each once; none where it has no graph."""
    seen: set[Node] = set()
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [before for before, _ in node.next_functions]
