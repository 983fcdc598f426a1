"""Following the top 20 eigenpairs of a Hessian: products and time against fresh solves; the cost of a telemetry stop.

A small CNN on CIFAR-10 images descends and then goes on at a quarter of the rate; stops lie close together or far
apart. At each stop the pairs are followed and, apart from that, solved afresh to the same relative residual. What the
tracker's own fresh solves cost (one call in twenty, to a tighter residual) is told as a ratio of its own. The last
stop's eigenvalues, followed and fresh, are held against a solve in float64 at 1e-4. With --power, power iteration
with deflation, which the singularity paper uses, runs as well. Time is processor time on one thread.

    python benchmarks/tracking.py [--images 200] [--tol 0.01] [--power] [--json FILE]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape_helpers.curvature import EigenTracker, HessianAt, top_eigenpairs
from landscape_helpers.data import load_data
from landscape_helpers.descent import Telemetry, gradient_descent
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

torch.set_num_threads(1)

K, TOP = 20, 9
RATE, BURN, FINE = 0.05, 600, 4
STOPS = 5
SPACINGS = (1, 10, 100)
RENEW = 20  # the tracker's default
POWER_BUDGET = 1000
TARGET = 1 / 3


def setting(images: int) -> tuple[Objective, Objective]:
    """The network on the images in single precision and in double."""
    data = load_data("cifar10", n_train=images)
    x, y, _, _ = data.standardised()
    x = torch.nn.functional.avg_pool2d(x, 2)
    torch.manual_seed(0)
    model = build_model("cnn", data.n_classes, tuple(x.shape[1:]), width=8)
    return Objective(model, x, y), Objective(model, x, y, dtype=torch.float64)


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
    """Products, seconds and errors over stops ``every`` steps apart; the first, fresh for both, is a renewal's cost."""
    tracker = EigenTracker(objective, K, tol, renew=RENEW)
    row: dict[str, Any] = {"every": every, "tracked": [], "fresh": [], "converged": True}
    seconds = np.zeros(2)
    for stop in range(STOPS):
        start = time.process_time()
        pairs = tracker.at(theta)
        middle = time.process_time()
        fresh = top_eigenpairs(objective, theta, K, tol=tol)
        if stop:
            seconds += middle - start, time.process_time() - middle
            row["tracked"].append(pairs.products)
            row["fresh"].append(fresh.products)
        else:
            row["renewal"] = pairs.products
        row["converged"] &= pairs.converged and fresh.converged
        if stop == STOPS - 1:
            truth = top_eigenpairs(exact, theta.double(), K, tol=1e-4, max_products=150)
            row["converged"] &= truth.converged
            errors = [float(np.abs(found.values / truth.values - 1).max()) for found in (pairs, fresh)]
            row["error"], row["fresh_error"] = errors
            break
        for _ in range(every):
            theta = theta - RATE / FINE * objective.gradient(theta)
    tracked, anew = np.mean(row["tracked"]), np.mean(row["fresh"])
    row["ratio"] = float(tracked / anew)
    row["ratio_with_renewals"] = float(((RENEW - 1) * tracked + row["renewal"]) / RENEW / anew)
    row["time_ratio"] = float(seconds[0] / seconds[1])
    return row


def stop_cost(objective: Objective, theta: torch.Tensor, tol: float) -> dict[str, float]:
    """Share of a followed telemetry stop's time beyond its Hessian products: linear algebra and loss evaluations."""
    clock = {"products": 0.0}
    inner = HessianAt.product

    def timed(self: HessianAt, vectors: torch.Tensor) -> torch.Tensor:
        start = time.process_time()
        result = inner(self, vectors)
        clock["products"] += time.process_time() - start
        return result

    probe = Telemetry(RATE / FINE, 1, TOP, K, tol)
    spent: list[tuple[float, float]] = []
    observe = probe.observe

    def timed_stop(step: Any) -> None:
        clock["products"], start = 0.0, time.process_time()
        observe(step)
        spent.append((time.process_time() - start, clock["products"]))

    probe.observe = timed_stop  # type: ignore[method-assign]
    HessianAt.product = timed  # type: ignore[method-assign]
    try:
        gradient_descent(objective, theta, RATE / FINE, 5, [probe])
    finally:
        HessianAt.product = inner  # type: ignore[method-assign]
    total, products = np.array(spent[1:]).sum(0)
    return {"seconds_a_stop": total / len(spent[1:]), "overhead": total / products - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--tol", type=float, default=1e-2)
    parser.add_argument("--power", action="store_true", help="also power iteration with deflation")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    objective, exact = setting(options.images)
    theta = gradient_descent(objective, objective.theta, RATE, BURN).theta
    theta = gradient_descent(objective, theta, RATE / FINE, 100).theta
    print(f"{objective}\ntop {K} pairs, relative residual <= {options.tol:g}; aim: {TARGET:.2f} of fresh")
    rows = []
    for every in SPACINGS:
        row = follow(objective, exact, theta, every, options.tol)
        rows.append(row)
        print(
            f"  every {every:3d} steps of {RATE / FINE:g}: {np.mean(row['tracked']):5.1f} products followed, "
            f"{np.mean(row['fresh']):5.1f} fresh: {row['ratio']:.2f}, {row['ratio_with_renewals']:.2f} with renewals "
            f"({'aim met' if row['ratio_with_renewals'] <= TARGET else 'AIM NOT MET'}), {row['time_ratio']:.2f} in "
            f"time; eigenvalues off by {row['error']:.1e} followed, {row['fresh_error']:.1e} fresh"
            f"{'' if row['converged'] else '; NOT ALL CONVERGED'}",
            flush=True,
        )
    cost = stop_cost(objective, theta, options.tol)
    told = f"{cost['seconds_a_stop']:.2f} s, {cost['overhead']:.0%} on top of its products"
    print(f"  a telemetry stop: {told}", flush=True)
    record: dict[str, Any] = {"torch": torch.__version__, "tol": options.tol, "rows": rows, "stop": cost}
    if options.power:
        pairs, products = power(objective, theta, options.tol, POWER_BUDGET)
        print(
            f"  power iteration with deflation: {pairs} of {K} pairs in {products} products "
            f"(budget {POWER_BUDGET}); a fresh solve to a tenth of the residual takes {rows[0]['renewal']}"
        )
        record["power"] = {"pairs": pairs, "products": products}
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
