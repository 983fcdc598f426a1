r"""Correlation of adjacent gradients, globally and layer by layer.

.. math::

    \mu(j,k) = \frac{\langle\nabla\mathcal L_n(\theta_j),\nabla\mathcal L_n(\theta_k)\rangle}
                    {\|\nabla\mathcal L_n(\theta_j)\|\,\|\nabla\mathcal L_n(\theta_k)\|}

(*Exploring Gradient Oscillation*, eq. 2.)
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
import xarray

from ..layers import Layer
from ..objective import Objective
from .inner_products import least, lost
from .probe import Step, at_least_single


def windowed_mean(correlation: np.ndarray, window: int = 5) -> np.ndarray:
    r"""Mean correlation over the adjacent pairs of a trailing window of iterations.

    .. math:: \bar\mu_k = \frac1{h-1}\sum_{j=k-h+1}^{k-1}\mu(j,j+1)

    The paper fixes h = 5 (Section II-A) and says in words only that adjacent pairs in the window are averaged; read
    here as trailing, stride 1, so h iterations give h - 1 pairs.

    Args:
        correlation: (K + 1, ...) with :math:`\mu(k-1,k)` in row k; row 0 has no predecessor and is NaN.
        window: h, at least 2.

    Returns:
        The same shape; NaN in the first h - 1 rows, which have no full window.

    Raises:
        ValueError: a window below 2.
    """
    if window < 2:
        raise ValueError(f"window must hold at least 2 iterations to have a pair, got {window}")
    correlation = np.asarray(correlation, dtype=np.float64)
    result = np.full_like(correlation, np.nan)
    if len(correlation) >= window:
        pairs = np.lib.stride_tricks.sliding_window_view(correlation[1:], window - 1, axis=0)
        result[window - 1 :] = pairs.mean(-1)
    return result


class GradientCorrelation:
    r"""Records, at every step, how the gradient relates to the one before.

    Result, over ``step``: ``gradient_norm``, ``dot`` (inner product with the previous gradient), ``correlation``
    (its cosine), ``windowed_correlation`` (:func:`windowed_mean`); the last three over ``(step, layer)`` as
    ``layer_dot``, ``layer_correlation``, ``layer_windowed_correlation`` (Section III-C of the paper); and ``matrix``
    over ``(epoch, a, b)`` with :math:`M_{ab}=\mu(k+a,k+b)` for the window that starts at each epoch k of
    ``matrices_at``. A layer whose gradient is exactly zero has correlation NaN: it points nowhere.

    The global dot product is computed on the whole vectors and the layers' on their parts, so that
    :math:`\sum_l p^{(l)} = \langle\nabla L_j,\nabla L_k\rangle` is a check and not a definition.

    Args:
        window: h, 5 as in the paper (Section II-A). The trajectory holds two gradients, h for matrices.
        matrices_at: the steps at which a window for a matrix starts; the paper shows 5 and 675 for its CNN (Figure 2).
            No matrix by default.

    Raises:
        ValueError: a window below 2, or a negative step.
    """

    def __init__(self, window: int = 5, matrices_at: Sequence[int] = ()) -> None:
        if window < 2:
            raise ValueError(f"window must hold at least 2 iterations to have a pair, got {window}")
        if any(k < 0 for k in matrices_at):
            raise ValueError(f"matrices_at must hold steps counted from 0, got {list(matrices_at)}")
        self.window = window
        self.matrices_at = tuple(sorted(set(matrices_at)))
        self.history = window - 1 if self.matrices_at else 1
        self.settings = (window, self.matrices_at)

    def begin(self, objective: Objective) -> None:
        self._layers = objective.layers
        self._on_cpu = objective.device.type == "cpu"
        self._least = least(objective.parameters, torch.promote_types(objective.dtype, torch.float32))
        self._rows = array("d")
        self._matrices: dict[int, np.ndarray] = {}
        self._latest: _Cut | None = None

    def observe(self, step: Step) -> None:
        g, before = at_least_single(step.gradient), at_least_single(step.past[0]) if step.past else None
        if before is None or not self._on_cpu:
            self._rows.extend(_inner_products(g, before, self._layers))
        else:
            last, now = self._latest, _Cut(g, self._layers)
            if last is None or last.gradient is not before:
                last = _Cut(before, self._layers)
            self._latest = now
            dots = now.dots(last)
            held = math.isfinite(sum(dots)) and min(map(abs, dots)) >= self._least
            self._rows.extend(dots if held else _inner_products(g, before, self._layers))
        first = step.index - self.window + 1
        if first in self.matrices_at:
            window = [*reversed(step.past[: self.window - 1]), step.gradient]
            self._matrices[first] = _cosines([at_least_single(gradient) for gradient in window])

    def result(self) -> xarray.Dataset:
        L = len(self._layers)
        rows = self._table()
        self._latest = None  # its storage is the trajectory's
        dot, layer_dot = rows[:, 0], rows[:, 2 : 2 + L]
        norm, layer_norm = np.sqrt(rows[:, 1]), np.sqrt(rows[:, 2 + L :])
        correlation, layer_correlation = _normalise(dot, norm), _normalise(layer_dot, layer_norm)
        h = self.window
        k, over_layers = ("step",), ("step", "layer")
        cosine = {"units": "1", "window": h}
        squared = {"units": "nat^2 / parameter^2", "long_name": "inner product of adjacent gradients"}
        epochs = sorted(self._matrices)
        matrices = np.array([self._matrices[e] for e in epochs]).reshape(-1, h, h)
        return xarray.Dataset(
            {
                "gradient_norm": (k, norm, {"units": "nat / parameter", "long_name": "norm of the gradient"}),
                "dot": (k, dot, squared),
                "correlation": (k, correlation, {"units": "1", "long_name": "correlation of adjacent gradients"}),
                "windowed_correlation": (k, windowed_mean(correlation, h), cosine),
                "layer_dot": (over_layers, layer_dot, squared),
                "layer_correlation": (over_layers, layer_correlation, {"units": "1"}),
                "layer_windowed_correlation": (over_layers, windowed_mean(layer_correlation, h), cosine),
                "matrix": (("epoch", "a", "b"), matrices, {"units": "1", "long_name": "pairwise correlation"}),
            },
            coords={
                "step": np.arange(len(rows)),
                "layer": [layer.name for layer in self._layers],
                "epoch": np.array(epochs, dtype=np.int64),
            },
        )

    def _table(self) -> np.ndarray:
        """(step, 2 + 2 L): :func:`_inner_products` of every step."""
        return np.array(self._rows).reshape(-1, 2 + 2 * len(self._layers))

    def state(self) -> Mapping[str, np.ndarray]:
        epochs = sorted(self._matrices)
        return {
            "rows": self._table(),
            "epochs": np.array(epochs, dtype=np.int64),
            "matrices": np.array([self._matrices[e] for e in epochs]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._rows = array("d", np.ravel(state["rows"]).tolist())
        self._matrices = {int(e): m for e, m in zip(state["epochs"], state["matrices"], strict=True)}


class _Cut:
    """A gradient in main memory as NumPy sees it, whole and cut into layers.

    Small networks step in half a millisecond, and what runs between two steps makes the next one slower too, for its
    code is no longer where the processor had it. So little is done at a step and nothing twice: NumPy's views and dots
    take a third of torch's overhead, and the views of one step serve the next.
    """

    __slots__ = ("gradient", "parts", "whole")

    def __init__(self, gradient: torch.Tensor, layers: Sequence[Layer]) -> None:
        self.gradient = gradient
        self.whole: np.ndarray = gradient.numpy()
        self.parts = [layer.of(self.whole) for layer in layers]

    def dots(self, before: _Cut) -> list[float]:
        """As :func:`_inner_products`, without the second look at what leaves the range."""
        g, parts = self.whole, self.parts
        # Of NumPy's ways to the same dot product of BLAS this one alone does not ask for floating-point errors
        # afterwards: these are dealt with above, and switching the question off costs as much as a dot product.
        return [
            float(np.vdot(g, before.whole)),
            float(np.vdot(g, g)),
            *[float(np.vdot(u, v)) for u, v in zip(parts, before.parts, strict=True)],
            *[float(np.vdot(u, u)) for u in parts],
        ]


def _inner_products(g: torch.Tensor, before: torch.Tensor | None, layers: Sequence[Layer]) -> list[float]:
    """[<g, before>, |g|^2, <g, before> of each layer ..., |g|^2 of each layer ...], 2 + 2 L numbers."""
    other = torch.full_like(g, torch.nan) if before is None else before
    parts, others = ([layer.of(vector) for layer in layers] for vector in (g, other))
    pairs = [(g, other), (g, g), *zip(parts, others, strict=True), *zip(parts, parts, strict=True)]
    if g.device.type == "cpu":
        row = [float(np.vdot(u.numpy(), v.numpy())) for u, v in pairs]
    else:
        row = torch.stack([u @ v for u, v in pairs]).double().tolist()
    if any(lost(value, u, v) for value, (u, v) in zip(row, pairs, strict=True) if not math.isnan(value)):
        return _inner_products(g.double(), None if before is None else before.double(), layers)
    return row


def _normalise(dot: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Cosines from inner products with the row before (K + 1, ...) and norms; NaN where a norm is zero."""
    result = np.full_like(dot, np.nan)
    both = norm[1:] * norm[:-1]
    np.divide(dot[1:], both, out=result[1:], where=both > 0)
    return np.clip(result, -1.0, 1.0)


def _cosines(gradients: Sequence[torch.Tensor]) -> np.ndarray:
    gram = torch.stack([torch.stack([a @ b for b in gradients]) for a in gradients]).double().cpu().numpy()
    pairs = product(gradients, repeat=2)
    if any(lost(value, a, b) for value, (a, b) in zip(gram.ravel().tolist(), pairs, strict=True)):
        return _cosines([gradient.double() for gradient in gradients])
    norms = np.sqrt(np.diag(gram))
    both = np.outer(norms, norms)
    return np.clip(np.divide(gram, both, out=np.full_like(gram, np.nan), where=both > 0), -1.0, 1.0)
