"""The images of a run, from the parameters that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data import Data, load_data
from ..data.held_out import held_out
from ..data.subset import first_classes


def read_images(p: Mapping[str, Any]) -> Data:
    """The training images of a run, and its test images or those held out in their place.

    Args:
        p: ``data``, ``n_train`` (before classes are dropped; None for all) and ``pool``, the side of the squares over
            which pixels are averaged; where an experiment has them, ``classes``, how many of the first are kept, and
            ``n_valid``, how many training images behind the first ``n_train`` are held out.
    """
    n_valid = p.get("n_valid")
    data = load_data(p["data"], n_train=None if p["n_train"] is None else p["n_train"] + (n_valid or 0))
    if p.get("classes") is not None:
        data = first_classes(data, p["classes"])
    if p["pool"] > 1:
        data = data.pooled(p["pool"])
    return data if n_valid is None else held_out(data, n_valid)
