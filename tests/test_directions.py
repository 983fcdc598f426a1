"""Directions against closed forms, block by block."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from landscape_helpers import directions
from landscape_helpers.layers import Layer
from landscape_helpers.objective import Objective


class Net(nn.Module):
    """A convolution, BatchNorm, a scalar parameter and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.5))
        self.body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten())
        self.head = nn.Linear(3 * 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gain * self.head(self.body(x))


class Tied(nn.Module):
    """Two layers share a weight: it belongs to the first, and the second has a bias alone."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 4)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))


def objective(model: type[nn.Module] = Net, dtype: torch.dtype = torch.float64) -> Objective:
    torch.manual_seed(0)
    x = torch.randn(6, 2, 4, 4) if model is Net else torch.randn(6, 5)
    return Objective(model(), x, torch.arange(6) % 4, dtype=dtype)


def ratios(objective: Objective, direction: torch.Tensor) -> list[torch.Tensor]:
    """The quotient direction / unnormalised draw of each tensor: constant within a block, whatever the blocks are."""
    raw = directions.gaussian(objective, objective.theta, seed=7, normalize=None)
    return objective.views(direction / raw)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model", [Net, Tied])
def test_every_filter_has_the_norm_of_its_filter(model, dtype):
    problem = objective(model, dtype)
    d = directions.gaussian(problem, problem.theta, seed=7)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    for there, here, ratio in zip(problem.views(problem.theta), problem.views(d), ratios(problem, d), strict=True):
        blocks = zip(there, here, ratio, strict=True) if there.dim() > 1 else [(there, here, ratio)]
        for a, b, r in blocks:
            assert float(b.norm()) == pytest.approx(float(a.norm()), rel=tolerance)
            if float(a.norm()) > 0:
                assert float(r.max() / r.min()) == pytest.approx(1, rel=10 * tolerance)  # scaled, not turned


@pytest.mark.parametrize("model", [Net, Tied])
def test_every_layer_has_the_norm_of_its_layer(model):
    problem = objective(model)
    d = directions.gaussian(problem, problem.theta, seed=7, normalize="layer")
    factor = torch.cat([r.reshape(-1) for r in ratios(problem, d)])
    for layer in problem.layers:
        assert float(layer.of(d).norm()) == pytest.approx(float(layer.of(problem.theta).norm()), rel=1e-14)
        assert float(layer.of(factor).max() / layer.of(factor).min()) == pytest.approx(1, rel=1e-12)


def test_a_layer_in_two_ranges_is_one_block():
    problem = objective()
    layer = Layer("joined", "Linear", (slice(0, 5), slice(20, 30)), 15)
    problem.layers = (layer,)
    d = directions.gaussian(problem, problem.theta, normalize="layer")
    factor = d / directions.gaussian(problem, problem.theta, normalize=None)
    assert float(layer.of(d).norm()) == pytest.approx(float(layer.of(problem.theta).norm()), rel=1e-14)
    torch.testing.assert_close(layer.of(factor), factor[:1].expand(15), rtol=1e-12, atol=0)
    assert bool((factor[5:20] == 1).all())


def test_the_model_norm_is_the_norm_of_theta():
    problem = objective()
    d = directions.gaussian(problem, problem.theta, seed=7, normalize="model")
    raw = directions.gaussian(problem, problem.theta, seed=7, normalize=None)
    torch.testing.assert_close(d, raw * problem.theta.norm() / raw.norm(), rtol=1e-14, atol=0)


@pytest.mark.parametrize("how", ["filter", "layer", "model", None])
def test_one_dimensional_tensors_can_be_left_alone(how):
    problem = objective()
    d = directions.gaussian(problem, problem.theta, normalize=how, one_dimensional="zero")
    for there, here in zip(problem.views(problem.theta), problem.views(d), strict=True):
        assert bool((here == 0).all()) is (there.dim() < 2)
    if how == "model":
        assert float(d.norm()) == pytest.approx(float(problem.theta.norm()), rel=1e-14)


def test_a_zero_filter_gives_zero_and_no_constant_is_added_to_a_norm():
    problem = objective()
    theta = problem.theta
    weight = problem.views(theta)[1]
    assert weight.dim() == 4
    weight[1] = 0
    weight[2] *= 1e-12  # a constant added to norms would swallow this one
    d = directions.gaussian(problem, theta)
    of_weight = problem.views(d)[1]
    assert not bool(of_weight[1].any())
    assert float(of_weight[2].norm()) == pytest.approx(float(weight[2].norm()), rel=1e-13)
    shift = problem.views(d)[4]  # BatchNorm's shift starts at zero
    assert not bool(problem.views(theta)[4].any()) and not bool(shift.any())


def test_normalising_twice_changes_nothing_and_a_dead_block_of_the_direction_stays_dead():
    problem = objective()
    given = problem.gradient(problem.theta)
    problem.views(given)[1][0] = 0
    once = directions.normalise(problem, problem.theta, given, "filter")
    assert not bool(problem.views(once)[1][0].any()) and bool(torch.isfinite(once).all())
    torch.testing.assert_close(directions.normalise(problem, problem.theta, once, "filter"), once)


def test_a_seed_means_one_direction_whatever_the_dtype_and_global_state():
    single, double = objective(dtype=torch.float32), objective()
    torch.manual_seed(5)
    a = directions.gaussian(double, double.theta, seed=3)
    state = torch.random.get_rng_state()
    b = directions.gaussian(single, single.theta, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert b.dtype == torch.float32
    torch.testing.assert_close(b.double(), a, rtol=1e-6, atol=1e-7)
    assert torch.equal(directions.gaussian(double, double.theta, seed=3), a)
    assert not torch.equal(directions.gaussian(double, double.theta, seed=4), a)


def test_the_gaussian_is_standard_normal():
    model = nn.Linear(400, 100, bias=False)
    problem = Objective(model, torch.randn(2, 400), torch.tensor([0, 1]))
    d = directions.gaussian(problem, problem.theta, normalize=None).double().numpy()
    n = len(d)
    assert abs(d.mean()) < 4 / math.sqrt(n)
    assert abs(d.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((d**4).mean() - 3) < 4 * math.sqrt(96 / n)  # Var of the fourth power of a standard normal


def test_directions_by_gradient_and_checkpoint():
    problem = objective()
    theta = problem.theta
    g = directions.negative_gradient(problem, theta)
    torch.testing.assert_close(g, -problem.gradient(theta), rtol=0, atol=0)
    other = theta + 1e-3 * g
    assert problem.loss(other) < problem.loss(theta)
    d = directions.towards(theta, other)
    torch.testing.assert_close(theta + d, other, rtol=1e-15, atol=0)


def vectors(dimension: int):
    return st.lists(st.floats(-10, 10), min_size=dimension, max_size=dimension).filter(lambda v: math.hypot(*v) > 1e-3)


@given(a=vectors(4), b=vectors(4))
def test_orthogonalised_is_orthogonal_and_spans_the_same_plane(a, b):
    d1, d2 = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    if min(directions.angle(d1, d2), 180 - directions.angle(d1, d2)) < 1e-4:
        return
    rest = directions.orthogonalised(d2, d1)
    assert abs(float(rest @ d1)) <= 1e-12 * float(rest.norm() * d1.norm())
    lost = d2 - rest  # along d1
    torch.testing.assert_close(lost, (lost @ d1) / (d1 @ d1) * d1, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("degrees", [1e-7, 0.01, 30, 89.75, 89.9999, 90, 90.25, 135, 179.9999999])
def test_angles_in_closed_form(degrees):
    turn = math.radians(degrees)
    a = torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64)
    b = 0.2 * torch.tensor([math.cos(turn), 0.0, math.sin(turn)], dtype=torch.float64)
    assert directions.angle(a, b) == pytest.approx(degrees, rel=1e-12, abs=1e-13)
    assert directions.angle(b, a) == pytest.approx(degrees, rel=1e-12, abs=1e-13)


def test_an_angle_of_single_precision_vectors_is_summed_in_double():
    n = 400_000
    a = torch.ones(n)
    b = torch.ones(n)
    b[n // 2 :] = -1
    b[:200] = 3  # cosine 400 / sqrt(n (n + 1600))
    expected = math.degrees(math.acos(400 / math.sqrt(n * (n + 8 * 200))))
    assert directions.angle(a, b) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("tilt", [1e-3, 1e-6, 1e-9])
def test_what_is_nearly_parallel_is_made_orthogonal_to_rounding(tilt):
    generator = torch.Generator().manual_seed(0)
    d1, d2 = torch.randn(2, 500, generator=generator, dtype=torch.float64)
    rest = directions.orthogonalised(d1 + tilt * d2, d1)
    assert abs(float(rest @ d1)) < 1e-14 * float(rest.norm() * d1.norm())


def test_a_single_dimension_has_angles_too():
    assert directions.angle_spread(1) == pytest.approx(math.degrees(1))


def test_gaussian_angles_spread_as_the_dimension_says():
    dimension, draws = 10_000, 600
    generator = torch.Generator().manual_seed(0)
    fixed = torch.zeros(dimension)
    fixed[3] = 2.0
    angles = [directions.angle(torch.randn(dimension, generator=generator), fixed) for _ in range(draws)]
    spread = directions.angle_spread(dimension)
    assert spread == pytest.approx(57.29577951308232 / 100)
    assert abs(np.mean(angles) - 90) < 4 * spread / math.sqrt(draws)
    assert np.std(angles) == pytest.approx(spread, rel=4 / math.sqrt(2 * draws))


def test_cosines_against_angles():
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(50, 4, generator=generator)
    gram = directions.cosines(v)
    assert gram.shape == (4, 4) and (np.diag(gram) == 1).all() and (gram == gram.T).all()
    for i in range(4):
        for j in range(4):
            assert gram[i, j] == pytest.approx(math.cos(math.radians(directions.angle(v[:, i], v[:, j]))), abs=1e-7)


def test_overlaps_report_norms_and_cosines():
    theta = torch.tensor([0.0, 4.0, 3.0])
    found = directions.overlaps({"a": torch.tensor([1.0, 0, 0]), "b": torch.tensor([2.0, 2.0, 0])}, theta)
    assert found.norm.sel(direction="b").item() == pytest.approx(math.sqrt(8))
    assert found.relative_norm.sel(direction="a").item() == pytest.approx(0.2)
    assert found.cosine.sel(direction="a", other="b").item() == pytest.approx(math.sqrt(0.5))


def test_log_density_is_that_of_the_normal_distribution():
    g = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(g).sum()
    assert directions.log_density_of(g) == pytest.approx(float(expected), rel=1e-6)
    printed = torch.zeros(394_634, dtype=torch.float64)
    printed[0] = math.sqrt(119.7)
    assert directions.log_density_of(printed) == pytest.approx(-3.627e5, rel=1e-3)  # the value of Sec. 2.3


ONE, TWO = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, t: directions.gaussian(o, t, normalize="filters"), "unknown normalisation 'filters'"),
        (lambda o, t: directions.gaussian(o, t, one_dimensional="skip"), "unknown one_dimensional 'skip'"),
        (lambda o, t: directions.gaussian(o, t[:-1]), r"theta must have shape \(\d+,\), got"),
        (lambda o, t: directions.gaussian(o, t * math.nan), r"theta holds \d+ NaN or infinite values in torch.float64"),
        (lambda o, t: directions.gaussian(o, 0 * t), "zero norm"),
        (lambda o, t: directions.normalise(o, t, t[:3], None), r"direction must have shape \(\d+,\), got \(3,\)"),
        (lambda o, t: directions.normalise(o, t, 0 * t, "model"), "zero norm"),
        (lambda o, t: directions.towards(t, t.clone()), "from theta to other has norm 0"),
        (lambda o, t: directions.towards(t, t[:2]), "vectors of one length"),
        (lambda o, t: directions.towards(t[None], 2 * t[None]), "vectors of one length"),
        (lambda o, t: directions.orthogonalised(TWO, ONE), "parallel"),
        (lambda o, t: directions.orthogonalised(-3 * t.float(), t.float()), "parallel"),
        (lambda o, t: directions.angle(ONE, 0 * ONE), "second vector has norm 0"),
        (lambda o, t: directions.angle(ONE, t), "vectors of one length"),
        (lambda o, t: directions.cosines(t), "columns of a matrix"),
        (lambda o, t: directions.cosines(torch.stack([t, 0 * t], 1)), "column 1 of vectors has norm 0"),
        (lambda o, t: directions.overlaps({}, t), "at least one direction"),
        (lambda o, t: directions.angle_spread(0), "at least 1, got 0"),
        (lambda o, t: directions.log_density_of(t[None]), "must be a vector"),
    ],
)
def test_bad_input_gets_one_clear_line(call, message):
    problem = objective()
    with pytest.raises(ValueError, match=message) as error:
        call(problem, problem.theta)
    assert "\n" not in str(error.value)


def test_a_zero_gradient_is_no_direction():
    model = nn.Linear(3, 2)
    problem = Objective(model, torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="negative gradient has norm 0"):
        directions.negative_gradient(problem, torch.zeros(problem.parameters))
