"""Following the top 20 eigenpairs of a Hessian: products and time against fresh solves; the cost of a telemetry stop.

Two small CNNs on CIFAR-10 images, one with ReLU and max-pooling, one smooth (tanh, average pooling), descend, the first
to the edge of stability, and then go on at the same rate; stops lie close together or further apart. At each of forty
stops the pairs are followed and, apart from that, solved afresh to the same relative residual. All that the tracker
spends counts: what it begins with, which at the edge is a solve on either side of the valley, and the looks at what
lies beyond the pairs; the ratio without the first two stops is told beside. The last stop's eigenvalues, followed and
fresh, are held against a solve in float64 at 1e-4. What decides the cost is measured too: how far the curvature along
the pairs moves over one step and over two, which at the edge lead back to where they began. On many images few units
switch between them; the network with ReLU is followed on 5,000 as well, at every step only. With --power, power
iteration with deflation, which the singularity paper uses, runs as well. Time is processor time on one thread.

    python benchmarks/tracking.py [--images 200 1000 5000] [--tol 0.01] [--power] [--json FILE]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write_rows

from landscape_helpers.curvature import Eigenpairs, EigenTracker, HessianAt, top_eigenpairs
from landscape_helpers.data import load_data
from landscape_helpers.descent import Telemetry, gradient_descent
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

torch.set_num_threads(1)

K, TOP = 20, 9
RATE, BURN = 0.05, 400
# Network, whether it is smooth, images, and steps between two stops.
RELU, TANH = "ReLU and max-pooling", "tanh and average pooling"
NETWORKS = (
    (RELU, False, 200, (1, 5, 20)),
    (RELU, False, 1000, (1, 5, 20)),
    (RELU, False, 5000, (1,)),
    (TANH, True, 200, (1, 5, 20)),
    (TANH, True, 1000, (1, 5, 20)),
)
STOPS = 40
BEGIN = 2  # stops that begin, one on either side of the valley
POWER_BUDGET = 1000
TARGET = 1 / 3


def smooth_cnn(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """Two convolutions with tanh and average pooling: no derivative jumps."""
    pooled = shape[1] // 4 * (shape[2] // 4)
    return torch.nn.Sequential(
        torch.nn.Conv2d(shape[0], 8, 3, padding=1), torch.nn.AvgPool2d(2), torch.nn.Tanh(),
        torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.AvgPool2d(2), torch.nn.Tanh(),
        torch.nn.Flatten(), torch.nn.Linear(16 * pooled, classes),
    )  # fmt: skip


def setting(images: int, smooth: bool) -> tuple[Objective, Objective]:
    """The network on the images in single precision and in double."""
    data = load_data("cifar10", n_train=images)
    x, y, _, _ = data.standardised()
    x = torch.nn.functional.avg_pool2d(x, 2)
    shape = tuple(x.shape[1:])
    torch.manual_seed(0)
    model = smooth_cnn(shape, data.n_classes) if smooth else build_model("cnn", data.n_classes, shape, width=8)
    return Objective(model, x, y), Objective(model, x, y, dtype=torch.float64)


def movement(exact: Objective, theta: torch.Tensor, pairs: Eigenpairs) -> list[float]:
    """Median over the pairs of |(H(theta') - H(theta)) v| / lambda, theta' one descent step away and two."""
    there = theta
    here = exact.hvp(theta, pairs.vectors)
    moved = []
    for _ in range(2):
        there = there - RATE * exact.gradient(there)
        change = exact.hvp(there, pairs.vectors) - here
        moved.append(float(np.median(change.norm(dim=0).numpy() / np.abs(pairs.values))))
    return moved


def power(objective: Objective, theta: torch.Tensor, tol: float, most: int) -> tuple[int, int]:
    """(pairs found, products) of power iteration with deflation to the relative residual ``tol``."""
    generator = torch.Generator().manual_seed(0)
    found = torch.zeros(objective.parameters, 0)
    with HessianAt(objective, theta) as hessian:
        while found.shape[1] < K:
            v = torch.randn(objective.parameters, generator=generator)
            while True:
                v = v - found @ (found.T @ v)
                v = v / v.norm()
                w = hessian.product(v)
                value = float(v @ w)
                inside = w - found @ (found.T @ w)
                if float((inside - value * v).norm()) <= tol * abs(value):
                    break
                if hessian.products >= most:
                    return found.shape[1], hessian.products
                v = inside
            found = torch.cat([found, v[:, None]], 1)
        return K, hessian.products


def follow(objective: Objective, exact: Objective, theta: torch.Tensor, every: int, tol: float) -> dict[str, Any]:
    """Products, seconds and errors over stops ``every`` steps apart."""
    tracker = EigenTracker(objective, K, tol)
    row: dict[str, Any] = {"every": every, "tracked": [], "fresh": [], "converged": True}
    seconds = np.zeros(2)
    for stop in range(STOPS):
        start = time.process_time()
        pairs = tracker.at(theta)
        middle = time.process_time()
        fresh = top_eigenpairs(objective, theta, K, tol=tol)
        seconds += middle - start, time.process_time() - middle
        row["tracked"].append(pairs.products)
        row["fresh"].append(fresh.products)
        row["converged"] &= pairs.converged and fresh.converged
        if stop == STOPS - 1:
            break
        for _ in range(every):
            theta = theta - RATE * objective.gradient(theta)
    truth = top_eigenpairs(exact, theta.double(), K, tol=1e-4, max_products=150)
    row["converged"] &= truth.converged
    row["error"], row["fresh_error"] = (float(np.abs(f.values / truth.values - 1).max()) for f in (pairs, fresh))
    row["ratio"] = sum(row["tracked"]) / sum(row["fresh"])
    row["later_ratio"] = sum(row["tracked"][BEGIN:]) / sum(row["fresh"][BEGIN:])
    row["median_ratio"] = float(np.median(row["tracked"]) / np.median(row["fresh"]))
    row["time_ratio"] = float(seconds[0] / seconds[1])
    return row


def stop_cost(objective: Objective, theta: torch.Tensor, tol: float) -> dict[str, float]:
    """Share of a telemetry stop's time beyond its Hessian products: linear algebra and loss evaluations.

    The forward and backward pass that all products at a point share counts as theirs.
    """
    clock = {"products": 0.0}
    inner = {"__init__": HessianAt.__init__, "product": HessianAt.product}

    def timed(name: str) -> Any:
        def call(self: HessianAt, *args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return inner[name](self, *args, **options)
            finally:
                clock["products"] += time.process_time() - start

        return call

    probe = Telemetry(RATE, 1, TOP, K, tol)
    spent: list[tuple[float, float]] = []
    observe = probe.observe

    def timed_stop(step: Any) -> None:
        clock["products"], start = 0.0, time.process_time()
        observe(step)
        spent.append((time.process_time() - start, clock["products"]))

    probe.observe = timed_stop  # type: ignore[method-assign]
    for name in inner:
        setattr(HessianAt, name, timed(name))
    try:
        gradient_descent(objective, theta, RATE, 5, [probe])
    finally:
        for name, method in inner.items():
            setattr(HessianAt, name, method)
    total, products = np.array(spent[1:]).sum(0)
    return {"seconds_a_stop": total / len(spent[1:]), "overhead": total / products - 1}


def one_network(
    name: str, smooth: bool, images: int, spacings: tuple[int, ...], options: argparse.Namespace
) -> dict[str, Any]:
    """Movement, products at every spacing, and the cost of a stop; told as they come."""
    objective, exact = setting(images, smooth)
    theta = gradient_descent(objective, objective.theta, RATE, BURN).theta
    pairs = top_eigenpairs(exact, theta.double(), K)
    moved, rho = movement(exact, theta.double(), pairs), RATE * pairs.values[0] / 2
    found: dict[str, Any] = {"movement": moved, "rows": []}
    print(f"{name}, {images:,} images, {objective.parameters:,} parameters: rho_1 = {rho:.2f}")
    print(f"  one step moves H v along a pair by {moved[0]:.2%} of its eigenvalue (median), two by {moved[1]:.2%}")
    for every in spacings:
        row = follow(objective, exact, theta, every, options.tol)
        found["rows"].append(row)
        print(
            f"  every {every:2d} steps of {RATE:g}: {np.mean(row['tracked']):5.1f} products followed, "
            f"{np.mean(row['fresh']):5.1f} fresh: {row['ratio']:.2f} "
            f"({'aim met' if row['ratio'] <= TARGET else 'AIM NOT MET'}), {row['later_ratio']:.2f} after the first "
            f"two stops, {row['median_ratio']:.2f} at the median one, {row['time_ratio']:.2f} in time; "
            f"eigenvalues off by {row['error']:.1e} followed, {row['fresh_error']:.1e} fresh"
            f"{'' if row['converged'] else '; NOT ALL CONVERGED'}",
            flush=True,
        )
    found["stop"] = stop_cost(objective, theta, options.tol)
    told = f"{found['stop']['seconds_a_stop']:.2f} s, {found['stop']['overhead']:.0%} on top of its products"
    print(f"  a telemetry stop: {told}", flush=True)
    if options.power:
        done, products = power(objective, theta, options.tol, POWER_BUDGET)
        print(f"  power iteration with deflation: {done} of {K} pairs in {products} products (budget {POWER_BUDGET})")
        found["power"] = {"pairs": done, "products": products}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = sorted({images for _, _, images, _ in NETWORKS})
    parser.add_argument("--images", type=int, nargs="+", choices=sizes, default=sizes, help="only these networks")
    parser.add_argument("--tol", type=float, default=1e-2)
    parser.add_argument("--power", action="store_true", help="also power iteration with deflation")
    parser.add_argument("--json", type=Path, help="write the rows here; those of other networks there stay")
    options = parser.parse_args()
    rows = []
    print(f"top {K} pairs, relative residual <= {options.tol:g}, {STOPS} stops; aim: {TARGET:.2f} of fresh")
    for name, smooth, images, spacings in NETWORKS:
        if images in options.images:
            found = one_network(name, smooth, images, spacings, options)
            rows.append({"network": name, "images": images} | found)
    if options.json:
        write_rows(options.json, rows, "networks", ("network", "images"), tol=options.tol)


if __name__ == "__main__":
    main()
