"""Operations that PyTorch differentiates a second time wrongly or not at all.

The truth is a dense Hessian by central differences of float64 gradients: no second derivative of torch's is in it.
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import _WeightNorm, weight_norm

from landscape_helpers.curvature import HessianAt, both_ends, spectral_density, top_eigenpairs, trace
from landscape_helpers.objective import Objective
from landscape_helpers.twice_differentiable import SecondDerivatives, TwiceDifferentiable, WeightNorm

CLASSES, TOKENS, WIDTH = 3, 4, 4


class Attention(nn.Module):
    """Four-dimensional ``scaled_dot_product_attention`` called by hand, with two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(2, (2, WIDTH // 2)).transpose(1, 2) for part in self.mix(x).chunk(3, 2))
        return self.head(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2).mean(1))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 5, batch_first=True)
        self.layers, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).mean(1))


class FrozenEncoder(Encoder):
    """Nothing in the encoder requires a gradient: torch would take the layer's fast path."""

    def __init__(self) -> None:
        super().__init__()
        self.layers.requires_grad_(False)


def normed(dim: int | None) -> nn.Module:
    first = weight_norm(nn.Linear(WIDTH, 5), dim=dim)
    return nn.Sequential(first, nn.Tanh(), nn.Flatten(), nn.Linear(5 * TOKENS, CLASSES))


def normed_convolution() -> nn.Module:
    return nn.Sequential(weight_norm(nn.Conv1d(TOKENS, 3, 2)), nn.Tanh(), nn.Flatten(), weight_norm(nn.Linear(9, 3)))


MODELS = {
    "weight norm, dim 0": lambda: normed(0),
    "weight norm, dim 1": lambda: normed(1),
    "weight norm, whole": lambda: normed(None),
    "weight norm of a convolution": normed_convolution,
    "attention": Attention,
    "encoder": Encoder,
    "frozen encoder": FrozenEncoder,
}


def objective_of(model: nn.Module, **options) -> Objective:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(11, TOKENS, WIDTH, generator=generator, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (11,), generator=generator)
    return Objective(model.double(), x, y, **({"batch_size": 6} | options))


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name]()


def dense_hessian(objective: Objective, h: float = 1e-5) -> torch.Tensor:
    theta = objective.theta
    steps = h * torch.eye(objective.parameters, dtype=torch.float64)
    columns = [(objective.gradient(theta + e) - objective.gradient(theta - e)) / (2 * h) for e in steps]
    return torch.stack(columns, 1)


@pytest.mark.parametrize("name", MODELS)
def test_products_and_eigenpairs_are_those_of_the_dense_hessian(name):
    objective = objective_of(build(name))
    theta, truth = objective.theta, dense_hessian(objective)
    identity = torch.eye(objective.parameters, dtype=torch.float64)
    scale = float(truth.abs().max())
    by_hvp = objective.hvp(theta, identity)
    with HessianAt(objective, theta) as hessian:
        by_graph = hessian.product(identity)
    for H in (by_hvp, by_graph):
        assert float((H - truth).abs().max()) < 1e-7 * scale
        assert float((H - H.T).abs().max()) < 1e-12 * scale
    exact = np.linalg.eigvalsh((truth + truth.T).numpy() / 2)
    pairs = top_eigenpairs(objective, theta, 2, tol=1e-6)
    assert pairs.converged
    np.testing.assert_allclose(pairs.values, exact[::-1][:2], rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 4), (4, 2, 2, 3), (4,), (1, 5)])
def test_weight_norm_from_plain_operations(shape):
    torch.manual_seed(0)
    for dim in [*range(len(shape)), -1]:
        v = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        own = WeightNorm(dim)
        g = (1.3 * own.right_inverse(v)[0]).detach().requires_grad_()
        torch.testing.assert_close(own(g, v), torch._weight_norm(v, g, dim), rtol=1e-14, atol=1e-14)
        assert torch.autograd.gradgradcheck(lambda g, v, own=own: own(g, v).sin(), (g, v))


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("weight norm")])
def test_only_the_private_copy_changes_and_keeps_its_parameters(name):
    model = build(name).double()
    before, state = [n for n, _ in model.named_parameters()], copy.deepcopy(model.state_dict())
    objective = objective_of(model)
    assert [n for n, _ in objective.model.named_parameters()] == before
    assert torch.equal(objective.theta, torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert list(objective.model.state_dict()) == list(state)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert any(isinstance(m, _WeightNorm) for m in model.modules())
    assert any(isinstance(m, _WeightNorm) for m in objective.model.modules()) == ("whole" in name)
    x, _ = objective.samples()
    torch.testing.assert_close(objective.outputs(objective.theta), model(x).detach(), rtol=1e-13, atol=1e-13)


def test_models_without_attention_keep_every_bit():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(TOKENS * WIDTH, 6), nn.GELU(), nn.BatchNorm1d(6), nn.Linear(6, 3))
    objective = objective_of(model, batch_size=None)
    theta = objective.theta
    v = torch.randn(objective.parameters, dtype=torch.float64)
    x, y = objective.samples()
    gradient = torch.autograd.grad(F.cross_entropy(objective.model(x), y), objective.weights, create_graph=True)
    plain = torch.autograd.grad(torch.cat([g.reshape(-1) for g in gradient]) @ v, objective.weights)
    assert torch.equal(objective.hvp(theta, v), torch.cat([p.reshape(-1) for p in plain]))


def settings() -> tuple[bool, ...]:
    cuda = torch.backends.cuda
    kernels = (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled())
    return (*kernels, torch.backends.mha.get_fastpath_enabled())


def test_settings_are_put_back_and_other_errors_pass():
    before = settings()
    with TwiceDifferentiable():
        assert settings() == (False, False, True, False)
    assert settings() == before
    with pytest.raises(RuntimeError, match="of the user's own"), TwiceDifferentiable():
        raise RuntimeError("an error of the user's own")
    assert settings() == before
    with pytest.raises(KeyError), SecondDerivatives():
        raise KeyError("derivative for x is not implemented")


def test_products_inside_no_grad():
    objective = objective_of(build("attention"))
    v = torch.ones(objective.parameters, dtype=torch.float64)
    truth = objective.hvp(objective.theta, v)
    with torch.no_grad():
        assert torch.equal(objective.hvp(objective.theta, v), truth)


class Distances(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(WIDTH, 3), nn.Linear(TOKENS**2, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        return self.head(torch.cdist(h, h).flatten(1))


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.EmbeddingBag(7, 4), nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(x[:, 0].abs().long().clamp(max=6)).tanh())


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(TOKENS * WIDTH, CLASSES), *layers)


class Through(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return 2 * ctx.saved_tensors[0] * gradient


def squared_once(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return Once.apply(outputs - y[:, None]).mean()


COMPILED_TANH = torch.compile(torch.tanh, backend="aot_eager")
WITHOUT = {
    "embedding_bag": (Bag, {}, "no second derivative of embedding_bag .* replace the layer"),
    "cdist": (Distances, {}, "no second derivative of cdist "),
    "hardsigmoid": (lambda: flat(nn.Hardsigmoid()), {}, "no second derivative of hardsigmoid "),
    "loss": (flat, {"loss": nn.MultiMarginLoss()}, "no second derivative of multi_margin_loss .*the loss"),
    "compiled": (lambda: flat(Through(COMPILED_TANH)), {}, "no second derivative of a function compiled by torch.comp"),
    "once": (lambda: flat(Through(Once.apply)), {}, "no second derivative of an autograd.Function marked once_diff"),
    "once inside": (lambda: flat(Through(Once.apply), nn.Linear(CLASSES, CLASSES)), {}, "Function marked once_diff"),
    "once in the loss": (flat, {"loss": squared_once}, "no second derivative of an autograd.Function marked once_diff"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_an_operation_without_a_second_derivative_is_named(name):
    torch.manual_seed(0)
    make, options, message = WITHOUT[name]
    objective = objective_of(make(), **options)
    theta = objective.theta
    for call in (
        lambda: objective.hvp(theta, theta),
        lambda: top_eigenpairs(objective, theta, 1),
        lambda: both_ends(objective, theta, 1),
        lambda: trace(objective, theta, probes=2, method="hutchinson"),
        lambda: spectral_density(objective, theta, 1, 2),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            call()
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert "\n" not in str(caught.value)
