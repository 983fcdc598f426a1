"""The Hessian at one point as an operator: against dense float64 Hessians of many kinds of network."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers.curvature import HessianAt, linearised
from landscape_helpers.curvature.layer_rules import ELEMENTWISE
from landscape_helpers.curvature.linearised import chain_of
from landscape_helpers.objective import Objective

GENERATOR_SEED = 5


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1))
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(F.relu(x + self.branch(x)).mean((2, 3)))


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.table(x).mean(1)))


class Functional(nn.Module):
    """A user's network: functional calls, a layer used twice, a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(72, 5)
        self.middle = nn.Linear(5, 5)
        self.gain = nn.Parameter(torch.tensor(1.5))
        self.unused = nn.Parameter(torch.ones(2))
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.silu(self.first(x.flatten(1)))
        x = self.gain * torch.tanh(self.middle(torch.tanh(self.middle(x))))
        return self.head(x)


def tied() -> nn.Module:
    shared = nn.Linear(5, 5)
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 5), shared, nn.Tanh(), shared, nn.ReLU(), nn.Linear(5, 3))


def tied_weight() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))
    model[3].weight = nn.Parameter(torch.randn(5, 5))
    extra = nn.Linear(5, 5, bias=False)
    extra.weight = model[3].weight
    model.insert(4, extra)
    return model


def frozen_layer() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Tanh(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3))
    model[1].weight.requires_grad_(False)
    model[3].requires_grad_(False)
    return model


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Tanh(), nn.Linear(5, 3))
    model[1].register_forward_hook(lambda module, args, output: output * 2)
    return model


MODELS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 3)),
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 6), nn.ReLU(), nn.Linear(6, 3)),
    "tanh": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(72, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)
    ),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 6, bias=False), nn.Tanh(), nn.Linear(6, 3, False)),
    "conv": lambda: nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Linear(4, 3),
    ),
    "strided": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
        nn.Tanh(),
        nn.Conv2d(4, 4, 2, groups=2),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4, 3),
    ),
    "overlapping pools": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 1, 1),
        nn.Conv2d(3, 2, 3),
        nn.Tanh(),
        nn.AvgPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(18, 3),
    ),
    "batch norm": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
    ),
    "dropout": lambda: nn.Sequential(
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(72, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3)
    ),
    "circular": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), nn.Tanh(), nn.Flatten(), nn.Linear(108, 3)
    ),
    "weight norm": lambda: nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(72, 5)), nn.Tanh(), nn.Linear(5, 3)
    ),
    "tied layer": tied,
    "tied weight": tied_weight,
    "frozen layer": frozen_layer,
    "hook": hooked,
    "residual": Residual,
    "embedding": Embedded,
    "functional": Functional,
}


def objective_of(name: str, dtype=torch.float64, **options) -> Objective:
    torch.manual_seed(0)
    model = MODELS[name]().to(dtype)
    generator = torch.Generator().manual_seed(GENERATOR_SEED)
    if name == "embedding":
        x = torch.randint(0, 7, (23, 6), generator=generator)
    else:
        x = torch.randn(23, 2, 6, 6, generator=generator, dtype=torch.float64).to(dtype)
    y = torch.randint(0, 3, (23,), generator=generator)
    return Objective(model, x, y, **({"batch_size": 9} | options))


def vectors_for(objective: Objective, k: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(GENERATOR_SEED + 1)
    return torch.randn(objective.parameters, k, generator=generator, dtype=torch.float64).to(objective.dtype)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp_min(1e-300))


@pytest.mark.parametrize("name", MODELS)
def test_plain_double_backward_is_the_derivative_of_the_gradient(name):
    """By differences of gradients: what the other tests take for the truth has no second derivative wrong."""
    objective = objective_of(name)
    theta, V = objective.theta, vectors_for(objective)
    h = 1e-6
    differences = [(objective.gradient(theta + h * v) - objective.gradient(theta - h * v)) / (2 * h) for v in V.T]
    assert relative(objective.hvp(theta, V), torch.stack(differences, 1)) < 1e-7


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("memory", [None, 0])
def test_products_are_those_of_plain_double_backward(name, memory):
    objective = objective_of(name)
    theta, V = objective.theta, vectors_for(objective)
    truth = objective.hvp(theta, V)
    with HessianAt(objective, theta, memory=memory) as hessian:
        assert relative(hessian.product(V), truth) < 1e-12
        assert relative(hessian.product(V[:, 1]), truth[:, 1]) < 1e-12
        assert hessian.product(V[:, :0]).shape == (objective.parameters, 0)
        assert hessian.products == 4


CHAINS = {
    "linear", "mlp", "tanh", "no bias", "conv", "strided", "overlapping pools", "dropout", "tied layer", "tied weight",
    "frozen layer",
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_way_taken_follows_from_what_the_modules_are(name):
    """A layer of a subclass, with a hook, or without a rule sends the whole model down the general way."""
    objective = objective_of(name)
    assert (chain_of(objective.model) is not None) == (name in CHAINS)


def test_a_container_of_another_name_is_a_chain_and_one_with_its_own_forward_is_not():
    class Block(nn.Sequential):
        pass

    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    assert len(chain_of(nn.Sequential(Block(nn.Linear(2, 2), nn.Tanh()), nn.Linear(2, 2)))) == 3
    assert chain_of(nn.Sequential(Twice(nn.Linear(2, 2), nn.Tanh()), nn.Linear(2, 2))) is None
    patched = nn.Linear(2, 2)
    patched.forward = lambda x: x
    assert chain_of(nn.Sequential(patched)) is None


ACTIVATIONS = [activation for activation in ELEMENTWISE if activation is not nn.ReLU]


@pytest.mark.parametrize("activation", [*ACTIVATIONS, lambda: nn.ReLU(inplace=True)])
def test_every_activation_with_a_rule(activation):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), activation(), nn.Linear(6, 5), activation(), nn.Linear(5, 3)).double()
    x, y = 2 * torch.randn(11, 4, dtype=torch.float64), torch.randint(0, 3, (11,))
    objective = Objective(model, x, y)
    V = vectors_for(objective)
    assert chain_of(objective.model) is not None
    assert relative(HessianAt(objective, objective.theta).product(V), objective.hvp(objective.theta, V)) < 1e-12


def test_sequences_of_tokens_through_linear_layers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 5), nn.Flatten(), nn.Linear(35, 3)).double()
    objective = Objective(model, torch.randn(9, 7, 4, dtype=torch.float64), torch.randint(0, 3, (9,)), batch_size=4)
    V = vectors_for(objective)
    assert relative(HessianAt(objective, objective.theta).product(V), objective.hvp(objective.theta, V)) < 1e-12


@pytest.mark.parametrize("name", MODELS)
def test_products_in_single_precision(name):
    objective, double = objective_of(name, torch.float32), objective_of(name)
    V = vectors_for(objective)
    truth = double.hvp(objective.theta.double(), V.double())
    assert relative(HessianAt(objective, objective.theta).product(V).double(), truth) < 2e-6


@pytest.mark.parametrize("name", ["mlp", "conv", "functional"])
@pytest.mark.parametrize("loss", ["mse", "callable", "smoothed"])
def test_other_losses(name, loss):
    losses = {
        "mse": "mse",
        "callable": lambda out, y: (out.logsumexp(1) * y.sum(1)).mean(),
        "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    }
    torch.manual_seed(0)
    model = MODELS[name]().double()
    x, y = torch.randn(11, 2, 6, 6, dtype=torch.float64), torch.randn(11, 3, dtype=torch.float64)
    targets = torch.randint(0, 3, (11,)) if loss == "smoothed" else y
    objective = Objective(model, x, targets, loss=losses[loss], batch_size=4)
    V = vectors_for(objective)
    assert relative(HessianAt(objective, objective.theta).product(V), objective.hvp(objective.theta, V)) < 1e-12


@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("coupled", [True, False])
def test_a_loss_that_couples_its_samples_is_never_cut(name, coupled, monkeypatch):
    """Pieces of one sample, as large data would have: the mean over samples allows them, its square does not."""
    for limit in ("LINEAR_BYTES", "CONVOLUTION_BYTES"):
        monkeypatch.setattr(linearised, limit, 1)
    torch.manual_seed(0)
    x, y = torch.randn(11, 2, 6, 6, dtype=torch.float64), torch.randint(0, 3, (11,))
    loss = (lambda out, target: F.cross_entropy(out, target) ** 2) if coupled else "cross_entropy"
    objective = Objective(MODELS[name]().double(), x, y, loss=loss)
    V = vectors_for(objective)
    assert chain_of(objective.model) is not None
    assert relative(HessianAt(objective, objective.theta).product(V), objective.hvp(objective.theta, V)) < 1e-12


def test_class_probabilities_as_targets():
    torch.manual_seed(0)
    y = torch.rand(11, 3, dtype=torch.float64)
    objective = Objective(MODELS["mlp"]().double(), torch.randn(11, 72, dtype=torch.float64), y, batch_size=4)
    V = vectors_for(objective)
    assert relative(HessianAt(objective, objective.theta).product(V), objective.hvp(objective.theta, V)) < 1e-12


@pytest.mark.parametrize("name", ["conv", "functional", "batch norm"])
def test_other_calls_between_two_products_do_not_disturb_them(name):
    objective = objective_of(name)
    theta, V = objective.theta, vectors_for(objective)
    hessian = HessianAt(objective, theta)
    first = hessian.product(V)
    elsewhere = theta + 0.3
    for disturb in (
        lambda: objective.loss(elsewhere),
        lambda: objective.gradient(elsewhere),
        lambda: objective.hvp(elsewhere, V),
        lambda: HessianAt(objective, elsewhere).product(V),
        lambda: objective.move(elsewhere),
    ):
        disturb()
        assert torch.equal(hessian.product(V), first)
    with torch.no_grad():
        for weight in objective.weights:
            weight.add_(0.5)  # a write that autograd does see
    assert torch.equal(hessian.product(V), first)
    theta.add_(1.0)  # the caller's own vector is not ours
    assert torch.equal(hessian.product(V), first)


@pytest.mark.parametrize("name", ["conv", "functional"])
def test_the_memory_budget_is_kept_and_given_back(name):
    objective = objective_of(name, batch_size=1)
    theta, V = objective.theta, vectors_for(objective)
    whole = HessianAt(objective, theta)
    truth = whole.product(V)
    assert whole.held > 0
    part = HessianAt(objective, theta, memory=whole.held // 2)
    assert relative(part.product(V), truth) < 1e-12
    assert 0 < part.held <= whole.held // 2
    assert relative(part.product(V), truth) < 1e-12
    whole.release()
    assert whole.held == 0
    assert relative(whole.product(V), truth) < 1e-12


def test_what_two_layers_share_and_what_the_first_never_needs_is_held_once_or_not():
    """A ReLU's output is the next layer's input; the loss's gradient behind the first convolution is asked for once."""
    x, y = torch.randn(10, 1, 8, 8), torch.randint(3, (10,))
    activations, outputs = 10 * 4 * 36 * 4, 10 * 3 * 4
    for middle in (nn.ReLU(), nn.Identity()):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), middle, nn.Flatten(), nn.Linear(4 * 36, 3))
        objective = Objective(model, x, y)
        with HessianAt(objective, objective.theta) as hessian:
            hessian.product(torch.ones(objective.parameters))
            # The last layer's adjoint, and what the loss keeps: the outputs, their gradient, its graph, probabilities.
            assert hessian.held == activations + 5 * outputs


@pytest.mark.parametrize("name", ["conv", "functional"])
def test_the_data_do_not_count_as_held_however_many_micro_batches_look_at_them(name):
    objectives = [objective_of(name, batch_size=size) for size in (None, 1)]
    held = []
    for objective in objectives:
        with HessianAt(objective, objective.theta) as hessian:
            hessian.product(vectors_for(objective))
            held.append(hessian.held)
    assert held[1] < 1.5 * held[0]


def test_counts_and_gradients_are_left_alone():
    objective = objective_of("functional")
    before = objective.counts.products
    hessian = HessianAt(objective, objective.theta)
    hessian.product(vectors_for(objective))
    assert objective.counts.products == before + 3
    assert all(weight.grad is None for weight in objective.weights)
    assert (hessian.parameters, hessian.dtype, hessian.device.type) == (objective.parameters, torch.float64, "cpu")


def test_products_under_no_grad():
    objective = objective_of("functional")
    V = vectors_for(objective)
    truth = objective.hvp(objective.theta, V)
    with torch.no_grad():
        assert relative(HessianAt(objective, objective.theta).product(V), truth) < 1e-12


@pytest.mark.parametrize(
    ("vector", "message"),
    [(torch.zeros(3), r"vectors must have shape"), (torch.zeros(1, 2, 3), r"vectors must have shape")],
)
def test_bad_vectors_are_refused(vector, message):
    objective = objective_of("mlp")
    with pytest.raises(ValueError, match=message):
        HessianAt(objective, objective.theta).product(vector)


def test_bad_points_and_budgets_are_refused():
    objective = objective_of("mlp")
    with pytest.raises(ValueError, match="theta must have shape"):
        HessianAt(objective, objective.theta[:-1])
    with pytest.raises(ValueError, match="memory must be a number of bytes, 0 or more, got -1"):
        HessianAt(objective, objective.theta, memory=-1)


def test_a_model_that_differentiates_by_torch_func_holds_no_graph():
    class Slope(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))

        def forward(self, x):
            return torch.func.vmap(torch.func.jacrev(self.inner))(x)[..., 0] + self.inner(x)

    torch.manual_seed(GENERATOR_SEED)
    objective = Objective(Slope(), torch.randn(9, 1), torch.randn(9, 1), "mse", batch_size=4, dtype=torch.float64)
    theta, v, step = objective.theta, torch.randn(objective.parameters, 3, dtype=torch.float64), 1e-5
    columns = [objective.gradient(theta + step * w) - objective.gradient(theta - step * w) for w in v.T]
    with HessianAt(objective, theta) as hessian:
        torch.testing.assert_close(hessian.product(v), torch.stack(columns, 1) / (2 * step), rtol=1e-6, atol=1e-8)
        assert hessian.held == 0
