"""Isotropic noise and the largest gradient variance against their definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers import Objective
from landscape_helpers.descent import IsotropicNoise, largest_gradient_variance, sgd


def problem(batchnorm="batch", with_norm=False, n=30, dtype=torch.float64):
    torch.manual_seed(0)
    norm = [nn.BatchNorm2d(3)] if with_norm else []
    layers = [nn.Conv2d(2, 3, 3), *norm, nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)]
    model = nn.Sequential(*layers).to(dtype)
    return Objective(model, torch.randn(n, 2, 4, 4, dtype=dtype), torch.randint(4, (n,)), batch_size=8,
                     batchnorm=batchnorm)  # fmt: skip


@pytest.mark.parametrize("images", [None, 12])
def test_the_largest_variance_is_that_of_samples_taken_one_by_one(images):
    objective = problem()
    x, y = (torch.cat(parts)[:images] for parts in zip(*((x, y) for _, x, y in objective.weighted()), strict=True))
    gradients = torch.stack(
        [Objective(objective.model, x[i : i + 1], y[i : i + 1]).gradient(objective.theta) for i in range(len(x))]
    )
    truth = float(gradients.var(0, correction=0).max())
    assert largest_gradient_variance(objective, objective.theta, images) == pytest.approx(truth, rel=1e-10)


class Recurrent(nn.Module):
    """Layers that torch.func.vmap does not go through."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class Centred(nn.Linear):
    def forward(self, x):
        if len(x) < 2:
            raise ValueError("a mean needs two")
        return super().forward(x - x.mean(0))


def test_recurrent_layers_take_their_samples_one_by_one():
    torch.manual_seed(0)
    x, y = torch.randn(9, 5, 3), torch.randint(3, (9,))
    objective = Objective(Recurrent(), x, y, dtype=torch.float64)
    singles = [Objective(Recurrent(), x[i : i + 1], y[i : i + 1], dtype=torch.float64) for i in range(9)]
    gradients = torch.stack([single.gradient(objective.theta) for single in singles])
    truth = float(gradients.var(0, correction=0).max())
    assert largest_gradient_variance(objective, objective.theta) == pytest.approx(truth, rel=1e-10)


def test_a_model_that_takes_no_single_sample_is_named():
    objective = Objective(Centred(3, 3), torch.randn(9, 3), torch.randint(3, (9,)))
    with pytest.raises(ValueError, match=r"Centred or its loss does not take a single sample \(a mean needs two\)"):
        largest_gradient_variance(objective, objective.theta)


def test_batchnorm_keeps_the_statistics_of_the_samples():
    """The oracle puts them into running statistics by hand and freezes those."""
    objective = problem(with_norm=True)
    x, y = (torch.cat(parts) for parts in zip(*((x, y) for _, x, y in objective.weighted()), strict=True))
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)]
    frozen = nn.Sequential(*layers).double()
    inputs = frozen[0](x).detach()
    frozen[1].running_mean.copy_(inputs.mean((0, 2, 3)))
    frozen[1].running_var.copy_(inputs.var((0, 2, 3), correction=0))
    gradients = torch.stack(
        [Objective(frozen, x[i : i + 1], y[i : i + 1], batchnorm="frozen").gradient(objective.theta) for i in range(30)]
    )
    truth = float(gradients.var(0, correction=0).max())
    assert largest_gradient_variance(objective, objective.theta, None) == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize(("n", "images"), [(30, 1), (30, 0), (1, None), (1, 2000)])
def test_a_variance_needs_two_samples(n, images):
    objective = problem(n=n)
    with pytest.raises(ValueError, match=f"at least 2 samples: got images={images} of an objective that holds {n}"):
        largest_gradient_variance(objective, objective.theta, images)


def test_all_samples_are_taken_where_there_are_fewer_than_asked_for():
    objective = problem()
    whole = largest_gradient_variance(objective, objective.theta, None)
    assert largest_gradient_variance(objective, objective.theta) == whole
    assert largest_gradient_variance(objective, objective.theta, 31) == whole
    assert largest_gradient_variance(objective, objective.theta, 12) != whole


def test_draws_depend_on_seed_and_step_alone():
    like = torch.zeros(20_000)
    noise = IsotropicNoise(0.25, 3)
    first = noise.draw(7, like)
    noise.draw(8, like)
    assert torch.equal(noise.draw(7, like), first)
    assert not torch.equal(noise.draw(8, like), first)
    assert not torch.equal(IsotropicNoise(0.25, 4).draw(7, like), first)
    # Twenty thousand draws: four standard errors of mean and variance.
    assert abs(float(first.mean())) < 4 * 0.5 / np.sqrt(20_000)
    assert abs(float(first.var()) / 0.25 - 1) < 4 * np.sqrt(2 / 20_000)
    assert IsotropicNoise(0.0).draw(0, like).abs().max() == 0


def test_noise_is_added_to_every_gradient():
    objective, noise = problem(), IsotropicNoise(0.01, 5)
    result = sgd(objective, objective.theta, 0.1, 3, None, noise=noise)
    theta = objective.theta
    for t in range(3):
        theta = theta - 0.1 * (objective.gradient(theta) + noise.draw(t, theta))
    assert torch.allclose(result.theta, theta, rtol=1e-12)


@pytest.mark.parametrize("variance", [-0.1, float("nan"), float("inf")])
def test_a_variance_below_zero_is_refused(variance):
    with pytest.raises(ValueError, match="variance of the noise must be a finite number of at least 0"):
        IsotropicNoise(variance)
