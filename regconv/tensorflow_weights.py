"""Weights as TensorFlow's classes of the hub's older software wrote them: tf_model.h5, its shards, safetensors.

Names there are paths that end in ":0". Keras puts a layer's group and the network's own scope before the path of every
variable in one file, and neither in a shard. Scopes carry a running number, so they are dropped and never compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from regconv.array_bytes import byte_size
from regconv.errors import CheckpointError
from regconv.layouts import TENSORFLOW_LEAVES, StoredTensor, hub_name, in_hub_layout

# What h5py raises for bytes that were changed at random, found by trying.
_DAMAGED_H5 = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)


def hub_tensors(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Tensors by path without scope ("regnet/embedder/…/kernel:0") as hub names and axes."""
    return dict(in_hub_layout(_dotted(path), stored, TENSORFLOW_LEAVES) for path, stored in tensors.items())


def hub_name_of(path: str, has_scope: bool) -> str:
    """The hub's name for a name in an index file, which for h5 files begins with the network's scope."""
    return hub_name(_dotted(path.partition("/")[2] if has_scope else path), TENSORFLOW_LEAVES)


def _dotted(path: str) -> str:
    return path.removesuffix(":0").replace("/", ".")


@contextlib.contextmanager
def opened_h5(path: Path) -> Iterator[dict[str, StoredTensor]]:
    """The tensors of a tf_model.h5 or one of its shards, by hub name, while it is open.

    Raises CheckpointError for damage, and for values that another file holds: those are never fetched.
    """
    import h5py

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
            tensors = hub_tensors({_without_scope(file, name): _stored(path, data) for name, data in _datasets(file)})
        except _DAMAGED_H5 as error:
            raise CheckpointError(f"{path} is no HDF5 file, or damaged: {error}") from error
        yield tensors


def _datasets(file: Any) -> list[tuple[str, Any]]:
    import h5py

    found: list[tuple[str, Any]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item))

    file.visititems(visit)  # follows no link to another file
    return found


def _without_scope(file: Any, name: str) -> str:
    layer, _, path = name.partition("/")
    is_keras_layer = any(attribute.startswith("weight_names") for attribute in file[layer].attrs)
    return path.partition("/")[2] if is_keras_layer else name


def _stored(path: Path, data: Any) -> StoredTensor:
    if data.external or data.is_virtual:
        raise CheckpointError(f"{path}: {data.name} lies in another file, which is not opened")
    shape, dtype = tuple(data.shape), data.dtype.name
    byte_size(shape, dtype)  # refuses texts and references

    def read() -> np.ndarray:
        try:
            return np.asarray(data[()], dtype)  # in this computer's order of bytes
        except _DAMAGED_H5 as error:
            raise CheckpointError(f"{path}: {data.name} cannot be read: {error}") from error

    return StoredTensor(shape, dtype, read)
