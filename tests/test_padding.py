"""Padding rows of embeddings: theta holds them, no gradient moves them, and neither do random directions and noise."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers import directions
from landscape_helpers.curvature import HessianAt, loss_change
from landscape_helpers.descent import IsotropicNoise, sgd
from landscape_helpers.objective import Objective
from landscape_helpers.weights import load_theta, theta_of

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


def padded(objective: Objective) -> torch.Tensor:
    """Where the padding row stands in theta (P,): the table comes first."""
    return torch.arange(objective.parameters) < WIDTH


def bag() -> nn.Module:
    torch.manual_seed(0)
    table = nn.EmbeddingBag(TOKENS, WIDTH, padding_idx=0, mode="sum")
    return nn.Sequential(table, nn.Tanh(), nn.Linear(WIDTH, CLASSES))


@pytest.mark.parametrize("make", [reader, bag])
def test_derivatives_are_those_along_all_other_coordinates(make):
    objective = objective_of(make())
    theta, rest = moved(objective), ~padded(objective)
    gradient, eye = objective.gradient(theta), torch.eye(objective.parameters, dtype=torch.float64)
    slopes = [(objective.loss(theta + h) - objective.loss(theta - h)) / 2e-6 for h in 1e-6 * eye]
    torch.testing.assert_close(gradient, torch.tensor(slopes, dtype=torch.float64) * rest, atol=1e-8, rtol=1e-6)
    if make is bag:
        return  # PyTorch has no second derivative of it
    bends = [(objective.gradient(theta + h) - objective.gradient(theta - h)) / 2e-6 for h in 1e-6 * eye]
    with HessianAt(objective, theta) as hessian:
        product = hessian.product(eye)
    torch.testing.assert_close(product[rest][:, rest], torch.stack(bends, 1)[rest][:, rest], atol=1e-8, rtol=1e-6)
    assert not product[~rest].any() and not product[:, ~rest].any()


@pytest.mark.parametrize("normalize", ["filter", "layer", "model", None])
def test_random_directions_leave_padding_where_it_is(normalize):
    objective = objective_of(reader())
    direction = directions.gaussian(objective, objective.theta, 0, normalize=normalize)
    assert ((direction == 0) == padded(objective)).all()
    free = directions.gaussian(objective_of(reader(None)), objective.theta, 0, normalize=None)
    if normalize is None:
        assert torch.equal(direction[WIDTH:], free[WIDTH:]) and free[:WIDTH].all()


def test_noise_leaves_padding_where_it_is():
    objective = objective_of(reader())
    theta, still = moved(objective), padded(objective)
    run = sgd(objective, theta, 0.1, steps=3, batch_size=None, noise=IsotropicNoise(1.0))
    assert torch.equal(run.theta[still], theta[still]) and (run.theta != theta)[~still].all()
    found = loss_change(objective, theta, 0.5, [1e-4], draws=4, measure=True)
    np.testing.assert_allclose(found.measured, found.second_order, rtol=1e-3)


def test_theta_holds_padding():
    """Weight decay moves what no gradient does: a model's own padding is evaluated, and comes back."""
    objective, other = objective_of(reader()), reader().double()
    with torch.no_grad():
        other.table.weight[0] += 1
    theta = theta_of(objective, other)
    assert objective.loss(theta) == objective_of(other).loss(theta) != objective.loss(objective.theta)
    loaded = reader().double()
    load_theta(objective, theta, loaded)
    assert torch.equal(loaded.table.weight[0], other.table.weight[0])


def test_rows_that_are_trained_all_the_same_are_free():
    """Another use of the weight sends a gradient to the row: a layer of its own, or a plain function of it."""
    tied = Reader(nn.Embedding(TOKENS, WIDTH, padding_idx=0))
    tied.head = nn.Linear(WIDTH, TOKENS, bias=False)
    tied.head.weight = tied.table.weight
    for model, free in ((reader(), False), (reader(None), True), (tied, True), (Speller(), True)):
        objective = objective_of(model)
        assert bool(directions.gaussian(objective, objective.theta, normalize=None)[:WIDTH].all()) == free


class Pair(nn.Module):
    """One table under two names, each with a padding of its own, and a table that is never looked at."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.unused = nn.Embedding(TOKENS, WIDTH, padding_idx=2)
        self.one, self.other = (nn.Embedding(TOKENS, WIDTH, padding_idx=row) for row in (0, 1))
        self.other.weight, self.head = self.one.weight, nn.Linear(WIDTH, CLASSES)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.head((self.one(x) + self.other(x.clamp(min=1))).mean(1).tanh())


def test_modules_that_share_a_table_must_name_one_row():
    """No gradient comes to row 0 on these tokens, but it is the padding of one of the two alone."""
    with torch.no_grad():  # what the caller has switched off is no matter
        objective = objective_of(Pair())
    still = (directions.gaussian(objective, objective.theta, normalize=None) == 0).nonzero().flatten()
    assert still.tolist() == list(range(2 * WIDTH, 3 * WIDTH)), "the padding of the table that is never looked at"
    assert float(objective.model.calls) == 0


def test_any_row_may_be_the_padding():
    for row in (3, TOKENS - 1, -1):
        objective = objective_of(reader(row))
        rows = directions.gaussian(objective, objective.theta, normalize=None)[: TOKENS * WIDTH].view(TOKENS, WIDTH)
        assert [int(i) for i in (rows == 0).all(1).nonzero()] == [row % TOKENS]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda objective: pickle.loads(pickle.dumps(objective))])
def test_copies_keep_padding(duplicate):
    other = duplicate(objective_of(reader()))
    assert not directions.gaussian(other, other.theta)[:WIDTH].any()
