"""Training the networks whose surroundings are looked at, and keeping checkpoints of them.

*Visualizing, Rethinking, and Mining the Loss Landscape*, Appendix A.1: batches of 128, weight decay 5e-4, rate 0.1
(0.01 where a pre-trained network is fine-tuned), 200 epochs; checkpoints at E = 0, 10, 50, 100, 200 (A.3). Optimiser,
momentum, schedule and augmentation are not stated; here SGD with momentum 0.9, a cosine schedule and no augmentation.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...data import Data
from ...descent import SCHEDULES, sgd
from ...models import build_model
from ...objective import Objective
from ...progress import Progress
from ..images import read_images
from ..parameters import DTYPES, check_counts, check_one_of, check_rates, is_count, is_list, is_number

TRAINING: dict[str, Any] = {
    "data": "digits",
    "n_train": None,  # all images of the set
    "pool": 1,  # side of the square over which pixels are averaged
    "model": "mlp",
    "model_options": {},
    "lr": 0.1,  # Appendix A.1
    "epochs": 200,  # Appendix A.1
    "keep": [0, 10, 50, 100, 200],  # Appendix A.3
    "train_batch": 128,  # Appendix A.1
    "momentum": 0.9,  # not stated
    "weight_decay": 5e-4,  # Appendix A.1
    "schedule": "cosine",  # not stated
    "pretrain": None,  # {classes, epochs, lr}: pre-train on these classes, fine-tune on the others; or {weights}
    "n_eval": None,  # images on which losses are evaluated: the first of the training images; not stated
    "dtype": "float32",
}
INDEPENDENT = 1000  # added to the seed for theta', the independently trained network


@dataclass(frozen=True)
class Images:
    """Standardised images of one task.

    Attributes:
        x, y: (n, C, H, W) and (n,), the training images.
        x_test, y_test: of the test set.
    """

    data: Data
    n_classes: int
    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor

    def of_classes(self, classes: list[int]) -> Images:
        """Only the images of these classes, relabelled 0, 1, ... in the order given."""
        new = torch.full((self.n_classes,), -1, dtype=torch.long)
        new[classes] = torch.arange(len(classes))
        train, test = (new[y] >= 0 for y in (self.y, self.y_test))
        return Images(
            self.data, len(classes), self.x[train], new[self.y[train]], self.x_test[test], new[self.y_test[test]]
        )


def validate_training(p: Mapping[str, Any]) -> None:
    """Refuse training parameters out of range, before any data is read.

    Raises:
        ValueError: names the value, what is expected and where.
    """
    check_rates(p, "lr")
    check_counts(p, {"epochs": 1, "train_batch": 1, "pool": 1})
    check_counts(p, {"n_train": 1, "n_eval": 1}, null="for all")
    if not (is_number(p["momentum"]) and 0 <= p["momentum"] < 1):
        raise ValueError(f"momentum must lie in [0, 1), got {p['momentum']!r}")
    if not (is_number(p["weight_decay"]) and p["weight_decay"] >= 0):
        raise ValueError(f"weight_decay must not be negative, got {p['weight_decay']!r}")
    check_one_of(p, "schedule", sorted(SCHEDULES))
    check_one_of(p, "dtype", DTYPES)
    check_epochs(p, "keep", p["keep"], among=range(p["epochs"] + 1))
    _validate_pretraining(p["pretrain"])


def check_epochs(p: Mapping[str, Any], name: str, epochs: Any, among: Any = None) -> None:
    """Raise ValueError unless ``epochs`` are checkpoints that training keeps (or lie in ``among``)."""
    known = p["keep"] if among is None else among
    if not is_list(epochs):
        raise ValueError(f"{name} must be a list of epochs, got {epochs!r}")
    for epoch in epochs:
        if not is_count(epoch, 0) or epoch not in known:
            expected = f"0 to {known[-1]}" if isinstance(known, range) else f"one of the kept checkpoints {list(known)}"
            raise ValueError(f"{name} names epoch {epoch!r}: expected {expected}")


def _validate_pretraining(pretrain: Any) -> None:
    if pretrain is None:
        return
    keys = set(pretrain) if isinstance(pretrain, Mapping) else set()
    if keys not in ({"classes", "epochs", "lr"}, {"weights"}):
        raise ValueError(f"pretrain must be null, {{classes, epochs, lr}} or {{weights}}, got {pretrain!r}")
    if "classes" in keys:
        classes = pretrain["classes"]
        if not classes or not all(is_count(c, 0) for c in classes) or len(set(classes)) != len(classes):
            raise ValueError(f"pretrain: classes must be a list of different class numbers, got {classes!r}")
        if not is_count(pretrain["epochs"], 1) or not (is_number(pretrain["lr"]) and pretrain["lr"] > 0):
            raise ValueError(f"pretrain: epochs must be at least 1 and lr above 0, got {pretrain!r}")


def load_images(p: Mapping[str, Any]) -> Images:
    """All images of the run's data set, standardised; see :func:`task_images` for those of its classes."""
    data = read_images(p)
    x, y, x_test, y_test = data.standardised(DTYPES[p["dtype"]])
    return Images(data, data.n_classes, x, y, x_test, y_test)


def task_images(p: Mapping[str, Any], images: Images) -> Images:
    """The images the run is about: all, or those of the classes that pre-training has not seen."""
    seen = _pretraining_classes(p)
    if not seen:
        return images
    if max(seen) >= images.n_classes or len(seen) >= images.n_classes:
        raise ValueError(f"pretrain: {images.data.name} has {images.n_classes} classes, got classes {seen}")
    return images.of_classes([c for c in range(images.n_classes) if c not in seen])


def train(
    p: Mapping[str, Any],
    images: Images,
    seed: int,
    device: str = "cpu",
    unfinished: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Train one network.

    Returns:
        ``theta_E`` (P,) for each kept epoch E, and ``loss`` (epochs,), the mean mini-batch loss of each.
    """
    task = task_images(p, images)
    model = start_model(p, images, seed, device)
    objective = Objective(model, task.x, task.y, device=device, dtype=DTYPES[p["dtype"]])
    if max(p["keep"]) == 0:  # a published network is looked at as it is
        return {"theta_0": objective.theta.cpu().numpy(), "loss": np.empty(0)}
    result = sgd(
        objective,
        objective.theta,
        p["lr"],
        p["epochs"],
        p["train_batch"],
        momentum=p["momentum"],
        weight_decay=p["weight_decay"],
        schedule=p["schedule"],
        seed=seed,
        keep=p["keep"],
        checkpoint=unfinished,
        progress=progress,
    )
    if result.status != "completed":
        raise ValueError(
            f"training {p['model']} with seed {seed} ended early ({result.status}): its checkpoints are not there to "
            f"be looked at; choose a smaller lr than {p['lr']}"
        )
    return {f"theta_{epoch}": theta.cpu().numpy() for epoch, theta in result.kept.items()} | {"loss": result.losses}


def start_model(p: Mapping[str, Any], images: Images, seed: int, device: str = "cpu") -> nn.Module:
    """The network at E = 0: freshly initialised, or with everything but its last layer pre-trained."""
    task = task_images(p, images)
    fresh = build_model(p["model"], task.n_classes, images.data.input_shape, seed=seed, **p["model_options"])
    pretrain = p["pretrain"]
    if pretrain is None:
        return fresh
    if "weights" in pretrain:
        published = _published(p["model"], pretrain["weights"])
        ends = [[q.shape for q in model.parameters()][-1] for model in (published, fresh)]
        # With as many classes as the published network has, they are its own.
        return published if ends[0] == ends[1] else _with_body_of(published, fresh)
    first = images.of_classes(list(pretrain["classes"]))
    source = build_model(p["model"], first.n_classes, images.data.input_shape, seed=seed, **p["model_options"])
    objective = Objective(source, first.x, first.y, device=device, dtype=DTYPES[p["dtype"]])
    result = sgd(
        objective,
        objective.theta,
        pretrain["lr"],
        pretrain["epochs"],
        p["train_batch"],
        momentum=p["momentum"],
        weight_decay=p["weight_decay"],
        schedule=p["schedule"],
        seed=seed,
    )
    nn.utils.vector_to_parameters(result.theta.cpu(), source.parameters())
    return _with_body_of(source, fresh)


def _published(model: str, weights: str) -> nn.Module:
    from ..._torchvision import torchvision

    return torchvision.models.get_model(model.removeprefix("torchvision:"), weights=weights)


def _with_body_of(source: nn.Module, fresh: nn.Module) -> nn.Module:
    """``fresh`` with every parameter and buffer of ``source`` but those of the last layer, whose classes are new."""
    result = copy.deepcopy(fresh)
    last = [name for name, module in fresh.named_modules() if any(True for _ in module.parameters(recurse=False))][-1]
    state = {k: v for k, v in source.state_dict().items() if k.rpartition(".")[0] != last}
    result.load_state_dict(state, strict=False)
    return result


def _pretraining_classes(p: Mapping[str, Any]) -> list[int]:
    return list((p["pretrain"] or {}).get("classes", []))
