"""Lines and planes against the objective at each point, BatchNorm policies against whole passes, and bad input."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from interruption import Interrupted, stop_at
from torch import nn

from landscape_helpers.objective import Objective
from landscape_helpers.slices import line, plane

N, SIDE, CLASSES = 23, 8, 4


class Residual(nn.Module):
    """BatchNorm, a branch, and a normalisation that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.branch = nn.Conv2d(3, 3, 3, padding=1)
        self.twice = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.twice(self.branch(x)))
        return self.head((x + self.twice(self.branch(x))).mean((2, 3)))


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 12), nn.ReLU(), nn.Linear(12, CLASSES))


def residual() -> nn.Module:
    torch.manual_seed(0)
    model = Residual()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


def images(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return x.to(dtype), torch.randint(0, CLASSES, (N,), generator=generator)


def objective_of(model: nn.Module, **options) -> Objective:
    return Objective(model, *images(), dtype=torch.float64, **options)


def directions(objective: Objective, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randn(count, objective.parameters, generator=generator, dtype=torch.float64)
    return list((drawn * (objective.theta.norm() / drawn.norm(dim=1, keepdim=True))).to(objective.dtype))


GRIDS = {
    "from zero": [0.0, 0.3, 1.0],
    "without zero": [0.2, 0.25, 0.9],
    "descending": [1.0, 0.0, -0.5],
    "any order": [0.7, -1.0, 0.1, 0.0],
}


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("grid", GRIDS)
def test_line_is_the_objective_at_each_point(grid, batch_size):
    objective = objective_of(mlp(), batch_size=batch_size)
    theta, (direction, _) = objective.theta, directions(objective)
    curve = line(objective, theta, direction, GRIDS[grid])
    assert curve.dims == ("lambda",) and curve.name == "loss" and curve.attrs["units"] == "nat"
    assert curve["lambda"].values.tolist() == GRIDS[grid]
    truth = [objective.loss(theta + value * direction) for value in GRIDS[grid]]
    np.testing.assert_allclose(curve.values, truth, rtol=1e-12)


@pytest.mark.parametrize("kind", ["mlp", "residual"])
def test_a_plane_that_is_not_square_is_not_scrambled_and_no_row_is_shifted(kind):
    objective = objective_of({"mlp": mlp, "residual": residual}[kind](), batch_size=9)
    theta, (first, second) = objective.theta, directions(objective)
    at1, at2 = [-0.4, 0.0, 0.1], [0.0, 0.2, 1.0, 0.5, 2.0]
    surface = plane(objective, theta, first, second, at1, at2, accuracy=True)
    assert surface.loss.dims == surface.accuracy.dims == ("lambda1", "lambda2") and surface.loss.shape == (3, 5)
    for a in at1:
        for b in at2:
            at = theta + a * first + b * second
            here = surface.sel(lambda1=a, lambda2=b)
            assert float(here.loss) == pytest.approx(objective.loss(at), rel=1e-11)
            assert float(here.accuracy) == objective.accuracy(at)


def test_attributes_hold_norms_cosine_and_the_random_guess():
    objective = objective_of(mlp())
    theta, (first, second) = objective.theta, directions(objective)
    surface = plane(objective, theta, first, 3 * second, [0, 1], [0, 1])
    angle = float(first @ second / (first.norm() * second.norm()))
    assert surface.attrs["cosine"] == pytest.approx(angle, rel=1e-12)
    assert surface.attrs["direction_norm2"] == pytest.approx(3 * float(second.norm()), rel=1e-12)
    assert surface.attrs["relative_norm2"] == pytest.approx(3.0, rel=1e-12)
    assert surface.attrs["random_guess"] == math.log(CLASSES)
    assert surface.attrs["batchnorm"] == "batch"
    assert line(objective, theta, first, [0, 1], batchnorm="frozen").attrs["batchnorm"] == "frozen"


def test_another_loss_has_neither_nats_nor_a_random_guess():
    x, y = images()
    objective = Objective(mlp(), x, nn.functional.one_hot(y, CLASSES).double(), "mse", 10, dtype=torch.float64)
    theta, (direction, _) = objective.theta, directions(objective)
    curve = line(objective, theta, direction, [0, 1])
    assert "units" not in curve.attrs and "random_guess" not in curve.attrs
    np.testing.assert_allclose(curve.values, [objective.loss(theta), objective.loss(theta + direction)], rtol=1e-12)
    with pytest.raises(ValueError, match="accuracy=True needs class indices"):
        line(objective, theta, direction, [0, 1], accuracy=True)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_re_estimated_is_the_objective_with_statistics_of_the_whole_set(batch_size):
    objective, whole = objective_of(residual(), batch_size=batch_size), objective_of(residual(), batchnorm="whole")
    theta, (first, second) = objective.theta, directions(objective)
    at = [-1.0, 0.0, 0.5, 2.0]
    truth = [whole.loss(theta + value * first) for value in at]
    curve = line(objective, theta, first, at, batchnorm="re-estimated")
    np.testing.assert_allclose(curve.values, truth, rtol=1e-11)
    surface = plane(objective, theta, second, first, [0, 1], at, batchnorm="re-estimated")
    np.testing.assert_allclose(surface.values[0], truth, rtol=1e-11)


def statistics_at(model: nn.Module, theta: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and variance of the input of each BatchNorm call, in order, by an independent route: forward hooks."""
    model = copy.deepcopy(model).double().train()
    nn.utils.vector_to_parameters(theta, model.parameters())
    found = []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(
                lambda _, inputs: found.append((inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), correction=0)))
            )
    with torch.no_grad():
        model(images()[0])
    return found


def loss_with(model: nn.Module, theta: torch.Tensor, statistics: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """The loss of the model written out, with the given statistics."""
    model = copy.deepcopy(model).double()
    nn.utils.vector_to_parameters(theta, model.parameters())
    remaining = iter(statistics)

    def norm(module: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
        mean, variance = (s[:, None, None] for s in next(remaining))
        weight, bias = module.weight[:, None, None], module.bias[:, None, None]
        return (x - mean) / (variance + module.eps).sqrt() * weight + bias

    x, y = images()
    with torch.no_grad():
        x = torch.relu(norm(model.stem[1], model.stem[0](x)))
        x = torch.relu(x + norm(model.twice, model.branch(x)))
        x = (x + norm(model.twice, model.branch(x))).mean((2, 3))
        return float(nn.functional.cross_entropy(model.head(x), y))


@pytest.mark.parametrize("batch_size", [None, 7])
def test_frozen_and_interpolated_statistics(batch_size):
    model = residual()
    objective = objective_of(model, batch_size=batch_size)
    theta, (direction, _) = objective.theta, directions(objective)
    start, end = statistics_at(model, theta), statistics_at(model, theta + direction)
    at = [-0.5, 0.0, 0.3, 1.0]
    frozen = line(objective, theta, direction, at, batchnorm="frozen")
    np.testing.assert_allclose(frozen.values, [loss_with(model, theta + t * direction, start) for t in at], rtol=1e-11)
    between = line(objective, theta, direction, at[1:], batchnorm="interpolated")
    ends = list(zip(start, end, strict=True))
    mixed = [[((1 - t) * a + t * b, (1 - t) * c + t * d) for (a, c), (b, d) in ends] for t in at[1:]]
    truth = [loss_with(model, theta + t * direction, m) for t, m in zip(at[1:], mixed, strict=True)]
    np.testing.assert_allclose(between.values, truth, rtol=1e-11)


def test_frozen_keeps_the_running_statistics_of_an_objective_that_uses_them():
    model = residual().train()
    model(images(torch.float32)[0])
    objective = objective_of(model, batch_size=5, batchnorm="frozen")
    theta, (direction, _) = objective.theta, directions(objective)
    truth = [objective.loss(theta + t * direction) for t in (0, 1)]
    for policy in ("frozen", None):
        np.testing.assert_allclose(
            line(objective, theta, direction, [0, 1], batchnorm=policy).values, truth, rtol=1e-11
        )
    whole = objective_of(model, batchnorm="whole")
    np.testing.assert_allclose(
        line(objective, theta, direction, [0, 1], batchnorm="re-estimated").values,
        [whole.loss(theta + t * direction) for t in (0, 1)],
        rtol=1e-11,
    )


@pytest.mark.parametrize("policy", ["re-estimated", "frozen", "interpolated"])
def test_policies_change_nothing_without_batchnorm(policy):
    objective = objective_of(mlp(), batch_size=7)
    theta, (direction, _) = objective.theta, directions(objective)
    plain = line(objective, theta, direction, [0, 1])
    assert (line(objective, theta, direction, [0, 1], batchnorm=policy).values == plain.values).all()


@pytest.mark.parametrize("policy", [None, "re-estimated", "frozen", "interpolated"])
def test_neither_the_callers_model_nor_the_objective_is_left_changed(policy):
    model = residual().train()
    before = copy.deepcopy(model.state_dict())
    objective = objective_of(model, batch_size=9)
    theta, (direction, _) = objective.theta, directions(objective)
    kept, loss = theta.clone(), objective.loss(theta)
    forwards = objective.counts.forward
    line(objective, theta, direction, [0, 1, 2], batchnorm=policy)
    assert objective.counts.forward - forwards == 3 + {"frozen": 1, "interpolated": 2}.get(str(policy), 0)
    assert model.training and all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(theta, kept) and objective.loss(theta) == loss
    assert float(objective.gradient(theta).norm()) > 0


def test_losses_that_overflow_are_values():
    objective = Objective(mlp(), *images(torch.float32), batch_size=7)
    theta, (direction, _) = objective.theta, directions(objective)
    curve = line(objective, theta, direction, [0.0, 1e30, 1.0], accuracy=True)
    assert np.isfinite(curve.loss.values).tolist() == [True, False, True]
    assert float(curve.loss[2]) == pytest.approx(objective.loss(theta + direction), rel=1e-6)


def test_a_slice_goes_on_where_it_stopped_and_computes_nothing_twice(tmp_path):
    def vanishing(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        value = outputs.double().mean()
        return torch.where(value > 0.05, torch.nan, torch.where(value > 0, 0.0, value))

    objective = Objective(mlp(), *images(), vanishing, dtype=torch.float64)
    theta, (first, second) = objective.theta, directions(objective)
    at1, at2 = np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)
    whole = plane(objective, theta, first, second, at1, at2)
    values = whole.values[:3]
    assert np.isnan(values).any() and (values == 0).any() and (values < 0).any()
    file = tmp_path / "slice.npz"
    with pytest.raises(Interrupted):
        plane(objective, theta, first, second, at1, at2, checkpoint=file, progress=stop_at(11))
    assert file.exists()
    seen: list[tuple[int, int]] = []
    before = objective.counts.forward
    rest = plane(objective, theta, first, second, at1, at2, checkpoint=file, progress=lambda *step: seen.append(step))
    np.testing.assert_array_equal(rest.values, whole.values)
    done, total = seen[0]
    assert total == 20 and 11 <= done < 20 and seen[-1] == (20, 20)
    assert objective.counts.forward - before == 20 - done
    assert not file.exists()


@pytest.mark.parametrize("what", ["theta", "direction", "grid", "policy", "accuracy", "data"])
def test_the_checkpoint_of_another_slice_is_refused(tmp_path, what):
    objective = objective_of(residual())
    theta, (direction, other) = objective.theta, directions(objective)
    file = tmp_path / "slice.npz"
    with pytest.raises(Interrupted):
        line(objective, theta, direction, [0, 1, 2], checkpoint=file, progress=stop_at(1))
    x, y = images()
    again = Objective(residual(), x.flip(0), y, dtype=torch.float64) if what == "data" else objective
    arguments = {
        "theta": theta + 1 if what == "theta" else theta,
        "direction": other if what == "direction" else direction,
        "at": [0, 1, 3] if what == "grid" else [0, 1, 2],
        "batchnorm": "frozen" if what == "policy" else None,
        "accuracy": what == "accuracy",
    }
    with pytest.raises(ValueError, match="another objective" if what == "data" else "another slice"):
        line(again, **arguments, checkpoint=file)


def test_bad_input_gets_one_line_before_any_work():
    objective = objective_of(mlp())
    theta, (direction, other) = objective.theta, directions(objective)
    broken = direction.clone()
    broken[3] = math.nan
    before = objective.counts.forward
    cases = [
        ("norm 0", lambda: line(objective, theta, torch.zeros_like(theta), [0, 1])),
        ("must have shape", lambda: line(objective, theta, direction[:-1], [0, 1])),
        ("must have shape", lambda: line(objective, theta[:-1], direction, [0, 1])),
        ("direction holds 1 NaN or infinite values in torch.float64", lambda: line(objective, theta, broken, [0, 1])),
        ("at least two grid values", lambda: line(objective, theta, direction, [0])),
        ("at2 must hold at least two", lambda: plane(objective, theta, direction, other, [0, 1], [])),
        ("finite grid values", lambda: line(objective, theta, direction, [0, math.inf])),
        ("parallel", lambda: plane(objective, theta, direction, -2 * direction, [0, 1], [0, 1])),
        ("unknown batchnorm policy", lambda: line(objective, theta, direction, [0, 1], batchnorm="updated")),
        ("needs a line", lambda: plane(objective, theta, direction, other, [0, 1], [0, 1], batchnorm="interpolated")),
    ]
    for message, call in cases:
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert objective.counts.forward == before
