r"""Directions :math:`\epsilon` in which to look at a landscape, :math:`\theta + \lambda\epsilon`, and how they lie.

A direction is a vector (P,) like theta. Random ones are scaled block by block to theta's size, so that one step of
:math:`\lambda` means a comparable change everywhere (*Visualizing, Rethinking, and Mining*, Sec. 2.1 and 2.2; filters
after Li et al., *Visualizing the Loss Landscape of Neural Nets*, 2018, Sec. 4). Norms, angles and projections are
computed in double precision on the CPU, whatever the objective's device and dtype: at P = 400,000 the angles of
interest differ from 90 degrees by about a tenth (:func:`angle_spread`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
import xarray

from .objective import Objective
from .objective_checks.vectors import check_finite

Normalisation = Literal["filter", "layer", "model"]
OneDimensional = Literal["scale", "zero"]


def gaussian(
    objective: Objective,
    theta: torch.Tensor,
    seed: int = 0,
    normalize: Normalisation | None = "filter",
    one_dimensional: OneDimensional = "scale",
) -> torch.Tensor:
    r"""A direction with independent entries :math:`\epsilon_i\sim\mathcal N(0,1)`, scaled by :func:`normalise`.

    Drawn from a generator of its own, in double precision on the CPU (torch's single-precision routine differs between
    processors), so that a seed means the same direction on every device and, up to rounding, in every dtype.

    Args:
        objective: whose parameters the direction perturbs.
        theta: the point (P,) whose norms the blocks take.
        seed: of the draw.
        normalize: what has theta's norm afterwards: each ``"filter"``, each ``"layer"``, the whole ``"model"``, or
            nothing (None: entries of unit variance, norm about :math:`\sqrt P`). The mining paper scales the whole
            model in its Figures 2 and 3 and compares the others; the default is Li et al.'s.
        one_dimensional: see :func:`normalise`.

    Returns:
        (P,) on the objective's device and of its dtype.

    Raises:
        ValueError: as :func:`normalise`.
    """
    _check_options(normalize, one_dimensional)
    generator = torch.Generator().manual_seed(seed)
    direction = objective.keep_padding(torch.randn(objective.parameters, generator=generator, dtype=torch.float64))
    return normalise(objective, theta, direction, normalize, one_dimensional)


def normalise(
    objective: Objective,
    theta: torch.Tensor,
    direction: torch.Tensor,
    how: Normalisation | None,
    one_dimensional: OneDimensional = "scale",
) -> torch.Tensor:
    r"""Scale every block b of a direction to the norm of theta's block.

    .. math:: \epsilon_b \leftarrow \|\theta_b\|\,\frac{\epsilon_b}{\|\epsilon_b\|}

    Blocks are the whole vector (``"model"``; mining paper, Sec. 2.1), the objective's layers (``"layer"``, App. A.3) or
    its filters (``"filter"``; Li et al. 2018, Sec. 4): the slices of a weight tensor along its first axis, which for a
    convolution are the filters, for a linear layer the weights of one neuron.

    A block where theta is zero becomes zero, and one where the direction is zero stays zero; no constant is added to a
    norm, so every other block has theta's norm to rounding.

    Args:
        objective: gives the shapes of the parameters and the layers.
        theta: the point (P,).
        direction: (P,); left as it is.
        how: ``"filter"``, ``"layer"``, ``"model"``, or None to leave lengths alone.
        one_dimensional: what becomes of tensors with fewer than two axes (biases, the affine parameters of BatchNorm),
            which have no filters. ``"scale"`` (default): with filters, each such tensor is one block; they belong to
            their layer and to the model otherwise. The mining paper does not say. ``"zero"``: they are not perturbed,
            whatever ``how``, as in Li et al.'s published plots.

    Returns:
        (P,) on the objective's device and of its dtype.

    Raises:
        ValueError: an unknown option, a vector of the wrong length or with values that are not finite, or a result of
            zero norm.
    """
    _check_options(how, one_dimensional)
    at, result = _double(objective, theta, "theta"), _double(objective, direction, "direction").clone()
    if one_dimensional == "zero":
        for piece in objective.views(result):
            if piece.dim() < 2:
                piece.zero_()
    _scale(objective, at, result, how)
    if not bool(result.any()):
        raise ValueError(
            f"a direction of zero norm: nothing is left of it after how={how!r}, one_dimensional={one_dimensional!r} "
            "(where theta or the direction is zero the result is); choose another direction or how=None"
        )
    return result.to(objective.device, objective.dtype)


def negative_gradient(objective: Objective, theta: torch.Tensor) -> torch.Tensor:
    r""":math:`-\nabla\mathcal L(\theta)` (P,), as it is: the mining paper's first way to a v-side curve (Sec. 2.3).

    Raises:
        ValueError: the gradient is zero or not finite.
    """
    direction = -objective.gradient(theta)
    _norm(direction.double().cpu(), "the negative gradient")
    return direction


def towards(theta: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    r"""The direction (P,) that reaches another point at :math:`\lambda=1`: :math:`\epsilon=\theta'-\theta`.

    A later checkpoint gives v-side curves, an independently trained one w-basins (mining paper, Sec. 2.3 and 2.4).

    Raises:
        ValueError: vectors of different length, or the same point twice.
    """
    if theta.shape != other.shape or theta.dim() != 1:
        raise ValueError(
            f"theta and other must be vectors of one length, got {tuple(theta.shape)} and {tuple(other.shape)}"
        )
    direction = (other - theta).detach()
    _norm(direction.double().cpu(), "the direction from theta to other")
    return direction


def orthogonalised(d2: torch.Tensor, d1: torch.Tensor) -> torch.Tensor:
    r"""The part of d2 (P,) that is orthogonal to d1 (P,).

    .. math:: d_2 - \frac{\langle d_1,d_2\rangle}{\langle d_1,d_1\rangle}\,d_1

    The mining paper speaks of two orthogonal directions (Sec. 2.1), says that most of its own are (Appendix A.4) and
    does not make them so; the lines from one point to two checkpoints, for instance, are not. The norm is that of the
    projection, not of d2.

    Raises:
        ValueError: vectors of different length, of zero norm or not finite, or parallel ones.
    """
    a, b = _pair(d1, d2)
    unit = a / _norm(a, "d1")
    length = _norm(b, "d2")
    rest = b - (unit @ b) * unit
    rest -= (unit @ rest) * unit  # what rounding left of d1 when the two were nearly parallel
    if float(rest.norm()) <= 10 * torch.finfo(d2.dtype).eps * length:
        raise ValueError(f"d1 and d2 are parallel (they span a line, not a plane): the angle is {angle(d1, d2):.3g}°")
    return rest.to(d2.device, d2.dtype)


def cosines(vectors: torch.Tensor) -> np.ndarray:
    """Cosines between all pairs of k vectors, the columns of (P, k): a symmetric (k, k) with ones on the diagonal.

    Raises:
        ValueError: not a matrix, or a column of zero norm or with values that are not finite.
    """
    if vectors.dim() != 2:
        raise ValueError(f"vectors must be the columns of a matrix (P, k), got shape {tuple(vectors.shape)}")
    columns = vectors.detach().cpu().double()
    norms = torch.tensor([_norm(c, f"column {j} of vectors") for j, c in enumerate(columns.T)], dtype=torch.float64)
    gram = ((columns.T @ columns) / torch.outer(norms, norms)).numpy()
    gram = np.clip((gram + gram.T) / 2, -1.0, 1.0)
    np.fill_diagonal(gram, 1.0)
    return gram


def angle(a: torch.Tensor, b: torch.Tensor) -> float:
    r"""The angle between two vectors (P,) in degrees, 0 to 180.

    .. math:: 2\arctan\frac{\|\hat a-\hat b\|}{\|\hat a+\hat b\|},\quad \hat a=a/\|a\|,\ \hat b=b/\|b\|

    equals the arc cosine of the mining paper's Figure 5 and, unlike it, loses no digits near 0 and 180 degrees.

    Raises:
        ValueError: vectors of different length, of zero norm or not finite.

    Examples:
        >>> angle(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 3.0]))
        90.0
    """
    a, b = _pair(a, b)
    a, b = a / _norm(a, "the first vector"), b / _norm(b, "the second vector")
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))


def angle_spread(dimension: int) -> float:
    r"""The standard deviation, in degrees, of the angle between a Gaussian direction and any fixed one, for large P.

    The cosine has mean 0 and variance exactly :math:`1/P`. Near 90 degrees a small cosine is, in radians, the distance
    of the angle from 90, hence :math:`\frac{180}{\pi}P^{-1/2}` degrees. The mining paper's Figure 5 shows such angles.

    Args:
        dimension: P.

    Raises:
        ValueError: a dimension below 1.

    Examples:
        >>> round(angle_spread(394_634), 4)
        0.0912
    """
    if dimension < 1:
        raise ValueError(f"dimension must be at least 1, got {dimension}")
    return math.degrees(1 / math.sqrt(dimension))


def log_density_of(gradient: torch.Tensor) -> float:
    r"""The log density of a standard normal direction at a vector g (P,).

    .. math:: \log p(g) = -\tfrac12\|g\|^2 - \tfrac P2\log 2\pi

    The mining paper (Sec. 2.3) takes it at the gradient and calls it a probability; it is a density, whose value
    depends on the units of the parameters and is dominated by P.

    Raises:
        ValueError: not a vector.

    Examples:
        >>> round(log_density_of(torch.zeros(2)), 6)  # -log(2 pi)
        -1.837877
    """
    if gradient.dim() != 1:
        raise ValueError(f"gradient must be a vector (P,), got shape {tuple(gradient.shape)}")
    squared = float(gradient.detach().cpu().double().square().sum())
    return -squared / 2 - gradient.numel() / 2 * math.log(2 * math.pi)


def overlaps(vectors: Mapping[str, torch.Tensor], theta: torch.Tensor) -> xarray.Dataset:
    """Norms and mutual cosines of named directions (P,), to be stated beside any picture that uses them.

    Args:
        vectors: name -> direction (P,).
        theta: the point (P,) they start from.

    Returns:
        Over ``direction``: ``norm`` and ``relative_norm`` (in units of theta's norm); over (``direction``, ``other``):
        ``cosine``.

    Raises:
        ValueError: no direction; theta or a direction of zero norm or not finite.
    """
    if not vectors:
        raise ValueError("vectors must name at least one direction, got none")
    stacked = torch.stack([v.detach().cpu().double() for v in vectors.values()], dim=1)
    norms = stacked.norm(dim=0).numpy()
    size = _norm(theta.detach().cpu().double(), "theta")
    names = list(vectors)
    return xarray.Dataset(
        {
            "norm": ("direction", norms, {"units": "parameter", "long_name": "length of the direction"}),
            "relative_norm": ("direction", norms / size, {"units": "1", "long_name": "length over that of theta"}),
            "cosine": (("direction", "other"), cosines(stacked), {"units": "1", "long_name": "cosine of the angle"}),
        },
        coords={"direction": names, "other": names},
    )


def _scale(objective: Objective, theta: torch.Tensor, direction: torch.Tensor, how: str | None) -> None:
    """Give each block of the direction theta's norm, in place."""
    if how == "filter":
        for there, here in zip(objective.views(theta), objective.views(direction), strict=True):
            if not here.numel():
                continue
            filters = len(here) if here.dim() > 1 else 1
            size, length = (tensor.reshape(filters, -1).norm(dim=1, keepdim=True) for tensor in (there, here))
            here.view(filters, -1).mul_(torch.where(length > 0, size / length, 0.0))
        return
    blocks: list[tuple[slice, ...]] = []
    if how == "model":
        blocks = [(slice(0, len(theta)),)]
    elif how == "layer":
        blocks = [layer.slices for layer in objective.layers]
    for ranges in blocks:
        size, length = (math.hypot(*(float(vector[r].norm()) for r in ranges)) for vector in (theta, direction))
        for r in ranges:
            direction[r] *= size / length if length > 0 else 0.0


def _check_options(how: str | None, one_dimensional: str) -> None:
    if how is not None and how not in get_args(Normalisation):
        raise ValueError(f"unknown normalisation {how!r}: expected one of {list(get_args(Normalisation))} or None")
    if one_dimensional not in get_args(OneDimensional):
        raise ValueError(
            f"unknown one_dimensional {one_dimensional!r}: expected one of {list(get_args(OneDimensional))}"
        )


def _double(objective: Objective, vector: torch.Tensor, name: str) -> torch.Tensor:
    objective.check_vector(vector, name)
    vector = vector.detach().cpu().double()
    check_finite(vector, name)
    return vector


def _pair(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if a.shape != b.shape or a.dim() != 1:
        raise ValueError(f"expected two vectors of one length, got shapes {tuple(a.shape)} and {tuple(b.shape)}")
    return a.detach().cpu().double(), b.detach().cpu().double()


def _norm(vector: torch.Tensor, name: str) -> float:
    """The norm of a vector that has a direction; any other is refused by its name."""
    norm = float(vector.norm())
    if not (math.isfinite(norm) and norm > 0):
        raise ValueError(f"{name} has norm {norm}: expected finite values, not all of them zero")
    return norm
