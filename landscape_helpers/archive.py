"""Archives of plain arrays (``.npz``), and what an error says of a file that cannot be read."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

# What zipfile and NumPy raise over damaged files, depending on the byte that is hit.
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    KeyError,
    RuntimeError,
    SyntaxError,
    TypeError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz``. Nothing is unpickled.

    Raises:
        ValueError: the file is missing, damaged or holds something else; the message says on one line what is wrong.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as single:
            if single.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise ValueError("it is a single array, a .npy under another name")
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
                    # Only at the end of a member is its checksum compared; a damaged shape may end before.
                    if file.read(1):
                        raise ValueError(f"{name} holds more than its array")
    except UNREADABLE as error:
        raise ValueError(reason(error)) from error
    return arrays


def reason(error: Exception) -> str:
    """What an error says, on one line; readers check headers by assertions and tables, which say nothing in words."""
    if isinstance(error, (AssertionError, KeyError)):
        return "a header or a field is not as the format asks"
    return " ".join(str(error).split()) or type(error).__name__
