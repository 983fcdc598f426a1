"""Every instrument gives on an accelerator what it gives on the CPU, for networks of every kind it treats apart."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache

import numpy as np
import pytest
import torch
import xarray
from torch import nn

from landscape_helpers import curvature, descent, directions, mining, slices
from landscape_helpers.accuracy import accuracy_on
from landscape_helpers.objective import Objective
from landscape_helpers.watch import Watch
from landscape_helpers.weights import load_theta, state_dict_of, theta_of

N, CLASSES = 24, 4


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x + torch.tanh(self.inner(x)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 8, padding_idx=0)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.table(x)).mean(1))


def convolutional(*inner: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *inner, nn.Flatten(), nn.Linear(features, CLASSES))


def normalised() -> nn.Module:
    return convolutional(nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), features=4)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, dict]] = {
    "relu": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES)), "rows", {}),
    "tanh": (lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, CLASSES)), "rows", {}),
    "squares": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)), "rows", {"loss": "mse"}),
    "residual": (Residual, "rows", {}),
    "wide": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, CLASSES)), "images", {},
    ),
    "pooled": (lambda: convolutional(nn.MaxPool2d(2), nn.ReLU(), features=64), "images", {}),
    "micro-batches": (lambda: convolutional(nn.AvgPool2d(2), nn.Tanh(), features=64), "images", {"batch_size": 10}),
    "batch norm": (normalised, "images", {}),
    "frozen batch norm": (normalised, "images", {"batchnorm": "frozen"}),
    "attention": (Attention, "tokens", {}),
}  # fmt: skip


@cache
def objective_on(network: str, device: str) -> Objective:
    make, kind, options = NETWORKS[network]
    torch.manual_seed(0)
    model = make().double()
    inputs = {
        "rows": torch.randn(N, 6, dtype=torch.float64),
        "images": torch.randn(N, 3, 8, 8, dtype=torch.float64),
        "tokens": torch.randint(0, 9, (N, 5)),
    }
    y = torch.randint(0, CLASSES, (N,))
    if options.get("loss") == "mse":
        y = torch.randn(N, 2, dtype=torch.float64)
    return Objective(model, inputs[kind], y, device=device, **options)


AT = np.linspace(-1, 1, 5)
RATE = 0.3


def all_directions(o: Objective) -> tuple[torch.Tensor, torch.Tensor]:
    return directions.gaussian(o, o.theta, 1), directions.gaussian(o, o.theta, 2, normalize="layer")


def at_a_point(o, folder):
    v = torch.randn(o.parameters, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(o.device)
    with curvature.HessianAt(o, o.theta) as hessian:
        return o.loss(o.theta), o.gradient(o.theta), o.outputs(o.theta), o.hvp(o.theta, v), hessian.product(v)


def accuracies(o, folder):
    return o.accuracy(o.theta), accuracy_on(o, o.theta, *o.samples())


def ways_to_look(o, folder):
    a, b = all_directions(o)
    made = a, b, directions.negative_gradient(o, o.theta), directions.orthogonalised(b, a)
    return *made, directions.overlaps({"a": a, "b": b}, o.theta), directions.angle(a, b)


def eigenpairs(o, folder):
    found = curvature.top_eigenpairs(o, o.theta, 3, tol=1e-6), *curvature.both_ends(o, o.theta, 2, tol=1e-6)
    return [pairs.values for pairs in found]


def followed(o, folder):
    tracker, theta, values = curvature.EigenTracker(o, 3, 1e-4), o.theta, []
    for stop in range(5):
        values.append(tracker.at(theta).values)
        if stop == 2:
            state = tracker.state()
            tracker = curvature.EigenTracker(o, 3, 1e-4)
            tracker.restore(state)
        theta = theta - 0.05 * o.gradient(theta)
    return values


def traces(o, folder):
    methods = "auto", "hutchinson", "hutch++"
    return [curvature.trace(o, o.theta, probes=8, method=method).value for method in methods]


def spectra(o, folder):
    return curvature.spectral_density(o, o.theta, 2, 5, deflate=2)


def second_order(o, folder):
    a, _ = all_directions(o)
    return curvature.quadratic_model(o, o.theta, a), curvature.loss_change(o, o.theta, 0.1, [0.5, 1.0], draws=4)


def pictures(o, folder):
    a, b = all_directions(o)
    line, plane = slices.line(o, o.theta, a, AT), slices.plane(o, o.theta, a, b, AT, AT[:4])
    return line, plane, slices.line(o, o.theta, a, AT, checkpoint=folder / "line")


def probes():
    return [descent.GradientCorrelation(3, [0]), descent.Sharpness(2), descent.Travel()]


def descents(o, folder):
    whole = descent.gradient_descent(o, o.theta, RATE, 6, probes())
    for steps in (4, 6):
        file = folder / "descent"
        resumed = descent.gradient_descent(o, o.theta, RATE, steps, probes(), checkpoint=file, checkpoint_every=1)
    assert torch.equal(whole.theta, resumed.theta)
    stops = descent.gradient_descent(o, o.theta, RATE, 4, [descent.Telemetry(RATE, 1, 2, 4, 1e-4)])
    return whole.record, whole.theta, stops.record


def flows(o, folder):
    return [descent.gradient_flow(o, o.theta, cap=0.2, c=0.5, steps=3, method=m).theta for m in ("euler", "rk4")]


def mini_batches(o, folder):
    watched = [descent.StepLosses([(0, 2)]), descent.FullGradients([(0, 3)])]
    run = descent.sgd(o, o.theta, 0.1, 2, 8, momentum=0.9, weight_decay=1e-3, keep=[1], probes=watched)
    noise = descent.IsotropicNoise(1e-3)
    noisy = descent.sgd(o, o.theta, 0.1, steps=3, batch_size=None, noise=noise)
    return run.theta, run.losses, *run.kept.values(), noisy.theta, descent.largest_gradient_variance(o, o.theta)


def mined(o, folder):
    peak, basin = mining.w_peak(o, o.theta, 2, 0.1), mining.vvv_basin(o, o.theta, all_directions(o)[0], 2, 0.1)
    return peak.direction, basin.direction


def watched_training(o, folder):
    model, watch = copy.deepcopy(o.model), Watch(o, probes())
    for look in range(4):
        watch.look(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.9)
        if look == 1:
            state = {name: value.to(o.device) for name, value in watch.state_dict().items()}
            watch = Watch(o, probes())
            watch.load_state_dict(state)
    return watch.record()


def weights(o, folder):
    model = copy.deepcopy(o.model)
    load_theta(o, o.theta + 1, model)
    return theta_of(o, model), theta_of(o, model.state_dict()), *state_dict_of(o, o.theta).values()


INSTRUMENTS = [
    at_a_point, accuracies, ways_to_look, eigenpairs, followed, traces, spectra, second_order, pictures, descents,
    flows, mini_batches, mined, watched_training, weights,
]  # fmt: skip


def numbers(found) -> Iterator[np.ndarray]:
    """All the numbers in a result, whatever holds them."""
    if isinstance(found, torch.Tensor):
        yield found.detach().cpu().double().numpy()
    elif isinstance(found, (float, int, np.ndarray, np.number)):
        yield np.asarray(found, dtype=np.float64)
    elif isinstance(found, xarray.DataArray):
        yield found.values.astype(np.float64)
    elif isinstance(found, xarray.Dataset):
        yield from (found[name].values.astype(np.float64) for name in sorted(found.data_vars))
    elif isinstance(found, (list, tuple)):
        for part in found:
            yield from numbers(part)
    elif is_dataclass(found):
        for field in fields(found):
            yield from numbers(getattr(found, field.name))


# Targets that are no classes have no accuracy, and a training moves the statistics that a frozen objective keeps.
UNFIT = [("squares", accuracies), ("frozen batch norm", watched_training)]
PAIRS = [
    pytest.param(network, instrument, id=f"{network}-{instrument.__name__}")
    for network in NETWORKS
    for instrument in INSTRUMENTS
    if (network, instrument) not in UNFIT
]


@pytest.mark.parametrize(("network", "instrument"), PAIRS)
def test_an_instrument_gives_the_same_numbers(network, instrument, device, tmp_path):
    results = []
    for where in ("cpu", str(device)):
        folder = tmp_path / where.partition(":")[0]
        folder.mkdir()
        results.append(list(numbers(instrument(objective_on(network, where), folder))))
    on_cpu, on_device = results
    assert on_cpu and len(on_cpu) == len(on_device)
    for a, b in zip(on_cpu, on_device, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)
