"""A data set without some of its classes."""

from __future__ import annotations

import dataclasses
from numbers import Integral

from .dataset import Data


def first_classes(data: Data, count: int) -> Data:
    """Only the images of the first ``count`` classes, in the order in which they stand.

    *There is a Singularity in the Loss Landscape*, Section 4.1, drops classes of CIFAR-10 without saying which it
    keeps. The labels of the first ones need no new numbers.

    Raises:
        ValueError: fewer than two classes, or more than there are.
    """
    if isinstance(count, bool) or not isinstance(count, Integral) or not 2 <= count <= data.n_classes:
        raise ValueError(f"classes must be a whole number from 2 to the {data.n_classes} of {data.name}, got {count!r}")
    if count == data.n_classes:
        return data
    train, test = data.y_train < count, data.y_test < count
    return dataclasses.replace(
        data,
        x_train=data.x_train[train],
        y_train=data.y_train[train],
        x_test=data.x_test[test],
        y_test=data.y_test[test],
        classes=data.classes[: int(count)],
        provenance={
            **data.provenance_without_positions(),
            "classes": f"first {count} of {data.n_classes}",
            "n_train": int(train.sum()),
            "n_test": int(test.sum()),
        },
    )
