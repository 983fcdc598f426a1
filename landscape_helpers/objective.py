r"""A model, its data and a loss as functions of one flat parameter vector.

.. math::

    \mathcal L_n(\theta) = \frac1n \sum_{i=1}^n \ell(h_\theta(x_i), y_i)

(eq. 1 of *Exploring Gradient Oscillation*; the same object stands in all four papers.) Everything that is easy
to get wrong when an instrument talks to a network lives here, and only here: micro-batches weighted by what they
hold, the BatchNorm policy, dropout off, a fixed order of the data, device and dtype, and a caller's model that is
never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .layers import Layer, layers_of, trainable_parameters
from .objective_checks.arguments import BATCHNORM_POLICIES as BATCHNORM_POLICIES
from .objective_checks.arguments import LOSSES as LOSSES
from .objective_checks.arguments import LossFunction, check_arguments
from .objective_checks.averaging import check_single
from .objective_checks.isolation import check_unwritten, version
from .objective_checks.preparation import prepared_data, prepared_model
from .objective_checks.surroundings import check_gradients, check_precision
from .objective_checks.trial import check_evaluation
from .objective_checks.vectors import check_finite, check_length, columns_of
from .padding import padding_rows
from .precision import warn_of_tf32
from .predictions import Tally
from .twice_differentiable import TwiceDifferentiable, first_gradient


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
    not reach the objective either. The data are copied too, without their autograd history. Forward hooks come along
    with the model and fire at every evaluation of the copy: what they write to outside the model, such as a list they
    append to, stays the caller's; remove them before where that is not wanted.

    Curvature needs a second derivative of every operation. In the copy, ``parametrizations.weight_norm`` is computed
    from plain operations, because PyTorch's second derivative of it is wrong, and Hessian products take attention in
    its plain form, because the fused kernels have none; both change values by rounding only. Any other operation
    without one is named by a ValueError (:mod:`~landscape_helpers.twice_differentiable`).

    It is tried on two samples when it is made (a callable with micro-batches also on the first and the last of them),
    without a trace in its buffers, in ``counts`` or in torch's random numbers. Copies (:func:`copy.deepcopy`,
    :mod:`pickle`) are objectives of their own.

    Args:
        model: any ``torch.nn.Module``; theta holds its parameters that require a gradient, flattened in the order of
            ``named_parameters()``, shared parameters once. An embedding's row for ``padding_idx``, from which PyTorch
            keeps the gradient, has its place in theta: derivatives are zero there, and random directions and noise
            leave it as it is (:meth:`keep_padding`).
        x: inputs (n, ...), one tensor, handed to the model in slices along the first axis.
        y: targets (n, ...), one tensor.
        loss: ``"cross_entropy"`` (default, for classification; y: class indices or probabilities), ``"mse"`` (y: of the
            shape of the outputs), or a callable ``(outputs, targets) -> scalar``. With micro-batches a callable must be
            a plain average over samples, one term a sample and each with the weight 1 / (samples in the batch):
            micro-batches are averaged by their number of samples. A sum, class weights or ignored labels under
            ``reduction="mean"`` divide by something else, and the value would depend on ``batch_size``: that is refused
            where the first and the last micro-batch show it. ``torch.nn.functional.cross_entropy`` as a callable leaves
            out labels of -100. A regulariser belongs in the model's outputs: one that a callable computes from the
            caller's ``model.parameters()`` is refused, for the objective moves its own copy of them.
        batch_size: images a pass; None takes all n at once. The order is fixed, and a short last micro-batch
            counts for what it holds, so without BatchNorm, and with a loss that is a plain average over samples, it
            changes only memory, speed and rounding.
        batchnorm: what BatchNorm normalises with. The gradient-oscillation paper does not say which it used.

            - ``"batch"`` (default, as in ordinary training): mean and variance of the micro-batch, differentiated
              through. The function then depends on ``batch_size``.
            - ``"whole"``: mean and variance of all n images, in one pass; needs ``batch_size=None``.
            - ``"frozen"``: the model's running statistics, as constants.
        device: where to compute; default: where the model's parameters are.
        dtype: floating type of parameters and inputs; default: the model's. float32 on a CUDA device is rounded to TF32
            unless one works inside :func:`~landscape_helpers.precision.full_precision`; a warning says so.

    Attributes:
        n: samples.
        parameters: P, the length of theta.
        layers: name, kind and place in theta of each layer (:class:`~landscape_helpers.layers.Layer`).
        counts: work done so far (:class:`Counts`).

    Instruments that evaluate the network in their own way find it in ``model`` (the private copy), ``weights`` (its
    parameters in the order of theta), ``loss_function``, :meth:`weighted`, :meth:`samples`, :meth:`move`,
    :meth:`views` and :meth:`joined`.

    Raises:
        RuntimeError: under ``torch.autocast`` or ``torch.inference_mode``; the evaluations raise it too, that of the
            loss alone only under the first.
        TypeError: a model that is no module or a scripted one, x or y that is not one tensor, a loss that cannot be
            called. The evaluations raise it for a theta that is no tensor.
        ValueError: no trainable parameter, or a complex one; an embedding that rescales its weights; a model that
            cannot be copied; no data; x and y of different length; NaN or infinite values in x, or in y under a named
            loss; a model or a loss that fails on the data; targets that do not fit the outputs; labels out of range; a
            loss that returns no single number, or with micro-batches is no plain average; a model or a loss that writes
            to its inputs or draws random numbers; an unknown loss or BatchNorm policy; a batch size below 1 or not
            whole; ``batchnorm="whole"`` with micro-batches; a last micro-batch of one sample that BatchNorm cannot
            take.
            The evaluations raise it too where a later forward pass writes to its inputs, and for a theta of another
            shape than (P,).
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
        loss_function = check_arguments(model, x, y, loss, batch_size, batchnorm)
        first = trainable_parameters(model)[0][1]
        self.device = torch.device(device) if device is not None else first.device
        check_precision(self.device)
        check_gradients()
        self.dtype = dtype or first.dtype
        warn_of_tf32(self.device, self.dtype)
        self.n = len(x)
        self.batchnorm = batchnorm
        self.batch_size = min(batch_size or self.n, self.n)
        self.counts = Counts()

        self.model = prepared_model(model, batchnorm, self.device, self.dtype)
        self.layers: tuple[Layer, ...] = layers_of(self.model)
        self.weights = [p for _, p in trainable_parameters(self.model)]
        self.parameters = sum(p.numel() for p in self.weights)
        self._flat = torch.cat([p.detach().reshape(-1) for p in self.weights])
        self._theta = self._flat.clone()
        self._attach()

        x, y, self.layout = prepared_data(self.model, loss_function, x, y, self.device, self.dtype)
        self._batches = list(zip(x.split(self.batch_size), y.split(self.batch_size), strict=True))
        self._versions = version(x), version(y)
        if len(self._batches[-1][0]) == 1:
            check_single(self.model, self._batches[-1][0], self.n, self.batch_size)
        self.loss_function = check_evaluation(
            self.model, model, loss_function, self._batches, y, isinstance(loss, str)
        )
        x, y = self._batches[0]
        self.padding = padding_rows(self.model, self.weights, lambda: self.loss_function(self.model(x), y))

    def _attach(self) -> None:
        """Make the parameters views of one flat vector: moving to a new theta is one copy."""
        for weight, view in zip(self.weights, self.views(self._flat), strict=True):
            weight.data = view

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copies and unpickled objectives: there the parameters have memory of their own, which no move would reach."""
        self.__dict__.update(state)
        self._attach()
        self._versions = version(self._batches[0][0]), version(self._batches[0][1])

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
        """The loss and its gradient (P,) at theta (P,) from one forward and one backward pass over the data.

        Args:
            theta: the point (P,).
            out: a vector (P,) of the objective's device and dtype that receives the gradient, so that a caller that
                keeps several gradients can have each written straight to where it stays; a new one by default.

        Raises:
            ValueError: ``out`` of another shape or dtype, or not contiguous.
        """
        check_gradients()
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
            with torch.enable_grad():
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

        Raises:
            ValueError: theta or v of the wrong shape; an operation of the model or the loss that has no second
                derivative in PyTorch, by its name.
        """
        check_gradients()
        columns = columns_of(v, self.parameters, "v").detach().to(self.device, self.dtype)
        self.move(theta)
        self.counts.products += columns.shape[1]
        result = torch.zeros(self.parameters, columns.shape[1], dtype=self.dtype, device=self.device)
        with TwiceDifferentiable(), torch.enable_grad():
            for w, x, y in self.weighted():
                value = w * self.loss_function(self.model(x), y)
                gradient = self.joined(first_gradient(value, self.weights, allow_unused=True))
                if not gradient.requires_grad:
                    continue  # this micro-batch is affine in theta: it has no curvature
                for j in range(columns.shape[1]):
                    product = torch.autograd.grad(
                        gradient @ columns[:, j],
                        self.weights,
                        retain_graph=j + 1 < columns.shape[1],
                        allow_unused=True,
                    )
                    result[:, j] += self.joined(product)
        return result.reshape(v.shape)

    def outputs(self, theta: torch.Tensor) -> torch.Tensor:
        """The model's outputs (n, ...) at theta (P,).

        Raises:
            ValueError: a model that returns something else than one tensor.
        """
        self.move(theta)
        self.counts.forward += 1
        with torch.no_grad():
            pieces = [self.model(x) for _, x, _ in self.weighted()]
        if not isinstance(pieces[0], torch.Tensor):
            raise ValueError(
                f"outputs needs a model that returns one tensor, got a {type(pieces[0]).__name__}: wrap it in a module "
                "that returns that tensor alone"
            )
        return torch.cat(pieces)

    def accuracy(self, theta: torch.Tensor) -> float:
        """The share of labels that are the largest output over the classes, from 0 to 1.

        The classes are axis 1 of the outputs, as for the cross-entropy: outputs (n, C) take targets (n,), outputs
        (n, C, d1, ...) targets (n, d1, ...). Labels of no class, such as an ignored -100, do not count; where there
        are no others, the share is NaN.

        Raises:
            ValueError: targets that are no class indices or not of the predictions' shape, fewer than two classes, or a
                model that returns something else than one tensor.
        """
        _, labels = self.samples()
        if labels.is_floating_point():
            raise ValueError(f"accuracy needs class indices as targets, got targets of dtype {labels.dtype}")
        tally = Tally()
        tally.add(self.outputs(theta), labels)
        return tally.share

    def __repr__(self) -> str:
        return (
            f"Objective({type(self.model).__name__}, P={self.parameters}, n={self.n}, "
            f"batch_size={self.batch_size}, batchnorm={self.batchnorm!r}, {self.dtype}, {self.device})"
        )

    def weighted(self) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
        """(share of the samples, x, y) of each micro-batch, in order."""
        for x, y in self._batches:
            yield len(x) / self.n, x, y
        first = self._batches[0]
        check_unwritten(self.model, self._versions == (version(first[0]), version(first[1])))

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

    def joined(self, pieces: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """One vector (P,) of pieces in the shapes of the parameters, zeros where a piece is None."""
        pairs = zip(pieces, self.weights, strict=True)
        return torch.cat([p.new_zeros(p.numel()) if piece is None else piece.reshape(-1) for piece, p in pairs])

    def move(self, theta: torch.Tensor) -> None:
        """Put the private model at theta (P,)."""
        self.check_vector(theta)
        self._flat.copy_(theta.detach())

    def keep_padding(self, direction: torch.Tensor) -> torch.Tensor:
        """``direction`` (P,) with zeros, set in place, for padding rows of embeddings, which no gradient moves."""
        views = self.views(direction)
        for place, row in self.padding:
            views[place][row] = 0
        return direction

    def check_vector(self, vector: torch.Tensor, name: str = "theta") -> None:
        """Refuse, by its name, what is no tensor of shape (P,).

        Raises:
            TypeError: not a tensor.
            ValueError: a tensor of another shape.
        """
        check_precision(self.device)
        check_length(vector, self.parameters, name)

    def finite_vector(self, vector: torch.Tensor, name: str = "theta") -> torch.Tensor:
        """``vector`` (P,) on the objective's device and of its dtype, for instruments that need finite numbers.

        Raises:
            TypeError: not a tensor.
            ValueError: a tensor of another shape, or values that are NaN or infinite there.
        """
        self.check_vector(vector, name)
        vector = vector.detach().to(self.device, self.dtype)
        check_finite(vector, name)
        return vector
