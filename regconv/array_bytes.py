"""An array from its bytes within an open file: copied, not mapped, because the file may be replaced meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from regconv.errors import CheckpointError
from regconv.layouts import Shape

# The dtypes that weights come in, by NumPy's names.
DTYPES = ("float64", "float32", "float16", "bfloat16", "bool", "int64", "int32", "int16", "int8", "uint8")
# bfloat16 is read as the same bits.
_KINDS = {name: np.dtype("<u2" if name == "bfloat16" else name) for name in DTYPES}


def byte_size(shape: Shape, dtype: str) -> int:
    """How many bytes the array has. Raises ValueError for dtypes that no weights have, and for negative sizes."""
    if dtype not in _KINDS:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")
    size = _KINDS[dtype].itemsize
    for side in shape:
        if not isinstance(side, int) or side < 0:
            raise ValueError(f"shape is {shape}, expected whole numbers")
        size *= side
    return size


def fill(path: Path, file: BinaryIO, parts: list[tuple[int, int]], shape: Shape, dtype: str) -> np.ndarray:
    """The array whose bytes are these (begin, end) parts of the file, little-endian, in order.

    Raises CheckpointError where the file ends early; its path is for the message.
    """
    array = np.empty(shape, _KINDS[dtype])
    target = array.reshape(-1).view(np.uint8).data
    for begin, end in parts:
        file.seek(begin)
        if file.readinto(target[: end - begin]) != end - begin:  # type: ignore[attr-defined]
            raise CheckpointError(f"{path} ends before its last tensor: download it again")
        target = target[end - begin :]
    return array
