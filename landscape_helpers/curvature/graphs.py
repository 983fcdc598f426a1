r"""Hessian-vector products by differentiating a gradient graph that stays in memory between products."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import torch

from ..objective import Objective
from ..twice_differentiable import SecondDerivatives, TwiceDifferentiable, first_gradient

# How torch.func says that inside of it nothing can be told of what a graph saves.
HOOKLESS = "don't yet support saved tensor hooks"
# Where the system does not say what is free.
UNKNOWN_FREE_BYTES = 2 * 2**30


class GradientGraphs:
    r"""The gradient of each micro-batch with its graph, kept for all products at one point.

    .. math::

        H v = \nabla_\theta \langle \nabla L(\theta), v\rangle

    (Pearlmutter, *Fast Exact Multiplication by the Hessian*, 1994, in its double-backward form.) Building the graph is
    a forward and a backward pass, half of what a product costs, and is the same for every v.

    A graph's size is not guessed: every tensor autograd saves while a micro-batch's graph is built is counted once.
    Micro-batches that do not fit ``memory`` any more are rebuilt at every product.

    Args:
        objective: already at the point; it must be there again whenever :meth:`apply` runs.
        memory: bytes that the retained graphs may take together.
    """

    def __init__(self, objective: Objective, memory: int) -> None:
        self.objective = objective
        self.memory = memory
        self.held = 0
        self._graphs: list[_Graph | None] = []

    def apply(self, rows: torch.Tensor) -> torch.Tensor:
        """Products (k, P) with the vectors in ``rows`` (k, P)."""
        result = torch.zeros_like(rows)
        for index, batch in enumerate(self.objective.weighted()):
            graph = self._graphs[index] if index < len(self._graphs) else None
            if graph is None:
                graph = _Graph(self.objective, *batch)
                keep = self.held + graph.bytes <= self.memory
                if index == len(self._graphs):
                    self._graphs.append(graph if keep else None)
                    self.held += int(graph.bytes) if keep else 0
            graph.add_products(rows, result)
        return result

    @property
    def retained(self) -> int:
        """Micro-batches whose graph is held now."""
        return sum(graph is not None for graph in self._graphs)

    def release(self) -> None:
        """Free every graph; the next product builds them again."""
        self._graphs.clear()
        self.held = 0


class _Graph:
    """One micro-batch's gradient with its graph, and the bytes that graph holds on to; infinite where nothing tells."""

    def __init__(self, objective: Objective, share: float, x: torch.Tensor, y: torch.Tensor) -> None:
        self.objective = objective
        own = {tensor.untyped_storage().data_ptr() for tensor in (x, y, *objective.weights)}
        saved: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                saved[storage.data_ptr()] = storage.nbytes()
            # Detached: a tensor that its own graph node saves would otherwise keep itself alive.
            return tensor.detach()

        def gradient_of() -> tuple[torch.Tensor, ...]:
            value = share * objective.loss_function(objective.model(x), y)
            return first_gradient(value, objective.weights, allow_unused=True)

        with TwiceDifferentiable(), torch.enable_grad():
            try:
                with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                    gradient = gradient_of()
                self.bytes: float = sum(saved.values())
            except RuntimeError as error:
                if HOOKLESS not in str(error):
                    raise
                gradient = gradient_of()
                self.bytes = math.inf
        # A piece that does not depend on theta, or not at all smoothly, has no curvature.
        self.curved = [i for i, piece in enumerate(gradient) if piece is not None and piece.requires_grad]
        self.gradient = [gradient[i] for i in self.curved]

    def add_products(self, rows: torch.Tensor, result: torch.Tensor) -> None:
        if not self.gradient:
            return  # this micro-batch is affine in theta
        for row, out in zip(rows, result, strict=True):
            vector = self.objective.views(row)
            with SecondDerivatives():
                products: Sequence[torch.Tensor | None] = torch.autograd.grad(
                    self.gradient,
                    self.objective.weights,
                    [vector[i] for i in self.curved],
                    retain_graph=True,
                    allow_unused=True,
                )
            for view, piece in zip(self.objective.views(out), products, strict=True):
                if piece is not None:
                    view += piece


def free_memory(device: torch.device) -> int:
    """Bytes that are free on ``device`` now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as table:
            for line in table:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return _free_pages()
    return _free_pages()


def _free_pages() -> int:
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN_FREE_BYTES
