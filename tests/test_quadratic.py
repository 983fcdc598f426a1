"""Second-order models against finite differences, and against a loss that is a quadratic."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers.curvature import quadratic_model, segments
from landscape_helpers.objective import Objective


def tanh_network() -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 5, generator=generator, dtype=torch.float64)
    return Objective(model, x, torch.randint(0, 3, (20,), generator=generator), batch_size=8)


def direction(objective: Objective, seed: int = 3) -> torch.Tensor:
    return torch.randn(objective.parameters, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_slope_and_curvature_are_the_finite_differences_of_the_curve():
    objective = tanh_network()
    theta, epsilon = objective.theta, direction(objective)
    model = quadratic_model(objective, theta, epsilon)
    h = 1e-4
    down, here, up = (objective.loss(theta + c * epsilon) for c in (-h, 0, h))
    assert model.loss == pytest.approx(here, rel=1e-14)
    assert model.slope == pytest.approx((up - down) / (2 * h), rel=1e-5)
    assert model.curvature == pytest.approx((up - 2 * here + down) / h**2, rel=1e-4)


def test_the_error_of_each_order_shrinks_as_it_should():
    """Twice the distance: the tangent is off by four times as much, the quadratic by eight times."""
    objective = tanh_network()
    theta, epsilon = objective.theta, direction(objective)
    model = quadratic_model(objective, theta, epsilon)
    far, near = 0.02, 0.01
    truth = np.array([objective.loss(theta + c * epsilon) for c in (far, near)])
    at = np.array([far, near])
    first = np.abs(model.first_order(at) - truth)
    second = np.abs(model(at) - truth)
    assert first[0] / first[1] == pytest.approx(4, rel=0.1)
    assert second[0] / second[1] == pytest.approx(8, rel=0.1)


def test_segments_touch_the_curve_at_their_centres():
    """The printed quadratic has no constant term and would not: every segment would pass through zero there."""
    objective = tanh_network()
    theta, epsilon = objective.theta, direction(objective)
    centres = np.linspace(-1, 0, 11)
    models = segments(objective, theta, epsilon, centres)
    assert [m.centre for m in models] == pytest.approx(centres.tolist())
    for model in models:
        here = objective.loss(theta + model.centre * epsilon)
        assert float(model(model.centre)) == pytest.approx(here, rel=1e-12)
        assert float(model.first_order(model.centre)) == pytest.approx(here, rel=1e-12)
        x, values = model.segment(5)
        assert x[[0, -1]] == pytest.approx([model.centre - 0.05, model.centre + 0.05])
        truth = np.array([objective.loss(theta + c * epsilon) for c in x])
        assert np.abs(values - truth).max() < np.abs(model.first_order(x) - truth).max()


def test_one_gradient_and_one_product_a_centre():
    objective = tanh_network()
    segments(objective, objective.theta, direction(objective), [-0.5, 0.0, 0.5])
    assert (objective.counts.gradients, objective.counts.products, objective.counts.forward) == (3, 3, 0)


def test_a_model_without_half_width_has_no_segment():
    objective = tanh_network()
    with pytest.raises(ValueError, match="no half-width"):
        quadratic_model(objective, objective.theta, direction(objective)).segment()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": torch.zeros(66)}, "direction must be a non-zero finite vector, got one of norm 0"),
        ({"direction": torch.full((66,), float("nan"))}, "direction must be a non-zero finite vector"),
        ({"direction": torch.ones(5)}, r"direction must have shape \(66,\), got \(5,\)"),
        ({"theta": torch.ones(5)}, r"theta must have shape \(66,\)"),
        ({"centres": []}, "centres must be finite numbers, at least one"),
        ({"centres": [0.0, float("inf")]}, "centres must be finite numbers"),
        ({"half_width": 0.0}, "half_width must be a finite number above 0, got 0"),
        ({"half_width": float("inf")}, "half_width must be a finite number above 0, got inf"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    objective = tanh_network()
    arguments = {"theta": objective.theta, "direction": torch.ones(66), "centres": [0.0]} | change
    with pytest.raises(ValueError, match=message):
        segments(objective, **arguments)
    assert objective.counts.gradients == 0
