"""Mini-batches and stochastic gradient descent against torch.optim and a transcription by hand."""

import numpy as np
import pytest
import torch
from interruption import Interrupted, stop_at
from torch import nn

from landscape_helpers import Objective
from landscape_helpers.descent import sgd
from landscape_helpers.minibatch import MiniBatches


def problem(n=37, batchnorm=False, dtype=torch.float64):
    torch.manual_seed(0)
    layers = [nn.Linear(5, 8), nn.BatchNorm1d(8)] if batchnorm else [nn.Linear(5, 8)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.Linear(8, 3)).to(dtype)
    return model, torch.randn(n, 5, dtype=dtype), torch.randint(3, (n,))


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_steps_are_those_of_torch_optim(batchnorm, schedule):
    model, x, y = problem(batchnorm=batchnorm)
    objective = Objective(model, x, y)
    result = sgd(
        objective, objective.theta, 0.2, 4, 10,
        momentum=0.9, weight_decay=1e-2, schedule=schedule, seed=3, keep=[0, 2, 4],
    )  # fmt: skip
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-2)
    batches = MiniBatches(objective, 10, seed=3)
    kept, losses, step = {0: nn.utils.parameters_to_vector(model.parameters()).detach().clone()}, [], 0
    model.train()
    for epoch in range(1, 5):
        total = 0.0
        for batch in batches.epoch(epoch):
            if schedule == "cosine":
                optimiser.param_groups[0]["lr"] = 0.1 * (1 + np.cos(np.pi * step / 16))
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
            step += 1
        losses.append(total / len(x))
        kept[epoch] = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    assert list(result.kept) == [0, 2, 4]
    for epoch, theta in result.kept.items():
        assert torch.allclose(theta, kept[epoch], rtol=1e-10, atol=1e-12)
    assert np.allclose(result.losses, losses, rtol=1e-10)
    assert result.status == "completed"


def test_an_epoch_holds_every_sample_once_in_a_new_order():
    model, x, y = problem()
    batches = MiniBatches(Objective(model, x, y), 10, seed=1)
    epochs = [torch.cat(list(batches.epoch(e))) for e in (1, 2)]
    assert [len(b) for b in batches.epoch(1)] == [10, 10, 10, 7]
    for order in epochs:
        assert sorted(order.tolist()) == list(range(37))
    assert epochs[0].tolist() != epochs[1].tolist()
    again = MiniBatches(Objective(model, x, y), 10, seed=1)
    assert torch.equal(torch.cat(list(again.epoch(2))), epochs[1])
    other = MiniBatches(Objective(model, x, y), 10, seed=2)
    assert not torch.equal(torch.cat(list(other.epoch(2))), epochs[1])


def test_no_order_comes_twice_and_the_largest_seed_has_one():
    model, x, y = problem()
    objective = Objective(model, x, y)
    orders = set()
    for seed in (0, 1, 2**63 - 1):
        batches = MiniBatches(objective, 10, seed=seed)
        orders |= {tuple(torch.cat(list(batches.epoch(e))).tolist()) for e in range(1, 201)}
    assert len(orders) == 600


def test_orders_and_gradients_leave_nothing_behind():
    model, x, y = problem()
    objective = Objective(model, x, y)
    batches, state = MiniBatches(objective, 10), torch.get_rng_state()
    (batch, *_) = batches.epoch(1)
    assert torch.equal(batch, next(MiniBatches(objective, 10, seed=0).epoch(1)))
    assert torch.equal(torch.get_rng_state(), state)
    batches.gradient(objective.theta, batch)
    assert all(weight.grad is None for weight in objective.weights)
    objective.loss_function = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        batches.gradient(objective.theta, batch)
    assert all(weight.grad is None for weight in objective.weights)


def test_a_batch_that_cannot_be_taken_leaves_the_model_as_it_was():
    model, x, y = problem()
    objective = Objective(model, x, y)
    batches, out = MiniBatches(objective, 10), torch.ones_like(objective.theta)
    before = [weight.clone() for weight in objective.weights]
    with pytest.raises(IndexError):
        batches.gradient(2 * objective.theta, torch.tensor([37]), out)
    assert all(torch.equal(*pair) for pair in zip(objective.weights, before, strict=True))
    assert all(weight.grad is None for weight in objective.weights) and out.eq(1).all()


@pytest.mark.parametrize("size", [0, -1, 38, True, 2.5, float("nan")])
def test_a_batch_is_a_whole_number_of_the_samples(size):
    model, x, y = problem()
    with pytest.raises(ValueError, match=r"batch_size must (lie between 1 and the number of samples 37|be a whole)"):
        MiniBatches(Objective(model, x, y), size)
    assert [len(b) for b in MiniBatches(Objective(model, x, y), 37.0).epoch(1)] == [37]


def test_statistics_of_all_samples_are_in_no_batch():
    model, x, y = problem(batchnorm=True)
    objective = Objective(model, x, y, batchnorm="whole")
    with pytest.raises(ValueError, match="batchnorm='whole' normalises with all 37 samples"):
        MiniBatches(objective, 36)
    (batch,) = (batches := MiniBatches(objective, 37)).epoch(1)
    assert torch.allclose(batches.gradient(objective.theta, batch)[1], objective.gradient(objective.theta), rtol=1e-10)


def test_a_mean_over_batches_of_equal_size_is_the_full_gradient():
    model, x, y = problem(n=40)
    objective = Objective(model, x, y)
    batches = MiniBatches(objective, 10)
    pieces = [batches.gradient(objective.theta, b) for b in batches.epoch(1)]
    assert torch.allclose(sum(g for _, g in pieces) / 4, objective.gradient(objective.theta), rtol=1e-12)
    out = torch.ones_like(objective.theta)
    assert batches.gradient(objective.theta, next(batches.epoch(1)), out)[1] is out and torch.equal(out, pieces[0][1])
    assert np.isclose(sum(loss for loss, _ in pieces) / 4, objective.loss(objective.theta), rtol=1e-12)


def test_an_interrupted_training_ends_where_it_would_have_ended(tmp_path):
    model, x, y = problem()
    objective = Objective(model, x, y)
    arguments = {"momentum": 0.9, "weight_decay": 1e-3, "schedule": "cosine", "seed": 5, "keep": [1, 3, 6]}
    whole = sgd(objective, objective.theta, 0.3, 6, 8, **arguments)

    file = tmp_path / "training.npz"
    with pytest.raises(Interrupted):
        sgd(
            objective, objective.theta, 0.3, 6, 8, **arguments, checkpoint=file, checkpoint_every=0, progress=stop_at(4)
        )
    assert file.exists()
    resumed = sgd(objective, objective.theta, 0.3, 6, 8, **arguments, checkpoint=file, checkpoint_every=0)
    assert torch.equal(resumed.theta, whole.theta) and np.array_equal(resumed.losses, whole.losses)
    assert all(torch.equal(resumed.kept[e], whole.kept[e]) for e in (1, 3, 6))
    assert not file.exists()


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    model, x, y = problem()
    objective = Objective(model, x, y)
    file = tmp_path / "training.npz"
    with pytest.raises(Interrupted):
        sgd(objective, objective.theta, 0.3, 4, 8, checkpoint=file, checkpoint_every=0, progress=stop_at(2))
    with pytest.raises(ValueError, match="saved by another training run"):
        sgd(objective, objective.theta, 0.1, 4, 8, checkpoint=file)


def test_a_loss_that_explodes_ends_the_training_and_keeps_what_was():
    model, x, y = problem(dtype=torch.float32)
    objective = Objective(model, 100 * x, y, loss=lambda outputs, targets: (outputs**2).mean())
    result = sgd(objective, objective.theta, 10.0, 50, 8, keep=[0, 50])
    assert result.status.startswith("loss became non-finite in epoch")
    assert list(result.kept) == [0] and torch.isfinite(result.theta).all()
    assert len(result.losses) < 50 and np.isfinite(result.losses).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, "lr must be a finite learning rate above 0, got 0.0"),
        ({"epochs": -1}, "epochs must not be negative, got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1, or None for the whole set, got 0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative, got -1.0"),
        ({"schedule": "linear"}, "unknown schedule 'linear': expected one of"),
        ({"keep": [3]}, "keep names epoch 3, but the training has epochs 0 to 2"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_before_any_work(change, message):
    model, x, y = problem()
    objective = Objective(model, x, y)
    arguments = {"lr": 0.1, "epochs": 2, "batch_size": 10} | change
    with pytest.raises(ValueError, match=message):
        sgd(objective, objective.theta, **arguments)
    assert objective.counts.gradients == 0
