"""What results print: a line, not their arrays."""

import torch
from torch import nn

from landscape_helpers.curvature import spectral_density, top_eigenpairs
from landscape_helpers.objective import Objective


def test_eigenpairs_and_a_density_are_told_in_a_line() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.randint(0, 3, (30,))
    objective = Objective(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), x, y)
    pairs = top_eigenpairs(objective, objective.theta, 7)
    first = ", ".join(f"{value:.4g}" for value in pairs.values[:5])
    assert repr(pairs).startswith(f"Eigenpairs(k=7, P=67, values=[{first}, ...], largest relative residual ")
    assert repr(pairs).endswith(f"products={pairs.products}, converged=True)")
    one = top_eigenpairs(objective, objective.theta, 1)
    assert f"values=[{one.values[0]:.4g}]" in repr(one)
    density = spectral_density(objective, objective.theta, probes=3, steps=20)
    assert repr(density).startswith(f"SpectralDensity(P=67, probes=3, from {density.smallest:.4g} to ")
    assert "\n" not in repr(density) + repr(pairs)
