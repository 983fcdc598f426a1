"""The loss change under noise: formulas against Monte Carlo on a quadratic whose gradient and Hessian are chosen."""

import numpy as np
import pytest
import torch
from quadratic_form import quadratic

from landscape_helpers.curvature import loss_change
from landscape_helpers.objective import Objective

D = 12


def drawn() -> tuple[Objective, torch.Tensor, torch.Tensor]:
    """The objective, a theta of gradient norm near 1.7, and H with eigenvalues of both signs."""
    generator = torch.Generator().manual_seed(0)
    objective, H = quadratic(torch.linspace(-1, 4, D, dtype=torch.float64), generator)
    return objective, 0.2 * torch.randn(D, generator=generator, dtype=torch.float64), H


def test_on_a_quadratic_the_second_order_change_is_the_change():
    objective, theta, _ = drawn()
    change = loss_change(objective, theta, 1.3, [0.1, -0.7], draws=25, measure=True)
    np.testing.assert_allclose(change.second_order, change.measured, rtol=1e-10, atol=1e-12)
    assert change.products == objective.counts.products == 25


def test_formulas_match_a_large_sample_and_the_printed_variance_does_not():
    """Independent draws in NumPy; 400,000 of them put the sample variance within half a per cent."""
    objective, theta, H = drawn()
    sigma, lam = 1.3, 0.7
    g, h = (H @ theta).numpy(), H.numpy()
    change = loss_change(objective, theta, sigma, [lam], draws=4000)
    noise = sigma * np.random.default_rng(5).standard_normal((400_000, D))
    sample = lam * noise @ g + 0.5 * lam**2 * np.einsum("mi,ij,mj->m", noise, h, noise)

    exact_mean = 0.5 * lam**2 * sigma**2 * np.trace(h)
    exact_variance = lam**2 * sigma**2 * g @ g + 0.5 * lam**4 * sigma**4 * np.trace(h @ h)
    assert sample.mean() == pytest.approx(exact_mean, rel=0.01)
    assert sample.var() == pytest.approx(exact_variance, rel=0.01)

    assert abs(change.mean[0] - exact_mean) < 4 * change.mean_error[0]
    assert abs(change.variance[0] - exact_variance) < 4 * change.variance_error[0]
    assert change.variance_error[0] < 0.05 * exact_variance
    assert change.gradient_norm**2 == pytest.approx(g @ g)
    printed = lam * g @ g + 0.5 * lam**2 * sigma**4 * np.trace(h @ h)
    assert change.printed_variance[0] == pytest.approx(printed, rel=0.05)
    assert abs(change.printed_variance[0] - sample.var()) > 0.3 * sample.var()


def test_traces_come_with_errors_that_cover_the_truth():
    objective, theta, H = drawn()
    truth, truth_square, square = float(torch.trace(H)), float(torch.trace(H @ H)), float((H @ theta) @ (H @ theta))
    mean = 0.5 * 0.1**2 * 0.5**2 * truth
    variance = 0.1**2 * 0.5**2 * square + 0.5 * 0.1**4 * 0.5**4 * truth_square
    inside = inside_square = inside_mean = inside_variance = 0
    for seed in range(40):
        change = loss_change(objective, theta, 0.5, [0.1], draws=50, seed=seed)
        inside += abs(change.trace - truth) < 2 * change.trace_error
        inside_square += abs(change.trace_square - truth_square) < 2 * change.trace_square_error
        inside_mean += abs(change.mean[0] - mean) < 2 * change.mean_error[0]
        inside_variance += abs(change.variance[0] - variance) < 2 * change.variance_error[0]
    assert inside == inside_mean >= 34 and inside_square == inside_variance >= 34  # 38 expected of 40


def test_relative_displacement():
    objective, theta, _ = drawn()
    change = loss_change(objective, theta, 2.0, [0.01, -0.1], draws=30, seed=4)
    np.testing.assert_allclose(change.displacements[:, 1], 10 * change.displacements[:, 0])
    expected = 0.01 * 2.0 * np.sqrt(D) / float(theta.norm())
    assert change.displacements[:, 0].mean() == pytest.approx(expected, rel=0.15)


def test_draws_do_not_depend_on_how_many_follow():
    objective, theta, _ = drawn()
    few, many = (loss_change(objective, theta, 1.0, [0.1], draws=n, seed=7) for n in (13, 24))
    np.testing.assert_array_equal(few.curvatures, many.curvatures[:13])
    assert not np.array_equal(few.curvatures, loss_change(objective, theta, 1.0, [0.1], 13, seed=8).curvatures)


def test_the_papers_scales_and_draws_are_the_defaults():
    objective, theta, _ = drawn()
    change = loss_change(objective, theta)
    assert change.lambdas.tolist() == [0.001, 0.01] and change.sigma == 1 and len(change.slopes) == 100


def test_progress_is_told():
    objective, theta, _ = drawn()
    seen: list[int] = []
    loss_change(objective, theta, draws=24, progress=seen.append)
    assert seen == [10, 20, 24]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.0}, "sigma must be a finite number above 0, got 0"),
        ({"sigma": float("inf")}, "sigma must be a finite number above 0, got inf"),
        ({"lambdas": []}, "lambdas must be finite numbers, at least one"),
        ({"lambdas": [float("nan")]}, "lambdas must be finite numbers"),
        ({"draws": 1}, "draws must be at least 2"),
        ({"theta": torch.ones(3)}, r"theta must have shape \(12,\), got \(3,\)"),
        ({"theta": torch.zeros(12)}, "theta must be a non-zero finite vector"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    objective, theta, _ = drawn()
    with pytest.raises(ValueError, match=message):
        loss_change(objective, **({"theta": theta} | change))
    assert objective.counts.products == 0
