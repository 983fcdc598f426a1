"""Orthonormal rows, to rounding however long they are.

LAPACK's QR in single precision sums along a column one number after another. Of 21 eigenvectors of an MLP with 660,000
parameters it made rows that were orthonormal to 4.5e-4 only, and Rayleigh-Ritz residuals in their span got no smaller
than that.
"""

from __future__ import annotations

import torch

# What a row must add to the space, in units of rounding; less is rounding.
NEW = 100.0
# Columns of a block whose inner products are taken in double precision.
BLOCK = 65536


def orthonormal(rows: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis (c, P) of what ``rows`` (b, P) add to the span of the orthonormal ``basis`` (m, P)."""
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    rows = rows - (rows @ basis.T) @ basis
    Q, R = torch.linalg.qr(rows.T)
    rows = Q[:, R.diagonal().abs() > NEW * torch.finfo(rows.dtype).eps].T
    # A row that lay in the space but for a little has errors of that size, which a second projection takes away.
    return _polished(rows - (rows @ basis.T) @ basis)


def _polished(rows: torch.Tensor) -> torch.Tensor:
    r"""Rows that are nearly orthonormal, made so: :math:`V+\frac12(I-VV^\top)V`, which squares the error.

    A step of Newton's and Schulz's iteration for the polar factor.
    """
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for block in rows.split(BLOCK, dim=1):
        gram += block.double() @ block.double().T
    lacking = torch.eye(len(rows), dtype=gram.dtype, device=rows.device) - gram
    return torch.addmm(rows, (0.5 * lacking).to(rows.dtype), rows)
