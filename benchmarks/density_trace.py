"""Spectral density and trace of a network's Hessian: seconds, products and accuracy against public tools.

Every side gets the same trained network and data, in a process of its own, on one thread, after a warm-up on 20
images. Seconds are processor time of the instrument: the objective that all of ours share is built before, and what
that takes (a copy of the data, checks) is recorded apart as ``setup_seconds``.

* Density: stochastic Lanczos quadrature with 10 probes of 80 steps. What every side can be held to is the first moment:
  P times it estimates the trace, which is known exactly. Its deviation, and the standard error that the probes'
  spread gives it, stand beside the seconds; what our restricted first layer loses is stated apart (``lost``).
  PyHessian 0.1 calls ``torch.eig``, which PyTorch no longer has; its 80x80 matrices go to ``torch.linalg.eigh``.
  curvlinops offers no quadrature as such: its Lanczos iteration, without reorthogonalisation, is run 10 times.
* Trace: 100 products. PyHessian would stop once the mean moves by less than ``tol``; 0 makes it spend them all.

    python benchmarks/density_trace.py [--scale small|full] [--only density|trace] [--peers ...] [--json FILE]

The peers are not among this project's requirements: see benchmarks/requirements.txt.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
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
from common import PlainMLP, installed, matmul_rate, train, write_rows
from torch import nn

from landscape_helpers.data import load_data
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

torch.set_num_threads(1)

# images, probes and steps of the density, products of the trace
SCALES = {"full": (5000, 10, 80, 100), "small": (500, 4, 20, 30)}
PEERS = {"pyhessian": "pyhessian", "curvlinops": "curvlinops", "eigenthings": "hessian_eigenthings"}
OURS = {"density": ["ours", "plain", "ours, deflated", "ours, whole"], "trace": ["ours", "plain"]}
Measure = tuple[np.ndarray, dict[str, Any]]  # each probe's estimate of the trace, and what else there is to say


def setting(images: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    data = load_data("cifar10", n_train=images)
    x, y, _, _ = data.standardised()
    return build_model("mlp", data.n_classes, data.input_shape), x, y


def objective_of(side: str, model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Objective:
    if side == "plain":
        user = PlainMLP()
        torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(model.parameters()), user.parameters())
        model = user
    return Objective(model, x, y)


def our_density(side: str, objective: Objective, probes: int, steps: int) -> Measure:
    from landscape_helpers.curvature import spectral_density

    options: dict[str, Any] = {"deflate": 20 if side == "ours, deflated" else 0}
    options["input_rank"] = None if side == "ours, whole" else "auto"
    found = spectral_density(objective, objective.theta, probes, steps, **options)
    said = {"products": found.products, "largest": found.largest, "smallest": found.smallest}
    said |= {"input_rank": found.input_rank, "lost": found.lost_trace, "deflated": len(found.deflated)}
    return found.parameters * found.moments(1), said


def our_trace(side: str, objective: Objective, probes: int) -> Measure:
    from landscape_helpers.curvature import trace

    found = trace(objective, objective.theta, probes)
    return np.array([found.value]), {"products": found.products, "exact": found.exact}


def _of_nodes(nodes: Any, weights: Any, parameters: int, products: int) -> Measure:
    nodes, weights = np.array(nodes, dtype=np.float64), np.array(weights, dtype=np.float64)
    ends = {"largest": float(nodes.max()), "smallest": float(nodes.min())}
    return parameters * (nodes * weights).sum(1), {"products": products} | ends


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def pyhessian_density(model: nn.Module, x: torch.Tensor, y: torch.Tensor, probes: int, steps: int) -> Measure:
    from pyhessian import hessian

    def eig(matrix: torch.Tensor, eigenvectors: bool) -> tuple[torch.Tensor, torch.Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        return torch.stack([values, torch.zeros_like(values)], 1), vectors

    torch.eig = eig  # type: ignore[attr-defined]
    torch.manual_seed(0)
    tool = hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    nodes, weights = tool.density(iter=steps, n_v=probes)
    return _of_nodes(nodes, weights, _parameters(model), probes * steps)


def pyhessian_trace(model: nn.Module, x: torch.Tensor, y: torch.Tensor, probes: int) -> Measure:
    from pyhessian import hessian

    torch.manual_seed(0)
    tool = hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    values = np.array(tool.trace(maxIter=probes, tol=0.0))
    return values, {"products": len(values)}


def _curvlinops_hessian(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    from curvlinops import HessianLinearOperator

    return HessianLinearOperator(
        model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)], check_deterministic=False
    )


def curvlinops_density(model: nn.Module, x: torch.Tensor, y: torch.Tensor, probes: int, steps: int) -> Measure:
    from curvlinops.papyan2020traces.spectrum import fast_lanczos

    torch.manual_seed(0)
    hessian = _curvlinops_hessian(model, x, y)
    runs = [fast_lanczos(hessian, steps) for _ in range(probes)]
    nodes = [values.numpy() for values, _ in runs]
    return _of_nodes(nodes, [vectors[0].numpy() ** 2 for _, vectors in runs], _parameters(model), probes * steps)


def curvlinops_trace(model: nn.Module, x: torch.Tensor, y: torch.Tensor, probes: int) -> Measure:
    from curvlinops import hutchinson_trace

    torch.manual_seed(0)
    return np.array([float(hutchinson_trace(_curvlinops_hessian(model, x, y), probes))]), {"products": probes}


def eigenthings_density(model: nn.Module, x: torch.Tensor, y: torch.Tensor, probes: int, steps: int) -> Measure:
    from hessian_eigenthings import HessianOperator, supervised_loss
    from hessian_eigenthings.algorithms.spectral_density import spectral_density

    operator = HessianOperator(model, [(x, y)], supervised_loss(nn.CrossEntropyLoss()))
    found = spectral_density(operator, num_runs=probes, lanczos_steps=steps, seed=0)
    return _of_nodes(found.raw_eigenvalues, found.raw_weights, operator.size, probes * steps)


def eigenthings_trace(model: nn.Module, x: torch.Tensor, y: torch.Tensor, probes: int) -> Measure:
    from hessian_eigenthings import HessianOperator, supervised_loss
    from hessian_eigenthings.algorithms.trace import trace

    operator = HessianOperator(model, [(x, y)], supervised_loss(nn.CrossEntropyLoss()))
    found = trace(operator, num_matvecs=probes, method="hutchinson", seed=0)
    return found.samples.numpy(), {"products": probes}


FUNCTIONS: dict[tuple[str, str], Callable[..., Measure]] = {
    ("density", "pyhessian"): pyhessian_density,
    ("density", "curvlinops"): curvlinops_density,
    ("density", "eigenthings"): eigenthings_density,
    ("trace", "pyhessian"): pyhessian_trace,
    ("trace", "curvlinops"): curvlinops_trace,
    ("trace", "eigenthings"): eigenthings_trace,
    **{("density", side): our_density for side in OURS["density"]},
    **{("trace", side): our_trace for side in OURS["trace"]},
}


def one_side(workload: str, side: str, scale: str, folder: Path) -> None:
    """Measure one side; runs in a process of its own."""
    images, probes, steps, products = SCALES[scale]
    model, x, y = setting(images)
    model.load_state_dict(torch.load(folder / "mlp.pt"))
    ours = side in OURS[workload]
    function = FUNCTIONS[workload, side]
    few = (side, objective_of(side, model, x[:20], y[:20])) if ours else (model, x[:20], y[:20])
    function(*few, *((2, 3) if workload == "density" else (2,)))
    start = time.process_time()
    given = (side, objective_of(side, model, x, y)) if ours else (model, x, y)
    setup = time.process_time() - start
    start = time.process_time()
    values, said = function(*given, *((probes, steps) if workload == "density" else (products,)))
    seconds = time.process_time() - start
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    record = {"workload": workload, "side": side, "seconds": seconds, "setup_seconds": setup} | said
    record |= {"trace": float(values.mean()), "trace_error": error}
    (folder / "record.json").write_text(json.dumps(record))


def floor_of(images: int) -> tuple[float, float]:
    """(floating-point operations of one exact product, operations a second of a float32 matrix product)."""
    return 4.0 * images * 3072 * 128, matmul_rate()


def run(workload: str, scale: str, peers: list[str], folder: Path, truth: float) -> list[dict[str, Any]]:
    images, probes, steps, products = SCALES[scale]
    operations, rate = floor_of(images)
    what = f"{probes} probes x {steps} steps" if workload == "density" else f"{products} products"
    print(f"\n{workload}, MLP 3072-128-10, {images} CIFAR-10 images: {what}; exact trace {truth:.6g}")
    print(f"one exact product: {operations / 1e9:.2f} GFLOP, {operations / rate:.3f} s at {rate / 1e9:.0f} GFLOP/s")
    rows: list[dict[str, Any]] = []
    for side in [*OURS[workload], *peers]:
        command = [sys.executable, __file__, "--side", side, "--only", workload, "--scale", scale]
        subprocess.run([*command, "--folder", str(folder)], check=True)
        row = json.loads((folder / "record.json").read_text())
        rows.append(row)
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
        row["floor_share"] = row["products"] * operations / rate / row["seconds"]
        row["trace_deviation"] = row["trace"] / truth - 1
        lost = f"  lost {row['lost'] / truth:.3%} at rank {row['input_rank']}" if row.get("input_rank") else ""
        spread = f" +- {row['trace_error'] / truth:.2%}" if row["trace_error"] is not None else ""
        print(
            f"  {side:15s} {row['seconds']:8.2f} s  {row['ratio']:7.2f} x  {row['products']:4d} products  "
            f"trace off by {row['trace_deviation']:+.3%}{spread}{lost}",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=sorted(SCALES), default="full")
    parser.add_argument("--only", choices=["density", "trace"])
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; empty for ours alone")
    parser.add_argument("--json", type=Path, help="write the rows here; those of the other workload there stay")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        one_side(options.only, options.side, options.scale, options.folder)
        return
    peers = installed(options.peers, PEERS, parser)
    from landscape_helpers.curvature import trace

    rows = []
    with tempfile.TemporaryDirectory() as name:
        torch.manual_seed(0)
        model, x, y = setting(SCALES[options.scale][0])
        train(model, x, y)
        torch.save(model.state_dict(), Path(name) / "mlp.pt")
        # The reference in double precision, by the identity that holds for this network.
        double = Objective(model, x, y, dtype=torch.float64)
        truth = trace(double, double.theta, method="exact").value
        for workload in [options.only] if options.only else ["density", "trace"]:
            rows += run(workload, options.scale, peers, Path(name), truth)
    if options.json:
        write_rows(options.json, rows, scale=options.scale, exact_trace=truth)


if __name__ == "__main__":
    main()
