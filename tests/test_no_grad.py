"""Instruments take the gradients that they need, whatever the caller has switched off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers import curvature, descent, directions, mining
from landscape_helpers.objective import Objective


def objective() -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    return Objective(model, torch.randn(20, 4, dtype=torch.float64), torch.randint(0, 3, (20,)))


MEASURED: dict[str, Callable[[Objective], object]] = {
    "gradient": lambda o: o.gradient(o.theta),
    "hvp": lambda o: o.hvp(o.theta, torch.ones_like(o.theta)),
    "negative_gradient": lambda o: directions.negative_gradient(o, o.theta),
    "top_eigenpairs": lambda o: curvature.top_eigenpairs(o, o.theta, 2).values,
    "trace": lambda o: curvature.trace(o, o.theta, probes=4).value,
    "decomposition": lambda o: curvature.hessian_decomposition(o, o.theta).residual,
    "largest_gradient_variance": lambda o: descent.largest_gradient_variance(o, o.theta),
    "gradient_descent": lambda o: descent.gradient_descent(o, o.theta, 0.1, 3).theta,
    "gradient_flow": lambda o: descent.gradient_flow(o, o.theta, steps=2).theta,
    "sgd": lambda o: descent.sgd(o, o.theta, 0.1, 2, 8).theta,
    "w_peak": lambda o: mining.w_peak(o, o.theta, 2, 0.1, 8).direction,
    "vvv_basin": lambda o: mining.vvv_basin(o, o.theta, o.theta + 1, 2, 0.1, batch_size=8).direction,
}


@pytest.mark.parametrize("name", MEASURED)
def test_under_no_grad_the_numbers_are_the_same(name: str) -> None:
    expected = MEASURED[name](objective())
    with torch.no_grad():
        found = MEASURED[name](objective())
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
