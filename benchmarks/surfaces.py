"""Surfaces and curves of the loss: seconds, agreement and memory against loss-landscapes.

Every side gets the same trained network, data and directions at full size, in a process of its own, on one thread;
process time of the call alone. Sides:

* ours: :mod:`landscape_helpers.slices` on this package's network.
* plain: the same on a user's plain ``nn.Module`` that computes the same function.
* loss-landscapes: ``planar_interpolation`` and ``linear_interpolation`` with its ``Loss`` metric on all images at once.
  It switches gradients off by itself. Its scan turns at the end of each row and leaves every other row one step aside;
  the comparison undoes that.
* For BatchNorm curves the metric of the peer first runs ``torch.optim.swa_utils.update_bn``, as its users do: with
  batches of 128 (``loss-landscapes``), an average over batches and not the statistics of the whole set, or with all
  images in one (``loss-landscapes-whole``), which is what ours computes but for the variance's n - 1.

Accuracy: the largest relative difference to ours, and of each side to the same network in double precision at some
points. The floor: floating-point operations of one forward pass a point, of a first linear layer once a direction, over
the rate of a float32 matrix product measured here.

    python benchmarks/surfaces.py [--only mlp|cnn|cnn32|curves] [--points 41] [--json FILE]

The peer is not among this project's requirements: see benchmarks/requirements.txt.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import copy
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import INSTALL, matmul_rate, memory, train, write_rows
from torch import nn
from torch.nn import functional as F

from landscape_helpers import directions, slices
from landscape_helpers.data import load_data
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

torch.set_num_threads(1)

CURVES = 5
PEER = "loss-landscapes"
# name: (what it is, network, options, images, pooling)
WORKLOADS: dict[str, tuple[str, str, dict[str, Any], int, int]] = {
    "mlp": ("surface, MLP 3072-128-10, 5,000 CIFAR-10 images", "mlp", {}, 5000, 1),
    "cnn": ("surface, CNN of width 16, 1,000 CIFAR-10 images", "cnn", {"width": 16}, 1000, 1),
    "cnn32": ("surface, CNN of width 32, 1,000 CIFAR-10 images", "cnn", {"width": 32}, 1000, 1),
    "curves": (
        f"{CURVES} curves, BatchNorm re-estimated, ResNet-20, 1,000 images at 16 x 16", "resnet20", {}, 1000, 2,
    ),
}  # fmt: skip
SIDES = {name: ["ours", "plain", PEER] for name in WORKLOADS} | {"curves": ["ours", PEER, f"{PEER}-whole"]}


class PlainMLP(nn.Module):
    """The MLP as a user might write it, its images made rows by ``reshape``."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3072, 128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.relu(self.fc1(x.reshape(x.size(0), -1))))


class PlainCNN(nn.Module):
    """The CNN as a user might write it: activation first, pooling second."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.fc = nn.Linear(64 * width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.fc(torch.flatten(x, 1))


def setting(workload: str, images: int | None = None) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    _, name, options, n, pooling = WORKLOADS[workload]
    data = load_data("cifar10", n_train=images or n)
    if pooling > 1:
        data = data.pooled(pooling)
    x, y, _, _ = data.standardised()
    return build_model(name, data.n_classes, data.input_shape, **options), x, y


def grid(points: int) -> np.ndarray:
    return np.linspace(-1, 1, points)


def directions_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor, count: int) -> list[torch.Tensor]:
    objective = Objective(model, x[:10], y[:10])
    return [directions.gaussian(objective, objective.theta, seed, "filter") for seed in range(count)]


def ours(workload: str, side: str, model: nn.Module, x: torch.Tensor, y: torch.Tensor, points: int) -> Callable:
    ways = directions_of(model, x, y, CURVES if workload == "curves" else 2)
    if side == "plain":
        plain = PlainMLP() if workload == "mlp" else PlainCNN(WORKLOADS[workload][2]["width"])
        weights = zip(plain.state_dict(), model.state_dict().values(), strict=True)
        plain.load_state_dict(dict(weights))
        model = plain
    at = grid(points)

    def measure() -> np.ndarray:
        objective = Objective(model, x, y)
        if workload == "curves":
            curves = [slices.line(objective, objective.theta, way, at, batchnorm="re-estimated") for way in ways]
            return np.stack([curve.values for curve in curves])
        return slices.plane(objective, objective.theta, *ways, at, at).values

    return measure


def moved(model: nn.Module, theta: torch.Tensor) -> nn.Module:
    model = copy.deepcopy(model)
    nn.utils.vector_to_parameters(theta, model.parameters())
    return model


def loss_landscapes(
    workload: str, side: str, model: nn.Module, x: torch.Tensor, y: torch.Tensor, points: int
) -> Callable:
    import loss_landscapes
    from loss_landscapes.metrics import Loss, Metric

    ways = directions_of(model, x, y, CURVES if workload == "curves" else 2)
    theta = nn.utils.parameters_to_vector(model.parameters()).detach()
    step = 2 / (points - 1)
    model.eval()
    batches = x.split(len(x) if side.endswith("whole") else 128), y.split(len(x) if side.endswith("whole") else 128)

    class UpdatedLoss(Metric):
        def __call__(self, wrapper: Any) -> float:
            network = wrapper.get_modules()[0]
            torch.optim.swa_utils.update_bn(batches[0], network)
            network.eval()
            values = [F.cross_entropy(network(a), b).item() * len(b) for a, b in zip(*batches, strict=True)]
            return sum(values) / len(y)

    def measure() -> np.ndarray:
        # It takes the step before it evaluates, so that it starts one step outside.
        if workload == "curves":
            curves = []
            for way in ways:
                start = theta - (1 + step) * way
                ends = moved(model, start), moved(model, start + points * step * way)
                curves.append(loss_landscapes.linear_interpolation(*ends, UpdatedLoss(), points, deepcopy_model=True))
            return np.stack(curves)
        start = theta - ways[0] - (1 + step) * ways[1]
        corners = [moved(model, start), *(moved(model, start + points * step * way) for way in ways)]
        return loss_landscapes.planar_interpolation(*corners, Loss(F.cross_entropy, x, y), points, deepcopy_model=True)

    return measure


def one_side(workload: str, side: str, points: int, folder: Path) -> None:
    model, x, y = setting(workload)
    model.load_state_dict(torch.load(folder / "model.pt"))
    F.cross_entropy(model(x[:50]), y[:50]).backward()  # libraries load and threads start before the clock does
    model.zero_grad()
    make = loss_landscapes if side.startswith(PEER) else ours
    measure = make(workload, side, model, x, y, points)
    before = memory(reset=True)
    start = time.process_time()
    losses = measure()
    seconds = time.process_time() - start
    peak = memory() - before
    np.save(folder / "losses.npy", losses)
    (folder / "record.json").write_text(json.dumps({"seconds": seconds, "peak_mib": peak}))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b) / np.abs(b)))


def realigned(theirs: np.ndarray, ours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points that both evaluated: the peer's odd rows stand one step to the left."""
    pairs = [(theirs[i, i % 2 :], ours[i, : ours.shape[1] - i % 2]) for i in range(len(ours))]
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def truths(workload: str, folder: Path, points: int) -> dict[tuple[int, int], float]:
    """The loss in double precision at some points of even rows."""
    model, x, y = setting(workload)
    model.load_state_dict(torch.load(folder / "model.pt"))
    curves = workload == "curves"
    ways = directions_of(model, x, y, CURVES if curves else 2)
    objective = Objective(model, x, y, dtype=torch.float64, batchnorm="whole")
    last, at = points - 1, grid(points)
    places = [(0, 0), (2, points // 2)] if curves else [(0, 0), (0, last), (points // 4 * 2, points // 2)]
    result = {}
    for i, j in places:
        if curves:
            shift = at[j] * ways[i].double()
        else:
            shift = at[i] * ways[0].double() + at[j] * ways[1].double()
        result[i, j] = objective.loss(objective.theta + shift)
    return result


def floor_of(workload: str, points: int) -> tuple[float, float]:
    """(floating-point operations of the whole, operations a second of a float32 matrix product)."""
    from torch.utils.flop_counter import FlopCounterMode

    model, x, _ = setting(workload, 10)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(x)
    a_pass = counter.get_total_flops() / len(x) * WORKLOADS[workload][3]
    total = a_pass * (CURVES * points if workload == "curves" else points**2)
    if workload == "mlp":
        first = 2 * model[1].weight.numel() * WORKLOADS[workload][3]  # type: ignore[index, union-attr, operator]
        total += first * (3 - points**2)
    return total, matmul_rate()


def run(workload: str, points: int, with_peer: bool) -> list[dict[str, Any]]:
    operations, rate = floor_of(workload, points)
    size = f"{CURVES} x {points}" if workload == "curves" else f"{points} x {points}"
    print(f"\n{WORKLOADS[workload][0]}, {size} points")
    print(f"floor: {operations / 1e9:.1f} GFLOP, {operations / rate:.2f} s at {rate / 1e9:.0f} GFLOP/s")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, x, y = setting(workload)
        train(model, x, y, lr=0.02, momentum=0.9, batch_size=128)
        torch.save(model.state_dict(), folder / "model.pt")
        truth = truths(workload, folder, points)
        found: dict[str, np.ndarray] = {}
        for side in SIDES[workload]:
            if side.startswith(PEER) and not with_peer:
                continue
            command = [sys.executable, __file__, "--side", side, "--only", workload, "--points", str(points)]
            subprocess.run([*command, "--folder", name], check=True)
            losses = found[side] = np.load(folder / "losses.npy")
            row = {"workload": workload, "side": side, "points": points}
            row |= json.loads((folder / "record.json").read_text())
            surface = side == PEER and workload != "curves"
            pair = realigned(losses, found["ours"]) if surface else (losses, found["ours"])
            row["difference"] = difference(*pair)
            row["error"] = max(abs(losses[place] - value) / value for place, value in truth.items())
            rows.append(row)
            row["ratio"] = row["seconds"] / rows[0]["seconds"]
            row["floor_share"] = operations / rate / row["seconds"]
            print(
                f"  {side:22s} {row['seconds']:8.2f} s  {row['ratio']:7.2f} x  difference to ours "
                f"{row['difference']:.1e}  to double precision {row['error']:.1e}  + {row['peak_mib']:.0f} MiB  "
                f"{row['floor_share']:.0%} of the floor",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(WORKLOADS))
    parser.add_argument("--points", type=int, default=41, help="grid values along each direction")
    parser.add_argument("--json", type=Path, help="write the rows here; those of other workloads there stay")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.points < 2:
        parser.error(f"--points must be at least 2, got {options.points}")
    if options.side:
        one_side(options.only, options.side, options.points, options.folder)
        return
    with_peer = importlib.util.find_spec("loss_landscapes") is not None
    if not with_peer:
        print(f"{PEER} is not installed and is left out: {INSTALL}")
    rows = []
    for workload in [options.only] if options.only else list(WORKLOADS):
        rows += run(workload, options.points, with_peer)
    if options.json:
        write_rows(options.json, rows)


if __name__ == "__main__":
    main()
