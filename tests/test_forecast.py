"""Eigenpairs foreseen along a smooth trajectory: products saved, and never at the price of an unnoticed error."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers.curvature import EigenTracker, HessianAt, top_eigenpairs
from landscape_helpers.curvature.forecast import SAMPLES, Forecast, relative_residual
from landscape_helpers.curvature.ritz import RitzSpace
from landscape_helpers.objective import Objective

K = 10


class Bent(nn.Module):
    """L = A[theta, theta] / 2 + B[theta, theta, theta] / 6, both symmetric: the Hessian A + B[theta] is linear."""

    def __init__(self, size: int, bend: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        values = torch.logspace(1, -2, size, dtype=torch.float64)
        Q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
        B = bend * torch.randn(size, size, size, generator=generator, dtype=torch.float64)
        B = sum(B.permute(p) for p in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]) / 6
        self.A, self.B = Q @ torch.diag(values) @ Q.T, B
        self.theta = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = self.theta
        return (0.5 * t @ self.A @ t + torch.einsum("ijk,i,j,k->", self.B, t, t, t) / 6).expand(len(x), 1)


def bent(size: int = 40, bend: float = 0.02) -> Objective:
    x = torch.zeros(1, 1, dtype=torch.float64)
    return Objective(Bent(size, bend), x, x, loss=lambda out, y: out.mean())


def smooth(dtype: torch.dtype = torch.float64) -> Objective:
    """A classifier without kinks."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 8))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(100, 12, generator=generator)
    return Objective(model, x, torch.randint(0, 8, (100,), generator=generator), dtype=dtype)


def true_residuals(objective: Objective, theta: torch.Tensor, values: np.ndarray, vectors: torch.Tensor) -> np.ndarray:
    rest = objective.hvp(theta, vectors) - vectors * torch.as_tensor(values.copy(), dtype=vectors.dtype)
    return rest.double().norm(dim=0).numpy()


def settled(objective: Objective, steps: int = 60) -> torch.Tensor:
    theta = objective.theta
    for _ in range(steps):
        theta = theta - 0.3 * objective.gradient(theta)
    return theta


def test_a_hessian_that_moves_in_proportion_is_foreseen_exactly():
    """With the whole space in the basis nothing is lost but rounding."""
    objective, size = bent(), 40
    points = [t * torch.linspace(-1, 1, size, dtype=torch.float64) for t in (0.0, 0.1, 0.35)]
    forecast = None
    for theta in points[:2]:
        with HessianAt(objective, theta) as hessian:
            space = RitzSpace(hessian, size, "LA")
            space.extend(torch.eye(size, dtype=torch.float64))
            drift = forecast and forecast.drift(space.basis, space.images, theta)
            forecast = Forecast.of(space, drift)
    values, rows = forecast.pairs(points[2], K, 1.0)
    H = objective.hvp(points[2], torch.eye(size, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(values, np.linalg.eigvalsh(H)[::-1][:K], rtol=1e-9)
    assert true_residuals(objective, points[2], values, rows.T).max() < 1e-8


def test_the_slope_agrees_with_what_was_seen():
    """On the rows multiplied at both points the least symmetric change is the change."""
    objective, size = bent(), 40
    a, b = (t * torch.ones(size, dtype=torch.float64) for t in (0.1, 0.0))
    V = torch.linalg.qr(torch.randn(size, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0].T
    with HessianAt(objective, b) as hessian:
        first = RitzSpace(hessian, 20, "LA")
        first.extend(V)
        forecast = Forecast.of(first, None)
    with HessianAt(objective, a) as hessian:
        second = RitzSpace(hessian, 20, "LA")
        second.extend(V)
        drift = forecast.drift(second.basis.clone(), second.images.clone(), a)
        second.extend(drift.change)
        forecast = Forecast.of(second, drift)
    U = forecast.basis
    change = (objective.hvp(a, V.T) - objective.hvp(b, V.T)).numpy()
    np.testing.assert_allclose(forecast.slope @ (U @ V.T).numpy(), U.numpy() @ change, atol=1e-10)
    np.testing.assert_allclose(forecast.slope, forecast.slope.T, atol=1e-12)
    assert forecast.drift(V, V, a) is None  # no step, no rate of change


def test_what_the_hessian_did_is_asked_of_rows_that_were_multiplied(monkeypatch):
    """Vectors that a power step improved lie outside the space whose products the forecast knows."""
    outside = []
    drift = Forecast.drift

    def seen(self: Forecast, rows: torch.Tensor, *given: torch.Tensor) -> object:
        outside.append(float((rows - rows @ self.basis.T @ self.basis).norm()))
        return drift(self, rows, *given)

    monkeypatch.setattr(Forecast, "drift", seen)
    objective = smooth()
    theta, tracker, products = settled(objective), EigenTracker(objective, K, tol=3e-2), []
    for _ in range(30):
        products.append(tracker.at(theta).products)
        theta = theta - 0.02 * objective.gradient(theta)
    assert outside and max(outside) < 1e-10
    assert np.median(products[3:]) == SAMPLES  # most stops are foreseen


@pytest.mark.parametrize("which", ["LA", "SA"])
def test_foreseen_pairs_are_as_good_as_they_say(which):
    """Over many stops the told residual covers the true one, and the pairs are the extreme ones of a dense solve."""
    objective = smooth()
    theta = settled(objective)
    tracker = EigenTracker(objective, K, tol=3e-2, which=which)
    foreseen = covered = 0
    for _ in range(60):
        pairs = tracker.at(theta)
        true = true_residuals(objective, theta, pairs.values, pairs.vectors)
        V = pairs.vectors.numpy()
        np.testing.assert_allclose(V.T @ V, np.eye(K), atol=1e-10)
        if pairs.products == SAMPLES:
            foreseen += 1
            covered += bool((true <= pairs.residuals).all())
            if foreseen % 10 == 0:
                H = objective.hvp(theta, torch.eye(objective.parameters, dtype=torch.float64)).numpy()
                values = np.linalg.eigvalsh((H + H.T) / 2)
                values = values[::-1][:K] if which == "LA" else values[:K]
                np.testing.assert_allclose(pairs.values, values, rtol=3e-2)
        assert pairs.converged
        theta = theta - 0.005 * objective.gradient(theta)
    assert foreseen >= 30
    assert covered >= 0.9 * foreseen


def test_following_a_smooth_trajectory_costs_a_third_of_beginning_anew():
    objective = smooth()
    theta = settled(objective)
    tracker, tracked, fresh = EigenTracker(objective, K, tol=3e-2), 0, 0
    for _ in range(40):
        before = objective.counts.products
        pairs = tracker.at(theta)
        assert pairs.products == objective.counts.products - before
        tracked += pairs.products
        fresh += top_eigenpairs(objective, theta, K, tol=3e-2).products
        theta = theta - 0.005 * objective.gradient(theta)
    assert tracked < fresh / 3


def test_a_jump_of_the_curvature_is_noticed():
    """After stops foreseen one after another the trajectory leaps: the pairs there are still within tolerance."""
    objective = smooth()
    theta = settled(objective)
    tracker = EigenTracker(objective, K, tol=3e-2, renew=None)
    for _ in range(8):
        pairs = tracker.at(theta)
        theta = theta - 0.005 * objective.gradient(theta)
    assert pairs.products == SAMPLES
    theta = theta + 0.1 * torch.randn(len(theta), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    pairs = tracker.at(theta)
    assert pairs.converged
    assert pairs.products > K
    true = true_residuals(objective, theta, pairs.values, pairs.vectors)
    assert (true <= 3e-2 * np.abs(pairs.values)).all()


def test_forecasts_that_fail_at_once_are_not_tried_again_until_a_fresh_solve():
    """A curvature that turns with every step is not foreseen, and the checks that would tell so are not paid for."""
    objective = smooth()
    theta = settled(objective)
    tracker = EigenTracker(objective, K, tol=3e-2, renew=None)
    there = theta + 0.01 * torch.randn(len(theta), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    sideways = 0.01 * torch.randn(len(theta), generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    jumpy = []
    for j in range(9):
        pairs = tracker.at((theta, there, theta + sideways)[j % 3])
        state = tracker.state()
        jumpy.append(bool(state[f"stop{int(state['stops']) - 1}_jumpy"]))
        assert pairs.converged
        assert pairs.products > K
    assert any(jumpy)
    assert jumpy == sorted(jumpy)


def test_the_residual_from_a_few_products_covers_the_largest():
    """Twenty checks of pairs that are off by known amounts, at most two of them too low."""
    objective = bent(bend=0.0)
    theta = torch.zeros(40, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    pairs = top_eigenpairs(objective, theta, K, tol=1e-10)
    rows = pairs.vectors.T + 0.01 * torch.randn(K, 40, generator=generator, dtype=torch.float64)
    rows = torch.linalg.qr(rows.T)[0].T
    with HessianAt(objective, theta) as hessian:
        values = ((hessian.product(rows.T) * rows.T).sum(0)).numpy()
        true = (true_residuals(objective, theta, values, rows.T) / np.abs(values)).max()
        told = np.array([relative_residual(hessian, values, rows, generator) for _ in range(20)])
    assert (told >= true).sum() >= 18
    assert told.max() < 10 * np.sqrt(K) * true  # and not out of all proportion


def test_a_restored_tracker_foresees_the_same():
    objective = smooth(torch.float32)
    theta = settled(objective)
    first, second = (EigenTracker(objective, K, tol=3e-2) for _ in range(2))
    products = []
    for _ in range(8):
        second.restore(first.state())
        a, b = first.at(theta), second.at(theta)
        assert torch.equal(a.vectors, b.vectors)
        np.testing.assert_array_equal(a.values, b.values)
        assert a.products == b.products
        products.append(a.products)
        theta = theta - 0.005 * objective.gradient(theta)
    assert products.count(SAMPLES) >= 3
