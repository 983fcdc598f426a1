r"""The Hessian of an objective at one point, as an operator."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

import torch

from ..objective import Objective
from ..objective_checks.surroundings import check_gradients
from ..objective_checks.vectors import columns_of
from .graphs import GradientGraphs, free_memory
from .linearised import Linearised

# Share of the free memory that products at one point may hold on to, and the most they take unasked of main memory,
# which other programs share. An accelerator's is there for this.
MEMORY_SHARE = 0.5
MOST_MAIN_MEMORY = 8 * 2**30


class Products(Protocol):
    """A way to compute Hessian-vector products at the point where the objective stands."""

    held: int

    def apply(self, rows: torch.Tensor) -> torch.Tensor: ...

    def release(self) -> None: ...


class HessianAt:
    r"""The Hessian :math:`H=\nabla^2 L(\theta)` at one point, for many products with it.

    ``objective.hvp`` evaluates the network anew for every call. At one point its forward and backward pass are the same
    for all vectors, so they are done once and kept: half of the work of a product is saved.

    Use it as a context manager, or call :meth:`release`, to give the memory back::

        with HessianAt(objective, theta) as hessian:
            w = hessian.product(v)

    Other calls on the same objective in between (which move its private model) are noticed, and the model is put back:
    the products stay those at ``theta``.

    A chain of known layers (:mod:`~landscape_helpers.curvature.linearised`) is differentiated layer by layer; any other
    model through a retained graph of its gradient (:mod:`~landscape_helpers.curvature.graphs`). Both are exact.
    Attention is differentiated in its plain form, whichever kernel the model's forward pass would take
    (:mod:`~landscape_helpers.twice_differentiable`).

    For ReLU networks this is the Hessian of the smooth piece that theta lies in.

    Args:
        objective: what to differentiate.
        theta: the point (P,); copied.
        memory: bytes that may be held between products; by default half of what is free, of main memory at most 8 GiB.
            What does not fit is computed anew at every product.

    Attributes:
        parameters: P, the side of the matrix.
        products: products so far, one per vector.

    Raises:
        RuntimeError: under ``torch.autocast`` or ``torch.inference_mode``.
        ValueError: theta or a vector of the wrong shape; a negative memory budget; at a product, an operation of the
            model or the loss that has no second derivative in PyTorch, by its name.
    """

    def __init__(self, objective: Objective, theta: torch.Tensor, *, memory: int | None = None) -> None:
        if memory is not None and memory < 0:
            raise ValueError(f"memory must be a number of bytes, 0 or more, got {memory}")
        check_gradients()
        objective.move(theta)
        self.objective = objective
        self.theta = theta.detach().to(objective.device, objective.dtype, copy=True)
        self.products = 0
        if memory is None:
            memory = int(MEMORY_SHARE * free_memory(objective.device))
            if objective.device.type == "cpu":
                memory = min(memory, MOST_MAIN_MEMORY)
        self._products: Products = Linearised.of(objective, memory) or GradientGraphs(objective, memory)
        self._versions = self._current_versions()

    @property
    def parameters(self) -> int:
        return self.objective.parameters

    @property
    def dtype(self) -> torch.dtype:
        return self.objective.dtype

    @property
    def device(self) -> torch.device:
        return self.objective.device

    @property
    def held(self) -> int:
        """Bytes held between products."""
        return self._products.held

    def product(self, vectors: torch.Tensor) -> torch.Tensor:
        """``H v`` for one vector (P,) or for k of them as columns (P, k), in the same shape."""
        columns = columns_of(vectors, self.parameters, "vectors")
        rows = columns.detach().to(self.device, self.dtype).T.contiguous()
        self.way()
        self.count(len(rows))
        result = self._products.apply(rows)
        return result.T.reshape(vectors.shape)

    def way(self) -> Products:
        """How products are computed, with the model back at theta: for algorithms that look inside."""
        self._return_to_theta()
        return self._products

    def count(self, products: int) -> None:
        """Note products that were computed with what :meth:`way` returns."""
        self.products += products
        self.objective.counts.products += products

    def release(self) -> None:
        """Give the memory back. The operator stays usable: a later product computes again what it needs."""
        self._products.release()

    def __enter__(self) -> HessianAt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"HessianAt({self.objective!r}, products={self.products})"

    def _return_to_theta(self) -> None:
        """Put the model back at theta if someone has moved it.

        Autograd does not notice: the parameters share storage with the objective's flat vector, but not its version
        counter. So the values are compared, one pass over P numbers. With the same values back in the same storage the
        retained graphs hold again; only parameters written to directly, whose own counter autograd does check, need
        new ones.
        """
        here = self.objective.views(self.theta)
        if not all(torch.equal(w, t) for w, t in zip(self.objective.weights, here, strict=True)):
            self.objective.move(self.theta)
        versions = self._current_versions()
        if versions != self._versions:
            self._products.release()
            self._versions = versions

    def _current_versions(self) -> list[tuple[int, int]]:
        return [(weight.data_ptr(), weight._version) for weight in self.objective.weights]
