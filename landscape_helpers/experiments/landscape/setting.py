"""The trained network of a run, the loss around it, and what every experiment records of both."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from ...accuracy import accuracy_on
from ...curvature import Eigenpairs, both_ends
from ...models import build_model
from ...objective import Objective
from ...progress import Progress
from ..parameters import DTYPES
from ..provenance import with_provenance
from .memory import Memory
from .training import INDEPENDENT, TRAINING, load_images, task_images, train


class Setting:
    """One network, its checkpoints and its objective on the evaluation images.

    Losses, gradients and Hessians are those of the first ``n_eval`` training images; BatchNorm takes the statistics of
    all of them at every point (the paper's "UpBN"), so that the loss is one function of theta.

    Args:
        p: the complete parameters of an experiment.
        seed: of initialisation and order of the data.
        unfinished: the run's own checkpoint file; what is worth keeping lies in a folder beside it.
        progress: called with (parts done, parts in all, loss).
    """

    def __init__(
        self,
        p: Mapping[str, Any],
        seed: int,
        device: str = "cpu",
        unfinished: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.p, self.seed, self.device = dict(p), seed, device
        self.memory = Memory(None if unfinished is None else unfinished.parent / "remembered")
        self._progress = progress
        self._started = time.perf_counter()
        self._done = 0
        self.images = load_images(p)
        self.task = task_images(p, self.images)
        # Its shape alone matters: the parameters come from the checkpoints.
        shape = self.images.data.input_shape
        model = build_model(p["model"], self.task.n_classes, shape, seed=seed, **p["model_options"])
        n = min(p["n_eval"] or len(self.task.x), len(self.task.x))
        self.objective = Objective(
            model, self.task.x[:n], self.task.y[:n], batchnorm="whole", device=device, dtype=DTYPES[p["dtype"]]
        )

    @property
    def has_batchnorm(self) -> bool:
        return any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in self.objective.model.modules())

    def theta(self, epoch: int) -> torch.Tensor:
        """The checkpoint after ``epoch`` epochs (P,)."""
        return self._point(self._trained(self.seed), epoch)

    def independent(self, epoch: int) -> torch.Tensor:
        """The same of a training from another initialisation, in another order."""
        return self._point(self._trained(self.seed + INDEPENDENT), epoch)

    @cached_property
    def final_epoch(self) -> int:
        return max(self.p["keep"])

    def eigenpairs(self, epoch: int, k: int) -> tuple[Eigenpairs, Eigenpairs]:
        """The k largest and the k smallest eigenpairs of the Hessian at a checkpoint; found once."""
        theta = self.theta(epoch)

        def compute(_: Path | None) -> dict[str, np.ndarray]:
            arrays: dict[str, np.ndarray] = {}
            for name, pairs in zip(("top", "bottom"), both_ends(self.objective, theta, k), strict=True):
                arrays[f"{name}_values"], arrays[f"{name}_residuals"] = pairs.values, pairs.residuals
                arrays[f"{name}_vectors"] = pairs.vectors.cpu().numpy()
                arrays[f"{name}_cost"] = np.array([pairs.products, pairs.converged])
            return arrays

        key = {**self.training_key(self.seed), "n_eval": self.p["n_eval"], "epoch": epoch, "k": k}
        found = self.memory.recall("eigenpairs", key, "curvature.lanczos", compute)
        top, bottom = (
            Eigenpairs(
                found[f"{name}_values"],
                torch.as_tensor(found[f"{name}_vectors"]).to(self.objective.device),
                found[f"{name}_residuals"],
                int(found[f"{name}_cost"][0]),
                bool(found[f"{name}_cost"][1]),
            )
            for name in ("top", "bottom")
        )
        return top, bottom

    def eigenvectors(self, epoch: int, k: int) -> dict[str, torch.Tensor]:
        """Unit eigenvectors (P,) as the paper names them: P.E.1 of the largest eigenvalue, N.E.1 of the smallest."""
        top, bottom = self.eigenpairs(epoch, k)
        positive = {f"P.E.{i + 1}": top.vectors[:, i] for i in range(k)}
        return positive | {f"N.E.{i + 1}": bottom.vectors[:, i] for i in range(k)}

    def in_double_precision(self) -> Objective:
        """The same loss in float64, for differences of nearly equal losses."""
        n = self.objective.n
        x, y = self.task.x[:n], self.task.y[:n]
        return Objective(self.objective.model, x, y, batchnorm="whole", device=self.device, dtype=torch.float64)

    def checkpoints(self) -> xarray.Dataset:
        """Losses, accuracies and norms over the kept epochs."""
        epochs = sorted(self.p["keep"])
        start = self.theta(epochs[0])
        rows: dict[str, list[float]] = {name: [] for name in _CHECKPOINT_UNITS}
        for epoch in epochs:
            theta = self.theta(epoch)
            loss, gradient = self.objective.loss_and_gradient(theta)
            rows["eval_loss"].append(loss)
            rows["train_loss"].append(float(self._trained(self.seed)["loss"][epoch - 1]) if epoch else np.nan)
            rows["gradient_norm"].append(float(gradient.norm()))
            rows["theta_norm"].append(float(theta.norm()))
            rows["distance"].append(float((theta - start).norm()))
            rows["train_accuracy"].append(self.objective.accuracy(theta))
            rows["test_accuracy"].append(accuracy_on(self.objective, theta, self.task.x_test, self.task.y_test))
            self.step(loss)
        return xarray.Dataset(
            {name: ("checkpoint", np.array(v), {"units": _CHECKPOINT_UNITS[name]}) for name, v in rows.items()},
            coords={"epoch": ("checkpoint", np.array(epochs), {"long_name": "training epoch E"})},
        )

    def plan(self, parts: int) -> None:
        """How many calls of :meth:`step` are to come in all."""
        self._parts = parts

    def step(self, loss: float = float("nan")) -> None:
        """One part is done."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, max(self._parts, self._done), loss)

    def finish(self, datasets: Iterable[xarray.Dataset], experiment: str) -> xarray.Dataset:
        """The parts as one dataset, with attributes that say how it was made."""
        return with_provenance(
            xarray.merge(list(datasets), compat="no_conflicts"),
            experiment,
            self.p,
            self.seed,
            self.images.data,
            self.objective,
            time.perf_counter() - self._started,
            status="completed",
            data_n=len(self.task.x),
            n_eval=self.objective.n,
            n_classes=self.task.n_classes,
            random_guess=float(np.log(self.task.n_classes)),
        )

    def _trained(self, seed: int) -> dict[str, np.ndarray]:
        def compute(unfinished: Path | None) -> dict[str, np.ndarray]:
            return train(self.p, self.images, seed, self.device, unfinished)

        return self.memory.recall("checkpoints", self.training_key(seed), "experiments.landscape.training", compute)

    def training_key(self, seed: int) -> dict[str, Any]:
        """Everything that the checkpoints of a seed depend on."""
        key = {name: self.p[name] for name in TRAINING if name != "n_eval"}
        return {**key, "seed": seed, "data_sha256": str(self.images.data.provenance["sha256"])}

    def _point(self, trained: dict[str, np.ndarray], epoch: int) -> torch.Tensor:
        return torch.as_tensor(trained[f"theta_{epoch}"]).to(self.objective.device, self.objective.dtype)


_CHECKPOINT_UNITS = {
    "eval_loss": "nat",
    "train_loss": "nat",
    "gradient_norm": "nat",
    "theta_norm": "1",
    "distance": "1",
    "train_accuracy": "1",
    "test_accuracy": "1",
}
