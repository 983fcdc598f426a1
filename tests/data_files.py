"""Data sets written by hand: ``NAME.npz``, folders of images, a :class:`Data` without a file."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from landscape_helpers.data import Data

NO_SERVER = "file:///no-such-folder/"  # fails at once, with or without a network


def arrays(shape=(28, 28), train=12, test=5, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": (np.arange(train) % 10).astype(np.uint8),
        "x_test": rng.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": (np.arange(test) % 10).astype(np.uint8),
    }


def write_npz(folder, name="mnist", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    held = {**arrays((32, 32, 3) if name in ("cifar10", "cifar100", "svhn") else (28, 28)), **changes}
    np.savez(folder / f"{name}.npz", **{key: value for key, value in held.items() if value is not None})
    return held


def write_images(folder, files, size=(6, 4)):
    for file, colour in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)


def made(x_train, x_test=None):
    x_test = x_train if x_test is None else x_test
    y_train, y_test = (torch.zeros(len(x), dtype=torch.int64) for x in (x_train, x_test))
    return Data("made", x_train, y_train, x_test, y_test, ("only",), {})


def one_line(error, *fragments):
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert str(fragment) in message
