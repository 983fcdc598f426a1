"""What recording gradient correlations costs over the bare descent step, and what it keeps in memory.

Processor time on one thread. Two descents, one bare and one with :class:`landscape_helpers.descent.GradientCorrelation`
(window 5, global and every layer), take turns step block by step block in one process, so that drift of the machine
hits both. Reported: the median ratio of their times, and the gradients held at once.

    python benchmarks/correlation_overhead.py [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from landscape_helpers.data import load_data
from landscape_helpers.descent import GradientCorrelation, gradient_descent
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

CASES = [
    # name, model, options, images, micro-batch, steps a block, blocks
    ("MLP 64-128-10, 300 digits", "mlp", {}, 300, None, 1500, 9),
    ("simple CNN, 300 digits", "cnn", {"width": 8}, 300, None, 60, 9),
    ("VGG-16, width 8, 300 digits", "vgg16", {"width": 8}, 300, None, 30, 9),
    ("ResNet-18, width 4, 300 digits", "resnet18", {"width": 4}, 300, None, 15, 9),
    ("ResNet-34, width 16, 300 digits", "resnet34", {"width": 16}, 300, 100, 4, 7),
    ("ResNet-18, width 64 (11.2 M parameters), 200 digits", "resnet18", {"width": 64}, 200, 50, 2, 5),
]


class HeldGradients(GradientCorrelation):
    """Also notes how many different gradients were alive at once."""

    def begin(self, objective: Objective) -> None:
        super().begin(objective)
        self.most = 0

    def observe(self, step) -> None:  # type: ignore[no-untyped-def]
        super().observe(step)
        self.most = max(self.most, len({g.data_ptr() for g in (step.gradient, *step.past)}))


def measure(case: tuple) -> dict[str, object]:
    name, model_name, options, n, batch_size, steps, blocks = case
    data = load_data("digits", n_train=n)
    x, y, _, _ = data.standardised()
    model = build_model(model_name, data.n_classes, data.input_shape, **options)
    objective = Objective(model, x, y, batch_size=batch_size)
    held, probe = HeldGradients(5, matrices_at=[0]), GradientCorrelation(5, matrices_at=[0])

    def block(probes: list[GradientCorrelation]) -> float:
        start = time.process_time()
        gradient_descent(objective, objective.theta, 0.01, steps, probes)
        return (time.process_time() - start) / (steps + 1)

    block([]), block([held])  # also warms up; counting what is held would take time itself
    bare, probed = [], []
    for _ in range(blocks):
        bare.append(block([]))
        probed.append(block([probe]))
    ratios = [b / a for a, b in zip(bare, probed, strict=True)]
    return {
        "case": name,
        "parameters": objective.parameters,
        "layers": len(objective.layers),
        "bare_ms": round(1e3 * statistics.median(bare), 3),
        "probed_ms": round(1e3 * statistics.median(probed), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "gradients_held": held.most,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    print(json.dumps({"torch": torch.__version__, "threads": threads}))
    for case in CASES:
        print(json.dumps(measure(case)), flush=True)


if __name__ == "__main__":
    main()
