"""Reading data sets from where they lie: ``NAME.npz``, torchvision's layout, scikit-learn.

Nothing here unpickles. The exception to "never" is torchvision's own reader of CIFAR's Python batches, a format that is
a pickle; it checks each file against the published checksum before it opens it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..archive import read_arrays
from .classes import SIZES

# Files that torchvision needs. All must be there: a download that failed leaves folders and some of the files behind.
TORCHVISION_FILES: dict[str, tuple[str, ...]] = {
    "mnist": tuple(
        f"MNIST/raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    ),
    "cifar10": tuple(
        f"cifar-10-batches-py/{part}"
        for part in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    ),
    "cifar100": ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta"),
    "svhn": ("train_32x32.mat", "test_32x32.mat"),
}
DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer; a blocked network would otherwise hang for minutes


class DataNotFoundError(FileNotFoundError):
    """A data set is not on this machine and could not be fetched; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images (n, H, W[, C]) uint8, labels (n,) and each image's position (n,).

    Attributes:
        original: positions are those in the original data set; otherwise in the file, and the original's are unknown.
    """

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    original: bool = True


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it lies on disk, and which one that is: ``sha256`` of what ``hashed`` names.

    Attributes:
        classes: their names, of a folder; other sets are known by theirs.
        available: training and test images that there are, where not all of them were read.
    """

    train: Split
    test: Split
    name: str
    sha256: str
    hashed: str
    classes: tuple[str, ...] | None = None
    available: tuple[int, int] | None = None


def local_path(given: str | os.PathLike[str], what: str) -> Path:
    """``given`` with ``~`` as the user's home folder.

    Raises:
        ValueError: no path of text, named by ``what``.
    """
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else None
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"{what} must be the path of a folder, as text or a path object, got {given!r}")
    return Path(os.path.expanduser(text))


def search_path(root: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders in which data sets are looked for: ``root`` alone if given, else $LANDSCAPE_DATA and the user's cache.

    ``~`` is the user's home folder.

    Raises:
        ValueError: a ``root`` that is no path.
    """
    if root is not None:
        return [local_path(root, "root")]
    folders = [local_path(chosen, "LANDSCAPE_DATA")] if (chosen := os.environ.get("LANDSCAPE_DATA")) else []
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [*folders, cache / "landscape_helpers"]


def find_source(name: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """Where data set ``name`` lies on this machine; None if nowhere, and for ``digits``, which scikit-learn holds.

    Returns:
        ``NAME.npz``, or the first of torchvision's files, packed (``.gz``) where one of them is there only packed.
    """
    for folder in search_path(root):
        if (folder / f"{name}.npz").is_file():
            return folder / f"{name}.npz"
        plain = [folder / file for file in TORCHVISION_FILES.get(name, ())]
        packed = [file.with_name(f"{file.name}.gz") for file in plain if not file.is_file()]
        if plain and all(file.is_file() for file in packed):
            return packed[0] if packed else plain[0]
    return None


def read_npz(path: Path) -> Source:
    """Keys x_train, y_train, x_test, y_test and, where a part is incomplete, index_train and index_test.

    Without its index, a part that holds as many images as the original is taken to be in the original order; where a
    smaller one was cut from the original, nobody can say.
    """
    try:
        held = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable .npz of plain arrays ({error})") from error
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in held]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}: expected x_train, y_train, x_test and y_test")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    train, test = (
        Split(
            held[f"x_{s}"],
            held[f"y_{s}"],
            held.get(f"index_{s}", np.arange(held[f"y_{s}"].size)),
            f"index_{s}" in held or held[f"y_{s}"].size == size,
        )
        for s, size in zip(("train", "test"), SIZES[path.stem], strict=True)
    )
    return Source(train, test, path.name, digest, f"file {path.name}")


def read_torchvision(name: str, root: str | os.PathLike[str] | None, download: bool) -> Source:
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
        with _quiet_and_timed():
            dataset = made[name](folder, train)
        labels = np.asarray(dataset.labels if name == "svhn" else dataset.targets)
        images = np.asarray(dataset.data)
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1) if name == "svhn" else images)
        digest.update(images.tobytes() + labels.tobytes())
        splits.append(Split(images, labels, np.arange(len(labels))))
    return Source(splits[0], splits[1], f"torchvision {name}", digest.hexdigest(), "arrays of images and labels")


@contextlib.contextmanager
def _quiet_and_timed() -> Iterator[None]:
    """Torchvision's messages go to standard error, and a connection that does not answer is given up."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


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
    return Source(train, test, "scikit-learn load_digits", digest, "arrays of images and labels")
