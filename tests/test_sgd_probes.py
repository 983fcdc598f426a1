"""Probes of stochastic descent against recomputation, and runs that are killed against whole ones."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from landscape_helpers import Objective
from landscape_helpers.accuracy import accuracy_on
from landscape_helpers.descent import (
    Evaluation,
    FullGradients,
    GradientCorrelation,
    IsotropicNoise,
    Spectrum,
    StepLosses,
    Travel,
    sgd,
)
from landscape_helpers.minibatch import MiniBatches


def problem(n=36, dtype=torch.float64, batchnorm=False, **options):
    torch.manual_seed(0)
    layers = [nn.Linear(5, 8), nn.BatchNorm1d(8)] if batchnorm else [nn.Linear(5, 8)]
    model = nn.Sequential(*layers, nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    return Objective(model, torch.randn(n, 5, dtype=dtype), torch.randint(3, (n,)), **options)


def by_hand(objective, lr, updates, batch_size, seed=0):
    """Every iterate, and the loss and gradient of the batch that is taken there, one more at the end."""
    batches = MiniBatches(objective, batch_size, seed)
    per_epoch = -(-objective.n // batch_size)
    order = [b for e in range(updates // per_epoch + 1) for b in batches.epoch(e + 1)]
    theta, rows = objective.theta, []
    for t in range(updates + 1):
        loss, gradient = batches.gradient(theta, order[t])
        rows.append((theta, loss, gradient))
        theta = theta - lr * gradient
    return rows


def test_training_without_probes_is_bit_for_bit_a_plain_loop():
    """The loop of torch.optim.SGD in single precision, with momentum, weight decay and a schedule."""
    objective = problem(dtype=torch.float32, batchnorm=True)
    result = sgd(objective, objective.theta, 0.2, 3, 10, momentum=0.9, weight_decay=1e-2, schedule="cosine", seed=3)
    batches, theta = MiniBatches(objective, 10, seed=3), objective.theta
    velocity = torch.zeros_like(theta)
    for epoch in range(3):
        for j, batch in enumerate(batches.epoch(epoch + 1)):
            _, gradient = batches.gradient(theta, batch)
            velocity = 0.9 * velocity + (gradient.add_(theta, alpha=1e-2))
            theta.add_(velocity, alpha=-0.2 * 0.5 * (1 + np.cos(np.pi * (epoch + j / 4) / 3)))
    assert torch.equal(result.theta, theta)
    probed = sgd(
        objective, objective.theta, 0.2, 3, 10, momentum=0.9, weight_decay=1e-2, schedule="cosine", seed=3,
        probes=[Travel(), StepLosses([(0, 9)]), GradientCorrelation(3, [2])],
    )  # fmt: skip
    assert torch.equal(probed.theta, theta) and np.array_equal(probed.losses, result.losses)


def test_travel_and_losses_are_those_of_a_loop_by_hand():
    objective = problem()
    record = sgd(objective, objective.theta, 0.3, 3, 8, seed=2, probes=[Travel()]).record
    rows = by_hand(objective, 0.3, 15, 8, seed=2)
    np.testing.assert_allclose(record.batch_loss, [loss for _, loss, _ in rows], rtol=1e-12)
    assert (record.learning_rate[:-1] == 0.3).all() and np.isnan(record.learning_rate[-1])
    for t, (theta, _, gradient) in enumerate(rows):
        assert float(record.distance[t]) == pytest.approx(float((theta - objective.theta).norm()), rel=1e-10)
        assert float(record.theta_norm[t]) == pytest.approx(float(theta.norm()), rel=1e-12)
        assert float(record.gradient_norm[t]) == pytest.approx(float(gradient.norm()), rel=1e-10)
        if t:
            cosine = torch.cosine_similarity(gradient, rows[t - 1][2], dim=0)
            assert float(record.cosine[t]) == pytest.approx(float(cosine), rel=1e-9)
    assert np.isnan(record.cosine[0])


@pytest.mark.parametrize("batch_size", [8, None])
def test_full_gradients_are_those_of_the_objective(batch_size):
    objective = problem()
    probe = FullGradients([(2, 3)])
    record = sgd(objective, objective.theta, 0.3, steps=6, batch_size=batch_size, probes=[probe]).record
    thetas = [row[0] for row in by_hand(objective, 0.3, 6, batch_size or objective.n)]
    assert record["update"].values.tolist() == [2, 3, 4]
    for t in (2, 3, 4):
        g, h, way = objective.gradient(thetas[t]), objective.gradient(thetas[t + 1]), thetas[t + 1] - thetas[t]
        truth = [torch.cosine_similarity(g, h, dim=0), g.norm(), h.norm(), g @ way, h @ way]
        names = ["full_cosine", "full_gradient_norm", "full_gradient_norm_next", "slope_start", "slope_end"]
        found = [float(record[name].sel(update=t)) for name in names]
        np.testing.assert_allclose(found, [float(v) for v in truth], rtol=1e-8)


@pytest.mark.parametrize("probes", [[], [Travel()]])
def test_a_gradient_that_is_not_finite_ends_the_record_before_it(probes):
    """The square root of a loss of zero: the loss is finite, its slope is not."""
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    model = nn.Linear(1, 1, bias=False).double()
    objective = Objective(model, x, torch.zeros(2, 1).double(), loss=lambda out, y: out.square().mean().sqrt())
    theta = torch.zeros(1, dtype=torch.float64)
    assert objective.loss(theta) == 0 and not torch.isfinite(objective.gradient(theta)).all()
    result = sgd(objective, theta, 0.1, steps=3, batch_size=1, probes=probes)
    assert result.status == "loss became non-finite in epoch 1 (step 0)"
    assert result.record.sizes["step"] == 0 and torch.equal(result.theta, theta)


def test_a_gradient_of_zero_has_no_cosine():
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    model = nn.Linear(1, 1, bias=False).double()
    objective = Objective(model, x, torch.zeros(2, 1, dtype=torch.float64), loss="mse")
    record = sgd(objective, torch.zeros(1).double(), 0.1, steps=2, probes=[FullGradients([(0, 2)])]).record
    assert np.isnan(record.full_cosine).all() and (record.full_gradient_norm == 0).all()


def test_evaluations_are_those_of_the_objective_and_of_other_images():
    objective = problem(batchnorm=True, batch_size=16)
    x, y = torch.randn(20, 5, dtype=torch.float64), torch.randint(3, (20,))
    result = sgd(objective, objective.theta, 0.3, 2, 12, keep=[0, 1, 2], probes=[Evaluation(3, x, y)])
    assert result.record.evaluation.values.tolist() == [0, 3, 6]
    for i, theta in enumerate(result.kept.values()):
        row = result.record.isel(evaluation=i)
        assert float(row.train_loss) == pytest.approx(objective.loss(theta), rel=1e-12)
        assert float(row.train_accuracy) == objective.accuracy(theta)
        assert float(row.validation_accuracy) == accuracy_on(objective, theta, x, y)


def test_both_ends_of_the_spectrum_are_those_of_the_dense_hessian():
    objective = problem()
    result = sgd(objective, objective.theta, 0.3, 2, 12, keep=[0, 1, 2], probes=[Spectrum(3, tol=1e-6)])
    for i, theta in enumerate(result.kept.values()):
        values = torch.linalg.eigvalsh(objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64)))
        row = result.record.isel(stop=i)
        np.testing.assert_allclose([row.lambda_max, row.lambda_min], [values[-1], values[0]], rtol=1e-6)


def test_steps_need_not_fill_the_last_epoch():
    objective = problem()
    whole = sgd(objective, objective.theta, 0.3, 2, 8, probes=[Travel()])
    part = sgd(objective, objective.theta, 0.3, steps=7, batch_size=8, keep=[1], probes=[Travel()])
    assert part.steps == 7 and len(part.losses) == 1 and list(part.kept) == [1]
    shared = whole.record.isel(step=slice(8)).drop_vars("learning_rate")
    xarray.testing.assert_equal(part.record.drop_vars("learning_rate"), shared)
    bare = sgd(objective, objective.theta, 0.3, steps=7, batch_size=8)
    np.testing.assert_array_equal(bare.record.batch_loss[:7], part.record.batch_loss[:7])
    assert torch.equal(bare.theta, part.theta) and np.isnan(bare.record.batch_loss[7])


def test_training_ends_below_the_asked_for_loss():
    objective = problem()
    result = sgd(objective, objective.theta, 1.0, 200, None, stop_loss=0.9, probes=[Travel()])
    assert result.losses[-1] < 0.9 <= result.losses[:-1].min()
    assert result.status == f"stopped: loss below 0.9 in epoch {len(result.losses)}"
    assert len(result.record.step) == result.steps + 1 == len(result.losses) + 1


def test_a_loss_that_explodes_keeps_what_was_recorded():
    torch.manual_seed(0)
    model, x = nn.Linear(3, 2), torch.randn(8, 3)
    objective = Objective(model, x, torch.randint(2, (8,)), loss=lambda outputs, targets: (outputs**2).mean())
    result = sgd(objective, objective.theta, 1e9, 50, None, probes=[Travel()])
    last = len(result.record.step) - 1
    assert result.status == f"loss became non-finite in epoch {last + 2} (step {last + 1})"
    assert np.isfinite(result.record.batch_loss).all() and np.isfinite(objective.loss(result.theta))


def walk(dtype=torch.float32, **options):
    """A run with every kind of probe whose state matters, and noise."""
    objective = problem(dtype=dtype, batchnorm=True)
    x, y = torch.randn(9, 5, generator=torch.Generator().manual_seed(1)).to(dtype), torch.arange(9) % 3
    probes = [Travel(), StepLosses([(1, 3), (6, 4)], 3), FullGradients([(5, 4)]), Evaluation(4, x, y), Spectrum(5),
              GradientCorrelation(3, [4]), *options.pop("more", [])]  # fmt: skip
    return sgd(
        objective, objective.theta, 0.3, batch_size=8, steps=13, momentum=0.5, weight_decay=1e-3, seed=4, keep=[1, 2],
        probes=probes, noise=IsotropicNoise(1e-4, 2), **options,
    )  # fmt: skip


class Killer:
    """Kills its own process, without a word, when it has seen a step."""

    history = 0
    settings = ()

    def __init__(self, at):
        self.at = at

    def begin(self, objective):
        pass

    def observe(self, step):
        if step.index == self.at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)

    def result(self):
        return xarray.Dataset()

    def state(self):
        return {}

    def restore(self, state):
        pass


def test_a_run_killed_at_any_step_ends_with_the_same_record(tmp_path):
    """Killed at steps drawn at random, several times in a row, and started again each time."""
    script = textwrap.dedent(
        """
        import os, sys
        import torch
        sys.path.insert(0, sys.argv[1])
        from test_sgd_probes import Killer, walk
        torch.set_num_threads(1)
        for at in sys.argv[3:]:
            if os.fork() == 0:
                walk(more=[Killer(int(at))], checkpoint=sys.argv[2], checkpoint_every=0)
                os._exit(1)
            _, status = os.wait()
            assert os.WTERMSIG(status) == 9, status
        """
    )
    file = tmp_path / "run.npz"
    steps = sorted(np.random.default_rng().choice(np.arange(1, 14), 3, replace=False).tolist())
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(file), *map(str, steps)]
    subprocess.run(command, check=True)
    assert file.exists()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed, whole = walk(more=[Killer(-1)], checkpoint=file), walk(more=[Killer(-1)])
    finally:
        torch.set_num_threads(threads)
    xarray.testing.assert_identical(resumed.record, whole.record)
    assert torch.equal(resumed.theta, whole.theta) and np.array_equal(resumed.losses, whole.losses)
    assert all(torch.equal(resumed.kept[e], whole.kept[e]) for e in (1, 2)) and not file.exists()


def test_the_same_seed_gives_the_same_record():
    xarray.testing.assert_identical(walk().record, walk().record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": -3}, "batch_size must be at least 1, or None for the whole set, got -3"),
        ({"epochs": None}, "epochs or steps must say how long to train"),
        ({"steps": -1}, "steps must not be negative, got -1"),
        ({"steps": 2.5}, r"steps must be a whole number, got 2\.5"),
        ({"batch_size": 2.5}, r"batch_size must be a whole number, got 2\.5"),
        ({"steps": 9, "schedule": "cosine"}, "the schedule ends after epochs=2, which are 8 updates, but steps=9"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_before_any_work(change, message):
    objective = problem()
    with pytest.raises(ValueError, match=message):
        sgd(objective, objective.theta, **({"lr": 0.1, "epochs": 2, "batch_size": 10} | change), probes=[Travel()])
    assert objective.counts.gradients == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Evaluation(0, torch.zeros(1), torch.zeros(1)), "every must be at least 1 step, got 0"),
        (lambda: Evaluation(1, torch.zeros(2), torch.zeros(1)), "equally many samples, got 2 and 1"),
        (lambda: Spectrum(0), "every must be at least 1 step, got 0"),
        (lambda: Spectrum(1, tol=0.0), "tol must be a relative residual above 0"),
    ],
)
def test_probes_refuse_senseless_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
