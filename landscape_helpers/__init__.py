"""Instruments for neural-network loss landscapes, and the experiments of four papers that use them.

The instruments speak to an :class:`Objective`: a model, its data and a loss as functions of one flat parameter vector.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import load_data
    from .models import build_model
    from .objective import Objective

__version__ = "0.1.0"
__all__ = ["Objective", "__version__", "build_model", "load_data"]

_HOME = {"Objective": "objective", "build_model": "models", "load_data": "data"}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the command line lists figures and claims without waiting for torch.
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
