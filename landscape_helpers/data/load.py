"""One way in to every data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .dataset import Data
from .sources import (
    TORCHVISION_FILES,
    DataNotFoundError,
    Source,
    find_source,
    read_digits,
    read_folder,
    read_npz,
    read_torchvision,
    search_path,
)

_DIGITS = tuple(str(d) for d in range(10))
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES: dict[str, tuple[str, ...]] = {
    "digits": _DIGITS,
    "mnist": _DIGITS,
    "svhn": _DIGITS,
    "cifar10": _CIFAR10,
    "cifar100": tuple(f"class {i}" for i in range(100)),
}
SHAPES = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "svhn": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "cifar100": (3, 32, 32),
}
DATASETS = tuple(CLASSES)


def load_data(name: str, n_train: int | None = None, n_test: int | None = None, root: str | Path | None = None) -> Data:
    """A data set, or the first part of it.

    Args:
        name: "digits" (embedded), "mnist", "cifar10", "cifar100", "svhn", or "folder:PATH" for images in
            ``PATH/train/CLASS/`` and ``PATH/test/CLASS/``.
        n_train: training images; all by default. CIFAR-10's first n are taken in turn from its five training batches,
            so that 5,000 images are the first 1,000 of each; other sets give the first n in their own order.
        n_test: test images, likewise.
        root: folder to look in; by default $LANDSCAPE_DATA, then the user's cache folder. ``NAME.npz`` is tried
            first, then torchvision's layout, then a download through torchvision into the user's cache.

    Raises:
        DataNotFoundError: the data set is not here and cannot be downloaded. Another set is never taken instead.
        ValueError: an unknown name, more images asked for than there are, images or labels of the wrong kind.
    """
    for what, count in (("n_train", n_train), ("n_test", n_test)):
        if count is not None and count < 1:
            raise ValueError(f"{what} must be at least 1 image, or None for all, got {count}")
    if name.startswith("folder:"):
        folder = Path(name.removeprefix("folder:")).expanduser()
        source, label = read_folder(folder), folder.name
    elif name == "digits":
        source, label = read_digits(), name
    elif name in CLASSES:
        source, label = _find(name, root), name
    else:
        raise ValueError(f"unknown data set {name!r}: expected one of {', '.join(DATASETS)} or folder:PATH")
    train = _first(label, source.train.index, n_train, "training", interleaved=name == "cifar10")
    test = _first(label, source.test.index, n_test, "test", interleaved=False)
    data = Data(
        label,
        _images(label, source.train.x)[train],
        _labels(label, source.train.y)[train],
        _images(label, source.test.x)[test],
        _labels(label, source.test.y)[test],
        source.classes or CLASSES[name],
        {
            "source": source.name,
            "sha256": source.sha256,
            "n_train": len(train),
            "n_test": len(test),
            "available_train": len(source.train.y),
            "subset": "first of each training batch in turn" if name == "cifar10" else "first in original order",
        },
    )
    if name in SHAPES and data.input_shape != SHAPES[name]:
        raise ValueError(f"{source.name}: {name} images have shape {SHAPES[name]}, got {data.input_shape}")
    return data


def _find(name: str, root: str | Path | None) -> Source:
    found = find_source(name, root)
    if found is not None and found.suffix == ".npz":
        return read_npz(found)
    if found is not None:
        return read_torchvision(name, root, download=False)
    try:
        return read_torchvision(name, root, download=True)
    except (OSError, RuntimeError) as error:
        folders = ", ".join(str(folder) for folder in search_path(root))
        raise DataNotFoundError(
            f"data set {name!r} not found: looked for {name}.npz and {TORCHVISION_FILES[name][0]} in {folders}, and "
            f"the download failed ({type(error).__name__}); put {name}.npz in one of these folders or set LANDSCAPE_DATA "
            "to the folder that holds it"
        ) from error


def _first(label: str, index: np.ndarray, count: int | None, split: str, interleaved: bool) -> np.ndarray:
    """Positions of the first ``count`` images; interleaved over blocks of 10,000 originals, CIFAR-10's batches."""
    if count is not None and count > len(index):
        raise ValueError(f"{label} has {len(index)} {split} images here, {count} were asked for")
    order = np.lexsort((index // 10_000, index % 10_000)) if interleaved else np.arange(len(index))
    return order[:count]


def _images(label: str, x: np.ndarray) -> torch.Tensor:
    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        raise ValueError(f"{label}: images must be uint8 of shape (n, H, W) or (n, H, W, C), got {x.dtype} {x.shape}")
    x = x[..., None] if x.ndim == 3 else x
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def _labels(label: str, y: np.ndarray) -> torch.Tensor:
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"{label}: labels must be integers, got {y.dtype}")
    return torch.from_numpy(y.reshape(-1).astype(np.int64))
