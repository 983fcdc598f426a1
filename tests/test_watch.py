"""A watch over somebody else's training: it sees what a descent of ours sees, and the training does not notice."""

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from landscape_helpers.descent import GradientCorrelation, Sharpness, StepLosses, Telemetry, Travel, gradient_descent
from landscape_helpers.objective import Objective
from landscape_helpers.watch import Watch


def model_of(dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(8, 10), nn.BatchNorm1d(10), nn.Tanh(), nn.Dropout(dropout), nn.Linear(10, 3)]
    return nn.Sequential(*layers).to(dtype)


def data(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 8, generator=generator), torch.randint(0, 3, (n,), generator=generator)


def probes() -> list:
    return [
        GradientCorrelation(3, [2]),
        Sharpness(2, tol=1e-6),
        Travel(),
        StepLosses([(1, 4)], 3),
        Telemetry(0.5, every=4, top=2, k=3),
    ]


def train(model: nn.Module, optimiser: torch.optim.Optimizer, updates: int, watch: Watch | None = None) -> None:
    x, y = data()
    for _ in range(updates):
        if watch is not None:
            watch.look(model)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x.double()), y).backward()
        optimiser.step()


def test_sees_what_a_descent_sees():
    """Full-batch descent by torch's own optimiser, watched, and ours with the same probes: one record."""
    model = model_of()
    objective = Objective(model, *data())
    watch = Watch(objective, probes())
    train(model, torch.optim.SGD(model.parameters(), lr=0.5), 9, watch)
    expected = gradient_descent(objective, objective.theta, 0.5, 8, probes()).record
    record = watch.record()
    assert record.attrs["status"] == "watching"
    assert set(record.variables) == set(expected.variables)
    for name in expected.data_vars:
        if not name.startswith("products"):
            np.testing.assert_allclose(record[name], expected[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_the_training_does_not_notice():
    """Weights, running statistics and torch's random numbers are, bit for bit, those of the training unwatched."""
    ends = []
    for watched in (False, True):
        model = model_of(dropout=0.3)
        watch = Watch(Objective(model, *data()), probes()) if watched else None
        torch.manual_seed(5)
        train(model, torch.optim.Adam(model.parameters(), lr=0.01), 7, watch)
        ends.append([*model.state_dict().values(), torch.get_rng_state(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_goes_on_in_another_process(tmp_path, dtype):
    """Saved with the user's own checkpoint, and read back without pickle: the record of an uninterrupted watch."""
    points = [model_of(dtype=torch.float64).state_dict()]
    generator = torch.Generator().manual_seed(3)
    for _ in range(6):
        points.append({k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in points[-1].items()})
    chosen = [GradientCorrelation(3, [2]), Travel(), StepLosses([(1, 4)], 3)]
    chosen = chosen if dtype == torch.bfloat16 else probes()
    objective = Objective(model_of(dtype=dtype), *data())
    whole = Watch(objective, chosen)
    for point in points:
        whole.look(point)
    expected = whole.record()

    for stop in range(len(points)):
        first = Watch(objective, chosen)
        for point in points[:stop]:
            first.look(point)
        torch.save({"watch": first.state_dict()}, tmp_path / "run.pt")
        second = Watch(Objective(model_of(dtype=dtype), *data()), chosen)
        second.load_state_dict(torch.load(tmp_path / "run.pt", weights_only=True)["watch"])
        for point in points[stop:]:
            second.look(point)
        xarray.testing.assert_identical(second.record(), expected)


def test_a_state_of_something_else_is_refused():
    x, y = data()
    state = Watch(Objective(model_of(), x, y), [Travel()]).state_dict()
    for other in (Watch(Objective(model_of(), x + 1, y), [Travel()]), Watch(Objective(model_of(), x, y), [])):
        with pytest.raises(ValueError, match=r"another objective .* or other probes"):
            other.load_state_dict(state)
    watch = Watch(Objective(model_of(), x, y), [Travel()])
    with pytest.raises(ValueError, match=r"none of a watch \(it holds 'model', 'watch'\): give what"):
        watch.load_state_dict({"model": {}, "watch": state})
    with pytest.raises(ValueError, match=r"it holds nothing"):
        watch.load_state_dict({})


def mixed() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize("context", [mixed, torch.no_grad, torch.inference_mode])
def test_looks_in_its_own_precision_wherever_it_is_called(context):
    """A look from within mixed precision or a loop of validation is the look from outside."""
    model = model_of(dtype=torch.float32)
    x, y = data()
    looks = [Watch(Objective(model, x, y), probes()) for _ in range(2)]
    for _ in range(5):
        with context():
            loss = looks[0].look(model)
        assert looks[1].look(model) == loss
        with mixed():
            lower = nn.functional.cross_entropy(model(x), y)
        assert lower.item() != loss  # what the training itself sees
        lower.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
    xarray.testing.assert_identical(looks[0].record(), looks[1].record())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_a_state_on_an_accelerator_is_read():
    """As ``torch.load(..., map_location="cuda")`` returns it."""
    watch = Watch(Objective(model_of(), *data()), [Travel()])
    watch.look(model_of())
    again = Watch(Objective(model_of(), *data()), [Travel()])
    again.load_state_dict({name: value.cuda() for name, value in watch.state_dict().items()})
    xarray.testing.assert_identical(again.record(), watch.record())


def test_a_buffer_that_training_moves_is_told():
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(8, 3)))
    watch = Watch(Objective(model, *data()))
    watch.look(model)
    model.train()
    with torch.no_grad():
        model[0].parametrizations.weight.original.mul_(torch.rand(3, 8))
    model(data()[0])
    with pytest.raises(ValueError, match=r"the buffer '0.parametrizations.weight.0._u'"):
        watch.look(model)


def test_divergence_ends_the_watch_and_keeps_what_was_seen():
    model = model_of()
    watch = Watch(Objective(model, *data()), [Travel()])
    losses = [watch.look(model), watch.look(model)]
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    assert np.isnan(watch.look(model))
    assert watch.status == "loss became non-finite at look 2"
    with torch.no_grad():
        model[0].weight[0, 0] = 0.1
    assert np.isfinite(watch.look(model))  # the loss is told, but the looks are no longer adjacent
    again = Watch(Objective(model_of(), *data()), [Travel()])
    again.load_state_dict(watch.state_dict())
    assert again.status == watch.status
    record = again.record()
    np.testing.assert_array_equal(record.loss, losses)
    assert record.sizes["step"] == 2
    assert record.attrs["status"] == watch.status


def test_running_statistics_are_refused():
    with pytest.raises(ValueError, match=r"batchnorm='frozen'.*training moves"):
        Watch(Objective(model_of().eval(), *data(), batchnorm="frozen"))
    plain = nn.Sequential(nn.Linear(8, 3))
    assert Watch(Objective(plain, *data(), batchnorm="frozen")).look(plain) > 0


def test_one_list_of_probes_for_two_watches():
    """On training and on validation samples, side by side and one after the other: each as if it were alone."""
    x, y = data()
    objectives = [Objective(model_of(), x[:40], y[:40]), Objective(model_of(), x[40:], y[40:])]
    shared = probes()
    together = [Watch(objective, shared) for objective in objectives]
    alone = [Watch(objective, probes()) for objective in objectives]
    model = model_of()
    for _ in range(5):
        for watch in (*together, *alone):
            watch.look(model)
        train(model, torch.optim.SGD(model.parameters(), lr=0.5), 1)
    later = Watch(objectives[0], shared)
    later.look(model)
    for ours, expected in zip(together, alone, strict=True):
        xarray.testing.assert_identical(ours.record(), expected.record())
    assert later.record().sizes["step"] == 1


def test_the_trainings_own_steps_come_along():
    """Every fourth update is looked at; the numbers are those of the looks, and a watch that goes on keeps them."""
    model, told = model_of(), Watch(Objective(model_of(), *data()), [Travel(), Sharpness(2)])
    untold = Watch(Objective(model_of(), *data()), [Travel(), Sharpness(2)])
    for update in range(0, 20, 4):
        told.look(model, training_step=update)
        untold.look(model)
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), 4)
        if update == 8:
            again = Watch(Objective(model_of(), *data()), [Travel(), Sharpness(2)])
            again.load_state_dict(told.state_dict())
            told = again
    record = told.record()
    assert record.training_step.values.tolist() == [0, 4, 8, 12, 16]
    xarray.testing.assert_identical(record.drop_vars("training_step"), untold.record())


def test_a_probe_by_itself_is_told_to_be_put_into_a_list():
    with pytest.raises(TypeError, match=r"must be a list, got Travel: put a single probe into one"):
        Watch(Objective(model_of(), *data()), Travel())


def test_nothing_seen_yet():
    watch = Watch(Objective(model_of(), *data()), [GradientCorrelation(), Sharpness(), Travel()])
    assert watch.record().sizes["step"] == 0
