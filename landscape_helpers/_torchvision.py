"""Import torchvision beside a CPU-only torch.

The published torchvision wheel is linked against CUDA. Beside a CPU build of torch its C++ operators do not load, and
``import torchvision`` stops at registering a kernel for ``torchvision::nms``, which nobody has declared. Declaring
the operator first lets models, data sets and transforms work. Where the real operators load, nothing is declared:
declaring them twice would end the process.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import torch

LIBRARY_SUFFIXES = {".so", ".pyd", ".dylib"}  # Linux, Windows, macOS
_declared: list[torch.library.Library] = []  # an operator lives as long as its library object


def _load_operators() -> None:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed: pip install -r requirements.txt")
    for binary in sorted(Path(spec.origin).parent.glob("_C*")):
        if binary.suffix not in LIBRARY_SUFFIXES:
            continue
        try:
            torch.ops.load_library(str(binary))
        except (OSError, ImportError):
            continue  # linked against another build of torch: the declarations below stand in
    if hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def _import() -> ModuleType:
    # On no other device: modules of torch that come along make tensors, of which older versions ask the values.
    with torch.device("cpu"):
        _load_operators()
        return importlib.import_module("torchvision")


torchvision: ModuleType = _import()
