"""Orthonormal rows, to rounding however long they are.

LAPACK's QR in single precision sums along a column one number after another. Of 21 eigenvectors of an MLP with 660,000
parameters it made rows that were orthonormal to 4.5e-4 only, and residuals in their span got no smaller than that.
"""

from __future__ import annotations

import torch

from .long_vectors import inner

# What a row must add to the space, in units of rounding; less is rounding.
NEW = 100.0


def orthonormal(rows: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis (c, P) of what ``rows`` (b, P) add to the span of the orthonormal ``basis`` (m, P).

    Where every row adds something, the first of the result span with ``basis`` what the first of ``rows`` do.
    """
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    rows = rows - inner(rows, basis).to(rows.dtype) @ basis
    Q, R = torch.linalg.qr(rows.T)
    # Where rows repeat each other, Q holds directions of none of them, and no diagonal of R tells which.
    axes, sizes, _ = torch.linalg.svd(R.cpu())
    new = sizes > NEW * torch.finfo(rows.dtype).eps
    rows = (Q if bool(new.all()) else Q @ axes[:, new].to(Q.device)).T
    # A row that lay in the space but for a little has errors of that size, which a second projection takes away.
    return _polished(rows - inner(rows, basis).to(rows.dtype) @ basis)


def _polished(rows: torch.Tensor) -> torch.Tensor:
    r"""Rows that are nearly orthonormal, made so: :math:`V+\frac12(I-VV^\top)V`, which squares the error.

    A step of Newton's and Schulz's iteration for the polar factor.
    """
    lacking = torch.eye(len(rows), dtype=torch.float64, device=rows.device) - inner(rows, rows)
    return torch.addmm(rows, (0.5 * lacking).to(rows.dtype), rows)
