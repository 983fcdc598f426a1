r"""The Hessian in coordinates of which each has a scale of its own: :math:`D^{1/2}HD^{1/2}` with a diagonal D.

In :math:`\varphi=D^{-1/2}\theta` the loss is :math:`\varphi\mapsto L(D^{1/2}\varphi)`, and this is its Hessian. A step
of gradient descent there is :math:`\theta\leftarrow\theta-\eta D\nabla L`, so its eigenvalues, which are those of DH,
are to preconditioned descent what the Hessian's are to the plain one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..objective import Objective
from .operator import HessianAt


def root_of(objective: Objective, scale: torch.Tensor | None) -> torch.Tensor | None:
    r""":math:`D^{1/2}` (P,) of a scale, on the objective's device and of its dtype; None of None.

    Raises:
        TypeError: no tensor.
        ValueError: another shape than (P,), a number that is negative, NaN or infinite, or nothing but zeros.
    """
    if scale is None:
        return None
    objective.check_vector(scale, "scale")
    # The root of a number that is too small or too large for the objective's dtype may fit.
    wide = scale.detach().to(objective.device).to(torch.promote_types(scale.dtype, objective.dtype))
    root = wide.sqrt().to(objective.dtype)
    wrong = int((~torch.isfinite(root)).sum())
    if wrong:
        raise ValueError(
            f"scale must hold finite numbers of at least 0, got {wrong} of {len(root)} that are negative, NaN or "
            "infinite: it multiplies the Hessian from both sides by its root"
        )
    if not bool(root.any()):
        raise ValueError("scale holds nothing but zeros, and so would the spectrum: give at least one number above 0")
    return root


def scaled_product(hessian: HessianAt, root: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor]:
    r"""``v (P,) ->`` :math:`D^{1/2}HD^{1/2}v`, and ``H v`` itself without a root."""
    if root is None:
        return hessian.product
    return lambda v: root * hessian.product(root * v)
