"""An objective whose Hessian is chosen."""

from __future__ import annotations

import torch
from torch import nn

from landscape_helpers.objective import Objective


class Form(nn.Module):
    """L(theta) = theta' H theta / 2, so that the gradient at theta is H theta and nothing lies beyond second order."""

    def __init__(self, H: torch.Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(len(H), dtype=H.dtype))
        self.H = H

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0.5 * self.theta @ self.H @ self.theta).expand(len(x), 1)


def quadratic(spectrum: torch.Tensor, generator: torch.Generator | None = None) -> tuple[Objective, torch.Tensor]:
    """An objective whose Hessian is Q diag(spectrum) Q', and that matrix; Q is random."""
    P = len(spectrum)
    generator = generator or torch.Generator().manual_seed(0)
    Q, _ = torch.linalg.qr(torch.randn(P, P, generator=generator, dtype=torch.float64))
    H = Q @ torch.diag(spectrum.double()) @ Q.T
    x = torch.zeros(1, 1, dtype=torch.float64)
    return Objective(Form(H), x, x, loss=lambda out, y: out.mean()), H
