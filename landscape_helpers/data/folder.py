"""Reading a data set from folders of image files."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from .sources import DataNotFoundError, Source, Split, reason

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
_GREY = {"1", "L", "LA"}  # Pillow's modes of one brightness; transparency is dropped
_DEEP = ("I", "F")  # modes of more than 8 bits a pixel, which Pillow would cut off at 255


def check_folder(folder: Path) -> Path:
    """The folder as it is.

    Raises:
        DataNotFoundError: it is not laid out for training images.
    """
    if not (folder / "train").is_dir():
        raise DataNotFoundError(f"{folder} has no sub-folder train: expected train/CLASS/*.png and test/CLASS/*.png")
    return folder


def read_folder(folder: Path) -> Source:
    """Images in ``folder/train/CLASS/*`` and ``folder/test/CLASS/*``, all of one size; classes in sorted order.

    Images have one channel if all of them are grey, else three. Folders whose name starts with a dot are left out.

    Raises:
        DataNotFoundError: no training images.
        ValueError: a class without training images, images of several sizes, an unreadable image.
    """
    check_folder(folder)
    files = {split: _files(folder / split) for split in ("train", "test")}
    classes = tuple(files["train"])
    if not any(files["train"].values()):
        raise DataNotFoundError(f"{folder}/train holds no images in class folders: expected train/CLASS/*.png")
    untrained = [name for name, paths in files["test"].items() if paths and not files["train"].get(name)]
    if untrained:
        raise ValueError(
            f"{folder}/test holds images of {', '.join(untrained)}, but train has none: expected the same class "
            "folders in train and test"
        )
    empty = [name for name, paths in files["train"].items() if not paths]
    if empty:
        # Each class folder is an output of the network; one that is never trained would pass unnoticed.
        raise ValueError(
            f"{folder}/train/{empty[0]} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}): put some there or "
            "remove the folder"
        )
    digest = hashlib.sha256()
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for split, held in files.items():
        for label, name in enumerate(classes):
            for path in held.get(name, []):
                digest.update(f"{split}/{name}/{path.name}\0".encode() + path.read_bytes())
                images[split].append(_read(path))
                labels[split].append(label)
    every = images["train"] + images["test"]
    if not all(image.ndim == 2 for image in every):
        images = {split: [_coloured(image) for image in held] for split, held in images.items()}
        every = images["train"] + images["test"]
    sizes = {image.shape for image in every}
    if len(sizes) > 1:
        raise ValueError(f"{folder}: images must all have one size, got {sorted(sizes)}: resize them first")
    shape = next(iter(sizes))
    train, test = (
        Split(
            np.array(images[split], np.uint8).reshape(-1, *shape),
            np.array(labels[split], np.int64),
            np.arange(len(labels[split])),
        )
        for split in ("train", "test")
    )
    name = f"folder {folder.resolve().name}"
    return Source(train, test, name, digest.hexdigest(), "names and contents of the image files", classes)


def _files(folder: Path) -> dict[str, list[Path]]:
    """Image files of each class folder, both in sorted order."""
    if not folder.is_dir():
        return {}
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return {
        one.name: sorted(p for p in one.glob("[!.]*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        for one in classes
    }


def _read(path: Path) -> np.ndarray:
    """(H, W) of a grey image, (H, W, 3) of any other."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(_DEEP):
                raise ValueError(f"more than 8 bits a pixel, mode {image.mode}")
            return np.asarray(image.convert("L" if image.mode in _GREY else "RGB"))
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable 8-bit image ({reason(error)})") from error


def _coloured(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
