"""Weights as Flax's classes of the hub's older software wrote them: flax_model.msgpack, its shards, safetensors.

The file is a nested map of arrays, each a MessagePack extension whose content is [shape, dtype, bytes]; arrays of more
than 2^30 bytes are maps of chunks (flax.readthedocs.io, flax.serialization). Names begin with the collection, "params"
or "batch_stats".
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from regconv.errors import CheckpointError
from regconv.layouts import FLAX_LEAVES, StoredTensor, hub_name, in_hub_layout

_ARRAY, _SCALAR = 1, 3  # extension types; 2 is a complex number
_CHUNKED = "__msgpack_chunked_array__"
_COLLECTIONS = ("params", "batch_stats")
# What unpacking raises for bytes that were changed at random.
_DAMAGED_MSGPACK = (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError)


def hub_tensors(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Tensors by dotted name, collection first, as hub names and axes."""
    return dict(in_hub_layout(_without_collection(name), stored, FLAX_LEAVES) for name, stored in tensors.items())


def hub_name_of(path: str) -> str:
    """The hub's name for a name in an index file ("params/embedder/…/kernel")."""
    return hub_name(_without_collection(path.replace("/", ".")), FLAX_LEAVES)


def _without_collection(name: str) -> str:
    first, _, rest = name.partition(".")
    return rest if first in _COLLECTIONS else name


@contextlib.contextmanager
def opened_msgpack(path: Path) -> Iterator[dict[str, StoredTensor]]:
    """The tensors of a flax_model.msgpack or one of its shards, by hub name. Raises CheckpointError for damage.

    The format has no table of contents, so the arrays of this one file are held meanwhile.
    """
    import msgpack

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tree = msgpack.unpackb(content, ext_hook=_array, raw=False)
        tensors = hub_tensors({name: _stored(array) for name, array in _leaves(tree, "")})
    except (*_DAMAGED_MSGPACK, msgpack.exceptions.UnpackException) as error:
        raise CheckpointError(f"{path} is no Flax checkpoint, or damaged: {error}") from error
    yield tensors


def _array(code: int, content: bytes) -> np.ndarray:
    import msgpack

    if code not in (_ARRAY, _SCALAR):
        raise ValueError(f"a MessagePack extension of type {code} is not a real array")
    shape, dtype, values = msgpack.unpackb(content, raw=True)
    name = dtype.decode() if isinstance(dtype, bytes) else str(dtype)
    if name == "bfloat16":
        return np.frombuffer(values, np.dtype([(name, "<u2")])).reshape(shape)
    kind = np.dtype(name)
    if kind.hasobject:
        raise ValueError(f"dtype {name} holds no numbers")
    return np.frombuffer(values, kind).reshape(shape)


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, np.ndarray):
        yield name, tree
    elif not isinstance(tree, dict):
        raise ValueError(f"{name or 'the whole'} is a {type(tree).__name__}, expected a map or an array")
    elif _CHUNKED in tree:
        chunks = [tree["chunks"][str(number)] for number in range(len(tree["chunks"]))]
        shape = [tree["shape"][str(axis)] for axis in range(len(tree["shape"]))]
        yield name, np.concatenate(chunks).reshape(shape)
    else:
        for key, below in tree.items():
            yield from _leaves(below, f"{name}.{key}" if name else str(key))


def _stored(array: np.ndarray) -> StoredTensor:
    names = array.dtype.names
    if names is not None:  # the mark that `_array` puts on bfloat16
        return StoredTensor(array.shape, names[0], array[names[0]].copy)
    return StoredTensor(array.shape, array.dtype.name, array.copy)  # the bytes themselves cannot be written to
