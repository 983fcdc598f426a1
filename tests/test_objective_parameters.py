"""What of a model's and a loss's parameters an objective takes, and what it refuses."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from landscape_helpers.objective import Objective


def samples():
    torch.manual_seed(0)
    return torch.randn(40, 6), torch.randint(0, 3, (40,))


@pytest.mark.parametrize("batch_size", [None, 16])
def test_a_regulariser_on_the_callers_parameters_is_refused(batch_size):
    x, y = samples()
    model = nn.Linear(6, 3)

    def decayed(outputs, targets):
        return F.cross_entropy(outputs, targets) + sum(p.square().sum() for p in model.parameters())

    with pytest.raises(ValueError, match=r"the loss reads bias, weight of the Linear .* in the model's forward pass"):
        Objective(model, x, y, decayed, batch_size=batch_size)


def test_a_regulariser_computed_by_the_model_moves_with_theta():
    x, y = samples()

    class Decayed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 3)

        def forward(self, x):
            return self.inner(x), sum(p.square().sum() for p in self.inner.parameters())

    objective = Objective(Decayed(), x, y, lambda outputs, targets: F.cross_entropy(outputs[0], targets) + outputs[1])
    theta = objective.theta
    plain = Objective(Decayed(), x, y, lambda outputs, targets: F.cross_entropy(outputs[0], targets))
    assert objective.loss(2 * theta) == pytest.approx(plain.loss(2 * theta) + 4 * float(theta @ theta), rel=1e-6)


def test_a_loss_keeps_parameters_of_its_own_and_those_of_a_teacher():
    x, y = samples()
    weight, teacher = nn.Parameter(torch.tensor([1.0, 2.0, 3.0])), nn.Linear(6, 3)
    taught = teacher(x[:1]).detach()
    objective = Objective(nn.Linear(6, 3), x, y, lambda o, t: F.cross_entropy(o * weight + taught, t), batch_size=16)
    assert objective.parameters == 21


def test_a_loss_that_cannot_be_differentiated_still_has_a_landscape():
    x, y = samples()
    model = nn.Linear(6, 3)

    def missed(outputs, targets):
        model.weight.add_(0.0)  # in place on a leaf: an error as soon as gradients are recorded
        return (outputs.argmax(1) != targets).float().mean()

    objective = Objective(model, x, y, missed)
    assert 0 <= objective.loss(objective.theta) <= 1


@pytest.mark.parametrize("inside", [16, 8])
def test_signs_of_householder_reflections_are_no_coordinates(inside):
    x, y = samples()
    options = {"orthogonal_map": "householder"} if inside == 16 else {}  # not square: torch's own choice

    def network(**options):
        orthogonal = parametrizations.orthogonal(nn.Linear(16, inside), **options)
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), orthogonal, nn.Tanh(), nn.Linear(inside, 3))

    with pytest.raises(ValueError, match=r"2.parametrizations.weight.0 .* orthogonal_map='matrix_exp'"):
        Objective(network(**options), x, y)

    torch.manual_seed(1)
    for other in ("matrix_exp", "cayley"):
        objective = Objective(network(orthogonal_map=other), x, y, dtype=torch.float64)
        theta, step = objective.theta, 1e-5
        direction = torch.randn_like(theta)
        slope = (objective.loss(theta + step * direction) - objective.loss(theta - step * direction)) / (2 * step)
        assert slope == pytest.approx(float(objective.gradient(theta) @ direction), rel=1e-6)
