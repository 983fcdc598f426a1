"""The curvature a step met, against quadratics, a kink, and the Hessian of a smooth network."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers.curvature import secant_curvature
from landscape_helpers.descent import GradientCorrelation, gradient_descent
from landscape_helpers.objective import Objective

RATE = 1.5  # of the network: some of its steps oppose each other, others do not


class Bowl(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.theta = nn.Parameter(torch.tensor([0.6], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = self.theta.abs() if self.kind == "kink" else 0.5 * 1.7 * self.theta**2
        return value.expand(len(x), 1)


def descend(model: nn.Module, lr: float, steps: int):
    x = torch.zeros(1, 1, dtype=torch.float64)
    objective = Objective(model, x, x, loss=lambda out, y: out.mean())
    return gradient_descent(objective, objective.theta, lr, steps, [GradientCorrelation()]).record


@pytest.mark.parametrize("lr", [0.3, 0.8, 1.1])
def test_a_parabola_has_its_own_curvature_at_every_step(lr):
    record = descend(Bowl("parabola"), lr, 8)
    kappa = secant_curvature(record.dot, record.gradient_norm, lr)
    assert np.isnan(kappa[0])
    np.testing.assert_allclose(kappa[1:], 1.7, rtol=1e-9)


def test_a_kink_has_curvature_two_over_eta_where_the_second_derivative_is_zero():
    record = descend(Bowl("kink"), 1.0, 4)
    np.testing.assert_allclose(record.loss, [0.6, 0.4, 0.6, 0.4, 0.6])
    np.testing.assert_allclose(secant_curvature(record.dot, record.gradient_norm, 1.0)[1:], 2.0)


def test_gradients_oppose_exactly_where_eta_kappa_exceeds_one():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 3)).double()
    x, y = torch.randn(60, 8, dtype=torch.float64), torch.randint(0, 3, (60,))
    objective = Objective(model, x, y)
    record = gradient_descent(objective, objective.theta, RATE, 60, [GradientCorrelation()]).record
    kappa = secant_curvature(record.dot, record.gradient_norm, RATE)[1:]
    opposed = record.correlation.values[1:] < 0
    assert opposed.any() and not opposed.all()
    np.testing.assert_array_equal(RATE * kappa > 1, opposed)


def test_small_steps_of_a_smooth_network_meet_the_hessian():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 3)).double()
    x, y = torch.randn(60, 8, dtype=torch.float64), torch.randint(0, 3, (60,))
    objective = Objective(model, x, y)
    record = gradient_descent(objective, objective.theta, 1e-5, 1, [GradientCorrelation()]).record
    g = objective.gradient(objective.theta)
    rayleigh = float(g @ objective.hvp(objective.theta, g) / (g @ g))
    assert secant_curvature(record.dot, record.gradient_norm, 1e-5)[1] == pytest.approx(rayleigh, rel=1e-3)


def test_a_zero_gradient_and_a_bad_rate():
    assert np.isnan(secant_curvature(np.array([np.nan, 0.0]), np.array([0.0, 1.0]), 0.1)).all()
    for lr in (-1, 0):
        with pytest.raises(ValueError, match=f"above 0, got {lr}"):
            secant_curvature(np.zeros(2), np.ones(2), lr)
