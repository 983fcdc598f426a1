"""Padding rows of embeddings: the loss is constant along them, and all its derivatives are those of that function."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers import directions, slices
from landscape_helpers.accuracy import accuracy_on
from landscape_helpers.curvature import HessianAt
from landscape_helpers.identity import objective_digest
from landscape_helpers.objective import Objective
from landscape_helpers.weights import load_theta, state_dict_of, theta_of

TOKENS, WIDTH, CLASSES = 7, 3, 4


class Reader(nn.Module):
    """A classifier of token sequences that are filled up with token 0."""

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        self.table, self.head = table, nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(x).mean(1).tanh())


class Speller(nn.Module):
    """Predicts a token from tokens, with the table as its output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TOKENS, WIDTH, padding_idx=0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.table(x).mean(1).tanh(), self.table.weight)


def objective_of(model: nn.Module) -> Objective:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, TOKENS, (20, 5), generator=generator)
    x[:, 3:] = 0
    return Objective(model.double(), x, torch.randint(0, CLASSES, (20,), generator=generator))


def reader(padding: int | None = 0) -> Reader:
    torch.manual_seed(0)
    model = Reader(nn.Embedding(TOKENS, WIDTH, padding_idx=padding))
    with torch.no_grad():
        model.table.weight[0] = 0.5  # a checkpoint's padding need not be zero
    return model


def moved(objective: Objective) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return objective.theta + torch.randn(objective.parameters, generator=generator, dtype=torch.float64)


def central_gradient(objective: Objective, theta: torch.Tensor) -> torch.Tensor:
    units = 1e-6 * torch.eye(objective.parameters, dtype=torch.float64)
    slopes = [(objective.loss(theta + u) - objective.loss(theta - u)) / 2e-6 for u in units]
    return torch.tensor(slopes, dtype=torch.float64)


def bag() -> nn.Module:
    torch.manual_seed(0)
    table = nn.EmbeddingBag(TOKENS, WIDTH, padding_idx=0, mode="sum")
    return nn.Sequential(table, nn.Tanh(), nn.Linear(WIDTH, CLASSES))


def spare() -> Reader:
    model = reader()
    model.spare = nn.Embedding(TOKENS, 2, padding_idx=1)  # the loss does not depend on it
    return model


@pytest.mark.parametrize("make", [reader, lambda: reader(2), lambda: reader(None), bag, spare])
def test_the_gradient_is_that_of_the_loss(make):
    """By finite differences in all directions, padding included."""
    objective = objective_of(make())
    theta = moved(objective)
    torch.testing.assert_close(objective.gradient(theta), central_gradient(objective, theta), atol=1e-8, rtol=1e-6)


def test_the_hessian_is_that_of_the_loss():
    objective = objective_of(reader())
    theta = moved(objective)
    eye = torch.eye(objective.parameters, dtype=torch.float64)
    differences = [(objective.gradient(theta + h) - objective.gradient(theta - h)) / 2e-6 for h in 1e-6 * eye]
    with HessianAt(objective, theta) as hessian:
        torch.testing.assert_close(hessian.product(eye), torch.stack(differences, 1), atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(objective.hvp(theta, eye), torch.stack(differences, 1), atol=1e-8, rtol=1e-6)


def test_a_slice_leaves_padding_where_it_is():
    objective = objective_of(reader())
    theta, at = objective.theta, np.linspace(-1, 1, 5)
    direction = directions.gaussian(objective, theta, 0, normalize=None)
    still = direction.clone()
    still[:WIDTH] = 0
    assert direction[:WIDTH].any()
    curve = slices.line(objective, theta, direction, at)
    expected = [objective_of(with_weights(theta + step * still)).loss(theta + step * still) for step in at]
    np.testing.assert_allclose(curve, expected, rtol=1e-12)
    x, y = objective.samples()
    assert accuracy_on(objective, theta + direction, x, y) == objective.accuracy(theta + direction)


def with_weights(theta: torch.Tensor) -> Reader:
    model = reader().double()
    nn.utils.vector_to_parameters(theta, model.parameters())
    return model


def test_another_padding_is_another_function():
    """Weights of a model with other padding are refused, and so is a checkpoint of its training."""
    objective, other = objective_of(reader()), reader().double()
    with torch.no_grad():
        other.table.weight[1] += 1
    theta = theta_of(objective, other)
    assert objective.loss(theta) == objective_of(other).loss(theta)
    assert objective_digest(objective_of(other)).tolist() == objective_digest(objective).tolist()
    with torch.no_grad():
        other.table.weight[0] += 1
    with pytest.raises(ValueError, match=r"row 0 of 'table.weight', which stands for padding.* other values"):
        theta_of(objective, other)
    assert objective_digest(objective_of(other)).tolist() != objective_digest(objective).tolist()


def test_a_model_at_theta_has_the_objectives_padding():
    objective = objective_of(reader())
    theta = moved(objective)
    loaded, from_state = reader().double(), reader().double()
    load_theta(objective, theta, loaded)
    from_state.load_state_dict(state_dict_of(objective, theta))
    for model in (loaded, from_state):
        other = objective_of(model)
        assert other.loss(other.theta) == objective.loss(theta) and (model.table.weight[0] == 0.5).all()


def test_rows_that_are_trained_all_the_same_are_free():
    """Another use of the weight sends a gradient to the row: a layer of its own, or a plain function of it."""
    tied = Reader(nn.Embedding(TOKENS, WIDTH, padding_idx=0))
    tied.head = nn.Linear(WIDTH, TOKENS, bias=False)
    tied.head.weight = tied.table.weight
    for model, free in ((reader(), False), (reader(None), True), (tied, True), (Speller(), True)):
        objective = objective_of(model)
        theta = objective.theta
        theta[:WIDTH] += 1
        assert (objective.loss(theta) != objective.loss(objective.theta)) == free


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda objective: pickle.loads(pickle.dumps(objective))])
def test_copies_keep_padding_where_it_is(duplicate):
    objective = objective_of(reader())
    theta = moved(objective)
    before = objective.loss(theta)
    other = duplicate(objective)
    for one in (other, objective):
        theta[:WIDTH] += 1
        assert one.loss(theta) == before
