"""Edge-of-stability telemetry against closed forms, dense recomputation, and interrupted twins."""

import numpy as np
import pytest
import torch
import xarray
from interruption import Interrupted, run_until_killed, stop_at
from torch import nn

from landscape_helpers.descent import Telemetry, gradient_descent
from landscape_helpers.descent.telemetry import split
from landscape_helpers.objective import Objective


class Diagonal(nn.Module):
    """L = 1/2 sum_i lambda_i theta_i^2."""

    def __init__(self, curvatures: np.ndarray) -> None:
        super().__init__()
        self.curvatures = torch.as_tensor(curvatures)
        self.theta = nn.Parameter(torch.linspace(1, 2, len(curvatures), dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0.5 * self.curvatures * self.theta**2).sum().expand(len(x), 1)


def quadratic(curvatures: np.ndarray) -> Objective:
    x = torch.zeros(1, 1, dtype=torch.float64)
    return Objective(Diagonal(curvatures), x, x, loss=lambda out, y: out.mean())


def classifier(dtype: torch.dtype = torch.float64) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 4))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60, 8, generator=generator)
    return Objective(model, x, torch.randint(0, 4, (60,), generator=generator), batch_size=25, dtype=dtype)


def test_quadratic_closed_form():
    """rho, the projections, and the loss change of each partial step, eta sum d^2 (eta lambda / 2 - 1)."""
    curvatures = np.array([8.0, 0.5, 4.0, 1.0, 0.25, 2.0])
    objective, lr = quadratic(curvatures), 0.2
    record = gradient_descent(objective, objective.theta, lr, 6, [Telemetry(lr, 3, top=2, k=4, tol=1e-8)]).record
    order = np.argsort(-curvatures)
    assert record.stop.values.tolist() == [0, 3, 6]
    assert record.eigen.values.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(record.time, [0, 0.6, 1.2])
    for k in record.stop.values:
        theta = objective.theta.numpy() * (1 - lr * curvatures) ** k
        d = (curvatures * theta)[order]
        at = record.sel(stop=k)
        np.testing.assert_allclose(at.eigenvalue, curvatures[order][:4], rtol=1e-10)
        np.testing.assert_allclose(at.rho, lr * curvatures[order][:4] / 2, rtol=1e-10)
        np.testing.assert_allclose(np.abs(at.coordinate), np.abs(d[:4]), rtol=1e-6)
        assert float(at.top_norm) == pytest.approx(np.linalg.norm(d[:2]), rel=1e-8)
        assert float(at.bulk_norm) == pytest.approx(np.linalg.norm(d[2:]), rel=1e-8)
        change = lr * d**2 * (lr * curvatures[order] / 2 - 1)
        assert float(at.change_top) == pytest.approx(change[:2].sum(), rel=1e-8)
        assert float(at.change_bulk) == pytest.approx(change[2:].sum(), rel=1e-8)
        assert float(at.change_full) == pytest.approx(change.sum(), rel=1e-8)
        assert float(at.theta_norm) == pytest.approx(np.linalg.norm(theta), rel=1e-12)
    assert record.converged.all()
    assert record.top_norm.attrs["top"] == 2 and record.eigen_residual.attrs["tolerance"] == 1e-8


def test_a_network_against_dense_eigenvectors():
    objective, lr, top = classifier(), 0.5, 3
    record = gradient_descent(objective, objective.theta, lr, 20, [Telemetry(lr, 5, top, k=6, tol=1e-7)]).record
    theta = objective.theta
    for k in range(21):
        gradient = objective.gradient(theta)
        if k % 5 == 0:
            values, vectors = torch.linalg.eigh(objective.hvp(theta, torch.eye(objective.parameters).double()))
            h = vectors.flip(1)[:, :top]
            inside = h @ (h.T @ gradient)
            at = record.sel(stop=k)
            np.testing.assert_allclose(at.eigenvalue, values.flip(0)[:6], rtol=1e-6)
            np.testing.assert_allclose(np.abs(at.coordinate)[:top], (h.T @ gradient).abs(), rtol=1e-4, atol=1e-9)
            for name, part in (("top", inside), ("bulk", gradient - inside), ("full", gradient)):
                expected = objective.loss(theta - lr * part) - objective.loss(theta)
                assert float(at[f"change_{name}"]) == pytest.approx(expected, rel=1e-5, abs=1e-10)
            if k < 20:
                following = float(record.loss.sel(step=k + 1) - record.loss.sel(step=k))
                assert float(at.change_full) == pytest.approx(following, rel=1e-8)
        theta = theta - lr * gradient


@pytest.mark.parametrize("share", [0.5, 1e-2, 1e-4])
def test_the_parts_add_up_and_are_orthogonal_in_single_precision(share):
    """Also where almost all of the gradient lies in the top subspace."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.linalg.qr(torch.randn(20000, 9, generator=generator)).Q
    noise = torch.randn(20000, generator=generator)
    gradient = vectors @ torch.randn(9, generator=generator) + share * noise / noise.norm()
    top, bulk = split(gradient, vectors)
    g, t, b = gradient.double(), top.double(), bulk.double()
    assert float((t + b - g).norm() / g.norm()) < 1e-6
    assert float(abs(t @ b) / t.norm() / b.norm()) < 1e-5
    assert float(b.norm()) == pytest.approx(share, rel=1e-2)


def test_what_has_not_converged_is_said_at_every_stop():
    objective = classifier()
    probe = Telemetry(0.5, 2, top=2, k=4, tol=1e-9, max_products=6)
    record = gradient_descent(objective, objective.theta, 0.5, 6, [probe]).record
    assert not record.converged.any()
    assert (record.products == 6).all()
    assert (record.eigen_residual.max("eigen") > 0).all()
    assert np.isfinite(record.eigenvalue).all()


def test_a_diverging_run_records_nan_and_says_so():
    objective = quadratic(np.array([3.0, 2.0, 1.0]))
    lr = 1e100
    descent = gradient_descent(objective, objective.theta, lr, 20, [Telemetry(lr, 1, top=1, k=2)])
    assert descent.status.startswith("loss became non-finite")
    assert np.isnan(descent.record.change_top[-1])
    assert np.isfinite(descent.record.top_norm[0])


def test_overflowing_curvature_is_nan_and_not_converged():
    class Steep(nn.Module):
        """Finite loss and gradient at 0, infinite curvature."""

        def __init__(self) -> None:
            super().__init__()
            self.theta = nn.Parameter(torch.zeros(3, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (1e200 * self.theta).square().mul(1e200).sum().expand(len(x), 1)

    x = torch.zeros(1, 1, dtype=torch.float64)
    objective = Objective(Steep(), x, x, loss=lambda out, y: out.mean())
    record = gradient_descent(objective, objective.theta, 0.1, 0, [Telemetry(0.1, 1, top=1, k=2)]).record
    assert np.isnan(record.eigenvalue).all() and np.isnan(record.rho).all()
    assert not record.converged.any()
    assert float(record.theta_norm[0]) == 0


def probes():
    return [Telemetry(0.5, 4, top=3, k=5)]


@pytest.fixture(scope="module")
def whole():
    objective = classifier(torch.float32)
    return gradient_descent(objective, objective.theta, 0.5, 20, probes())


@pytest.mark.parametrize("at", [1, 7, 8, 19])
def test_an_interrupted_run_ends_with_the_same_record(tmp_path, at, whole):
    objective = classifier(torch.float32)

    file = tmp_path / "run.npz"
    with pytest.raises(Interrupted):
        gradient_descent(
            objective, objective.theta, 0.5, 20, probes(), checkpoint=file, checkpoint_every=0, progress=stop_at(at)
        )
    resumed = gradient_descent(objective, objective.theta, 0.5, 20, probes(), checkpoint=file)
    xarray.testing.assert_identical(whole.record, resumed.record)
    assert torch.equal(whole.theta, resumed.theta)


def test_a_killed_process_resumes_to_the_same_record(tmp_path, whole):
    program = """
        from test_telemetry import classifier, probes
        from landscape_helpers.descent import gradient_descent
        objective = classifier(torch.float32)
        gradient_descent(objective, objective.theta, 0.5, 20, probes(), checkpoint=file, checkpoint_every=0,
                         progress=die)
        """
    file = tmp_path / "run.npz"
    run_until_killed(program, 9, file)
    objective = classifier(torch.float32)
    resumed = gradient_descent(objective, objective.theta, 0.5, 20, probes(), checkpoint=file).record
    xarray.testing.assert_identical(resumed, whole.record)


def test_a_checkpoint_of_other_telemetry_is_refused(tmp_path):
    objective, file = classifier(), tmp_path / "run.npz"

    with pytest.raises(Interrupted):
        gradient_descent(
            objective, objective.theta, 0.5, 9, [Telemetry(0.5, 2, 1, k=2)], checkpoint=file, checkpoint_every=0,
            progress=stop_at(3),
        )  # fmt: skip
    with pytest.raises(ValueError, match="telemetry had other settings"):
        gradient_descent(objective, objective.theta, 0.5, 9, [Telemetry(0.5, 3, 1, k=2)], checkpoint=file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, "lr must be a finite learning rate above 0, got 0"),
        ({"every": 0}, "every must be at least 1 step, got 0"),
        ({"top": 21}, "top must lie between 1 and the k = 20 eigenpairs that are computed, got 21: raise k"),
        ({"top": 0}, "top must lie between 1 and"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Telemetry(**({"lr": 0.1, "every": 10, "top": 9} | change))


def test_more_pairs_than_parameters_are_refused_before_any_work():
    objective = quadratic(np.ones(3))
    with pytest.raises(ValueError, match="number of parameters 3, got 20"):
        gradient_descent(objective, objective.theta, 0.1, 3, [Telemetry(0.1, 1, top=2)])
    assert objective.counts.gradients == 0
