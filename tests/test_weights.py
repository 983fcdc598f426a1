"""Weights of a model and theta: one and the same, in both directions, and nothing else taken for them."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from landscape_helpers.objective import Objective
from landscape_helpers.weights import state_dict_of, theta_of


class Tied(nn.Module):
    """An embedding whose matrix is the output layer's too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.embedding(x).mean(1))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def partly_frozen() -> nn.Module:
    model = normalised()
    model[0].requires_grad_(False)
    return model


def weight_normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(5, 6)), nn.Tanh(), nn.Linear(6, 3))


MAKES = {"batchnorm": normalised, "partly frozen": partly_frozen, "weight norm": weight_normed, "tied": Tied}


def made(make: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = MAKES[make]()
    if make == "partly frozen":
        nn.init.constant_(model[0].weight, 0.3)
        nn.init.zeros_(model[0].bias)
    return model.double()


def objective_of(model: nn.Module) -> Objective:
    generator = torch.Generator().manual_seed(9)
    tied = isinstance(model, Tied)
    x = torch.randint(0, 7, (12, 2), generator=generator) if tied else torch.randn(12, 5, generator=generator)
    return Objective(model, x, torch.randint(0, 3, (12,), generator=generator))


@pytest.mark.parametrize("make", MAKES)
def test_another_model_of_the_make(make):
    """An objective made of one model, moved to theta of another, has the loss of an objective made of the other."""
    objective, other = objective_of(made(make, 0)), made(make, 1)
    theta = theta_of(objective, other)
    assert objective.loss(theta) == objective_of(other).loss(objective_of(other).theta)
    assert objective.loss(theta) != objective.loss(objective.theta)
    assert torch.equal(theta, theta_of(objective, other.state_dict()))


@pytest.mark.parametrize("make", MAKES)
def test_back_into_a_model(make):
    objective, other = objective_of(made(make, 0)), made(make, 1)
    theta = torch.randn(objective.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    given = state_dict_of(objective, theta)
    assert not other.load_state_dict(given, strict=False).unexpected_keys
    assert torch.equal(theta_of(objective, other), theta)
    assert objective_of(other).loss(objective_of(other).theta) == objective.loss(theta)
    next(iter(given.values())).zero_()  # a copy: theta is the caller's
    assert not torch.equal(theta_of(objective, given), theta)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "_orig_mod.module."])
def test_names_that_a_wrapper_has_prefixed(prefix):
    model = made("batchnorm", 0)
    wrapped = {prefix + name: value for name, value in model.state_dict().items()}
    assert torch.equal(theta_of(objective_of(model), wrapped), objective_of(model).theta)


def test_a_copy_of_the_objectives_dtype():
    model = made("batchnorm", 0)
    objective = objective_of(model)
    theta = theta_of(objective, model.float())
    assert theta.dtype == torch.float64
    before = theta.clone()
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(theta, before)


def test_what_is_refused():
    objective = objective_of(made("batchnorm", 0))
    with pytest.raises(ValueError, match=r"hold no '0.weight'.*they hold 'embedding.weight'"):
        theta_of(objective, made("tied", 0))
    with pytest.raises(ValueError, match="they hold no tensor"):
        theta_of(objective, {"epoch": 3})
    with pytest.raises(ValueError, match=r"'3.weight' has shape \(2, 6\).*\(3, 6\)"):
        theta_of(objective, made("batchnorm", 0).state_dict() | {"3.weight": torch.zeros(2, 6)})
    with pytest.raises(TypeError, match="got list"):
        theta_of(objective, [torch.zeros(3)])
    with pytest.raises(ValueError, match=r"theta must have shape"):
        state_dict_of(objective, torch.zeros(3))


def test_another_frozen_part_is_another_function():
    objective, other = objective_of(made("partly frozen", 0)), made("partly frozen", 1)
    with torch.no_grad():
        other[0].bias[0] = 1.0
    with pytest.raises(ValueError, match=r"'0.bias' does not train.*make the objective of the model"):
        theta_of(objective, other)
