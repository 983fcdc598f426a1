"""Losses between iterates against a plain loop over copies of the model."""

import copy

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from landscape_helpers import Objective
from landscape_helpers.descent import StepLosses, gradient_descent, sgd
from landscape_helpers.models import build_model

NETWORKS = {
    "mlp": ("mlp", {"hidden": (20, 12)}, (1, 8, 8), 60),
    "cnn": ("cnn", {"width": 4}, (3, 8, 8), 50),
    "vgg": ("vgg11", {"width": 2, "batchnorm": True}, (1, 8, 8), 50),
    "resnet": ("resnet8", {"width": 4}, (1, 8, 8), 40),
}
MICRO = 20


class Keep:
    """Keeps every iterate."""

    history = 0

    def begin(self, objective):
        self.thetas = []

    def observe(self, step):
        self.thetas.append(step.theta.clone())

    def result(self):
        return xarray.Dataset()

    def state(self):
        return {"thetas": torch.stack(self.thetas).numpy()}

    def restore(self, state):
        self.thetas = list(torch.as_tensor(state["thetas"]))


def network(name, dtype=torch.float32):
    kind, options, shape, n = NETWORKS[name]
    torch.manual_seed(0)
    model = build_model(kind, 5, shape, **options).to(dtype)
    return model, torch.randn(n, *shape).to(dtype), torch.randint(5, (n,))


def plain_loop(model, x, y, start, end, alphas, micro=MICRO):
    """Twelve copies of the model, BatchNorm in training mode on each micro-batch."""
    losses = []
    for alpha in alphas:
        point = copy.deepcopy(model).train()
        nn.utils.vector_to_parameters((1 - alpha) * start + alpha * end, point.parameters())
        with torch.no_grad():
            pieces = zip(x.split(micro), y.split(micro), strict=True)
            losses.append(sum(len(b) / len(x) * float(nn.functional.cross_entropy(point(a), b)) for a, b in pieces))
    return losses


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-9)])
@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_losses_between_iterates_are_those_of_a_plain_loop(name, batch_size, dtype, tolerance):
    model, x, y = network(name, dtype)
    objective = Objective(model, x, y, batch_size=MICRO)
    keep, probe = Keep(), StepLosses([(1, 2), (5, 1)])
    record = sgd(objective, objective.theta, 0.1, steps=6, batch_size=batch_size, probes=[keep, probe]).record
    assert record["update"].values.tolist() == [1, 2, 5] and record.window.values.tolist() == [0, 0, 1]
    np.testing.assert_allclose(record.alpha, np.linspace(0, 1, 12))
    for t, losses in zip(record["update"].values, record.step_loss.values, strict=True):
        truth = plain_loop(model, x, y, keep.thetas[t], keep.thetas[t + 1], record.alpha.values)
        np.testing.assert_allclose(losses, truth, rtol=tolerance)


def test_a_wide_first_convolution_is_evaluated_as_affine():
    """Ten channels in: the first layer's products are worth keeping and its differences are used."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(10, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)]
    model, x, y = nn.Sequential(*layers), torch.randn(30, 10, 8, 8), torch.randint(3, (30,))
    objective = Objective(model, x, y)
    keep, probe = Keep(), StepLosses([(0, 3)], points=3)
    record = sgd(objective, objective.theta, 0.3, steps=3, batch_size=7, probes=[keep, probe]).record
    for t, losses in enumerate(record.step_loss.values):
        truth = plain_loop(model, x, y, keep.thetas[t], keep.thetas[t + 1], record.alpha.values, 30)
        np.testing.assert_allclose(losses, truth, rtol=1e-6)


def test_neighbouring_updates_share_their_ends_and_training_supplies_them():
    model, x, y = network("mlp")
    objective = Objective(model, x, y)
    record = sgd(objective, objective.theta, 0.1, steps=4, batch_size=16, probes=[StepLosses([(0, 4)])]).record
    assert objective.counts.forward == 1 + 4 * 11
    np.testing.assert_array_equal(record.step_loss[1:, 0], record.step_loss[:-1, -1])
    whole = Objective(model, x, y)
    record = sgd(whole, whole.theta, 0.1, steps=4, batch_size=None, probes=[StepLosses([(0, 4)])]).record
    assert whole.counts.forward == 4 * 10 and whole.counts.gradients == 5
    np.testing.assert_array_equal(record.step_loss[:, 0], record.batch_loss[:-1])
    np.testing.assert_array_equal(record.step_loss[:, -1], record.batch_loss[1:])


def test_another_objective_may_be_looked_at():
    model, x, y = network("vgg")
    objective, frozen = Objective(model, x, y), Objective(model, x, y, batchnorm="frozen")
    keep, probe = Keep(), StepLosses([(0, 2)], points=2, objective=frozen)
    record = gradient_descent(objective, objective.theta, 0.1, 2, [keep, probe]).record
    for t, losses in enumerate(record.step_loss.values):
        for alpha, loss in zip(record.alpha.values, losses, strict=True):
            theta = torch.lerp(keep.thetas[t], keep.thetas[t + 1], float(alpha))
            assert loss == pytest.approx(frozen.loss(theta), rel=1e-6)


@pytest.mark.parametrize("points", [0, 1])
def test_too_few_points_are_refused(points):
    with pytest.raises(ValueError, match=f"points must be at least 2 .* got {points}"):
        StepLosses([(0, 1)], points)


@pytest.mark.parametrize(("windows", "message"), [([], "got none"), ([(-1, 3)], r"\(-1, 3\)"), ([(2, 0)], r"\(2, 0\)")])
def test_windows_without_updates_are_refused(windows, message):
    with pytest.raises(ValueError, match=message):
        StepLosses(windows)


def test_an_objective_of_another_model_is_refused():
    model, x, y = network("mlp")
    objective = Objective(model, x, y)
    other = Objective(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), x, y)
    with pytest.raises(ValueError, match="has 325 parameters"):
        sgd(objective, objective.theta, 0.1, 1, 16, probes=[StepLosses([(0, 1)], objective=other)])
