"""Every run at paper scale fits an accelerator of 80 GB, by what its network keeps for a backward pass."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.catalogue.cost import DATA_SIZES
from landscape_helpers.models import build_model

CATALOGUE = load_catalogue()
MEMORY = 80e9
TEMPORARY = 1.5  # of what is kept: what a backward pass allocates on its way
VECTORS = 128  # of P numbers: a Krylov space and what is followed of it
IMAGES = 2  # of which what is kept is counted: BatchNorm needs more than one


@cache
def kept(model: str, options: str, shape: tuple[int, int, int], classes: int, twice: bool) -> tuple[float, int]:
    """(bytes an image, parameters) that the graph of a gradient keeps, or that of a Hessian product.

    Shapes alone are followed: nothing is computed.
    """
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage.nbytes()
        held.append(tensor)  # so that no other storage takes its address
        return tensor

    held: list[torch.Tensor] = []
    with torch.device("meta"):
        network = build_model(model, classes, shape, **json.loads(options)).train()
        x, y = torch.zeros(IMAGES, *shape), torch.zeros(IMAGES, dtype=torch.long)
    weights = list(network.parameters())
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(network(x), y)
        if twice:
            torch.autograd.grad(loss, weights, create_graph=True)
    own = {weight.untyped_storage()._cdata for weight in weights}
    activations = sum(size for storage, size in saved.items() if storage not in own)
    return activations / IMAGES, sum(weight.numel() for weight in weights)


def passes(experiment: str, p: dict[str, Any], n: int) -> list[tuple[int, bool]]:
    """(images in one pass, whether its graph is differentiated again) of everything that an experiment does."""
    whole = p.get("batch_size") or n
    if experiment == "gradient_oscillation":
        return [(whole, p["sharpness_every"] > 0)]
    if experiment in ("edge_of_stability", "gradient_flow"):
        return [(whole, True)]
    if experiment == "walk":
        part = p["eval_batch"] or n
        spectrum = [(min(part, p["spectrum_images"] or n), True)] if p["spectrum_every"] else []
        return [(part, False), (min(whole, part), False), *spectrum]
    evaluated = min(p["n_eval"] or n, n)
    curved = experiment in ("landscape_curvature", "landscape_mining") or p["interpolation"]
    return [(evaluated, curved), (p["train_batch"], False)]


RUNS = [
    name
    for name, run in CATALOGUE.runs.items()
    if "paper" in run.scales and run.experiment not in ("quadratic_bowl", "hessian_covariance")
]


def size(name: str) -> float:
    spec = CATALOGUE.spec(name, "paper")
    p = spec.parameters
    shape, classes, available = DATA_SIZES[p["data"]]
    options = json.dumps(p["model_options"], sort_keys=True)
    sizes = []
    for images, twice in passes(spec.experiment, dict(p), p["n_train"] or available):
        each, parameters = kept(p["model"], options, shape, classes, twice)
        vectors = VECTORS if twice else 8
        sizes.append(TEMPORARY * each * images + 4 * vectors * parameters)
    return max(sizes)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_fits_the_memory(name: str) -> None:
    assert size(name) < MEMORY


def test_what_is_counted_is_what_autograd_keeps() -> None:
    each, parameters = kept("mlp", json.dumps({"hidden": [5], "activation": "tanh"}), (3, 8, 8), 4, False)
    inputs, hidden, outputs = 3 * 8 * 8, 5, 4
    assert parameters == (inputs + 1) * hidden + (hidden + 1) * outputs
    # In single precision the inputs, the hidden units and the log-probabilities; the label; and one number for both
    # images, the sum of their weights.
    assert each == 4 * (inputs + hidden + outputs) + 8 + 4 / IMAGES


def test_a_run_that_is_too_large_is_found() -> None:
    each, _ = kept("torchvision:resnext101_32x8d", "{}", (3, 224, 224), 1000, False)
    assert 500 * each > MEMORY, "the gradient of ResNeXt101 over 500 images, as it stood once"
    each, _ = kept("resnet56", "{}", (3, 32, 32), 10, False)
    assert 45_000 * each > MEMORY, "of ResNet-56 over all of the walk's images"
