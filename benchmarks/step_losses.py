"""What recording the loss between iterates costs, in forward passes, against a plain loop over copies of the model.

Per update the plain loop makes a copy of the network for each of 12 points, ten between the iterates and the two ends,
and averages the loss over all images; a twelfth of its time is called a pass. The probe
(:class:`landscape_helpers.descent.StepLosses`) watches the same updates. Both take turns in one process on one thread,
process time. Reported is the median over the updates of the probe's time in passes, for updates on mini-batches, where
it evaluates the end of each step itself, and for full-batch updates, where training has done so; the largest relative
difference between the losses of the two; and how many passes one loss of the objective takes, which puts images into
the layout that convolutions like best and copies nothing: the probe's time over that of a faster loop follows from it.

    python benchmarks/step_losses.py [--only NAME] [--updates 5] [--json FILE]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import copy
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_helpers.data import load_data
from landscape_helpers.descent import StepLosses
from landscape_helpers.descent.probe import Step
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

torch.set_num_threads(1)

POINTS = 10
# name: (what it is, network, options, data, images, micro-batch)
WORKLOADS: dict[str, tuple[str, str, dict[str, Any], str, int, int | None]] = {
    "mlp": ("MLP 784-128-10, 3,000 MNIST images", "mlp", {}, "mnist", 3000, None),
    "mlp-digits": ("MLP 64-128-10, 1,200 digits", "mlp", {}, "digits", 1200, None),
    "cnn": ("CNN of width 16, 500 CIFAR-10 images", "cnn", {"width": 16}, "cifar10", 500, None),
    "vgg": ("VGG-11 of width 16, 500 CIFAR-10 images", "vgg11", {"width": 16}, "cifar10", 500, 250),
    "vgg-bn": ("the same with BatchNorm", "vgg11", {"width": 16, "batchnorm": True}, "cifar10", 500, 250),
    "resnet": ("ResNet-20, 250 CIFAR-10 images", "resnet20", {}, "cifar10", 250, 250),
}


def measure(name: str, updates: int) -> dict[str, Any]:
    title, network, options, data_name, n, batch_size = WORKLOADS[name]
    data = load_data(data_name, n_train=n)
    x, y, _, _ = data.standardised()
    model = build_model(network, data.n_classes, data.input_shape, **options)
    objective = Objective(model, x, y, batch_size=batch_size)
    theta, thetas = objective.theta, []
    for _ in range(updates + 2):
        loss, gradient = objective.loss_and_gradient(theta)
        thetas.append((theta.clone(), loss, gradient))
        theta = theta - 0.05 * gradient
    probes = {side: StepLosses([(0, updates + 1)], POINTS) for side in ("mini-batch", "full batch")}
    for probe in probes.values():
        probe.begin(objective)
    times: dict[str, list[float]] = {"plain": [], "objective": [], "mini-batch": [], "full batch": []}
    truth = []
    model.train()
    pieces = list(zip(x.split(objective.batch_size), y.split(objective.batch_size), strict=True))
    for t, (here, loss, gradient) in enumerate(thetas):
        for side, probe in probes.items():
            start = time.process_time()
            probe.observe(Step(t, here, loss, gradient, (), side == "full batch"))
            times[side].append(time.process_time() - start)
        if t == 0:
            continue
        before = thetas[t - 1][0]
        start = time.process_time()
        losses = []
        for alpha in probes["mini-batch"].alpha:
            point = copy.deepcopy(model)
            nn.utils.vector_to_parameters((1 - alpha) * before + alpha * here, point.parameters())
            with torch.no_grad():
                losses.append(sum(len(b) / n * float(nn.functional.cross_entropy(point(a), b)) for a, b in pieces))
        times["plain"].append(time.process_time() - start)
        truth.append(losses)
        start = time.process_time()
        objective.loss(here)
        times["objective"].append(time.process_time() - start)
    # The first observation only stands at the start, the second one traces the model: both are left out.
    a_pass = np.array(times["plain"][1:]) / (POINTS + 2)
    row: dict[str, Any] = {"workload": name, "title": title, "pass_ms": round(1e3 * statistics.median(a_pass), 3)}
    row["objective_passes"] = round(statistics.median(np.array(times["objective"][1:]) / a_pass), 3)
    for side, probe in probes.items():
        found = probe.result().step_loss.values
        row[f"{side}: passes"] = round(statistics.median(np.array(times[side][2:]) / a_pass), 2)
        row[f"{side}: difference"] = float(np.abs(found / np.array(truth) - 1).max())
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(WORKLOADS))
    parser.add_argument("--updates", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.updates < 1:
        parser.error(f"--updates must be at least 1, got {options.updates}")
    rows = []
    for name in [options.only] if options.only else list(WORKLOADS):
        rows.append(measure(name, options.updates))
        print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
