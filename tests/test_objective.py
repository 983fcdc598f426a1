"""The objective against dense float64 autograd, for any model, micro-batch size and policy."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.func import functional_call

from landscape_helpers.objective import Objective

N, SIDE, CLASSES = 23, 8, 4


class Residual(nn.Module):
    """A BatchNorm residual network small enough for a dense Hessian."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.branch = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh())
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.stem(x))
        return self.head((x + self.branch(x)).mean((2, 3)))


class Shared(nn.Module):
    """One weight used twice, and one parameter that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64, bias=False)
        self.second = nn.Linear(64, 64, bias=False)
        self.second.weight = self.first.weight
        self.unused = nn.Parameter(torch.ones(3))
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x.flatten(1))))))


class Auxiliary(nn.Module):
    """Two classifiers, one output each, as torchvision's Inception has them in training."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.side = nn.Linear(64, CLASSES), nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.main(x.flatten(1)), self.side(x.flatten(1))


def make(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, CLASSES))
    if kind == "cnn":
        conv = nn.Conv2d(1, 4, 3, padding=1)
        return nn.Sequential(conv, nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES))
    if kind == "dropout":
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Dropout(0.5), nn.Linear(12, CLASSES))
    return {"resnet": Residual, "shared": Shared}[kind]()


def images(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return x.to(dtype), torch.randint(0, CLASSES, (N,), generator=generator)


def dense_loss(model: nn.Module, batch_size: int, batchnorm: str):
    """The same function written the slow way: torch.func on the caller's model, chunk by chunk in float64."""
    model = copy.deepcopy(model).double()
    names = [(name, p.shape, p.numel()) for name, p in model.named_parameters()]
    for module in model.modules():
        module.training = batchnorm != "frozen" and isinstance(module, nn.BatchNorm2d)
    x, y = images()

    def loss(theta: torch.Tensor) -> torch.Tensor:
        values, start = {}, 0
        for name, shape, size in names:
            values[name] = theta[start : start + size].reshape(shape)
            start += size
        total = torch.zeros((), dtype=torch.float64)
        for a in range(0, N, batch_size):
            buffers = {name: b.clone() for name, b in model.named_buffers()}
            output = functional_call(model, {**values, **buffers}, (x[a : a + batch_size],), tie_weights=True)
            total = total + nn.functional.cross_entropy(output, y[a : a + batch_size], reduction="sum")
        return total / N

    return loss


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.mark.parametrize("batch_size", [N, 9, 4])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet", "dropout", "shared"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_agrees_with_dense_autograd(kind, batch_size, dtype, tolerance):
    model = make(kind)
    truth = dense_loss(model, batch_size, "batch")
    objective = Objective(model, *images(dtype), batch_size=batch_size, dtype=dtype)
    theta = objective.theta.double() + 0.1 * torch.randn(
        objective.parameters, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    theta = theta.to(dtype).double()
    gradient = torch.func.grad(truth)(theta)
    vectors = torch.randn(objective.parameters, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(
        dtype
    )
    product = torch.stack(
        [torch.func.jvp(torch.func.grad(truth), (theta,), (v,))[1] for v in vectors.double().T], dim=1
    )
    at = theta.to(dtype)
    assert objective.loss(at) == pytest.approx(float(truth(theta)), rel=tolerance)
    assert objective.loss_and_gradient(at)[0] == pytest.approx(float(truth(theta)), rel=tolerance)
    assert relative(objective.gradient(at), gradient) < tolerance
    assert relative(objective.hvp(at, vectors), product) < tolerance
    assert relative(objective.hvp(at, vectors[:, 0]), product[:, 0]) < tolerance


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_agrees_with_finite_differences(kind):
    objective = Objective(make(kind), *images(), batch_size=9, dtype=torch.float64)
    theta, step = objective.theta, 1e-5
    v = torch.randn(objective.parameters, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    slope = (objective.loss(theta + step * v) - objective.loss(theta - step * v)) / (2 * step)
    bend = (objective.gradient(theta + step * v) - objective.gradient(theta - step * v)) / (2 * step)
    assert float(objective.gradient(theta) @ v) == pytest.approx(slope, rel=1e-6)
    assert relative(objective.hvp(theta, v), bend) < 1e-6


def test_frozen_batchnorm_uses_running_statistics():
    model = make("resnet")
    model.train()
    model(images(torch.float32)[0])  # gives the running statistics something to remember
    truth = dense_loss(model, N, "frozen")
    objective = Objective(model, *images(), batchnorm="frozen", batch_size=5, dtype=torch.float64)
    assert objective.loss(objective.theta) == pytest.approx(float(truth(objective.theta)), rel=1e-12)
    assert relative(objective.gradient(objective.theta), torch.func.grad(truth)(objective.theta)) < 1e-12


def test_whole_batch_statistics_differ_from_those_of_micro_batches():
    whole = Objective(make("resnet"), *images(), batchnorm="whole", dtype=torch.float64)
    chunks = Objective(make("resnet"), *images(), batch_size=5, dtype=torch.float64)
    one = Objective(make("resnet"), *images(), dtype=torch.float64)
    assert whole.loss(whole.theta) == one.loss(one.theta)
    assert abs(whole.loss(whole.theta) - chunks.loss(chunks.theta)) > 1e-3


def snapshot(model: nn.Module):
    tensors = {name: t.detach().clone() for name, t in [*model.named_parameters(), *model.named_buffers()]}
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    addresses = {name: p.data_ptr() for name, p in model.named_parameters()}
    modes = {name: m.training for name, m in model.named_modules()}
    return tensors, gradients, addresses, modes


def same(a, b) -> bool:
    tensors = a[0].keys() == b[0].keys() and all(torch.equal(a[0][k], b[0][k]) for k in a[0])
    gradients = all(
        (a[1][k] is None) == (b[1][k] is None) and (a[1][k] is None or torch.equal(a[1][k], b[1][k])) for k in a[1]
    )
    return tensors and gradients and a[2:] == b[2:]


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet", "dropout", "shared"])
@pytest.mark.parametrize("batchnorm", ["batch", "frozen", "whole"])
@pytest.mark.parametrize("training", [True, False])
def test_the_callers_model_is_untouched(kind, batchnorm, training):
    model = make(kind).train(training)
    nn.functional.cross_entropy(model(images(torch.float32)[0]), images()[1]).backward()
    before = snapshot(model)
    objective = Objective(model, *images(torch.float32), batchnorm=batchnorm)
    theta = objective.theta + 1
    objective.loss(theta)
    objective.gradient(theta)
    objective.hvp(theta, theta)
    objective.accuracy(theta)
    assert same(before, snapshot(model))


def test_the_callers_model_is_untouched_after_an_exception():
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, CLASSES))
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 3:
                raise RuntimeError("broken on purpose")
            return self.body(x)

    model = Breaks().train()
    before = snapshot(model)
    objective = Objective(model, *images(torch.float32), batch_size=9)
    for call in (objective.gradient, objective.loss, lambda t: objective.hvp(t, t)):
        with pytest.raises(RuntimeError, match="on purpose"):
            call(objective.theta)
            call(objective.theta)
    assert same(before, snapshot(model))
    assert model.calls == 0


def test_repeated_calls_give_identical_bits():
    objective = Objective(make("dropout"), *images(torch.float32), batch_size=7)
    theta = objective.theta
    first = objective.loss_and_gradient(theta)
    objective.hvp(theta, theta)
    again = objective.loss_and_gradient(theta)
    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])


def test_gradient_goes_straight_to_out():
    objective = Objective(make("mlp"), *images(torch.float32))
    out = torch.full((objective.parameters,), 7.0)
    _, gradient = objective.loss_and_gradient(objective.theta, out=out)
    assert gradient is out
    assert torch.equal(out, objective.gradient(objective.theta))


def test_counts_passes_and_products():
    objective = Objective(make("mlp"), *images(torch.float32), batch_size=5)
    theta = objective.theta
    objective.loss(theta)
    objective.gradient(theta)
    objective.hvp(theta, torch.ones(objective.parameters, 4))
    counts = objective.counts
    assert (counts.forward, counts.gradients, counts.products) == (1, 1, 4)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_the_samples_are_those_it_was_made_of(batch_size):
    objective = Objective(make("cnn"), *images(torch.float32), batch_size=batch_size)
    for held, given in zip(objective.samples(), images(torch.float32), strict=True):
        assert torch.equal(held, given) and held.dtype == given.dtype
    assert objective.samples()[0].is_contiguous(memory_format=objective.layout)


def test_mean_squared_error_and_callables_agree():
    x, _ = images()
    y = torch.randn(N, CLASSES, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    named = Objective(make("mlp"), x, y, loss="mse", batch_size=4, dtype=torch.float64)
    called = Objective(make("mlp"), x, y, loss=lambda out, target: ((out - target) ** 2).mean(), dtype=torch.float64)
    assert named.loss(named.theta) == pytest.approx(called.loss(called.theta), rel=1e-12)


def test_a_linear_model_with_a_linear_loss_has_no_curvature():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    objective = Objective(model, images(torch.float32)[0], torch.zeros(N), loss=lambda out, y: out.mean())
    v = torch.ones(objective.parameters)
    assert torch.equal(objective.hvp(objective.theta, v), torch.zeros_like(v))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": torch.full((N,), CLASSES)}, r"labels run from 4 to 4, but the model has 4 outputs \(0 to 3\)"),
        ({"y": torch.zeros(3, dtype=torch.long)}, "same number of samples, at least one: got 23 and 3"),
        ({"loss": "hinge"}, "unknown loss 'hinge': expected one of"),
        ({"batchnorm": "train"}, "unknown batchnorm policy 'train': expected one of"),
        ({"batch_size": 0}, "batch_size must be at least 1 or None for the whole set, got 0"),
        ({"batchnorm": "whole", "batch_size": 5}, "needs all 23 samples in one pass, got batch_size=5"),
        ({"x": torch.full((N, 1, SIDE, SIDE), torch.nan)}, "x holds NaN or infinite values"),
        ({"model": nn.Flatten()}, "Flatten has no trainable parameters"),
        ({"model": Auxiliary()}, "Auxiliary returns a tuple where the loss takes one tensor: wrap it in a module"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    x, y = images(torch.float32)
    arguments = {"model": make("mlp"), "x": x, "y": y} | change
    with pytest.raises(ValueError, match=message) as error:
        Objective(**arguments)
    assert "\n" not in str(error.value)


def test_vectors_of_the_wrong_length_are_refused():
    objective = Objective(make("mlp"), *images(torch.float32))
    with pytest.raises(ValueError, match=r"theta must have shape \(832,\), got \(3,\)"):
        objective.loss(torch.zeros(3))
    for shape in ((3,), (832, 2, 1), ()):
        message = re.escape(f"v must have shape (832,) or (832, k), got {shape}")
        with pytest.raises(ValueError, match=message):
            objective.hvp(objective.theta, torch.zeros(shape))
    with pytest.raises(ValueError, match="out must be a contiguous vector of length 832"):
        objective.loss_and_gradient(objective.theta, out=torch.zeros(3))


def test_values_that_are_not_finite_are_counted_where_the_objective_computes():
    objective = Objective(make("mlp"), *images(torch.float32))
    theta = objective.theta.double()
    assert objective.finite_vector(theta).dtype == torch.float32
    theta[0], theta[1] = torch.nan, 1e300
    with pytest.raises(ValueError, match=r"^phi holds 2 NaN or infinite values in torch\.float32: expected 832 finite"):
        objective.finite_vector(theta, "phi")
    with pytest.raises(TypeError, match=r"^phi must be a tensor of shape \(832,\), got list$"):
        objective.finite_vector([0.0], "phi")


def test_a_vector_is_cut_into_pieces_and_joined_again():
    objective = Objective(make("mlp"), *images(torch.float32))
    theta = objective.theta
    pieces = objective.views(theta)
    assert torch.equal(objective.joined(pieces), theta)
    expected = torch.cat([torch.zeros(pieces[0].numel()), theta[pieces[0].numel() :]])
    assert torch.equal(objective.joined([None, *pieces[1:]]), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_that_cuts_its_activations_with_view(channels):
    """Tutorials flatten with view, which the layout that is fastest for convolutions does not allow."""
    from landscape_helpers.curvature import HessianAt
    from landscape_helpers.minibatch import MiniBatches
    from landscape_helpers.slices import line

    class Tutorial(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(channels, 4, 3, padding=1), nn.Linear(4 * 6 * 6, 3)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            return self.head(x.view(x.size(0), -1))

    torch.manual_seed(0)
    model, x, y = Tutorial().double(), torch.randn(8, channels, 6, 6, dtype=torch.float64), torch.randint(3, (8,))
    objective = Objective(model, x, y, batch_size=3)
    theta = objective.theta
    expected = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), list(model.parameters()))
    flat = torch.cat([g.reshape(-1) for g in expected])
    assert torch.allclose(objective.gradient(theta), flat, rtol=1e-9)
    assert torch.allclose(MiniBatches(objective, 8).gradient(theta, torch.arange(8))[1], flat, rtol=1e-9)
    with HessianAt(objective, theta) as hessian:
        assert torch.allclose(hessian.product(flat), objective.hvp(theta, flat), rtol=1e-8)
    losses = line(objective, theta, flat, [-0.5, 0.0, 1.0])
    assert float(losses[2]) == pytest.approx(objective.loss(theta + flat), rel=1e-9)
