r"""What a run costs, from the shape of its network, without building it.

A forward pass takes 2 floating-point operations per multiply-accumulate, a gradient step 6 (the backward pass costs
twice the forward one). Only convolutions and linear layers are counted: no normalisation, correlations or sharpness.
What an experiment does besides descending is counted by :mod:`.landscape_cost`, :mod:`.singularity_cost` and
:mod:`.walk_cost`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from .landscape_cost import LANDSCAPE, Work, landscape_work
from .singularity_cost import SINGULARITY, alexnet_macs, singularity_work
from .walk_cost import WALK, walk_work

FLOP_PER_MAC_AND_PASS = 2
FLOP_PER_MAC_AND_STEP = 6
FLOP_PER_MAC_AND_PRODUCT = 12

# (channels, height, width), classes, training images of the whole set.
DATA_SIZES: dict[str, tuple[tuple[int, int, int], int, int]] = {
    "digits": ((1, 8, 8), 10, 1_500),
    "mnist": ((1, 28, 28), 10, 60_000),
    "svhn": ((3, 32, 32), 10, 73_257),
    "cifar10": ((3, 32, 32), 10, 50_000),
    "cifar100": ((3, 32, 32), 100, 50_000),
    "folder:CUB_200_2011@224": ((3, 224, 224), 200, 5_994),
    "folder:imagenet@224": ((3, 224, 224), 1000, 1_281_167),
    "folder:tiny-imagenet-200": ((3, 64, 64), 200, 100_000),
}
# Of torchvision, on images of 224x224 pixels: the body, and the features that go into its last layer.
TORCHVISION = {
    "torchvision:mobilenet_v2": (299_494_272, 1280),
    "torchvision:resnext101_32x8d": (16_411_967_488, 2048),
}
VGG = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}
CIFAR_RESNET = {f"resnet{depth}": (depth - 2) // 6 for depth in (8, 14, 20, 32, 56, 110)}
RESNET = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
COUNTED = ("gradient_oscillation", *LANDSCAPE, *SINGULARITY, *WALK)
Shape = tuple[int, int, int]


def run_pflop(parameters: Mapping[str, Any], experiment: str = "gradient_oscillation") -> float | None:
    """10^15 floating-point operations of one seed of an experiment.

    None where the experiment is not counted here, or its network or data set is not listed.
    """
    if experiment not in COUNTED or parameters.get("data") not in DATA_SIZES:
        return None
    (channels, height, width), classes, available = DATA_SIZES[parameters["data"]]
    shape = (channels, height // parameters["pool"], width // parameters["pool"])
    macs = forward_macs(parameters["model"], shape, classes, **parameters["model_options"])
    if macs is None:
        return None
    # Images of the classes that are kept, were there as many of each.
    images = (parameters["n_train"] or available) * (parameters.get("classes") or classes) / classes
    if experiment in LANDSCAPE:
        work = landscape_work(experiment, parameters, images)
    elif experiment in SINGULARITY:
        work = singularity_work(experiment, parameters, images)
    elif experiment in WALK:
        work = walk_work(experiment, parameters, images)
    else:
        # steps + 1 gradients: the last one is recorded too.
        work = Work(gradients=images * (parameters["steps"] + 1))
    flop = (
        FLOP_PER_MAC_AND_PASS * work.passes
        + FLOP_PER_MAC_AND_STEP * work.gradients
        + FLOP_PER_MAC_AND_PRODUCT * work.products
    )
    return macs * flop / 1e15


def forward_macs(model: str, shape: Shape, classes: int, **options: Any) -> int | None:
    """Multiply-accumulates of one image's forward pass, or None for a network that is not listed here."""
    name = model.removesuffix("_bn")
    if name in VGG:
        return _vgg(shape, classes, VGG[name], options.get("width", 64))
    if name in CIFAR_RESNET:
        return _cifar_resnet(shape, classes, CIFAR_RESNET[name], options.get("width", 16))
    if name in RESNET:
        return _resnet(shape, classes, RESNET[name], options.get("width", 64))
    if name in TORCHVISION and shape == (3, 224, 224) and not options:
        body, features = TORCHVISION[name]
        return body + features * classes
    match name:
        case "softmax":
            return _mlp(shape, classes, ())
        case "mlp":
            return _mlp(shape, classes, options.get("hidden", (128,)))
        case "cnn":
            return _cnn(shape, classes, options.get("width", 32))
        case "alexnet":
            return alexnet_macs(shape, classes, options.get("width", 64))
    return None


def _mlp(shape: Shape, classes: int, hidden: Sequence[int]) -> int:
    sizes = [shape[0] * shape[1] * shape[2], *hidden, classes]
    return sum(a * b for a, b in pairwise(sizes))


def _cnn(shape: Shape, classes: int, width: int) -> int:
    channels, h, w = shape
    macs = 0
    for outputs in (width, 2 * width, 4 * width):
        macs += 9 * channels * outputs * h * w
        channels, h, w = outputs, h // 2, w // 2
    return macs + channels * h * w * classes


def _vgg(shape: Shape, classes: int, stages: tuple[int, ...], width: int) -> int:
    channels, h, w = shape
    macs = 0
    for count, multiple in zip(stages, (1, 2, 4, 8, 8), strict=True):
        for _ in range(count):
            macs += 9 * channels * multiple * width * h * w
            channels = multiple * width
        if min(h, w) >= 2:
            h, w = h // 2, w // 2
    return macs + channels * h * w * classes


def _resnet(shape: Shape, classes: int, blocks: tuple[int, ...], width: int) -> int:
    channels, h, w = shape
    macs = 9 * channels * width * h * w
    channels = width
    for stage, count in enumerate(blocks):
        outputs = width * 2**stage
        if stage:
            h, w = (h + 1) // 2, (w + 1) // 2
        for _ in range(count):
            macs += 9 * (channels + outputs) * outputs * h * w
            if channels != outputs:
                macs += channels * outputs * h * w
            channels = outputs
    return macs + channels * classes


def _cifar_resnet(shape: Shape, classes: int, blocks: int, width: int) -> int:
    channels, h, w = shape
    macs = 9 * channels * width * h * w
    channels = width
    for stage in range(3):
        outputs = width * 2**stage
        if stage:
            h, w = (h + 1) // 2, (w + 1) // 2
        for _ in range(blocks):
            macs += 9 * (channels + outputs) * outputs * h * w  # shortcuts have no parameters
            channels = outputs
    return macs + channels * classes
