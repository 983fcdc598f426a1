"""JSON that every reader accepts: numbers that are not finite become null."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def finite(value: Any) -> Any:
    """The same structure with NaN and infinities replaced by None, numpy numbers and arrays by Python's own."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return finite(value.tolist())
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def dumps(value: Any) -> str:
    """Indented JSON without NaN."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def write(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(dumps(value) + "\n", "utf-8")
    os.replace(partial, path)
