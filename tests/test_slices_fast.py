"""The fast evaluators give what the model itself gives, on every kind of model, and step back where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective
from landscape_helpers.slices import line, plane
from landscape_helpers.slices.choose import choose
from landscape_helpers.slices.direct import Direct
from landscape_helpers.slices.evaluator import Span
from landscape_helpers.slices.moments import Scratch

N, SIDE, CLASSES, WORDS = 41, 8, 5, 11
SHAPE = (3, SIDE, SIDE)


def test_scratch_memory_is_of_the_kind_that_is_asked_for_and_the_same_again():
    scratch = Scratch()
    for dtype in (torch.float64, torch.float32, torch.float64):
        piece = scratch.like(torch.empty(3, 4, dtype=dtype))
        assert piece.dtype == dtype and piece.shape == (3, 4)
        place = scratch.place
        assert scratch.shaped((2, 5), piece).dtype == dtype and scratch.place == place


class Plain(nn.Module):
    """A user's module: layers as attributes, everything else by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(192, 16), nn.Linear(16, 9), nn.Linear(9, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(x.size(0), -1)
        return self.third(torch.tanh(self.second(F.relu(self.first(x)))))


class Functional(nn.Module):
    """A user's convolutional module with pooling, dropout and an in-place activation written as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.head = nn.Linear(4 * SIDE * SIDE // 16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x), inplace=True), kernel_size=2, stride=2)
        return self.head(F.dropout(torch.flatten(x, 1), 0.5, self.training))


class Cut(nn.Module):
    """PyTorch's CIFAR-10 tutorial network made small: ``view`` takes no activations with the channels last."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(3, 6, 3, padding=1), pool, nn.LazyLinear(CLASSES)
        self(torch.zeros(1, *SHAPE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.conv(x)))
        return self.head(x.view(-1, x[0].numel()))


class Shared(nn.Module):
    """The first layer's weight is used again behind it, and a second time as a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(192, 192), nn.Linear(192, 192)
        self.second.weight = self.first.weight
        self.head = nn.Linear(192, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(torch.relu(self.first(torch.flatten(x, 1)))))
        return self.head(x @ self.first.weight)


class Twice(nn.Module):
    """The first layer is called a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(192, 192), nn.Linear(192, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.flatten(x, 1)
        return self.head(self.layer(torch.relu(self.layer(x))) + x)


class Words(nn.Module):
    """An embedding in front."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 6)
        self.hidden, self.head = nn.Linear(6, 8), nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.hidden(self.words(x).mean(1))))


class Branches(nn.Module):
    """Overwrites values, adds a branch in place, and reads one value three times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.inner, self.around = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)])
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.conv(x)))
        out = self.norms[0](self.inner(x))
        out += self.norms[1](self.around(x))
        return self.head((self.relu(out) * x).mean((2, 3)))


class Overwritten(nn.Module):
    """Overwrites a value that is read again: the order matters, and a graph does not show it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        y = self.relu(x)
        return self.head((y + 2 * x).mean((2, 3)))


class Mixing(nn.Module):
    """Samples of a micro-batch influence each other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(192, 8), nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(torch.flatten(x, 1))
        return self.head(torch.relu(x - x.mean(0)))


class Deciding(nn.Module):
    """Control flow that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(192, 8), nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(torch.flatten(x, 1))
        return self.head(torch.relu(x) if float(x.detach().mean()) > 0 else torch.tanh(x))


class Hooked(nn.Module):
    """A hook changes what a layer gives."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(192, 8), nn.Linear(8, CLASSES)
        self.first.register_forward_hook(_double)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.first(torch.flatten(x, 1))))


class Forces(nn.Module):
    """Outputs that are derivatives of an energy by the inputs: differentiated inside the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)
        return slope.flatten(1)[:, :CLASSES]


class Together(nn.Module):
    """Takes so many samples at a time and no others."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.head = count, nn.Linear(192, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.reshape(self.count, 192))


def _double(module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    return 2 * output


def sequential(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), *layers)


def frozen() -> nn.Module:
    model = sequential(nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    return model.requires_grad_(False).append(nn.Linear(CLASSES, CLASSES))


def frozen_head() -> nn.Module:
    return sequential(nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, CLASSES).requires_grad_(False))


FAST = {
    "mlp": lambda: build_model("mlp", CLASSES, SHAPE, hidden=(16,)),
    "deep tanh mlp": lambda: build_model("mlp", CLASSES, SHAPE, hidden=(16, 12), activation="tanh"),
    "softmax": lambda: build_model("softmax", CLASSES, SHAPE),
    "mlp without biases": lambda: sequential(
        nn.Linear(192, 16, bias=False), nn.GELU(), nn.Linear(16, CLASSES, bias=False)
    ),
    "mlp with dropout": lambda: sequential(nn.Linear(192, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, CLASSES)),
    "mlp with BatchNorm": lambda: sequential(nn.Linear(192, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, CLASSES)),
    "mlp with LayerNorm": lambda: sequential(nn.Linear(192, 16), nn.LayerNorm(16), nn.Linear(16, CLASSES)),
    "cnn": lambda: build_model("cnn", CLASSES, SHAPE, width=4),
    "cnn with BatchNorm": lambda: build_model("cnn", CLASSES, SHAPE, width=4, batchnorm=True),
    "resnet8": lambda: build_model("resnet8", CLASSES, SHAPE, width=4),
    "resnet without BatchNorm": lambda: build_model("resnet10", CLASSES, SHAPE, width=2, norm="none"),
    "resnet with projections": lambda: build_model("resnet10", CLASSES, SHAPE, width=2),
    "shared weights": Shared,
    "layer used twice": Twice,
    "embedding": Words,
    "branches": Branches,
    "functional convolutions": Functional,
    "cut with view": lambda: Cut(nn.MaxPool2d(2, 2)),
    "cut with view, not pooled": lambda: Cut(nn.Identity()),
    "hooked": Hooked,
    "plain module": Plain,
    "odd images": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, CLASSES)
    ),
    "strided convolution": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.Tanh(), nn.MaxPool2d(3, 1), nn.Flatten(), nn.Linear(16, CLASSES)
    ),
    "frozen first layer": frozen,
    "frozen head": frozen_head,
}
DIRECT = {"overwritten": Overwritten, "mixing": Mixing, "deciding": Deciding, "forces": Forces}


def samples(kind: str, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(0, CLASSES, (N,), generator=generator)
    if kind == "embedding":
        return torch.randint(0, WORDS, (N, 7), generator=generator), y
    return torch.randn(N, *SHAPE, generator=generator, dtype=torch.float64).to(dtype), y


def objective_of(kind: str, dtype: torch.dtype = torch.float64, **options) -> Objective:
    torch.manual_seed(0)
    model = (FAST | DIRECT)[kind]()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    return Objective(model, *samples(kind, dtype), dtype=dtype, **options)


def directions(objective: Objective) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randn(2, objective.parameters, generator=generator, dtype=torch.float64)
    return list((drawn * (objective.theta.norm() / drawn.norm(dim=1, keepdim=True))).to(objective.dtype))


def chosen(objective: Objective) -> str:
    with torch.inference_mode():
        span = Span(objective, objective.theta, tuple(directions(objective)), None, False)
        return type(choose(span)).__name__


# Not with the first layer's terms: nothing affine reads the raw data once and alone, or, with statistics to measure
# behind a convolution, fetching the terms of all samples costs more than convolving them.
LAYERWISE = {"embedding", "layer used twice", "hooked", "frozen first layer"}
LAYERWISE |= {"cnn with BatchNorm", "resnet8", "resnet with projections", "branches"}
DENSE = {kind for kind in FAST if "mlp" in kind and "Norm" not in kind} | {"softmax", "plain module"}


def expected(kind: str) -> str:
    if kind in DIRECT:
        return "Direct"
    return "Layerwise" if kind in LAYERWISE else "Dense" if kind in DENSE else "Affine"


AT1, AT2 = [0.3, -1.0, 0.0], [-0.5, 0.0, 0.25, 1.0]


@pytest.mark.parametrize("batch_size", [None, 9])
@pytest.mark.parametrize("kind", [*FAST, *DIRECT])
def test_equals_the_objective_at_each_point(kind, batch_size):
    objective = objective_of(kind, batch_size=batch_size)
    assert chosen(objective) == expected(kind)
    theta, (first, second) = objective.theta, directions(objective)
    surface = plane(objective, theta, first, second, AT1, AT2, accuracy=True)
    curve = line(objective, theta, second, AT2)
    for i, a in enumerate(AT1):
        for j, b in enumerate(AT2):
            at = theta + a * first + b * second
            assert float(surface.loss[i, j]) == pytest.approx(objective.loss(at), rel=1e-11)
            assert float(surface.accuracy[i, j]) == objective.accuracy(at)
    np.testing.assert_allclose(curve.values, [objective.loss(theta + b * second) for b in AT2], rtol=1e-11)


@pytest.mark.parametrize("kind", FAST)
def test_single_precision_agrees_to_one_part_in_a_million(kind):
    objective, exact = objective_of(kind, torch.float32, batch_size=15), objective_of(kind, batch_size=15)
    theta, (first, second) = objective.theta, directions(objective)
    surface = plane(objective, theta, first, second, AT1, AT2)
    for i, a in enumerate(AT1):
        for j, b in enumerate(AT2):
            at = theta + a * first + b * second
            assert float(surface[i, j]) == pytest.approx(objective.loss(at), rel=2e-6)
            assert float(surface[i, j]) == pytest.approx(exact.loss(at.double()), rel=2e-6)


NORMALISED = [kind for kind in FAST if "BatchNorm" in kind and "without" not in kind]
NORMALISED += ["resnet8", "resnet with projections", "branches"]


@pytest.mark.parametrize("kind", NORMALISED)
def test_re_estimated_statistics_are_those_of_one_whole_pass(kind):
    objective, whole = objective_of(kind, batch_size=9), objective_of(kind, batchnorm="whole")
    assert chosen(objective) != "Direct"
    theta, (direction, _) = objective.theta, directions(objective)
    truth = [whole.loss(theta + t * direction) for t in AT2]
    for start in ("batch", "frozen"):
        objective = objective_of(kind, batch_size=9, batchnorm=start)
        curve = line(objective, theta, direction, AT2, batchnorm="re-estimated")
        np.testing.assert_allclose(curve.values, truth, rtol=1e-10)


@pytest.mark.parametrize("policy", ["frozen", "interpolated"])
@pytest.mark.parametrize("batchnorm", ["batch", "frozen"])
@pytest.mark.parametrize("kind", NORMALISED)
def test_kept_statistics_are_those_of_the_plain_evaluator(kind, batchnorm, policy):
    objective = objective_of(kind, batch_size=9, batchnorm=batchnorm)
    theta, (direction, _) = objective.theta, directions(objective)
    with torch.inference_mode():
        direct = Direct(Span(objective, theta, (direction,), policy, True))
        losses, accuracies = direct(np.array(AT2)[:, None])
    curve = line(objective, theta, direction, AT2, batchnorm=policy, accuracy=True)
    np.testing.assert_allclose(curve.loss.values, losses, rtol=1e-10)
    np.testing.assert_array_equal(curve.accuracy.values, accuracies)


def test_a_batchnorm_without_running_statistics_in_an_objective_that_uses_them():
    model = sequential(nn.Linear(192, 16), nn.BatchNorm1d(16, track_running_stats=False), nn.BatchNorm1d(16), nn.Tanh())
    model.append(nn.Linear(16, CLASSES))
    objective = Objective(model, *samples("mlp", torch.float64), batch_size=9, batchnorm="frozen", dtype=torch.float64)
    assert chosen(objective) != "Direct"
    theta, (direction, _) = objective.theta, directions(objective)
    curve = line(objective, theta, direction, AT2)
    np.testing.assert_allclose(curve.values, [objective.loss(theta + t * direction) for t in AT2], rtol=1e-11)
    with torch.inference_mode():
        kept = Direct(Span(objective, theta, (direction,), "frozen", False))(np.array(AT2)[:, None])[0]
    np.testing.assert_allclose(line(objective, theta, direction, AT2, batchnorm="frozen").values, kept, rtol=1e-11)


def test_a_large_mean_does_not_spoil_the_variance():
    def model() -> nn.Module:
        torch.manual_seed(0)
        layers = sequential(nn.Linear(192, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, CLASSES))
        with torch.no_grad():
            layers[1].bias.fill_(300.0)
        return layers

    exact = Objective(model(), *samples("mlp", torch.float64), batchnorm="whole", dtype=torch.float64)
    objective = Objective(model(), *samples("mlp", torch.float32), batch_size=9)
    direction = torch.zeros(objective.parameters)
    direction[-CLASSES:] = 1
    curve = line(objective, objective.theta, direction, [0, 1], batchnorm="re-estimated")
    # The activations themselves carry rounding errors of 300 x 6e-8; squares of 300 would cost all digits but two.
    assert float(curve[0]) == pytest.approx(exact.loss(exact.theta), rel=2e-4)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet8"])
def test_a_loss_that_does_not_average_plainly_sees_the_objectives_own_micro_batches(kind):
    weights = torch.linspace(0.1, 3, CLASSES, dtype=torch.float64)

    def weighted(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs, y, weights)

    objective = objective_of(kind, batch_size=9)
    objective.loss_function = weighted  # as one that the check when it is made cannot tell from an average
    theta, (direction, _) = objective.theta, directions(objective)
    truth = [objective.loss(theta + t * direction) for t in AT2]
    np.testing.assert_allclose(line(objective, theta, direction, AT2).values, truth, rtol=1e-11)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 24, 25, None])
def test_samples_that_influence_each_other_are_noticed_whatever_the_micro_batch(batch_size):
    objective = objective_of("mixing", batch_size=batch_size)
    assert chosen(objective) == "Direct"
    theta, (direction, _) = objective.theta, directions(objective)
    truth = [objective.loss(theta + t * direction) for t in AT2]
    np.testing.assert_allclose(line(objective, theta, direction, AT2).values, truth, rtol=1e-11)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet8"])
@pytest.mark.parametrize("n", [2, 3, 11, 12, 24])
def test_few_samples(kind, n):
    x, y = samples(kind, torch.float64)
    torch.manual_seed(0)
    objective = Objective(FAST[kind](), x[:n], y[:n], dtype=torch.float64)
    assert chosen(objective) == expected(kind)
    theta, (direction, _) = objective.theta, directions(objective)
    truth = [objective.loss(theta + t * direction) for t in AT2]
    np.testing.assert_allclose(line(objective, theta, direction, AT2).values, truth, rtol=1e-10)


def test_labels_in_bytes_are_no_smaller_numbers():
    """More than 255 samples times classes: an index made of such labels without widening them wraps around."""
    torch.manual_seed(0)
    x, y = torch.randn(300, 192, dtype=torch.float64), torch.randint(0, CLASSES, (300,))
    model = sequential(nn.Linear(192, CLASSES)).double()
    bytes_, long = (Objective(model, x, labels) for labels in (y.to(torch.uint8), y))
    assert chosen(bytes_) == "Dense"
    theta, (direction, _) = long.theta, directions(long)
    truth = [long.loss(theta + t * direction) for t in AT2]
    np.testing.assert_allclose(line(bytes_, theta, direction, AT2).values, truth, rtol=1e-11)


def test_a_model_that_takes_whole_micro_batches_only():
    x, y = samples("mlp", torch.float64)
    objective = Objective(Together(10).double(), x[:40], y[:40], batch_size=10)
    assert chosen(objective) == "Direct"
    theta, (direction, _) = objective.theta, directions(objective)
    curve = line(objective, theta, direction, AT2)
    truth = [objective.loss(theta + t * direction) for t in AT2]
    np.testing.assert_allclose(curve.values, truth, rtol=1e-11)
    assert curve.attrs["random_guess"] == np.log(CLASSES)
