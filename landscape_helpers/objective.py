r"""A model, its data and a loss as functions of one flat parameter vector.

.. math::

    \mathcal L_n(\theta) = \frac1n \sum_{i=1}^n \ell(h_\theta(x_i), y_i)

(eq. 1 of *Exploring Gradient Oscillation*; the same object stands in all four papers.) Everything that is easy
to get wrong when an instrument talks to a network lives here, and only here: micro-batches weighted by what they
hold, the BatchNorm policy, dropout off, a fixed order of the data, device and dtype, and a caller's model that is
never touched.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from .layers import Layer, layers_of, trainable_parameters

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LOSSES: dict[str, LossFunction] = {
    "cross_entropy": nn.functional.cross_entropy,
    "mse": nn.functional.mse_loss,
}
BATCHNORM_POLICIES = ("batch", "whole", "frozen")


@dataclass
class Counts:
    """Work done so far, in full passes over the data.

    Attributes:
        forward: evaluations of the loss (or of the outputs) alone.
        gradients: evaluations of the gradient, each a forward and a backward pass.
        products: Hessian-vector products, one per vector.
    """

    forward: int = 0
    gradients: int = 0
    products: int = 0


class Objective:
    r"""The training loss of a model on a data set as a function of theta (P,).

    The model is copied once, here: the caller's model keeps its parameters, buffers, mode, gradients and hooks bit
    for bit, whatever is called afterwards and whether or not it raises. Later changes to the caller's model do
    not reach the objective either.

    Args:
        model: any ``torch.nn.Module``; theta holds its parameters that require a gradient, flattened in the order of
            ``named_parameters()``, shared parameters once.
        x: inputs (n, ...), handed to the model in slices along the first axis.
        y: targets (n, ...).
        loss: ``"cross_entropy"`` (y: class indices), ``"mse"``, or a callable ``(outputs, targets) -> scalar`` that
            *averages* over its batch.
        batch_size: images a pass; None takes all n at once. The order is fixed, and a short last micro-batch
            counts for what it holds, so without BatchNorm the value changes only memory, speed and rounding.
        batchnorm: what BatchNorm normalises with. The gradient-oscillation paper does not say which it used.

            - ``"batch"`` (default, as in ordinary training): mean and variance of the micro-batch, differentiated
              through. The function then depends on ``batch_size``.
            - ``"whole"``: mean and variance of all n images, in one pass; needs ``batch_size=None``.
            - ``"frozen"``: the model's running statistics, as constants.
        device: where to compute; default: where the model's parameters are.
        dtype: floating type of parameters and inputs; default: the model's.

    Instruments that evaluate the network in their own way find it in ``model`` (the private copy), ``weights`` (its
    parameters in the order of theta), ``loss_function``, :meth:`weighted`, :meth:`samples`, :meth:`move` and
    :meth:`views`.

    Raises:
        ValueError: no trainable parameter; no data; x and y of different length; under the cross-entropy a model that
            returns no tensor, or labels out of its range; an unknown loss or BatchNorm policy; a batch size below 1;
            ``batchnorm="whole"`` with micro-batches.
    """

    def __init__(
        self,
        model: nn.Module,
        x: torch.Tensor,
        y: torch.Tensor,
        loss: str | LossFunction = "cross_entropy",
        batch_size: int | None = None,
        batchnorm: str = "batch",
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        first = trainable_parameters(model)[0][1]
        self.device = torch.device(device) if device is not None else first.device
        self.dtype = dtype or first.dtype
        self.n = len(x)
        self.batchnorm = batchnorm
        self.loss_function = _check(x, y, loss, batch_size, batchnorm)
        self.batch_size = min(batch_size or self.n, self.n)
        self.counts = Counts()

        self.model = copy.deepcopy(model).to(device=self.device, dtype=self.dtype)
        _set_mode(self.model, batchnorm)
        self.layers: tuple[Layer, ...] = layers_of(self.model)
        self.weights = [p for _, p in trainable_parameters(self.model)]
        self.parameters = sum(p.numel() for p in self.weights)
        self._flat = torch.cat([p.detach().reshape(-1) for p in self.weights])
        self._theta = self._flat.clone()
        # The parameters become views of one flat vector: moving to a new theta is one copy.
        for weight, view in zip(self.weights, self.views(self._flat), strict=True):
            weight.data = view

        x = x.to(self.device, self.dtype) if x.is_floating_point() else x.to(self.device)
        self.layout = _layout(x, self.model)
        x = x.contiguous(memory_format=self.layout)
        y = y.to(self.device, self.dtype) if y.is_floating_point() else y.to(self.device)
        self._batches = list(zip(x.split(self.batch_size), y.split(self.batch_size), strict=True))
        if loss == "cross_entropy":
            self._check_outputs(y)

    @property
    def theta(self) -> torch.Tensor:
        """A copy (P,) of the parameters the model had when the objective was made."""
        return self._theta.clone()

    def loss(self, theta: torch.Tensor) -> float:
        """The loss at theta (P,), averaged over all n samples; units of the loss function (nats by default)."""
        self.move(theta)
        self.counts.forward += 1
        with torch.no_grad():
            total = sum(w * self.loss_function(self.model(x), y).double() for w, x, y in self.weighted())
        return float(total)

    def gradient(self, theta: torch.Tensor) -> torch.Tensor:
        """The gradient (P,) of the loss at theta (P,)."""
        return self.loss_and_gradient(theta)[1]

    def loss_and_gradient(self, theta: torch.Tensor, out: torch.Tensor | None = None) -> tuple[float, torch.Tensor]:
        """The loss and its gradient (P,) at theta (P,) from one forward and one backward pass.

        Args:
            theta: the point (P,).
            out: a vector (P,) of the objective's device and dtype that receives the gradient, so that a caller that
                keeps several gradients can have each written straight to where it stays.
        """
        self.move(theta)
        self.counts.gradients += 1
        if out is None:
            out = torch.empty_like(self._flat)
        elif out.shape != self._flat.shape or out.dtype != self.dtype or not out.is_contiguous():
            raise ValueError(
                f"out must be a contiguous vector of length {self.parameters} and dtype {self.dtype}, got shape "
                f"{tuple(out.shape)} and dtype {out.dtype}"
            )
        out.zero_()
        for weight, view in zip(self.weights, self.views(out), strict=True):
            weight.grad = view
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        try:
            for w, x, y in self.weighted():
                value = self.loss_function(self.model(x), y)
                (w * value).backward()
                total += w * value.detach()
        finally:
            for weight in self.weights:
                weight.grad = None
        return float(total), out

    def hvp(self, theta: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        r"""The product of the Hessian at theta with v, by differentiating :math:`\langle\nabla L, v\rangle`.

        Args:
            theta: the point (P,).
            v: one vector (P,) or k of them as columns (P, k); all k share one gradient graph a micro-batch.

        Returns:
            ``H v`` in the shape of v. For ReLU networks this is the Hessian of the smooth piece that theta lies in.
        """
        columns = self._check_vectors(v)
        self.move(theta)
        self.counts.products += columns.shape[1]
        result = torch.zeros(self.parameters, columns.shape[1], dtype=self.dtype, device=self.device)
        for w, x, y in self.weighted():
            value = w * self.loss_function(self.model(x), y)
            gradient = _flatten(
                torch.autograd.grad(value, self.weights, create_graph=True, allow_unused=True), self.weights
            )
            if not gradient.requires_grad:
                continue  # this micro-batch is affine in theta: it has no curvature
            for j in range(columns.shape[1]):
                product = torch.autograd.grad(
                    gradient @ columns[:, j],
                    self.weights,
                    retain_graph=j + 1 < columns.shape[1],
                    allow_unused=True,
                )
                result[:, j] += _flatten(product, self.weights)
        return result.reshape(v.shape)

    def outputs(self, theta: torch.Tensor) -> torch.Tensor:
        """The model's outputs (n, ...) at theta (P,)."""
        self.move(theta)
        self.counts.forward += 1
        with torch.no_grad():
            return torch.cat([self.model(x) for x, _ in self._batches])

    def accuracy(self, theta: torch.Tensor) -> float:
        """The share of samples whose largest output (last axis) is their label; y must hold class indices."""
        _, labels = self.samples()
        if labels.is_floating_point():
            raise ValueError(f"accuracy needs class indices as targets, got targets of dtype {labels.dtype}")
        return float((self.outputs(theta).argmax(-1) == labels).double().mean())

    def __repr__(self) -> str:
        return (
            f"Objective({type(self.model).__name__}, P={self.parameters}, n={self.n}, "
            f"batch_size={self.batch_size}, batchnorm={self.batchnorm!r}, {self.dtype}, {self.device})"
        )

    def weighted(self) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
        """(share of the samples, x, y) of each micro-batch, in order."""
        for x, y in self._batches:
            yield len(x) / self.n, x, y

    def samples(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All inputs (n, ...) and targets (n, ...) in order; copies of them only where there are several micro-batches.

        They are the objective's own: not to be written to.
        """
        if len(self._batches) == 1:
            return self._batches[0]
        return torch.cat([x for x, _ in self._batches]), torch.cat([y for _, y in self._batches])

    def views(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """``vector`` (P,) cut into the shapes of the parameters, without a copy."""
        pieces = vector.split([p.numel() for p in self.weights])
        return [piece.view(p.shape) for piece, p in zip(pieces, self.weights, strict=True)]

    def move(self, theta: torch.Tensor) -> None:
        """Put the private model at theta (P,)."""
        if theta.shape != self._flat.shape:
            raise ValueError(f"theta must have shape ({self.parameters},), got {tuple(theta.shape)}")
        self._flat.copy_(theta.detach())

    def _check_vectors(self, v: torch.Tensor) -> torch.Tensor:
        if v.dim() not in (1, 2) or v.shape[0] != self.parameters:
            raise ValueError(f"v must have shape ({self.parameters},) or ({self.parameters}, k), got {tuple(v.shape)}")
        columns = v if v.dim() == 2 else v[:, None]
        return columns.detach().to(self.device, self.dtype)

    def _check_outputs(self, y: torch.Tensor) -> None:
        """Refuse a model without one output a class, and labels beyond its outputs; errors deep in a run say less."""
        with torch.no_grad():
            outputs = self.model(self._batches[0][0])
        if not isinstance(outputs, torch.Tensor):
            raise ValueError(
                f"{type(self.model).__name__} returns a {type(outputs).__name__} where the loss takes one tensor: wrap "
                "it in a module that returns the outputs of the classes alone"
            )
        if y.is_floating_point():
            return  # class probabilities
        width = outputs.shape[1]
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= width:
            raise ValueError(f"labels run from {low} to {high}, but the model has {width} outputs (0 to {width - 1})")


def _check(
    x: torch.Tensor, y: torch.Tensor, loss: str | LossFunction, batch_size: int | None, batchnorm: str
) -> LossFunction:
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"x and y must hold the same number of samples, at least one: got {len(x)} and {len(y)}")
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        raise ValueError("x holds NaN or infinite values: clean or drop those samples first")
    if isinstance(loss, str) and loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: expected one of {sorted(LOSSES)} or a callable")
    if batchnorm not in BATCHNORM_POLICIES:
        raise ValueError(f"unknown batchnorm policy {batchnorm!r}: expected one of {list(BATCHNORM_POLICIES)}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1 or None for the whole set, got {batch_size}")
    if batchnorm == "whole" and batch_size is not None and batch_size < len(x):
        raise ValueError(
            f"batchnorm='whole' needs all {len(x)} samples in one pass, got batch_size={batch_size}: "
            "pass batch_size=None, or choose batchnorm='batch'"
        )
    return LOSSES[loss] if isinstance(loss, str) else loss


def _layout(x: torch.Tensor, model: nn.Module) -> torch.memory_format:
    """For images the layout in which oneDNN's and cuDNN's convolutions are up to three times faster.

    A model that cuts its activations with ``view`` does not take it and gets the usual one.
    """
    if x.dim() != 4:
        return torch.contiguous_format
    try:
        with torch.no_grad():
            model(x[:2].contiguous(memory_format=torch.channels_last))
    except (RuntimeError, ValueError):
        return torch.contiguous_format
    return torch.channels_last


def _set_mode(model: nn.Module, batchnorm: str) -> None:
    """Evaluation mode (no dropout), with BatchNorm told which statistics to use.

    A BatchNorm layer without running statistics normalises with those of its input in either mode.
    """
    model.eval()
    if batchnorm == "frozen":
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean = module.running_var = None
            module.num_batches_tracked = None
            module.track_running_stats = False


def _flatten(pieces: tuple[torch.Tensor | None, ...], like: list[nn.Parameter]) -> torch.Tensor:
    return torch.cat(
        [p.new_zeros(p.numel()) if g is None else g.reshape(-1) for g, p in zip(pieces, like, strict=True)]
    )
