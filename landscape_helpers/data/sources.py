"""Reading data sets from where they lie: ``NAME.npz``, torchvision's layout, folders of images, scikit-learn.

Nothing here unpickles. The exception to "never" is torchvision's own reader of CIFAR's Python batches, a format that is
a pickle; it checks each file against the published checksum before it opens it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


class DataNotFoundError(FileNotFoundError):
    """A data set is not on this machine and could not be fetched; the message says what to do."""


@dataclass(frozen=True)
class Split:
    """Images (n, H, W[, C]) uint8, labels (n,) and each image's position in the original data set (n,)."""

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class Source:
    """A data set as it lies on disk, and which one that is."""

    train: Split
    test: Split
    name: str
    sha256: str
    classes: tuple[str, ...] | None = None


def search_path(root: str | Path | None = None) -> list[Path]:
    """Folders in which data sets are looked for: ``root`` alone if given, else $LANDSCAPE_DATA, then the user's cache."""
    if root is not None:
        return [Path(root)]
    folders = [Path(os.environ["LANDSCAPE_DATA"])] if os.environ.get("LANDSCAPE_DATA") else []
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [*folders, cache / "landscape_helpers"]


def find_source(name: str, root: str | Path | None = None) -> Path | None:
    """Where data set ``name`` lies on this machine, as ``NAME.npz`` or torchvision's folder; None if nowhere."""
    for folder in search_path(root):
        candidates = [folder / f"{name}.npz", *(folder / path for path in TORCHVISION_FILES.get(name, ()))]
        for candidate in candidates:
            if candidate.exists():
                return candidate
    return None


TORCHVISION_FILES = {
    "mnist": ("MNIST/raw",),
    "cifar10": ("cifar-10-batches-py",),
    "cifar100": ("cifar-100-python",),
    "svhn": ("train_32x32.mat",),
}


def read_npz(path: Path) -> Source:
    """Keys x_train, y_train, x_test, y_test and, if present, index_train and index_test."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            held = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is not a readable .npz of plain arrays ({error})") from error
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in held]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}: expected x_train, y_train, x_test and y_test")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    train, test = (
        Split(held[f"x_{s}"], held[f"y_{s}"], held.get(f"index_{s}", np.arange(len(held[f"y_{s}"]))))
        for s in ("train", "test")
    )
    return Source(train, test, path.name, digest)


def read_torchvision(name: str, root: str | Path | None, download: bool) -> Source:
    """MNIST, CIFAR-10, CIFAR-100 or SVHN through torchvision's own classes, downloaded where asked for."""
    from .._torchvision import torchvision

    sets = torchvision.datasets
    made: dict[str, Callable[[Path, bool], Any]] = {
        "mnist": lambda folder, train: sets.MNIST(folder, train=train, download=download),
        "cifar10": lambda folder, train: sets.CIFAR10(folder, train=train, download=download),
        "cifar100": lambda folder, train: sets.CIFAR100(folder, train=train, download=download),
        "svhn": lambda folder, train: sets.SVHN(folder, "train" if train else "test", download=download),
    }
    found = find_source(name, root)
    folder = search_path(root)[-1]
    if found is not None:
        folder = found.parents[len(Path(TORCHVISION_FILES[name][0]).parts) - 1]
    splits = []
    digest = hashlib.sha256()
    for train in (True, False):
        dataset = made[name](folder, train)
        labels = np.asarray(dataset.labels if name == "svhn" else dataset.targets)
        images = np.asarray(dataset.data)
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1) if name == "svhn" else images)
        digest.update(images.tobytes() + labels.tobytes())
        splits.append(Split(images, labels, np.arange(len(labels))))
    return Source(splits[0], splits[1], f"torchvision {name}", digest.hexdigest())


def read_digits() -> Source:
    """The 1,797 handwritten digits of 8x8 pixels that ship with scikit-learn, 1,500 for training.

    They come from the test part of the UCI set "Optical Recognition of Handwritten Digits" and are ordered by
    writer, so that they are shuffled with a fixed seed before the split.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    x, y = bunch.images.astype(np.uint8)[order], bunch.target[order]
    digest = hashlib.sha256(x.tobytes() + y.astype(np.int64).tobytes()).hexdigest()
    train, test = (Split(x[part], y[part], order[part]) for part in (slice(0, 1500), slice(1500, None)))
    return Source(train, test, "scikit-learn load_digits", digest)


def read_folder(folder: Path) -> Source:
    """Images in ``folder/train/CLASS/*`` and ``folder/test/CLASS/*``, all of one size; classes in sorted order."""
    from PIL import Image

    if not (folder / "train").is_dir():
        raise DataNotFoundError(f"{folder} has no sub-folder train: expected train/CLASS/*.png and test/CLASS/*.png")
    classes = tuple(sorted(p.name for p in (folder / "train").iterdir() if p.is_dir()))
    digest = hashlib.sha256()
    splits: list[Split] = []
    for split in ("train", "test"):
        images: list[np.ndarray] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            for path in sorted((folder / split / name).glob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    digest.update(path.read_bytes())
                    with Image.open(path) as image:
                        images.append(np.asarray(image.convert("RGB")))
                    labels.append(label)
        if split == "train" and not images:
            raise DataNotFoundError(f"{folder}/train holds no images in class folders: expected train/CLASS/*.png")
        sizes = {image.shape for image in images} | {done.x.shape[1:] for done in splits}
        if len(sizes) > 1:
            raise ValueError(f"{folder}: images must all have one size, got {sorted(sizes)}: resize them first")
        shape = next(iter(sizes))
        x = np.array(images, np.uint8).reshape(-1, *shape)
        splits.append(Split(x, np.array(labels, np.int64), np.arange(len(labels))))
    return Source(splits[0], splits[1], f"folder {folder.name}", digest.hexdigest(), classes)
