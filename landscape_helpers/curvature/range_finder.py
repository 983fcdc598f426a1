r"""The directions in which rows vary most, from a few products with random vectors.

Of a matrix M (n, d) whose singular values fall, r leading right singular vectors span nearly all that M holds, and a
full decomposition, of order :math:`nd\min(n,d)`, finds many more than are wanted. A random start
:math:`\Omega` (d, r) multiplied by :math:`M^\top M` leans towards the leading ones; its orthonormal basis, multiplied
once more, is as good as the best one for most purposes: a randomised range finder with a power step (Halko,
Martinsson, Tropp 2011, algorithm 4.4).
"""

from __future__ import annotations

import torch

POWER_STEPS = 1


class RangeFinder:
    """Bases of the leading right singular vectors of ``rows``, each from a fresh random start.

    Args:
        rows: M (n, d).
        generator: the source of the starts, on the CPU: equal on every device.
        form_gram: form M'M (d, d) first, which pays where M has more rows than columns and several products follow.
    """

    def __init__(self, rows: torch.Tensor, generator: torch.Generator, form_gram: bool = False) -> None:
        self.rows, self._generator = rows, generator
        self._gram = rows.T @ rows if form_gram else None

    def squared(self, vectors: torch.Tensor) -> torch.Tensor:
        """M'M times ``vectors`` (d, r)."""
        return self._gram @ vectors if self._gram is not None else self.rows.T @ (self.rows @ vectors)

    def basis(self, columns: int) -> torch.Tensor:
        """Orthonormal columns (d, ``columns``), in no order."""
        like = self.rows
        found = torch.randn(like.shape[1], columns, generator=self._generator, dtype=like.dtype).to(like.device)
        for _ in range(1 + POWER_STEPS):
            found = torch.linalg.qr(self.squared(found)).Q
        return found
