"""The split of the Hessian against closed forms of softmax regression and functional second derivatives."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_helpers import Objective
from landscape_helpers.curvature import hessian_decomposition


def problem(n=12, batchnorm=False, dtype=torch.float64, **options):
    torch.manual_seed(0)
    layers = [nn.Linear(3, 4), nn.BatchNorm1d(4)] if batchnorm else [nn.Linear(3, 4)]
    model = nn.Sequential(*layers, nn.Tanh(), nn.Linear(4, 3))
    return Objective(model, torch.randn(n, 3, dtype=dtype), torch.randint(3, (n,)), dtype=dtype, **options)


@pytest.mark.parametrize("options", [{}, {"batchnorm": True}, {"batch_size": 5}])
def test_the_four_matrices_fulfil_the_identity(options):
    objective = problem(**options)
    theta = objective.theta + 0.3 * torch.randn(objective.parameters, dtype=torch.float64)
    split = hessian_decomposition(objective, theta)
    assert split.error < 1e-12
    g = objective.gradient(theta).numpy()
    np.testing.assert_allclose(split.mean_square, np.outer(g, g), atol=1e-14)
    np.testing.assert_allclose(split.hessian, split.hessian.T, atol=1e-12)
    np.testing.assert_allclose(split.residual, split.residual.T, atol=1e-12)
    assert np.linalg.eigvalsh(split.covariance).min() > -1e-12


def test_softmax_regression_in_closed_form():
    """H = mean of (diag p - p p') kron x x', and the gradient of a sample is (p - e_y) kron x."""
    torch.manual_seed(1)
    x, y = torch.randn(20, 2, dtype=torch.float64), torch.randint(3, (20,))
    model = nn.Linear(2, 3, bias=False).double()
    objective = Objective(model, x, y)
    split = hessian_decomposition(objective, objective.theta)
    p = torch.softmax(x @ model.weight.detach().T, 1).numpy()
    X, e = x.numpy(), np.eye(3)[y.numpy()]
    H = np.mean([np.kron(np.diag(q) - np.outer(q, q), np.outer(a, a)) for q, a in zip(p, X, strict=True)], axis=0)
    G = np.array([np.kron(q - t, a) for q, t, a in zip(p, e, X, strict=True)])
    np.testing.assert_allclose(split.hessian, H, atol=1e-13)
    np.testing.assert_allclose(split.covariance, np.cov(G.T, bias=True), atol=1e-13)


def test_the_residual_is_made_of_the_second_derivatives_of_the_probabilities():
    objective = problem(n=4)
    model, theta = objective.model, objective.theta
    x, y = (torch.cat(parts) for parts in zip(*((x, y) for _, x, y in objective.weighted()), strict=True))
    shapes = [(name, p.shape) for name, p in model.named_parameters()]

    def probability(vector, i):
        sizes = [int(np.prod(shape)) for _, shape in shapes]
        values = {n: v.view(s) for (n, s), v in zip(shapes, vector.split(sizes), strict=True)}
        return torch.softmax(torch.func.functional_call(model, values, (x[i : i + 1],)), 1)[0, y[i]]

    expected = sum(-torch.func.hessian(probability)(theta, i) / probability(theta, i) for i in range(4)) / 4
    split = hessian_decomposition(objective, theta)
    np.testing.assert_allclose(split.residual, expected.detach().numpy(), atol=1e-12)


def test_what_has_no_such_split_is_refused():
    with pytest.raises(ValueError, match=r"made with dtype=torch\.float64, got torch\.float32"):
        hessian_decomposition(o := problem(dtype=torch.float32), o.theta)
    model, x = nn.Linear(2, 2).double(), torch.randn(3, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="that of the cross-entropy"):
        hessian_decomposition(o := Objective(model, x, x, loss="mse"), o.theta)
    big = nn.Linear(2000, 3).double()
    with pytest.raises(ValueError, match="at most 4000 parameters, got 6003"):
        hessian_decomposition(o := Objective(big, torch.randn(2, 2000), torch.tensor([0, 1])), o.theta)


def test_the_identity_holds_where_probabilities_underflow():
    torch.manual_seed(0)
    x, y = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 3
    x[-3:] *= 3000
    objective = Objective(nn.Linear(4, 3).double(), x, y)
    own = torch.log_softmax(objective.outputs(objective.theta), 1)[torch.arange(8), y]
    assert float(own.min().exp()) == 0
    assert hessian_decomposition(objective, objective.theta).error < 1e-6
