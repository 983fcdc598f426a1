"""Inner products and norms of long vectors, to the rounding of their precision.

In single precision each of ten million terms is little more than a unit in the last place of their sum: PyTorch's norm
is off by 4e-4 on the CPU, a product of matrices by 1e-4 and, where the vectors lie side by side, by 1e-2. The basis of
Lanczos was orthonormal to 5e-3 then, and eigenvalues were off by as much.
"""

from __future__ import annotations

import torch

# Entries of a block, over which a product of matrices in single precision is right to some 1e-6.
BLOCK = 65536


def inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Inner products (m, n) of the rows of a (m, P) and of b (n, P), in double precision.

    Of a vector (P,) instead there is one, and no axis for it. Of many, blocks are summed as they are; of two vectors,
    whose product costs nothing beside theirs, in double precision too.
    """
    total = torch.zeros(a.shape[:-1] + b.shape[:-1], dtype=torch.float64, device=a.device)
    for x, y in zip(a.split(BLOCK, -1), b.split(BLOCK, -1), strict=True):
        if total.dim() == 0:
            x, y = x.double(), y.double()
        total += _along(x) @ _along(y).movedim(-1, 0)
    return total


def norm(v: torch.Tensor) -> float:
    """The norm of a vector (P,), summed in double precision."""
    return float(torch.linalg.vector_norm(v, dtype=torch.float64))


def _along(rows: torch.Tensor) -> torch.Tensor:
    """The same with the entries of a row side by side: rows that lie across are summed one entry after another."""
    return rows if rows.stride(-1) == 1 else rows.contiguous()
