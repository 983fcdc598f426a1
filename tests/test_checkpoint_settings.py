"""Checkpoints know models by what they compute, and runs by their schedules and what their probes ask."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from interruption import Interrupted, stop_at
from torch import nn

from landscape_helpers import Objective, slices
from landscape_helpers.descent import (
    Evaluation,
    FullGradients,
    GradientCorrelation,
    Sharpness,
    Spectrum,
    StepLosses,
    gradient_descent,
    gradient_flow,
    sgd,
)
from landscape_helpers.identity import Identity, differing
from landscape_helpers.watch import Watch


def data(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 5, generator=generator), torch.randint(0, 2, (n,), generator=generator)


def marks(o: Objective) -> dict[str, np.ndarray]:
    return Identity("run", o, [], ()).marks()


def same(one: nn.Module, other: nn.Module, **options) -> bool:
    return differing(*(marks(Objective(model, *data(), **options)) for model in (one, other))) is None


class Net(nn.Module):
    def __init__(self, act=torch.tanh, temperature: float = 1.0, weights=(1.0, 1.0)) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.act, self._temperature = nn.Linear(5, 8), nn.Linear(8, 2), act, temperature
        self.weights = [torch.tensor(w) for w in weights]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.a(x)))

    def head(self, h: torch.Tensor) -> torch.Tensor:
        return self.b(h) * torch.stack(self.weights) / self._temperature


class Edited(Net):
    def head(self, h: torch.Tensor) -> torch.Tensor:
        return 2 * self.b(h) * torch.stack(self.weights) / self._temperature


Edited.__name__, Edited.__qualname__, Edited.head.__qualname__ = Net.__name__, Net.__qualname__, Net.head.__qualname__


SCALE = 1.0


class Buffered(Net):
    def __init__(self, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) @ self.scale


class Global(Net):
    """Reads a number that stands somewhere else."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        globals()["SCALE"] = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return SCALE * super().forward(x)


def diagonal(last: float) -> torch.Tensor:
    return torch.diag(torch.tensor([1.0, last]))


def hooked(factor: float) -> nn.Module:
    model = Net()
    model.register_forward_hook((lambda m, i, o: 2.0 * o) if factor == 2 else (lambda m, i, o: 3.0 * o))
    return model


MODELS = {
    "function": lambda w: Net(torch.relu if w else torch.tanh),
    "closure": lambda w: Net(functools.partial(torch.nn.functional.leaky_relu, negative_slope=0.2 if w else 0.1)),
    "number": lambda w: Net(temperature=2.0 if w else 1.0),
    "tensors in a list": lambda w: Net(weights=(1.0, 2.0) if w else (1.0, 1.0)),
    "code of a method": lambda w: Edited() if w else Net(),
    "buffer": lambda w: Buffered(diagonal(2.0 if w else 1.0)),
    "sparse buffer": lambda w: Buffered(diagonal(2.0 if w else 1.0).to_sparse()),
    "hook": lambda w: hooked(3 if w else 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_are_known_by_what_they_compute(name):
    make = MODELS[name]
    assert same(make(False), make(False)) and not same(make(False), make(True))


def test_a_number_that_stands_elsewhere_counts():
    one, other = (marks(Objective(Global(scale), *data())) for scale in (1.0, 2.0))
    assert differing(one, other) == "objective"


def test_a_slice_of_another_activation_is_refused(tmp_path):
    file = tmp_path / "line.npz"

    def line(model: nn.Module, **options):
        o = Objective(model, *data())
        return slices.line(o, o.theta, torch.ones(o.parameters), np.linspace(-1, 1, 9), checkpoint=file, **options)

    with pytest.raises(Interrupted):
        line(Net(torch.tanh), checkpoint_every=0, progress=stop_at(3))
    with pytest.raises(ValueError, match="saved for another objective"):
        line(Net(torch.relu))
    line(Net(torch.tanh))


def normalised(mean: float) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    model[1].running_mean.fill_(mean)
    model[1].num_batches_tracked.fill_(int(mean))
    return model


def test_running_statistics_count_where_they_are_held_fixed_and_only_there():
    assert same(normalised(0), normalised(0), batchnorm="frozen")
    assert not same(normalised(0), normalised(2), batchnorm="frozen")
    assert same(normalised(0), normalised(2))
    tracked = normalised(0)
    tracked[1].num_batches_tracked.fill_(7)
    assert same(normalised(0), tracked, batchnorm="frozen")


class Moving(nn.Module):
    """Keeps what a forward pass comes by: in a buffer, an attribute, a list, a dictionary and a property."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.lstm = Net(), nn.LSTM(5, 5)
        self.register_buffer("calls", torch.zeros(()))
        self.last, self.seen, self.tables, self.looks = None, [], {}, 0

    @functools.cached_property
    def factor(self) -> float:
        return 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.looks += 1
        self.last = x.sum()
        self.remember(x)
        return self.inner(self.lstm(x)[0]) * self.factor

    def remember(self, x: torch.Tensor) -> None:
        self.seen.append(float(x.sum()))
        self.tables[len(x)] = x


def test_what_evaluations_move_makes_no_other_objective():
    model, gathered = Moving(), []
    model.inner.a.register_forward_hook(lambda m, i, o: gathered.append(o.detach()))
    o = Objective(model, *data(), batch_size=5)
    before = marks(o)
    start = o.theta
    o.loss(start + 1)
    o.loss_and_gradient(2 * start)
    calls, counts = int(o.model.calls), dataclasses.replace(o.counts)
    assert differing(before, marks(o)) is None
    assert int(o.model.calls) == calls and o.counts == counts, "the marks leave no trace"
    o.model.inner._temperature = 3.0
    assert differing(before, marks(o)) == "objective"


def test_a_watch_goes_on_with_a_model_that_keeps_what_it_sees():
    model = Moving()
    watch = Watch(Objective(model, *data()), [Sharpness(1)])
    watch.look(model)
    again = Watch(Objective(Moving(), *data()), [Sharpness(1)])
    again.load_state_dict(watch.state_dict())
    with pytest.raises(ValueError, match="other probes"):
        Watch(Objective(Moving(), *data()), [Sharpness(2)]).load_state_dict(watch.state_dict())


def test_a_compiled_model_or_loss_is_the_plain_one():
    def loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, y)

    assert same(torch.compile(Net(), backend="eager"), Net())
    compiled = Objective(Net(), *data(), loss=torch.compile(loss, backend="eager"))
    assert differing(marks(compiled), marks(Objective(Net(), *data(), loss=loss))) is None


def factor(share: float, k: float) -> float:
    return 1 / (1 + k * share)


def enclosing(k: float):
    return lambda share: 1 / (1 + k * share)


class Falling:
    def __init__(self, k: float) -> None:
        self.k = k

    def __call__(self, share: float) -> float:
        return self.value(share)

    def value(self, share: float) -> float:
        return math.exp(-self.k * share)


SCHEDULES = {
    "lambda": lambda w: (lambda share: 0.01) if w else (lambda share: 1.0),
    "closure": lambda w: enclosing(2.0 if w else 1.0),
    "partial": lambda w: functools.partial(factor, k=2.0 if w else 1.0),
    "object": lambda w: Falling(2.0 if w else 1.0),
}


def train(schedule, file, **options):
    o = Objective(Net(), *data())
    return sgd(o, o.theta, 0.5, 6, 8, schedule=schedule, checkpoint=file, checkpoint_every=0, **options)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_goes_on_with_its_own_schedule_only(tmp_path, name):
    file, make = tmp_path / "state.npz", SCHEDULES[name]
    with pytest.raises(Interrupted):
        train(make(False), file, progress=stop_at(3))
    with pytest.raises(ValueError, match="saved by another training run"):
        train(make(True), file)
    assert torch.equal(train(make(False), file).theta, train(make(False), None).theta)


def valid(shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = data(10)
    return x + shift, y


PROBES = {
    "Sharpness every": lambda w: Sharpness(2 if w else 1),
    "Sharpness tol": lambda w: Sharpness(1, 0.01 if w else 0.1),
    "GradientCorrelation": lambda w: GradientCorrelation(4 if w else 5),
    "matrices": lambda w: GradientCorrelation(5, [0, 1] if w else [0]),
    "Evaluation": lambda w: Evaluation(1, *valid(1e-3 if w else 0.0)),
    "Spectrum": lambda w: Spectrum(1, Objective(Net(), *valid(1e-3 if w else 0.0))),
    "FullGradients": lambda w: FullGradients([(0, 6)], Objective(Net(), *valid(1e-3 if w else 0.0))),
    "StepLosses": lambda w: StepLosses([(0, 6)], 2, Objective(Net(), *valid(1e-3 if w else 0.0))),
}


@pytest.mark.parametrize("name", PROBES)
def test_a_run_goes_on_with_its_own_probes_only(tmp_path, name):
    file, make, o = tmp_path / "state.npz", PROBES[name], Objective(Net(), *data())

    def run(w: bool, **options):
        return gradient_descent(o, o.theta, 0.1, 6, [make(w)], checkpoint=file, checkpoint_every=0, **options)

    with pytest.raises(Interrupted):
        run(False, progress=stop_at(3))
    with pytest.raises(ValueError, match="saved by another trajectory"):
        run(True)
    run(False)


@pytest.mark.parametrize("descend", [gradient_descent, functools.partial(sgd, batch_size=None)])
def test_a_probe_without_a_list_is_told_of(descend):
    o = Objective(Net(), *data())
    with pytest.raises(TypeError, match=r"^probes must be a list, got Sharpness: put a single probe into one, \[probe"):
        descend(o, o.theta, 0.1, steps=3, probes=Sharpness())


@pytest.mark.parametrize("descend", [gradient_descent, functools.partial(sgd, batch_size=8.0), gradient_flow])
def test_steps_are_whole_numbers(descend):
    o = Objective(Net(), *data())
    rate = () if descend is gradient_flow else (0.1,)
    assert descend(o, o.theta, *rate, steps=3.0).steps == descend(o, o.theta, *rate, steps=3).steps == 3
    with pytest.raises(ValueError, match=r"^steps must be a whole number, got 2\.5: round it$"):
        descend(o, o.theta, *rate, steps=2.5)
