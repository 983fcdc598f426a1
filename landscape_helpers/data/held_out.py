"""Training images kept apart, to validate on."""

from __future__ import annotations

import dataclasses

from .dataset import Data


def held_out(data: Data, n_valid: int) -> Data:
    """The last ``n_valid`` training images in place of the test set, so that nothing is chosen by the latter.

    Raises:
        ValueError: no image is left to train on.
    """
    n = len(data.x_train) - n_valid
    if n < 1:
        raise ValueError(f"n_valid must leave images to train on: {data.name} has {n + n_valid}, got {n_valid}")
    return dataclasses.replace(
        data,
        x_train=data.x_train[:n],
        y_train=data.y_train[:n],
        x_test=data.x_train[n:],
        y_test=data.y_train[n:],
        provenance={
            **data.provenance_without_positions(),
            "n_train": n,
            "n_test": n_valid,
            "test": "held out of the training images",
        },
    )
