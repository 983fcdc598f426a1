"""Modes of torch around a call, and models whose own gradient or dtype is not that of their loss as a function."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from landscape_helpers import slices
from landscape_helpers.curvature import HessianAt, top_eigenpairs, trace
from landscape_helpers.descent import gradient_descent, sgd
from landscape_helpers.directions import gaussian
from landscape_helpers.objective import Objective


def data(inputs: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(40, inputs, generator=generator), torch.randint(0, 3, (40,), generator=generator)


def smooth() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


USES: dict[str, Callable[[Objective], object]] = {
    "loss": lambda o: o.loss(o.theta),
    "gradient": lambda o: o.gradient(o.theta),
    "hvp": lambda o: o.hvp(o.theta, o.theta),
    "eigenpairs": lambda o: top_eigenpairs(o, o.theta, 1),
    "trace": lambda o: trace(o, o.theta),
    "line": lambda o: slices.line(o, o.theta, o.theta, [0.0, 1.0]),
    "descent": lambda o: gradient_descent(o, o.theta, 0.1, 1),
    "sgd": lambda o: sgd(o, o.theta, 0.1, 1, 8),
    "another": lambda o: Objective(o.model, *o.samples()),
}


@pytest.mark.parametrize("use", USES)
def test_autocast_is_refused(use: str) -> None:
    """Its cache of parameters in the lower precision does not see theta move: every loss would be the first one."""
    objective = Objective(smooth(), *data())
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(RuntimeError, match=r"torch\.autocast is on"):
        USES[use](objective)
    USES[use](objective)


@pytest.mark.parametrize("use", [use for use in USES if use not in ("loss", "line")])
def test_inference_mode_is_refused_where_gradients_are_asked_for(use: str) -> None:
    objective = Objective(smooth(), *data())
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"torch\.inference_mode\(\) is on"):
        USES[use](objective)
    USES[use](objective)


def test_losses_can_be_had_in_inference_mode() -> None:
    objective = Objective(smooth(), *data())
    expected = objective.loss(2 * objective.theta)
    with torch.inference_mode():
        assert objective.loss(2 * objective.theta) == expected


class Rotated(nn.Module):
    """Real weights and a complex buffer, as rotary embeddings have one."""

    def __init__(self, dtype: torch.dtype = torch.complex64) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(5, 4), nn.Linear(4, 3)
        self.register_buffer("turn", torch.polar(torch.ones(2), torch.tensor([0.4, 1.3])).to(dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(self.inner(x).reshape(-1, 2, 2)) * self.turn
        return self.out(torch.view_as_real(pairs).flatten(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_complex_buffers_stay_complex(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, (x, y) = Rotated(), data()
    objective = Objective(model, x, y, dtype=dtype)
    expected = float(nn.functional.cross_entropy(model(x), y).detach())
    assert objective.loss(objective.theta) == pytest.approx(expected, rel=1e-6)
    assert objective.model.turn.dtype == (torch.complex64 if dtype == torch.float32 else torch.complex128)


class Spectral(nn.Module):
    """A filter on the spectrum of its input, held as a complex parameter or as pairs of reals."""

    def __init__(self, complex_parameter: bool, viewed: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))  # one number, so that the filter begins at an odd place of theta
        weight = torch.randn(3, 2)
        self.filter = nn.Parameter(torch.view_as_complex(weight) if complex_parameter else weight)
        self.viewed, self.out = viewed, nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = self.filter
        if not own.is_complex():
            own = torch.view_as_complex(own) if self.viewed else torch.complex(own[..., 0], own[..., 1])
        return self.out(self.scale * torch.fft.irfft(torch.fft.rfft(x) * own, n=5))


def test_complex_parameters_are_refused_with_a_remedy_that_works() -> None:
    x, y = data()
    with pytest.raises(ValueError, match=r"parameter filter is complex .* take torch\.complex\("):
        Objective(Spectral(True), x, y)
    with pytest.raises(ValueError, match=r"storage_offset.* take torch\.complex\("):
        Objective(Spectral(False, viewed=True), x, y)
    torch.manual_seed(0)
    objective = Objective(Spectral(False), x, y, dtype=torch.float64)
    found = HessianAt(objective, objective.theta).product(torch.eye(objective.parameters, dtype=torch.float64))
    assert torch.allclose(found, objective.hvp(objective.theta, torch.eye(len(found), dtype=torch.float64)))
    frozen = Spectral(True)
    frozen.filter.requires_grad_(False)
    expected = float(nn.functional.cross_entropy(frozen(x), y).detach())
    own = Objective(frozen, x, y)
    assert own.loss(own.theta) == pytest.approx(expected, rel=1e-6)


class Words(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.words, self.out = nn.Embedding(9, 4, **options), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.words(x).mean(1))


@pytest.mark.parametrize("options", [{"scale_grad_by_freq": True}, {"sparse": True}])
def test_an_embedding_has_the_gradient_of_the_loss(options: dict[str, bool]) -> None:
    """And not the scaled or sparse one that it is trained with."""
    tokens, labels = torch.randint(0, 9, (40, 5), generator=torch.Generator().manual_seed(2)), data()[1]
    model = Words(**options).double()
    objective, plain = Objective(model, tokens, labels), Objective(Words().double(), tokens, labels)
    theta = objective.theta
    v = torch.randn(len(theta), dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    step = 1e-5
    expected = (objective.loss(theta + step * v) - objective.loss(theta - step * v)) / (2 * step)
    assert float(objective.gradient(theta) @ v) == pytest.approx(expected, rel=1e-7)
    assert torch.equal(objective.hvp(theta, v), plain.hvp(theta, v))
    assert trace(objective, theta).value == pytest.approx(trace(plain, theta).value, rel=1e-12)
    assert model.words.scale_grad_by_freq == options.get("scale_grad_by_freq", False)  # the caller's is left alone


def test_an_embedding_that_rescales_its_weights_is_refused() -> None:
    tokens = torch.randint(0, 9, (40, 5))
    with pytest.raises(ValueError, match=r"the embedding 'words' has max_norm=1\.0"):
        Objective(Words(max_norm=1.0), tokens, data()[1])


@dataclass
class Answer:
    logits: torch.Tensor
    cache: None = None


class Named(dict[str, torch.Tensor]):
    """A mapping whose parts are attributes too."""

    def __getattr__(self, name: str) -> torch.Tensor:
        return self[name]


class Answering(nn.Module):
    def __init__(self, answer: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.out, self.norm, self.answer = nn.Linear(5, 3), nn.BatchNorm1d(3), answer

    def forward(self, x: torch.Tensor) -> Any:
        return self.answer(logits=self.norm(self.out(x)))


@pytest.mark.parametrize("answer", [Answer, Named])
def test_class_weights_show_in_outputs_read_by_attribute(answer: Callable[..., Any]) -> None:
    x, y = data()
    weights = torch.tensor([0.1, 1.0, 5.0])

    def weighted(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs.logits, targets, weight=weights)

    def plain(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs.logits, targets)

    with pytest.raises(ValueError, match="no plain average over samples"):
        Objective(Answering(answer), x, y, weighted, batch_size=20)
    Objective(Answering(answer), x, y, plain, batch_size=20)
    Objective(Answering(answer), x, y, weighted)


def test_targets_that_are_no_numbers_are_refused() -> None:
    x, _ = data()
    y = torch.randn(40, 3)
    y[7] = torch.nan
    with pytest.raises(ValueError, match="y holds NaN or infinite values"):
        Objective(smooth(), x, y, "mse")


def test_one_number_as_a_parameter_has_a_trace() -> None:
    class Tempered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.heat, self.inner, self.out = nn.Parameter(torch.tensor(1.3)), nn.Linear(5, 6), nn.Linear(6, 3)
            self.empty = nn.Parameter(torch.zeros(0, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.inner(x).relu()) * self.heat

    objective = Objective(Tempered().double(), *((t.double() if t.is_floating_point() else t) for t in data()))
    eye = torch.eye(objective.parameters, dtype=torch.float64)
    found = trace(objective, objective.theta)
    assert found.exact
    assert found.value == pytest.approx(float(objective.hvp(objective.theta, eye).trace()), rel=1e-10)
    direction = gaussian(objective, objective.theta, normalize="filter")
    assert bool(torch.isfinite(direction).all())


def test_outputs_that_are_no_tensor_are_told() -> None:
    objective = Objective(Answering(Answer), *data(), lambda o, t: nn.functional.cross_entropy(o.logits, t))
    with pytest.raises(ValueError, match="outputs needs a model that returns one tensor, got a Answer"):
        objective.outputs(objective.theta)


def test_scripted_models_are_refused_by_name() -> None:
    model = smooth()
    traced = torch.jit.trace(copy.deepcopy(model), torch.zeros(2, 5))
    with pytest.raises(TypeError, match="pass the module it was made from"):
        Objective(traced, *data())
