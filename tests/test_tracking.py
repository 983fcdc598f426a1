"""Followed eigenpairs against dense float64 Hessians along real trajectories."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers.curvature import EigenTracker, OverflowedCurvature, top_eigenpairs
from landscape_helpers.objective import Objective


def classifier(dtype: torch.dtype = torch.float64, activation: type[nn.Module] = nn.Tanh) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 8), activation(), nn.Linear(8, 6), activation(), nn.Linear(6, 4))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(80, 10, generator=generator)
    return Objective(model, x, torch.randint(0, 4, (80,), generator=generator), dtype=dtype)


class Rising(nn.Module):
    """L = 1/2 z^T (D + 10 t w w^T) z at theta = (z, t) with z = 0: the curvature along w rises with t."""

    def __init__(self, curvatures: torch.Tensor, way: torch.Tensor) -> None:
        super().__init__()
        self.curvatures, self.way = curvatures, way
        self.z = nn.Parameter(torch.zeros(len(curvatures), dtype=torch.float64))
        self.t = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value = 0.5 * (self.curvatures * self.z**2).sum() + 5 * self.t * (self.way @ self.z) ** 2
        return value.expand(len(x), 1)


def rank_one(curvatures: torch.Tensor, way: torch.Tensor) -> Objective:
    x = torch.zeros(1, 1, dtype=torch.float64)
    return Objective(Rising(curvatures, way), x, x, loss=lambda out, y: out.mean())


def rising(size: int = 60) -> Objective:
    """An axis of no curvature rises from below all others."""
    curvatures = torch.linspace(0.1, 2, size, dtype=torch.float64)
    curvatures[0] = 0.0
    return rank_one(curvatures, torch.eye(size, dtype=torch.float64)[0])


def tilted() -> Objective:
    """What rises has a part in the six leading axes and a large one outside."""
    curvatures = torch.cat([torch.linspace(10, 5, 6), torch.zeros(34)]).double()
    return rank_one(curvatures, torch.cat([torch.full((6,), 0.3), torch.full((34,), 0.4)]).double())


def dense(objective: Objective, theta: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, descending, and eigenvectors in columns."""
    H = objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64)).numpy()
    values, vectors = np.linalg.eigh((H + H.T) / 2)
    return values[::-1], vectors[:, ::-1]


@pytest.mark.parametrize(("dtype", "activation"), [(torch.float64, nn.Tanh), (torch.float32, nn.ReLU)])
def test_ten_stops_agree_with_a_dense_solve(dtype, activation):
    """Eigenvalues to 1e-3 and, where a gap allows, the leading subspaces to a degree."""
    objective, exact = classifier(dtype, activation), classifier(torch.float64, activation)
    k, theta = 8, objective.theta
    tracker = EigenTracker(objective, k, tol=3e-3)
    angles = 0
    for _ in range(10):
        pairs = tracker.at(theta)
        values, vectors = dense(exact, theta.double())
        assert pairs.converged
        np.testing.assert_allclose(pairs.values, values[:k], rtol=1e-3)
        V = pairs.vectors.double().numpy()
        np.testing.assert_allclose(V.T @ V, np.eye(k), atol=1e-5)
        for m in range(1, k + 1):
            if values[m - 1] - values[m] > 0.2 * values[m - 1]:
                sine = np.linalg.norm(V[:, :m] - vectors[:, :m] @ (vectors[:, :m].T @ V[:, :m]), 2)
                assert np.degrees(np.arcsin(sine)) < 1
                angles += 1
        for _ in range(10):
            theta = theta - 0.1 * objective.gradient(theta)
    assert angles >= 10


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_reported_residuals_are_the_true_ones(which):
    objective = classifier()
    tracker = EigenTracker(objective, 5, tol=1e-2, which=which)
    theta = objective.theta
    for _ in range(4):
        pairs = tracker.at(theta)
        product = objective.hvp(theta, pairs.vectors)
        true = (product - pairs.vectors * torch.as_tensor(pairs.values.copy())).norm(dim=0).numpy()
        assert (true <= pairs.residuals + 1e-12).all()
        assert (np.diff(pairs.values) * (1 if which == "SA" else -1) >= 0).all()
        theta = theta - 0.05 * objective.gradient(theta)


def test_following_takes_fewer_products_than_beginning_anew():
    objective = classifier()
    theta, tracked, fresh = objective.theta, [], []
    for _ in range(100):
        theta = theta - 0.3 * objective.gradient(theta)
    tracker = EigenTracker(objective, 5, tol=1e-2, renew=None)
    for _ in range(6):
        before = objective.counts.products
        pairs = tracker.at(theta)
        assert pairs.products == objective.counts.products - before
        tracked.append(pairs.products)
        fresh.append(top_eigenpairs(objective, theta, 5, tol=1e-2).products)
        theta = theta - 0.01 * objective.gradient(theta)
    assert sum(tracked[1:]) < 0.6 * sum(fresh[1:])
    assert min(tracked) >= 6  # each pair and the one beyond are multiplied at every stop


def test_where_fresh_solves_are_cheap_nothing_is_followed():
    """The first layer's inputs span 60 dimensions of 1,000: products in their range cost a fraction of a full one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1000, 20), nn.ReLU(), nn.Linear(20, 5))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(300, 60, generator=generator) @ torch.randn(60, 1000, generator=generator)
    objective = Objective(model, x / x.std(), torch.randint(0, 5, (300,), generator=generator))
    tracker, theta = EigenTracker(objective, 6), objective.theta
    for _ in range(4):
        pairs = tracker.at(theta)
        assert pairs.converged and pairs.cheap_products > 0
        np.testing.assert_allclose(pairs.values, top_eigenpairs(objective, theta, 6, tol=1e-4).values, rtol=1e-3)
        theta = theta - 0.05 * objective.gradient(theta)
    again = EigenTracker(objective, 6)
    again.restore(tracker.state())
    assert torch.equal(again.at(theta).vectors, tracker.at(theta).vectors)


def test_a_pair_that_rises_from_the_bulk_is_found():
    """The rising axis is an exact eigenvector orthogonal to all others: no residual ever points to it."""
    objective = rising()
    tracker = EigenTracker(objective, 3, tol=1e-3, renew=5)
    for t in np.linspace(0, 1, 12):
        theta = objective.theta
        theta[-1] = t
        pairs = tracker.at(theta)
    assert pairs.values[0] == pytest.approx(10, rel=1e-3)


def test_a_look_finds_what_is_not_followed(monkeypatch):
    """With nothing followed beyond the pairs it alone does, and the pair is in order at that very stop."""
    objective = rising()
    tracker = EigenTracker(objective, 3, tol=1e-3, renew=2)
    monkeypatch.setattr(tracker, "_next", lambda rows: torch.linalg.qr(rows[:3].T)[0].T.contiguous())
    theta = objective.theta
    tracker.at(theta)
    theta[-1] = 1.0
    blind, seeing = tracker.at(theta), tracker.at(theta)
    assert blind.values[0] < 3
    np.testing.assert_allclose(seeing.values, dense(objective, theta)[0][:3], rtol=1e-4)
    assert seeing.converged


def test_a_subspace_that_turns_away_is_sought_afresh():
    """Points that have nothing to do with each other: what was followed is worth nothing."""
    objective = classifier()
    generator = torch.Generator().manual_seed(2)
    tracker = EigenTracker(objective, 4, tol=1e-3, renew=None)
    for j in range(6):
        theta = objective.theta + torch.randn(objective.parameters, generator=generator, dtype=torch.float64)
        pairs = tracker.at(theta)
        np.testing.assert_allclose(pairs.values, dense(objective, theta)[0][:4], rtol=1e-4)
        if j >= 3:  # how far the subspace turns over a distance is known from two stops on
            assert pairs.products == top_eigenpairs(objective, theta, 4, tol=1e-3, seed=j).products


def sides(objective: Objective, stops: int) -> Iterator[torch.Tensor]:
    """A trajectory that jumps between two far points and moves a little beside each."""
    generator = torch.Generator().manual_seed(3)
    far, along = torch.randn(2, objective.parameters, generator=generator, dtype=torch.float64)
    for j in range(stops):
        yield objective.theta + (far if j % 2 else 0) + 3e-4 * j * along


def test_each_side_of_a_valley_is_followed_from_itself():
    """The last stop is far away and the one before it near: no stop but the first of each side is a fresh solve.

    No forecast is made there either, though the function is smooth: the stops it would build on cost a solve each.
    """
    objective = classifier()
    tracker = EigenTracker(objective, 5, tol=1e-2, renew=None)
    for j, theta in enumerate(sides(objective, 10)):
        pairs = tracker.at(theta)
        np.testing.assert_allclose(pairs.values, dense(objective, theta)[0][:5], rtol=1e-3)
        if j >= 2:
            assert pairs.products < 0.6 * top_eigenpairs(objective, theta, 5, tol=1e-2).products


def test_on_either_side_of_a_valley_a_look_is_taken_in_turn(monkeypatch):
    objective = classifier()
    tracker = EigenTracker(objective, 5, tol=1e-2, renew=6)
    looks, fresh = [], []
    look, solve = tracker._missed, tracker._fresh
    monkeypatch.setattr(tracker, "_missed", lambda *given: looks.append(tracker._calls) or look(*given))
    monkeypatch.setattr(tracker, "_fresh", lambda theta: fresh.append(tracker._calls) or solve(theta))
    for theta in sides(objective, 22):
        before = objective.counts.products
        pairs = tracker.at(theta)
        assert pairs.products == objective.counts.products - before
        np.testing.assert_allclose(pairs.values, dense(objective, theta)[0][:5], rtol=1e-3)
    # Six calls and one apart, so that an even call comes after an odd one.
    assert looks == [6, 13, 20]
    assert fresh == [0]


def test_a_look_waits_for_a_budget_that_has_room_for_it():
    """Within 10 products there is none beside three pairs, which may have to be followed once more."""
    objective = rising()
    tracker = EigenTracker(objective, 3, tol=1e-3, renew=1)
    sought = []
    for budget in (60, 10, 10, 60):
        tracker.max_products = budget
        assert tracker.at(objective.theta).products <= budget
        state = tracker.state()
        sought.append(int(state[f"stop{int(state['stops']) - 1}_sought"]))
    assert sought == [0, 0, 0, 3]


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_vectors_get_better_from_stop_to_stop_at_no_products(which):
    """At one point again and again: the products that gave the residuals are those of a power step."""
    sign = 1 if which == "LA" else -1
    curvatures = sign * torch.cat([torch.linspace(10, 5, 6), torch.linspace(2, -2, 60)]).double()
    objective = rank_one(curvatures, torch.cat([torch.full((6,), 0.3), torch.full((60,), 0.05)]).double())
    tracker = EigenTracker(objective, 5, tol=0.3, which=which, renew=None)
    tracker.at(objective.theta)
    theta = objective.theta
    theta[-1] = 0.3
    stops = [tracker.at(theta) for _ in range(6)]
    assert [pairs.products for pairs in stops] == [6] * 6
    assert (np.diff([pairs.residuals.max() for pairs in stops]) < 0).all()
    values = dense(objective, theta)[0]
    exact = values[:5] if which == "LA" else values[::-1][:5]
    first, last = (np.abs(pairs.values - exact).max() for pairs in (stops[0], stops[-1]))
    assert last < 0.2 * first


def test_the_other_end_of_the_spectrum_is_not_amplified():
    """It reaches a hundred times further from zero: a power step by the pairs' own size would lead there."""
    curvatures = torch.cat([torch.linspace(-1, -0.5, 6), torch.linspace(-0.1, 100, 60)]).double()
    objective = rank_one(curvatures, torch.full((66,), 0.05, dtype=torch.float64))
    tracker = EigenTracker(objective, 5, tol=1e-2, which="SA", renew=None)
    products = []
    for t in np.linspace(0, 0.01, 12):
        theta = objective.theta
        theta[-1] = t
        pairs = tracker.at(theta)
        np.testing.assert_allclose(pairs.values, dense(objective, theta)[0][::-1][:5], rtol=1e-3)
        products.append(pairs.products)
    assert sum(products[2:]) <= 10 * 7


def test_a_subspace_goes_on_to_turn_as_it_did():
    """On a straight way the vectors expected lie nearer to the next stop's than the last stop's do; and only there."""
    objective = tilted()
    tracker = EigenTracker(objective, 6, tol=1e-4, renew=None)
    points = [objective.theta for _ in range(4)]
    for t, theta in enumerate(points):
        theta[-1] = 0.01 * t
    for theta in points[:3]:
        tracker.at(theta)
    last = tracker._stops[-1]
    true = torch.as_tensor(dense(objective, points[3])[1][:, :6].copy())

    def outside(rows: torch.Tensor) -> float:
        basis = torch.linalg.qr(rows[:6].T)[0]
        return float((true - basis @ (basis.T @ true)).norm())

    assert outside(last.expected(points[3])) < 0.75 * outside(last.rows)
    assert torch.equal(last.expected(points[1]), last.rows)
    sideways = last.theta + torch.eye(objective.parameters, dtype=torch.float64)[0]
    assert torch.equal(last.expected(sideways), last.rows)


def test_what_residuals_share_is_multiplied_once():
    """The residuals of six pairs after a change of rank one lie in one direction: it takes one product more."""
    objective = tilted()
    tracker = EigenTracker(objective, 6, tol=1e-2, renew=None)
    theta = objective.theta
    tracker.at(theta)
    tracker.at(theta)  # by now the vectors are as good as they get
    theta[-1] = 0.03
    pairs = tracker.at(theta)
    np.testing.assert_allclose(pairs.values, dense(objective, theta)[0][:6], rtol=1e-4)
    assert pairs.converged
    assert pairs.products == 6 + 1 + 1


def test_a_spent_budget_is_reported_and_not_hidden():
    objective = classifier()
    tracker = EigenTracker(objective, 5, tol=1e-10, max_products=8)
    theta = objective.theta
    for _ in range(3):
        pairs = tracker.at(theta)
        assert pairs.products == 8
        assert not pairs.converged
        assert pairs.residuals.max() > 1e-10 * abs(pairs.values).max()
        theta = theta - 0.001 * objective.gradient(theta)


def test_a_small_space_is_cut_back_and_still_converges(monkeypatch):
    monkeypatch.setattr("landscape_helpers.curvature.tracking.MOST_ROWS", 1)
    monkeypatch.setattr("landscape_helpers.curvature.tracking.MOST_TURN", 2.0)
    objective = classifier()
    tracker = EigenTracker(objective, 5, tol=1e-6)
    theta = objective.theta
    for _ in range(3):
        pairs = tracker.at(theta)
        assert pairs.converged
        np.testing.assert_allclose(pairs.values, dense(objective, theta)[0][:5], rtol=1e-8)
        theta = theta - 0.3 * objective.gradient(theta)
    assert pairs.products > 5 + 16


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_a_restored_tracker_goes_on_bit_by_bit(which):
    objective = classifier(torch.float32)
    first, second = (EigenTracker(objective, 5, which=which) for _ in range(2))
    second.restore(first.state())  # before the first stop there is nothing to take over
    theta = objective.theta
    for _ in range(4):
        a = first.at(theta)
        second.restore(first.state())
        theta = theta - 0.05 * objective.gradient(theta)
    assert first.state()["far"] > 0  # both ends of the spectrum are on either side of zero
    a, b = first.at(theta), second.at(theta)
    assert torch.equal(a.vectors, b.vectors)
    np.testing.assert_array_equal(a.values, b.values)
    assert a.products == b.products


def test_all_pairs_of_a_small_problem():
    objective = rising(4)
    tracker = EigenTracker(objective, 5)
    for t in (0.1, 0.2, 0.3):
        theta = objective.theta
        theta[-1] = t
        pairs = tracker.at(theta)
        np.testing.assert_allclose(pairs.values, dense(objective, theta)[0], atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_plane_has_no_curvature_to_follow(dtype):
    model = nn.Linear(4, 1)
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    objective = Objective(model, x, torch.zeros(6, 1), loss=lambda out, y: out.mean(), dtype=dtype)
    tracker = EigenTracker(objective, 3)
    for _ in range(3):
        pairs = tracker.at(objective.theta)
        assert pairs.converged and not pairs.values.any()
        torch.testing.assert_close(pairs.vectors.T @ pairs.vectors, torch.eye(3, dtype=dtype), rtol=0, atol=1e-6)


def test_overflow_is_named_and_what_is_followed_stays():
    objective = classifier()
    tracker = EigenTracker(objective, 3)
    tracker.at(objective.theta)
    before = tracker.state()
    with pytest.raises(OverflowedCurvature, match="not finite"):
        tracker.at(objective.theta * float("nan"))
    for name, array in tracker.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_point_of_the_wrong_shape_is_refused_at_every_stop():
    objective = classifier()
    tracker = EigenTracker(objective, 3)
    for _ in range(2):
        with pytest.raises(ValueError, match="170"):
            tracker.at(objective.theta[:-1])
        tracker.at(objective.theta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k must lie between 1 and the number of parameters 170, got 0"),
        ({"k": 171}, "k must lie between 1 and the number of parameters 170, got 171"),
        ({"tol": 0.0}, "tol must be above 0, got 0"),
        ({"max_products": 3}, r"max_products must be at least k \+ 1 = 4: each pair takes one, got 3"),
        ({"which": "LM"}, "which must be 'LA'"),
        ({"renew": 0}, "renew must be at least 1 call"),
    ],
)
def test_bad_input_is_refused(change, message):
    objective = classifier()
    with pytest.raises(ValueError, match=message):
        EigenTracker(objective, **({"k": 3} | change))
    assert objective.counts.products == 0
