"""The accuracy on other images, against the network written out by hand."""

import pytest
import torch
from torch import nn

from landscape_helpers.accuracy import accuracy_on
from landscape_helpers.objective import Objective

CLASSES = 3


def model(norm: bool) -> nn.Sequential:
    torch.manual_seed(0)
    between = [nn.BatchNorm1d(6)] if norm else []
    return nn.Sequential(nn.Linear(4, 6), *between, nn.Tanh(), nn.Linear(6, CLASSES)).double()


def samples(n: int, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    x = shift + torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, CLASSES, (n,), generator=generator)


@pytest.mark.parametrize("batch", [1, 7, 500])
@pytest.mark.parametrize("norm", [False, True])
def test_the_network_by_hand_with_the_statistics_of_the_objective(norm: bool, batch: int) -> None:
    (own, labels), (x, y) = samples(40, 0.0), samples(60, 1.5)
    net = model(norm)
    objective = Objective(net, own, labels, batchnorm="whole")
    theta = objective.theta + 0.1

    def by_hand(statistics: torch.Tensor) -> float:
        pieces = iter(objective.views(theta))
        weight, bias = next(pieces), next(pieces)
        hidden, base = x @ weight.T + bias, statistics @ weight.T + bias
        if norm:
            scale, offset = next(pieces), next(pieces)
            hidden = (hidden - base.mean(0)) / (base.var(0, unbiased=True) + 1e-5).sqrt() * scale + offset
        weight, bias = next(pieces), next(pieces)
        return float(((hidden.tanh() @ weight.T + bias).argmax(1) == y).double().mean())

    assert accuracy_on(objective, theta, x, y, batch) == by_hand(own)
    assert (by_hand(own) != by_hand(x)) is norm, "the statistics of the other images would not do"


def test_with_micro_batches_the_statistics_are_their_means() -> None:
    (own, labels), (x, y) = samples(50, 0.0), samples(600, 1.5)
    own = own + torch.linspace(0, 20, 50, dtype=own.dtype)[:, None]  # so that the whole varies more than each part
    net = model(True)
    objective = Objective(net, own, labels, batch_size=20)  # 20, 20 and 10
    layers = [m for m in net if isinstance(m, torch.nn.Linear)]
    (norm,) = [m for m in net if isinstance(m, torch.nn.BatchNorm1d)]
    with torch.no_grad():
        pieces = [(len(part) / 50, layers[0](part)) for part in own.split(20)]
        mean = sum(w * part.mean(0) for w, part in pieces)
        variance = sum(w * part.var(0, unbiased=True) for w, part in pieces)
        hidden = (layers[0](x) - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
        right = layers[1](hidden.tanh()).argmax(1) == y
    assert accuracy_on(objective, objective.theta, x, y) == float(right.double().mean())
    whole = Objective(net, own, labels, batchnorm="whole")
    assert accuracy_on(whole, whole.theta, x, y) != float(right.double().mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64])
def test_numbers_of_another_type_are_taken_in_the_objectives(dtype: torch.dtype) -> None:
    net, (own, labels) = model(norm=False), samples(40, 0.0)
    x, y = (10 * samples(60, 1.5)[0].abs()).to(dtype), samples(60, 1.5)[1]
    expected = float((net(x.double()).argmax(1) == y).double().mean())
    objective = Objective(net, own, labels)
    assert accuracy_on(objective, objective.theta, x, y) == expected
    each = [accuracy_on(objective, objective.theta, x[i : i + 1], y[i : i + 1]) for i in range(60)]
    assert sum(each) / 60 == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least one: got 0 and 0"):
        accuracy_on(objective, objective.theta, x[:0], y[:0])


class Dropped(nn.BatchNorm1d):
    """One that drops some of what it normalises, by a part of its own."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.drop = nn.Dropout(0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(super().forward(x))


def test_what_a_batchnorm_holds_is_evaluated_as_in_the_objective() -> None:
    """The statistics of another one behind it would be those of dropped numbers."""

    def objective(first: nn.Module) -> Objective:
        torch.manual_seed(0)
        layers = nn.Linear(4, 6), first, nn.Tanh(), nn.BatchNorm1d(6), nn.Linear(6, CLASSES)
        return Objective(nn.Sequential(*layers).double(), *samples(40, 0.0), batchnorm="whole")

    plain, dropped = objective(nn.BatchNorm1d(6)), objective(Dropped(6))
    x, y = samples(500, 0.3)
    assert accuracy_on(dropped, dropped.theta, x, y) == accuracy_on(plain, plain.theta, x, y)


def test_the_objective_stays_as_it_is() -> None:
    (own, labels), (x, y) = samples(40, 0.0), samples(60, 1.5)
    objective = Objective(model(norm=True), own, labels, batchnorm="whole")
    before = objective.loss(objective.theta)
    accuracy_on(objective, objective.theta + 1.0, x, y)
    assert objective.loss(objective.theta) == before
    assert objective.model[1].running_mean is None


@pytest.mark.parametrize(
    ("theta", "n", "batch", "message"),
    [
        (torch.zeros(2), 5, 3, r"theta must have shape \(51,\), got \(2,\)"),
        (torch.zeros(51), 0, 3, "at least one: got 0 and 5"),
        (torch.zeros(51), 4, 3, "got 4 and 5"),
        (torch.zeros(51), 5, 0, "batch must be at least 1, got 0"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(theta: torch.Tensor, n: int, batch: int, message: str) -> None:
    objective = Objective(model(norm=False), *samples(40, 0.0))
    x, y = samples(5, 0.0)
    with pytest.raises(ValueError, match=message):
        accuracy_on(objective, theta, x[:n], y, batch)
