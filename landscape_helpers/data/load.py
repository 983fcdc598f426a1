"""One way in to every data set."""

from __future__ import annotations

import hashlib
import os
import zlib
from numbers import Integral
from pathlib import Path

import numpy as np
import torch

from ..archive import reason
from .classes import CLASSES, DATASETS, SHAPES, SIZES
from .dataset import Data
from .folder import find_folder, read_folder
from .sources import (
    TORCHVISION_FILES,
    DataNotFoundError,
    Source,
    Split,
    find_source,
    read_digits,
    read_npz,
    read_torchvision,
    search_path,
)

_ORDER = "first in original order"
_FILE_ORDER = "first in the file's order, positions in the original set unknown"
_IN_TURN = "first of each class in turn"
_SUBSETS = {"digits": "first of a fixed shuffle", "cifar10": "first of each training batch in turn"}


def load_data(
    name: str | os.PathLike[str],
    n_train: int | None = None,
    n_test: int | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Data:
    """A data set, or the first part of it.

    Args:
        name: "digits" (embedded), "mnist", "cifar10", "cifar100", "svhn", or a folder with images in ``train/CLASS/``
            and ``test/CLASS/`` or of another of the :mod:`~landscape_helpers.data.layouts`, as "folder:PATH", a path
            object, or a string with a path separator. "folder:PATH@SIDE" scales images of any size and cuts them about
            their centre to SIDE x SIDE pixels. A relative path is looked for here, then where other data sets are.
        n_train: training images; all by default. CIFAR-10's first n are taken in turn from its five training batches,
            so that 5,000 images are the first 1,000 of each, and a folder's in turn from its classes; digits are in a
            fixed shuffled order; other sets give the first n in their original order. A part of a set without
            ``index_train`` gives the first n as they stand in the file.
        n_test: test images, the first n in original order (digits: of the shuffle; a folder: in turn).
        root: folder to look in; by default $LANDSCAPE_DATA, then the user's cache folder. In each folder ``NAME.npz``
            is tried first, then torchvision's layout; where no folder has either, a download through torchvision into
            the last one.

    Raises:
        DataNotFoundError: the data set is not here and cannot be downloaded. Another set is never taken instead.
        ValueError: an unknown name, a number of images below 1 or beyond what there is, a file that cannot be read,
            images or labels of the wrong kind, shape, number or range, anywhere in the data set.
    """
    for what, count in (("n_train", n_train), ("n_test", n_test)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, Integral) or count < 1):
            raise ValueError(f"{what} must be a whole number, at least 1 image, or None for all, got {count!r}")
    label, source = _read(name, root, n_train, n_test)
    classes = source.classes or CLASSES[label]
    known = label if source.classes is None else None
    shape, sizes = (SHAPES[known], SIZES[known]) if known else (None, (None, None))
    train, test = (
        _checked(source.name, split, held, len(classes), shape, size)
        for split, held, size in (("training", source.train, sizes[0]), ("test", source.test, sizes[1]))
    )
    available = source.available or (len(train.y), len(test.y))
    train = _first(label, train, n_train, available[0], "training", known)
    test = _first(label, test, n_test, available[1], "test", known)
    provenance = {
        "name": label,
        "source": source.name,
        "sha256": source.sha256,
        "sha256_of": source.hashed,
        "n_train": len(train.y),
        "n_test": len(test.y),
        "available_train": available[0],
        "available_test": available[1],
        "subset": _subset(known, train),
        "index_train": _positions(train),
        "index_test": _positions(test),
    }
    x_train, x_test = (torch.from_numpy(np.ascontiguousarray(s.x.transpose(0, 3, 1, 2))) for s in (train, test))
    return Data(label, x_train, torch.from_numpy(train.y), x_test, torch.from_numpy(test.y), classes, provenance)


def check_dataset(
    name: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> tuple[Path, int | None] | None:
    """The folder of images that ``name`` stands for and their side; None where it is one of :data:`DATASETS`.

    Raises:
        DataNotFoundError: a folder that is not there, or not laid out for training images.
        ValueError: an unknown name.
    """
    if isinstance(name, str) and name in CLASSES:
        return None
    separators = tuple(s for s in (os.sep, os.altsep) if s)
    if isinstance(name, os.PathLike) or (
        isinstance(name, str) and (name.startswith("folder:") or any(s in name for s in separators))
    ):
        return find_folder(name.removeprefix("folder:") if isinstance(name, str) else name, root)
    raise ValueError(
        f"unknown data set {name!r}: expected one of {', '.join(DATASETS)}, folder:PATH, folder:PATH@SIDE or a path to "
        "an image folder"
    )


def _read(
    name: str | os.PathLike[str], root: str | os.PathLike[str] | None, n_train: int | None, n_test: int | None
) -> tuple[str, Source]:
    """The data set's short name and everything it holds; of a folder, which may be large, what is asked for."""
    found = check_dataset(name, root)
    if found is not None:
        folder, side = found
        return folder.resolve().name, read_folder(folder, side, n_train, n_test)
    known = str(name)
    return known, read_digits() if known == "digits" else _find(known, root)


def _find(name: str, root: str | os.PathLike[str] | None) -> Source:
    found = find_source(name, root)
    if found is not None and found.suffix == ".npz":
        return read_npz(found)
    packed_or_absent = found is None or found.suffix == ".gz"
    try:
        return read_torchvision(name, root, download=packed_or_absent)  # unpacks what lies there packed
    except (AssertionError, EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError, zlib.error) as error:
        if packed_or_absent and isinstance(error, (OSError, RuntimeError)):
            folders = ", ".join(str(folder) for folder in search_path(root))
            raise DataNotFoundError(
                f"data set {name!r} not found: looked for {name}.npz and {TORCHVISION_FILES[name][0]} in {folders}, "
                f"and the download failed ({type(error).__name__}); put {name}.npz in one of these folders or set "
                "LANDSCAPE_DATA to the folder that holds it"
            ) from error
        raise ValueError(
            f"{name} as torchvision lays it out at {found or search_path(root)[-1]} cannot be read ({reason(error)}): "
            "remove the damaged files or fetch them again"
        ) from error


def _checked(
    source: str, split: str, held: Split, n_classes: int, shape: tuple[int, int, int] | None, size: int | None
) -> Split:
    """Images (n, H, W, C), labels int64 (n,) and positions int64 (n,), once the whole split is found in order.

    Args:
        shape, size: of an image (C, H, W) and of the original part; None for a set that is not known.
    """
    x, y, index = held.x, held.y.reshape(-1), held.index
    where = f"{source}, {split} part"
    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        raise ValueError(f"{where}: images must be uint8 of shape (n, H, W) or (n, H, W, C), got {x.dtype} {x.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"{where}: labels must be integers, got {y.dtype}")
    if len(x) != len(y):
        raise ValueError(f"{where}: one label an image, got {len(x)} images and labels of shape {held.y.shape}")
    if not np.issubdtype(index.dtype, np.integer) or index.shape != (len(x),):
        raise ValueError(f"{where}: index must hold {len(x)} integers, one an image, got {index.dtype} {index.shape}")
    if len(np.unique(index)) != len(index) or (len(index) and index.min() < 0):
        raise ValueError(f"{where}: index must hold each original position once, counted from 0")
    if size is not None and len(index) and index.max() >= size:
        raise ValueError(
            f"{where}: the original holds {size:,} images, at positions 0 to {size - 1}, but there is one at position "
            f"{index.max()}: expected a part of the original set"
        )
    if len(y) and not (0 <= int(y.min()) and int(y.max()) < n_classes):
        raise ValueError(
            f"{where}: labels run from {y.min()} to {y.max()}, but there are {n_classes} classes (0 to {n_classes - 1})"
        )
    x = x[..., None] if x.ndim == 3 else x
    got = (x.shape[3], *x.shape[1:3])
    if shape is not None and got != shape:
        raise ValueError(f"{where}: images have shape {got} (C, H, W), expected {shape}")
    return Split(x, y.astype(np.int64), index.astype(np.int64), held.original)


def _subset(known: str | None, train: Split) -> str:
    """Which images a part of the set holds, in words."""
    if known is None:
        return _IN_TURN
    return _SUBSETS.get(known, _ORDER) if train.original else _FILE_ORDER


def _first(label: str, held: Split, count: int | None, available: int, split: str, known: str | None) -> Split:
    """The first ``count`` images; CIFAR-10's batches are blocks of 10,000 originals and take turns."""
    index = held.index
    if split == "training" and not len(index):
        raise ValueError(f"{label} has no training images")
    if count is not None and count > available:
        raise ValueError(f"{label} has {available} {split} images here, {count} were asked for")
    if known == "cifar10" and held.original:
        order = np.lexsort((index // 10_000, index % 10_000))
    else:  # digits are shuffled once and for all: see read_digits
        order = np.arange(len(index)) if known == "digits" else np.argsort(index)
    rows = order[:count]
    return Split(held.x[rows], held.y[rows], index[rows], held.original)


def _positions(part: Split) -> str:
    """Which original images, in which order, in one line: the checksum is of the positions as little-endian int64."""
    index = part.index
    if not len(index):
        return "none"
    digest = hashlib.sha256(index.astype("<i8").tobytes()).hexdigest()
    where = "" if part.original else " of the file"
    return f"first {index[0]}, last {index[-1]}{where}, sha256 {digest}"
