"""The trace against dense float64 Hessians, and the guard of the exact one against networks that must not pass it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from quadratic_form import quadratic
from torch import nn

from landscape_helpers.curvature import OverflowedCurvature, spectral_density, trace
from landscape_helpers.curvature.piecewise import why_not_piecewise_affine, why_samples_are_coupled
from landscape_helpers.objective import Objective

N, CLASSES = 13, 3


class Residual(nn.Module):
    """Convolutions with stride, groups and BatchNorm, in-place ReLU, a shortcut, average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1, groups=2), nn.BatchNorm2d(4), nn.LeakyReLU(0.1))
        self.shortcut = nn.Conv2d(4, 4, 1, 2)
        self.head = nn.Linear(4, CLASSES)
        for norm in (self.stem[1], self.branch[1]):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.normal_(norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = F.relu_(self.branch(x) + self.shortcut(x))
        return self.head(F.dropout(x, 0.5, self.training).mean((2, 3)))


class Plain(nn.Module):
    """No torch.nn layer inside: parameters and functions, one of them a product that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(5, 6))
        self.offset = nn.Parameter(torch.randn(5))
        self.scale = nn.Parameter(torch.randn(5))
        self.unused = nn.Parameter(torch.ones(2))
        self.second = nn.Parameter(torch.randn(CLASSES, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(F.linear(x, self.first) + self.offset) * self.scale
        return h @ self.second.T


class Words(nn.Module):
    """An embedding, a layer applied at every position, maxima over positions; and a one-dimensional convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4, padding_idx=2)
        self.each = nn.Linear(4, 3)
        self.conv = nn.Conv1d(3, 4, 3, padding=1, stride=2)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.each(self.table(x))).transpose(1, 2)
        return self.head(self.conv(h).amax(2))


class Twice(nn.Module):
    """One weight in two layers in a row (a product with itself), or in two branches (a sum)."""

    def __init__(self, branches: bool) -> None:
        super().__init__()
        self.layer, self.head, self.branches = nn.Linear(6, 6), nn.Linear(6, CLASSES), branches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.branches:
            return self.head(F.relu(self.layer(x)) - F.relu(self.layer(x.flip(1))))
        return self.head(F.relu(self.layer(F.relu(self.layer(x)))))


class Gate(nn.Module):
    """Two branches multiplied; with a common first layer they share parameters."""

    def __init__(self, common: bool) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6) if common else nn.Identity()
        self.left, self.right, self.head = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        return self.head(self.left(x) * self.right(x))


class Centred(nn.Module):
    """Linear all through, but each sample sees the mean of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(6, 5), nn.Linear(5, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        return self.head(F.relu(h - h.mean(0)))


def data(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if kind == "words":
        return torch.randint(0, 7, (N, 5), generator=generator)
    shape = (N, 2, 6, 6) if kind == "image" else (N, 6)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def make(
    model: nn.Module, kind: str = "row", loss="cross_entropy", batchnorm: str = "frozen", batch_size: int | None = 5
) -> Objective:
    generator = torch.Generator().manual_seed(2)
    y = torch.randint(0, CLASSES, (N,), generator=generator)
    if loss == "mse":
        y = torch.randn(N, CLASSES, generator=generator, dtype=torch.float64)
    return Objective(model.double(), data(kind), y, loss=loss, batch_size=batch_size, batchnorm=batchnorm)


def dense_trace(objective: Objective) -> float:
    H = objective.hvp(objective.theta, torch.eye(objective.parameters, dtype=torch.float64))
    return float(torch.trace(H))


def relu_mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8, bias=False), nn.Hardtanh(), nn.Linear(8, CLASSES))


def cnn() -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 3, padding=(1, 0), dilation=2)
    return nn.Sequential(conv, nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))


def tanh_mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, CLASSES))


def lazily(model: nn.Module, kind: str) -> nn.Module:
    model.double()(data(kind)[:2])
    return model


def huber(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that the library has no closed form for, straight for some outputs and curved for others."""
    return F.huber_loss(outputs, 3.0 * F.one_hot(y, CLASSES).to(outputs))


EXACT = {
    "mlp": lambda: make(relu_mlp()),
    "mlp, squared error": lambda: make(relu_mlp(), loss="mse"),
    "mlp, smoothed labels": lambda: make(relu_mlp(), loss=nn.CrossEntropyLoss(label_smoothing=0.1)),
    "mlp, another loss": lambda: make(relu_mlp(), loss=huber),
    "mlp, concave loss": lambda: make(relu_mlp(), loss=lambda out, y: -(out**2).sum(1).mean()),
    "cnn": lambda: make(lazily(cnn(), "image"), "image"),
    "residual, statistics fixed": lambda: make(Residual(), "image"),
    "plain module": lambda: make(Plain()),
    "embedding": lambda: make(Words(), "words"),
    "shared by two branches": lambda: make(Twice(branches=True)),
    "gate of separate branches": lambda: make(Gate(common=False)),
    "regression": lambda: make(nn.Linear(6, CLASSES)),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_trace_matches_the_dense_hessian(name):
    torch.manual_seed(4)
    objective = EXACT[name]()
    result = trace(objective, objective.theta)
    assert result.exact and result.error == 0 and result.products == 0 and result.method == "exact"
    assert result.value == pytest.approx(dense_trace(objective), rel=1e-10, abs=1e-12)


REFUSED = {
    "tanh": (lambda: make(tanh_mlp()), "tanh is not piecewise linear"),
    "gelu": (lambda: make(nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, CLASSES))), "gelu is not"),
    "softmax inside": (lambda: make(nn.Sequential(nn.Linear(6, 5), nn.Softmax(1), nn.Linear(5, CLASSES))), "softmax"),
    "weight used in a row": (lambda: make(Twice(branches=False)), "depend on the same parameter"),
    "gate with a common layer": (lambda: make(Gate(common=True)), "depend on the same parameter"),
    "statistics of the batch": (lambda: make(Residual(), "image", batchnorm="batch"), "statistics of the batch"),
    "layer normalisation": (lambda: make(nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5))), "layer_norm is not"),
    "centred by hand": (lambda: make(Centred()), "depends on what else is in its batch"),
    "weighted loss": (
        lambda: make(relu_mlp(), loss=nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 5.0]).double()), batch_size=None),
        "is not the mean of their losses",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_the_identity_does_not_hold_the_trace_is_estimated(name):
    torch.manual_seed(4)
    build, message = REFUSED[name]
    objective = build()
    with pytest.raises(ValueError, match=message):
        trace(objective, objective.theta, method="exact")
    result = trace(objective, objective.theta, probes=400)
    assert not result.exact and result.method == "hutchinson" and result.products == 400
    assert message in result.reason
    assert abs(result.value - dense_trace(objective)) < 4 * result.error


def difference_trace(objective: Objective, h: float = 1e-5) -> float:
    """tr H by differences of gradients, with no second derivative of torch's."""
    theta, steps = objective.theta, h * torch.eye(objective.parameters, dtype=torch.float64)
    entries = [(objective.gradient(theta + e) - objective.gradient(theta - e)) @ e for e in steps]
    return float(sum(entries)) / (2 * h * h)


@pytest.mark.parametrize("ignored", [slice(0, 10), slice(77, 78)])
def test_ignored_labels_are_not_taken_for_a_mean_over_samples(ignored):
    """The one label that is ignored does not stand among the samples whose losses are compared."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(200, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (200,), generator=generator)
    y[ignored] = -100
    objective = Objective(relu_mlp().double(), x, y, loss=nn.CrossEntropyLoss())
    result = trace(objective, objective.theta, probes=200)
    assert not result.exact and "is not the mean of their losses" in result.reason
    assert abs(result.value - difference_trace(objective)) < 4 * result.error
    with pytest.raises(ValueError, match="is not the mean of their losses"):
        trace(objective, objective.theta, method="exact")


class Branching(nn.Module):
    """Piecewise affine, with a decision on a value, or a running mean of the inputs, on the way; no rule for ``*``."""

    seen: torch.Tensor

    def __init__(self, monitors: bool) -> None:
        super().__init__()
        self.layer, self.scale, self.monitors = nn.Linear(6, CLASSES), nn.Parameter(torch.ones(CLASSES)), monitors
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.monitors:
            self.seen.mul_(0.9).add_(0.1 * x.mean())
        elif x.abs().max().item() > 100:
            x = x.clamp(-100, 100)
        return F.relu(self.layer(x)) * self.scale


@pytest.mark.parametrize("monitors", [False, True])
def test_models_that_vmap_cannot_follow_are_estimated(monitors):
    torch.manual_seed(0)
    objective = make(Branching(monitors))
    result = trace(objective, objective.theta, probes=400)
    assert not result.exact and result.reason.startswith("gradients of single samples cannot be taken through")
    assert abs(result.value - difference_trace(objective)) < 4 * result.error
    assert np.isfinite(float(objective.model.seen))
    with pytest.raises(ValueError, match="gradients of single samples cannot be taken"):
        trace(objective, objective.theta, method="exact")
    density = spectral_density(objective, objective.theta, 2, 5, input_rank="auto")
    assert np.isfinite(density.trace)


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 1:
            raise RuntimeError("the user's own complaint")
        return x[:, :CLASSES] * self.scale


def test_an_error_of_the_users_model_is_not_swallowed():
    objective = make(Failing())
    with pytest.raises(RuntimeError, match="the user's own complaint"):
        trace(objective, objective.theta)


def test_dense_outputs_are_estimated_unless_the_exact_trace_is_asked_for():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, CLASSES, 1)).double()
    x = torch.randn(4, 1, 7, 7, generator=generator, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (4, 7, 7), generator=generator)
    objective = Objective(model, x, y)
    auto = trace(objective, objective.theta, probes=200)
    assert auto.method == "hutchinson"
    assert auto.reason == (
        "a sample has 147 outputs, and the exact trace takes work that grows as their cube: 'auto' takes it up to 128"
    )
    exact = trace(objective, objective.theta, method="exact")
    assert exact.exact and exact.value == pytest.approx(difference_trace(objective), rel=1e-6)
    assert abs(auto.value - exact.value) < 4 * auto.error


@pytest.mark.parametrize(("width", "exact"), [(1024, True), (1025, False)])
def test_many_outputs_with_a_closed_form(width, exact):
    torch.manual_seed(0)
    x, y = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, width, dtype=torch.float64)
    objective = Objective(nn.Linear(2, width).double(), x, y, loss="mse")
    result = trace(objective, objective.theta, probes=10)
    assert result.exact is exact and ("a backward pass for each" in result.reason) is not exact


def test_for_tanh_the_gauss_newton_trace_is_another_number():
    """What the guard is for: the same formula without it would be off by far more than any sampling error."""
    from landscape_helpers.curvature.trace import summed_trace

    objective = make(tanh_mlp())
    wrong = summed_trace(objective, 3 * objective.theta)
    H = objective.hvp(3 * objective.theta, torch.eye(objective.parameters, dtype=torch.float64))
    truth = float(torch.trace(H))
    assert abs(wrong - truth) > 0.1 * abs(truth)


def test_the_guard_looks_at_operations():
    """A ReLU network that calls itself Tanh passes, a tanh network that calls itself ReLU does not."""

    class Tanh(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(x)

    class ReLU(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x)

    for activation, passes in ((Tanh(), True), (ReLU(), False)):
        objective = make(nn.Sequential(nn.Linear(6, 5), activation, nn.Linear(5, CLASSES)))
        assert (why_not_piecewise_affine(objective, objective.theta) is None) is passes
        assert why_samples_are_coupled(objective, objective.theta) is None


def test_micro_batches_do_not_change_the_trace():
    values = []
    for batch_size in (1, 4, None):
        y = torch.randint(0, CLASSES, (N,), generator=torch.Generator().manual_seed(2))
        objective = Objective(relu_mlp().double(), data("row"), y, batch_size=batch_size)
        values.append(trace(objective, objective.theta).value)
    np.testing.assert_allclose(values, values[0], rtol=1e-12)


def test_hutchinson_errs_as_its_theory_says():
    r"""With random signs the variance is :math:`2\,(\|H\|_F^2-\sum_j H_{jj}^2)` a probe."""
    objective = make(tanh_mlp())
    H = objective.hvp(objective.theta, torch.eye(objective.parameters, dtype=torch.float64))
    deviation = float((2 * (H.square().sum() - H.diagonal().square().sum()) / 45).sqrt())
    results = [trace(objective, objective.theta, probes=45, seed=seed, method="hutchinson") for seed in range(40)]
    errors = np.array([r.value for r in results]) - float(torch.trace(H))
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(deviation, rel=0.3)
    assert np.mean([r.error for r in results]) == pytest.approx(deviation, rel=0.3)
    assert abs(errors.mean()) < 3 * deviation / np.sqrt(40)


def test_hutch_plus_plus_takes_the_leading_directions_exactly():
    """Curvature in few directions of many, as in networks: the sampled rest is small."""
    spectrum = 1.0 / torch.arange(1, 121, dtype=torch.float64) ** 2
    objective, _ = quadratic(spectrum)
    truth = float(spectrum.sum())
    errors = {}
    for method in ("hutchinson", "hutch++"):
        results = [trace(objective, objective.theta, 30, seed, method) for seed in range(20)]
        assert all(r.products == 30 and not r.exact for r in results)
        assert sum(abs(r.value - truth) < 3 * r.error for r in results) >= 18
        errors[method] = np.sqrt(np.mean([(r.value - truth) ** 2 for r in results]))
    assert errors["hutch++"] < 0.2 * errors["hutchinson"]


def test_hutch_plus_plus_is_exact_where_its_sketch_holds_all_curvature():
    """Ten sketches of two directions repeat each other."""
    spectrum = torch.cat([torch.tensor([3.0, 1.0]), torch.zeros(58)]).double()
    objective, _ = quadratic(spectrum)
    for seed in range(5):
        found = trace(objective, objective.theta, 30, seed, "hutch++")
        assert found.value == pytest.approx(4, rel=1e-9) and found.error < 1e-9


def test_estimates_improve_with_probes_and_repeat_with_their_seed():
    objective = make(tanh_mlp())
    few, many = (trace(objective, objective.theta, probes=n, method="hutchinson") for n in (50, 800))
    assert many.error == pytest.approx(few.error / 4, rel=0.4)
    again = trace(objective, objective.theta, probes=50, method="hutchinson")
    assert again == few
    assert trace(objective, objective.theta, probes=50, seed=1, method="hutchinson").value != few.value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "guess"}, "method must be one of"),
        ({"probes": 1}, "probes must be at least 2 for a standard error, got 1"),
        ({"probes": 5, "method": "hutch++"}, r"probes must be at least 6"),
        ({"theta": torch.ones(4)}, r"theta must have shape \(83,\), got \(4,\)"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    objective = make(tanh_mlp())
    with pytest.raises(ValueError, match=message):
        trace(objective, **({"theta": objective.theta} | change))
    assert objective.counts.products == 0


@pytest.mark.parametrize("method", ["auto", "exact", "hutchinson", "hutch++"])
def test_a_trace_that_is_not_finite_is_refused(method):
    objective = make(relu_mlp())
    with pytest.raises(OverflowedCurvature, match="is not finite: the loss or a derivative has overflowed"):
        trace(objective, objective.theta * torch.nan, method=method)


def test_the_callers_model_is_left_alone():
    model = relu_mlp().double().train()
    before = [p.detach().clone() for p in model.parameters()]
    objective = make(model)
    trace(objective, 2 * objective.theta)
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(p.grad is None for p in objective.weights)
