"""Reading a data set from a folder of image files."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..archive import reason
from .layouts import IMAGE_SUFFIXES, Files, check_folder, layout
from .sources import DataNotFoundError, Source, Split, local_path, search_path

_GREY = {"1", "L", "LA"}  # Pillow's modes of one brightness; transparency is dropped
_DEEP = ("I", "F")  # modes of more than 8 bits a pixel, which Pillow would cut off at 255
_SIDE = re.compile(r"(.+)@(\d+)", re.DOTALL)


def find_folder(given: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> tuple[Path, int | None]:
    """The folder that a name stands for, and the side to which its images are cut.

    Args:
        given: ``PATH`` or, as text, ``PATH@SIDE``. A relative path is looked for in the working directory, then in
            ``root`` or the :func:`.search_path`.

    Raises:
        DataNotFoundError: no such folder, or one that is not laid out for training images.
        ValueError: no path, or a side of 0.
    """
    path = local_path(given, "an image folder")
    side = None
    if isinstance(given, str) and not path.is_dir() and (sized := _SIDE.fullmatch(given)):
        path, side = local_path(sized[1], "an image folder"), int(sized[2])
        if side < 1:
            raise ValueError(f"the side of images must be at least 1 pixel, got {given!r}")
    places = [path] if path.is_absolute() else [path, *(folder / path for folder in search_path(root))]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise DataNotFoundError(
            f"image folder {path} not found: expected train/CLASS/*.png and the like at {' or '.join(map(str, places))}"
        )
    return check_folder(found), side


def read_folder(
    folder: Path, side: int | None = None, n_train: int | None = None, n_test: int | None = None
) -> Source:
    """The first images of each class in turn, from a folder of any :mod:`~landscape_helpers.data.layouts`.

    In turn means the first image of every class, then the second of every class, so that any first part of the set
    holds as many images of one class as of another, give or take one. Only those asked for are read.

    Images have one channel if all of them are grey, else three.

    Args:
        folder: as :func:`find_folder` finds it.
        side: images are scaled and cut about their centre to ``side`` x ``side`` pixels; as they are by default, when
            all must have one size.
        n_train, n_test: how many of each part; all by default.

    Raises:
        DataNotFoundError: no training images.
        ValueError: a class without training images, images of several sizes, an unreadable image.
    """
    files = layout(folder)
    classes = tuple(files.train)
    if not any(files.train.values()):
        raise DataNotFoundError(
            f"{files.train_folder} holds no training images in class folders: expected {files.train_folder.name}"
            "/CLASS/*.png"
        )
    untrained = [name for name, paths in files.test.items() if paths and not files.train.get(name)]
    if untrained:
        raise ValueError(
            f"{files.test_folder} holds test images of {', '.join(untrained)}, but {files.train_folder} has none to "
            "train on: expected training images of every class that is tested"
        )
    empty = [name for name, paths in files.train.items() if not paths]
    if empty:
        # Each class folder is an output of the network; one that is never trained would pass unnoticed.
        raise ValueError(
            f"{files.train_folder / empty[0]} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}): put some there or "
            "remove the folder"
        )
    digest = hashlib.sha256()
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    available: dict[str, int] = {}
    for split, held, count in (("train", files.train, n_train), ("test", files.test, n_test)):
        available[split] = sum(map(len, held.values()))
        for label, file in islice(_in_turn(held, classes), count):
            path = Path(file)
            images[split].append(_read(path, side))
            digest.update(f"{split}/{classes[label]}/{path.name}\0".encode() + path.read_bytes())
            labels[split].append(label)
    every = images["train"] + images["test"]
    if not all(image.ndim == 2 for image in every):
        images = {split: [_coloured(image) for image in held] for split, held in images.items()}
        every = images["train"] + images["test"]
    sizes = {image.shape for image in every}
    if len(sizes) > 1:
        raise ValueError(
            f"{folder}: images must all have one size, got {sorted(sizes)[:4]}: name it as folder:PATH@SIDE to have "
            "them scaled and cut to squares, or resize them first"
        )
    shape = next(iter(sizes))
    train, test = (
        Split(
            np.array(images[split], np.uint8).reshape(-1, *shape),
            np.array(labels[split], np.int64),
            np.arange(len(labels[split])),
        )
        for split in ("train", "test")
    )
    name = f"folder {folder.resolve().name}" + ("" if side is None else f", images cut to {side}x{side}")
    return Source(
        train,
        test,
        name,
        digest.hexdigest(),
        "names and contents of the image files read",
        classes,
        (available["train"], available["test"]),
    )


def _in_turn(files: Files, classes: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(class, file): the first of every class, the second of every class, and so on."""
    for turn in zip_longest(*(files.get(name, []) for name in classes)):
        yield from ((label, file) for label, file in enumerate(turn) if file is not None)


def _read(path: Path, side: int | None) -> np.ndarray:
    """(H, W) of a grey image, (H, W, 3) of any other."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(_DEEP):
                raise ValueError(f"more than 8 bits a pixel, mode {image.mode}")
            plain = image.convert("L" if image.mode in _GREY else "RGB")
            return np.asarray(plain if side is None else ImageOps.fit(plain, (side, side), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable 8-bit image ({reason(error)})") from error


def _coloured(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
