"""Top eigenpairs of a network's Hessian: seconds, products, accuracy and memory against public tools.

Every side gets the same trained network and data at full size, in a process of its own, on one thread. A side counts as
done when the residuals of *all* its pairs, recomputed here by plain double backward, are at most 1e-3 of their
eigenvalue; peers run with the loosest setting that gets there. Time is processor time; memory is the most held during
the call beyond what was held before.

* PyHessian: power iteration with deflation on a single batch (it then retains the gradient's graph); ``tol`` 1e-7
  between two eigenvalues, because its criterion is on the eigenvalue's change.
* curvlinops: its Hessian as a SciPy operator in ``eigsh(which="LA", tol=1e-3)``.
* hessian-eigenthings: Lanczos with reorthogonalisation. It takes the number of steps from the caller; the fewest that
  reach the accuracy, in steps of five, are found by trying and only the last run counts.

    python benchmarks/eigenpairs.py [--only mlp|cnn|cnn32] [--peers pyhessian,curvlinops,eigenthings]
                                    [--no-plain] [--json FILE]

The peers are not among this project's requirements: see benchmarks/requirements.txt.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import importlib
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
from common import PlainMLP, installed, matmul_rate, memory, train, write_rows
from torch import nn
from torch.nn import functional as F

from landscape_helpers.data import load_data
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

torch.set_num_threads(1)

K = 20
TOLERANCE = 1e-3
WORKLOADS = {
    "mlp": ("MLP 3072-128-10, 5,000 CIFAR-10 images", "mlp", {}, 5000),
    "cnn": ("CNN of width 16, 1,000 CIFAR-10 images", "cnn", {"width": 16}, 1000),
    "cnn32": ("CNN of width 32, 1,000 CIFAR-10 images", "cnn", {"width": 32}, 1000),
}
PEERS = {"pyhessian": "pyhessian", "curvlinops": "curvlinops", "eigenthings": "hessian_eigenthings"}
Pairs = tuple[np.ndarray, torch.Tensor, dict[str, Any]]


class PlainCNN(nn.Module):
    """The CNN as a user might write it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, width, 3, padding=1)
        self.b = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.c = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.d = nn.Linear(4 * width * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for convolution in (self.a, self.b, self.c):
            x = F.relu(F.max_pool2d(convolution(x), 2))
        return self.d(x.flatten(1))


def setting(workload: str, n: int | None = None) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """The network, untrained, and the images and labels."""
    _, name, options, images = WORKLOADS[workload]
    data = load_data("cifar10", n_train=n or images)
    x, y, _, _ = data.standardised()
    # An MLP takes rows; handing it images would time copies into rows on every side.
    return build_model(name, data.n_classes, data.input_shape, **options), x.flatten(1) if name == "mlp" else x, y


def residuals(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, values: np.ndarray, vectors: torch.Tensor
) -> np.ndarray:
    """Residuals relative to their eigenvalue, of normalised vectors, by plain double backward."""
    parameters = list(model.parameters())
    vectors = vectors / vectors.norm(dim=0)
    product = torch.zeros_like(vectors)
    for images, labels in zip(x.split(100), y.split(100), strict=True):
        loss = F.cross_entropy(model(images), labels) * (len(images) / len(x))
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, create_graph=True)])
        for j in range(vectors.shape[1]):
            pieces = torch.autograd.grad(gradient @ vectors[:, j], parameters, retain_graph=True)
            product[:, j] += torch.cat([piece.flatten() for piece in pieces])
    error = (product - vectors * torch.as_tensor(values.copy(), dtype=vectors.dtype)).norm(dim=0)
    return error.numpy() / np.abs(values)


def ours(model: nn.Module, x: torch.Tensor, y: torch.Tensor, given: dict) -> Pairs:
    from landscape_helpers.curvature import top_eigenpairs

    objective = Objective(model, x, y, batch_size=given.get("batch_size"))
    pairs = top_eigenpairs(objective, objective.theta, K, tol=TOLERANCE)
    return pairs.values, pairs.vectors, {"products": pairs.products, "cheap_products": pairs.cheap_products}


def plain(model: nn.Module, x: torch.Tensor, y: torch.Tensor, given: dict) -> Pairs:
    first = next(model.parameters())  # a matrix in the MLP; as many filters as the CNN is wide
    user = PlainMLP() if first.dim() == 2 else PlainCNN(len(first))
    torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(model.parameters()), user.parameters())
    # Images a pass are the user's to choose; 50 keep a convolutional network's tensors in cache.
    return ours(user, x, y, given | {"batch_size": None if isinstance(user, PlainMLP) else 50})


def pyhessian(model: nn.Module, x: torch.Tensor, y: torch.Tensor, given: dict) -> Pairs:
    module = importlib.import_module("pyhessian.hessian")  # the package's attribute of that name is the class
    calls = _counting(module, "hessian_vector_product")
    values, vectors = module.hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=False).eigenvalues(
        maxIter=given.get("most", 2000), tol=given.get("tol", 1e-7), top_n=K
    )
    columns = [torch.cat([piece.flatten() for piece in vector]) for vector in vectors]
    return np.array(values), torch.stack(columns, 1).detach(), {"products": len(calls)}


def curvlinops(model: nn.Module, x: torch.Tensor, y: torch.Tensor, given: dict) -> Pairs:
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import LinearOperator, eigsh

    hessian = HessianLinearOperator(
        model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)], check_deterministic=False
    )
    inner = hessian.to_scipy(dtype=np.float32)
    calls: list[int] = []

    def product(v: np.ndarray) -> np.ndarray:
        calls.append(1)
        return inner @ v

    start = np.random.default_rng(0).standard_normal(inner.shape[0]).astype(np.float32)
    counted = LinearOperator(inner.shape, matvec=product, dtype=np.float32)
    values, vectors = eigsh(counted, K, which="LA", tol=TOLERANCE, v0=start)
    return values[::-1], torch.as_tensor(vectors[:, ::-1].copy()), {"products": len(calls)}


def eigenthings(model: nn.Module, x: torch.Tensor, y: torch.Tensor, given: dict) -> Pairs:
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

    operator = HessianOperator(model, [(x, y)], supervised_loss(nn.CrossEntropyLoss()))
    steps = given.get("steps", 50)
    found = lanczos(operator, k=K, max_iter=steps, which="LA", reorthogonalize=True, tol=TOLERANCE, seed=0)
    return found.eigenvalues.numpy(), found.eigenvectors.T, {"products": found.iterations}


def _counting(module: Any, name: str) -> list[int]:
    calls: list[int] = []
    original = getattr(module, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        return original(*arguments, **named)

    setattr(module, name, counted)
    return calls


SIDES: dict[str, Callable[..., Pairs]] = {
    "ours": ours, "plain": plain, "pyhessian": pyhessian, "curvlinops": curvlinops, "eigenthings": eigenthings,
}  # fmt: skip


def one_side(side: str, workload: str, folder: Path, given: dict) -> None:
    """Measure one side; runs in a process of its own."""
    model, x, y = setting(workload)
    model.load_state_dict(torch.load(folder / f"{workload}.pt"))
    # Modules are imported and libraries set up before the clock starts.
    small = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2), nn.Tanh(), nn.Linear(2, 10))
    SIDES["ours" if side == "plain" else side](small, x[:60], y[:60], {"most": 2})
    before = memory(reset=True)
    start = time.process_time()
    values, vectors, counts = SIDES[side](model, x, y, given)
    seconds = time.process_time() - start
    peak = memory() - before
    np.savez(folder / "pairs.npz", values=values, vectors=vectors.numpy())
    (folder / "record.json").write_text(json.dumps({"seconds": seconds, "peak_mib": peak} | counts))


def measured(side: str, workload: str, folder: Path, **given: Any) -> dict[str, Any]:
    """One side's numbers, with residuals recomputed on a fresh copy of the network."""
    command = [sys.executable, __file__, "--side", side, "--only", workload, "--folder", str(folder)]
    subprocess.run([*command, "--given", json.dumps(given)], check=True)
    record = json.loads((folder / "record.json").read_text())
    with np.load(folder / "pairs.npz") as stored:
        values, vectors = stored["values"], torch.as_tensor(stored["vectors"])
    model, x, y = setting(workload)
    model.load_state_dict(torch.load(folder / f"{workload}.pt"))
    error = residuals(model, x, y, values, vectors)
    top = {"largest": float(values.max()), "kth": float(values.min())}
    return {"side": side} | record | top | {"max_residual": float(error.max())}


def searched(side: str, workload: str, folder: Path, steps: int) -> dict[str, Any]:
    """The first run of the side that reaches the accuracy; ``steps``: where to begin with the number of steps."""
    given: list[dict[str, Any]] = {
        "eigenthings": [{"steps": count} for count in range(steps, 2 * steps, 5)],
        "pyhessian": [{"tol": tol} for tol in (1e-7, 1e-8)],
    }.get(side, [{}])
    for choice in given:
        record = measured(side, workload, folder, **choice) | choice
        if record["max_residual"] <= TOLERANCE:
            break
    return record


def floor_of(workload: str) -> tuple[float, float]:
    """(floating-point operations of one exact product, operations a second of a float32 matrix product)."""
    from torch.utils.flop_counter import FlopCounterMode

    from landscape_helpers.curvature.graphs import GradientGraphs

    model, x, y = setting(workload, 100)
    objective = Objective(model, x, y)
    graphs = GradientGraphs(objective, 2**40)
    graphs.apply(objective.theta[None])
    with FlopCounterMode(display=False) as counter:
        graphs.apply(objective.theta[None])
    return counter.get_total_flops() * WORKLOADS[workload][3] / 100, matmul_rate()


def run(workload: str, peers: list[str], plain_too: bool) -> list[dict[str, Any]]:
    operations, rate = floor_of(workload)
    print(f"\n{WORKLOADS[workload][0]}: top {K} eigenpairs, relative residual <= {TOLERANCE:g}")
    print(f"one exact product: {operations / 1e9:.2f} GFLOP, {operations / rate:.3f} s at {rate / 1e9:.0f} GFLOP/s")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model, x, y = setting(workload)
        train(model, x, y)
        torch.save(model.state_dict(), Path(folder) / f"{workload}.pt")
        for side in ["ours", *(["plain"] if plain_too else []), *peers]:
            # Another Krylov method tells where to begin looking. Ours takes a few products more than one space needs:
            # those that look for copies.
            krylov = [row["products"] for row in rows if row["side"] != "pyhessian" and not row["cheap_products"]]
            steps = max(45, 5 * (min(krylov, default=0) // 5) - 10)
            row = searched(side, workload, Path(folder), steps) | {"workload": workload}
            row.setdefault("cheap_products", 0)
            row["floor_share"] = row["products"] * operations / rate / row["seconds"]
            rows.append(row)
            row["ratio"] = row["seconds"] / rows[0]["seconds"]
            print(
                f"  {side:12s} {row['seconds']:8.2f} s  {row['ratio']:6.2f} x  {row['products']:5d} products "
                f"(+ {row['cheap_products']} cheap)  max residual {row['max_residual']:.1e}"
                f"{'' if row['max_residual'] <= TOLERANCE else ' NOT REACHED'}  + {row['peak_mib']:.0f} MiB  "
                f"{row['floor_share']:.0%} of the floor",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(WORKLOADS))
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; empty for ours alone")
    parser.add_argument("--plain", action=argparse.BooleanOptionalAction, default=True, help="a user's plain module")
    parser.add_argument("--json", type=Path, help="write the rows here; those of other workloads there stay")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--given", default="{}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        one_side(options.side, options.only, options.folder, json.loads(options.given))
        return
    peers = installed(options.peers, PEERS, parser)
    rows = []
    for workload in [options.only] if options.only else list(WORKLOADS):
        # PyHessian's power iteration takes half an hour and more on a CNN.
        rows += run(workload, [p for p in peers if workload == "mlp" or p != "pyhessian"], options.plain)
    if options.json:
        write_rows(options.json, rows)


if __name__ == "__main__":
    main()
