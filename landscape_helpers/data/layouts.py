"""Where the images of each class lie in a folder: one folder a class, or as well-known sets are published.

- ``train/CLASS/`` and ``test/CLASS/`` (or ``val/CLASS/``), images at any depth: anyone's images, and ImageNet's.
- *Tiny ImageNet* as its archive unpacks: ``wnids.txt``, ``train/CLASS/images/``, ``val/val_annotations.txt``.
- *CUB-200-2011* as its archive unpacks: ``images/CLASS/``, ``images.txt``, ``train_test_split.txt``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .sources import DataNotFoundError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
Files = dict[str, list[str]]  # as text: paths as objects would take longer to make than to list


@dataclass(frozen=True)
class Layout:
    """Image files by class; classes and files in sorted order.

    Attributes:
        train: every class that has a place among the outputs, with its training images.
        test: the same for test images, empty where there are none.
        train_folder, test_folder: where their classes were looked for.
    """

    train: Files
    test: Files
    train_folder: Path
    test_folder: Path


def layout(folder: Path) -> Layout:
    """The images of a folder that :func:`check_folder` accepts."""
    if _is_cub(folder):
        return _cub(folder)
    train, test, val = folder / "train", folder / "test", folder / "val"
    if _is_tiny_imagenet(folder):
        return Layout(_by_folder(train), _annotated(val), train, val)
    tested = _by_folder(test)
    if any(tested.values()):
        return Layout(_by_folder(train), tested, train, test)
    # ImageNet's test images have no labels and lie in no class folders: it is validated on val.
    return Layout(_by_folder(train), _by_folder(val), train, val)


def check_folder(folder: Path) -> Path:
    """The folder as it is.

    Raises:
        DataNotFoundError: it is not laid out for training images.
    """
    if not _is_cub(folder) and not (folder / "train").is_dir():
        raise DataNotFoundError(
            f"{folder} has no sub-folder train: expected train/CLASS/*.png and test/CLASS/*.png, or CUB-200-2011 or "
            "Tiny ImageNet as their archives unpack"
        )
    return folder


def _is_cub(folder: Path) -> bool:
    return (folder / "images.txt").is_file() and (folder / "train_test_split.txt").is_file()


def _is_tiny_imagenet(folder: Path) -> bool:
    return (folder / "wnids.txt").is_file() and (folder / "val" / "val_annotations.txt").is_file()


def _by_folder(folder: Path) -> Files:
    """The images below each folder in ``folder``; what starts with a dot is left out, at any depth."""
    if not folder.is_dir():
        return {}
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return {one.name: list(_images(one)) for one in classes}


def _images(folder: str | Path) -> Iterator[str]:
    """In sorted order. The listing of a folder says what is a file: ImageNet's 1.3 million are not looked at singly."""
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _images(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and entry.is_file():
            yield entry.path


def _annotated(folder: Path) -> Files:
    """Tiny ImageNet's validation images: a line each, file and class first."""
    files: Files = {}
    for file, name, *_ in _table(folder / "val_annotations.txt", 2):
        files.setdefault(name, []).append(str(folder / "images" / file))
    return {name: sorted(files[name]) for name in sorted(files)}


def _cub(folder: Path) -> Layout:
    """CUB's images, told apart by two tables that number them; an image's class is the folder it lies in."""
    training = {number: flag == "1" for number, flag in _table(folder / "train_test_split.txt", 2)}
    images = {number: file for number, file in _table(folder / "images.txt", 2)}
    if training.keys() != images.keys():
        raise ValueError(
            f"{folder}: images.txt and train_test_split.txt must number the same images, got {len(images)} and "
            f"{len(training)}: unpack the archive again"
        )
    train: Files = {Path(file).parent.name: [] for file in sorted(images.values())}
    test: Files = {name: [] for name in train}
    for number, file in sorted(images.items(), key=lambda item: item[1]):
        (train if training[number] else test)[Path(file).parent.name].append(str(folder / "images" / file))
    return Layout(train, test, folder / "images", folder / "images")


def _table(path: Path, columns: int) -> list[list[str]]:
    """The fields of each line, at least so many."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    short = next((i for i, row in enumerate(rows) if len(row) < columns), None)
    if short is not None:
        raise ValueError(f"{path}, line {short + 1}: expected {columns} fields, got {' '.join(rows[short])!r}")
    return rows
