"""BatchNorm modules that do more than normalise, under every policy, against the network written out by hand."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers.descent import largest_gradient_variance
from landscape_helpers.objective import Objective
from landscape_helpers.slices import line

N, WIDTH, CLASSES = 30, 6, 3
AT = [-0.5, 0.0, 0.3, 1.0]
Norm = Callable[..., torch.Tensor]


def _batch_norm(module: nn.BatchNorm1d, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    own = module.training or module.running_mean is None
    return F.batch_norm(x, module.running_mean, module.running_var, weight, module.bias, training=own, eps=eps)


class Plain(nn.BatchNorm1d):
    """No forward of its own, and none of the checks of torch's, which hide a module from tracing."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass

    def by_hand(self, x: torch.Tensor, norm: Norm) -> torch.Tensor:
        return norm(x, self.weight, self.bias, self.eps)


class Activated(Plain):
    """Normalisation and activation in one, written as timm's BatchNormAct2d is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(_batch_norm(self, x, self.weight, self.eps))

    def by_hand(self, x: torch.Tensor, norm: Norm) -> torch.Tensor:
        return norm(x, self.weight, self.bias, self.eps).clamp_min(0)


class Conditional(Plain):
    """A scale that depends on a second argument."""

    def forward(self, x: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(x) * (1 + (x.mean(1, keepdim=True) if c is None else c))

    def by_hand(self, x: torch.Tensor, norm: Norm) -> torch.Tensor:
        return norm(x, self.weight, self.bias, self.eps) * (1 + x.sum(1, keepdim=True) / WIDTH)


class Derived(Plain):
    """A weight and an epsilon other than its attributes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _batch_norm(self, x, 1 + self.weight, 0.1)

    def by_hand(self, x: torch.Tensor, norm: Norm) -> torch.Tensor:
        return norm(x, 1 + self.weight, self.bias, 0.1)


class Nested(Plain):
    """Another BatchNorm inside, one of torch's or one that does more."""

    def __init__(self, inner: type[Plain]) -> None:
        super().__init__(WIDTH)
        self.inner = inner(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.tanh(self.inner(x)))

    def by_hand(self, x: torch.Tensor, norm: Norm) -> torch.Tensor:
        return norm(torch.tanh(self.inner.by_hand(x, norm)), self.weight, self.bias, self.eps)


class Synchronised(nn.SyncBatchNorm):
    by_hand = Plain.by_hand


def _patched() -> nn.Module:
    norm = Activated(WIDTH)
    norm.__class__ = type("Patched", (Plain,), {"by_hand": Activated.by_hand})
    norm.forward = types.MethodType(Activated.forward, norm)
    return norm


NORMS = {
    "plain": lambda: Plain(WIDTH),
    "activated": lambda: Activated(WIDTH),
    "conditional": lambda: Conditional(WIDTH),
    "derived": lambda: Derived(WIDTH),
    "around a plain one": lambda: Nested(Plain),
    "around another": lambda: Nested(Derived),
    "synchronised": lambda: Synchronised(WIDTH),
    "without running statistics": lambda: Activated(WIDTH, track_running_stats=False),
    "patched": _patched,
}


class Net(nn.Module):
    """The same BatchNorm twice, on different inputs; the first time by torch's name of the argument, or its place."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(5, WIDTH), norm, nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(torch.tanh(self.b(self.norm(self.a(x))))))

    def by_hand(self, x: torch.Tensor, norm: Norm) -> torch.Tensor:
        h = self.norm.by_hand(self.a(x), norm)
        return self.head(self.norm.by_hand(torch.tanh(self.b(h)), norm))


class Keyword(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(input=torch.tanh(self.b(self.norm(input=self.a(x))))))


class Branching(Net):
    """Not to be traced, so that it is evaluated as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if bool(x.isfinite().all()) else x


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, 5, dtype=torch.float64, generator=generator)
    return x, torch.randint(0, CLASSES, (N,), generator=generator)


def network(kind: str, of: type[Net] = Net) -> Net:
    torch.manual_seed(0)
    model = of(NORMS[kind]()).double().train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
    with torch.no_grad():
        model(samples()[0][:20] + 0.5)  # running statistics that are not those of the samples
    return model


Pairs = list[tuple[torch.Tensor, torch.Tensor]]


def moved(model: Net, theta: torch.Tensor) -> Net:
    model = copy.deepcopy(model)
    nn.utils.vector_to_parameters(theta, model.parameters())
    return model


def outputs(model: Net, x: torch.Tensor, given: Pairs | None = None) -> tuple[torch.Tensor, Pairs]:
    """Those of the network written out, and the statistics: those given, or of each call's input."""
    remaining = None if given is None else iter(given)
    found: Pairs = []

    def norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
        mean, variance = next(remaining) if remaining else (x.mean(0), x.var(0, correction=0))
        found.append((mean.detach(), variance.detach()))
        return (x - mean) / (variance + eps).sqrt() * weight + bias

    return model.by_hand(x, norm), found


def loss_by_hand(model: Net, theta: torch.Tensor, given: Pairs | None = None) -> float:
    x, y = samples()
    with torch.no_grad():
        return float(F.cross_entropy(outputs(moved(model, theta), x, given)[0], y))


CASES = [(kind, Net) for kind in NORMS] + [("plain", Keyword), ("plain", Branching), ("activated", Branching)]


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize(("kind", "of"), CASES)
def test_every_policy_is_the_network_written_out(kind, of, batch_size):
    model, (x, y) = network(kind, of), samples()
    objective = Objective(model, x, y, batch_size=batch_size, dtype=torch.float64)
    theta = objective.theta
    direction = torch.randn(len(theta), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    points = [theta + t * direction for t in AT]

    def values(of: Objective, policy: str) -> np.ndarray:
        return line(of, theta, direction, AT, batchnorm=policy).values

    truth = [loss_by_hand(model, point) for point in points]
    np.testing.assert_allclose(values(objective, "re-estimated"), truth, rtol=1e-9)
    running = Objective(model, x, y, batch_size=batch_size, batchnorm="frozen", dtype=torch.float64)
    np.testing.assert_allclose(values(running, "re-estimated"), truth, rtol=1e-9)
    start, end = (outputs(moved(model, theta + t * direction), x)[1] for t in (0.0, 1.0))
    kept = [loss_by_hand(model, point, start) for point in points]
    np.testing.assert_allclose(values(objective, "frozen"), kept, rtol=1e-9)
    pairs = list(zip(start, end, strict=True))
    mixed = [[(a + t * (b - a), (c + t * (d - c)).clamp_min(0)) for (a, c), (b, d) in pairs] for t in AT]
    between = [loss_by_hand(model, point, given) for point, given in zip(points, mixed, strict=True)]
    np.testing.assert_allclose(values(objective, "interpolated"), between, rtol=1e-9)


@pytest.mark.parametrize("kind", ["activated", "derived"])
def test_frozen_keeps_the_running_statistics_that_the_module_uses(kind):
    model, (x, y) = network(kind), samples()
    objective = Objective(model, x, y, batchnorm="frozen", dtype=torch.float64)
    theta = objective.theta
    direction = torch.randn(len(theta), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    given = [(model.norm.running_mean, model.norm.running_var)] * 2
    truth = [loss_by_hand(model, theta + t * direction, given) for t in AT]
    np.testing.assert_allclose(line(objective, theta, direction, AT, batchnorm="frozen").values, truth, rtol=1e-9)


@pytest.mark.parametrize(("kind", "of"), CASES)
def test_the_largest_variance_of_a_gradient(kind, of):
    model, (x, y) = network(kind, of), samples()
    given = outputs(model, x)[1]
    rows = []
    for i in range(N):
        loss = F.cross_entropy(outputs(model, x[i : i + 1], given)[0], y[i : i + 1])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    truth = float(torch.stack(rows).var(0, correction=0).max())
    objective = Objective(model, x, y, dtype=torch.float64)
    assert largest_gradient_variance(objective, objective.theta) == pytest.approx(truth, rel=1e-9)


class Arithmetic(nn.BatchNorm1d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(0)) / x.var(0, correction=0).add(self.eps).sqrt()


@pytest.mark.parametrize("policy", ["re-estimated", "frozen", "interpolated", "variance"])
def test_a_normalisation_that_cannot_be_told_is_refused_by_name_and_put_back(policy):
    objective = Objective(Net(Arithmetic(WIDTH)), *samples(), dtype=torch.float64)
    theta = objective.theta
    with pytest.raises(ValueError, match=r"^norm \(Arithmetic\) is a BatchNorm that does not call torch\.nn\.funct"):
        if policy == "variance":
            largest_gradient_variance(objective, theta)
        else:
            line(objective, theta, torch.ones_like(theta), AT, batchnorm=policy)
    assert "forward" not in objective.model.norm.__dict__
    assert np.isfinite(line(objective, theta, torch.ones_like(theta), AT).values).all()
