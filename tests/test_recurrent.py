"""Recurrent layers, whose cuDNN kernels have no gradient in evaluation mode."""

import copy
import pickle

import pytest
import torch
from torch import nn

from landscape_helpers.curvature import HessianAt
from landscape_helpers.objective import Objective
from landscape_helpers.slices import line

SEEN = []


class Noted(nn.LSTM):
    def forward(self, *args):
        SEEN.append(torch.backends.cudnn.enabled)
        return super().forward(*args)


class Reader(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner, self.out = kind(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.inner(x)[0][:, -1])


def samples(width=3):
    torch.manual_seed(0)
    return torch.randn(12, 4, width), torch.randint(0, 2, (12,))


def noted(call):
    SEEN.clear()
    call()
    return SEEN


def test_no_evaluation_goes_through_cudnn_and_the_switch_stays_as_it_was():
    assert torch.backends.cudnn.enabled
    model = Reader(Noted)
    objective = Objective(model, *samples(), batch_size=5)
    theta = objective.theta
    ways = {
        "loss": lambda: objective.loss(theta),
        "gradient": lambda: objective.gradient(theta),
        "hvp": lambda: objective.hvp(theta, theta),
        "HessianAt": lambda: HessianAt(objective, theta).product(theta),
        "line": lambda: line(objective, theta, theta, [-1.0, 0.0, 1.0]),
        "of a copy": lambda: copy.deepcopy(objective).loss(theta),
        "unpickled": lambda: pickle.loads(pickle.dumps(objective)).loss(theta),
        "of its model": lambda: Objective(objective.model, *samples()).loss(theta),
    }
    for name, way in ways.items():
        assert noted(way) and not any(SEEN), name
        assert torch.backends.cudnn.enabled, name
    assert all(noted(lambda: model(samples()[0])))  # the caller's own model is left alone


def test_the_switch_is_put_back_after_an_error():
    with pytest.raises(ValueError, match="cannot be evaluated"):
        Objective(Reader(Noted), *samples(width=2))
    assert torch.backends.cudnn.enabled


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_products_of_recurrent_networks_are_differences_of_gradients(kind):
    torch.manual_seed(1)
    objective = Objective(Reader(kind), *samples(), batch_size=5, dtype=torch.float64)
    theta, v, step = objective.theta, torch.randn(objective.parameters, dtype=torch.float64), 1e-5
    difference = (objective.gradient(theta + step * v) - objective.gradient(theta - step * v)) / (2 * step)
    for product in (objective.hvp(theta, v), HessianAt(objective, theta).product(v)):
        torch.testing.assert_close(product, difference, rtol=1e-6, atol=1e-8)
