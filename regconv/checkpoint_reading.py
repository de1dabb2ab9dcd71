"""What is in a checkpoint's weights, whoever wrote them: names and axes as the hub's PyTorch classes have them.

Files are opened one after the other and tensors handed out one by one, so that a network can be filled from any number
of shards within its own memory and one shard's. Pickles are read with weights_only=True and never run.
"""

from __future__ import annotations

import contextlib
import pickle
import struct
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from regconv import flax_weights, tensorflow_weights
from regconv.array_bytes import DTYPES, byte_size, fill
from regconv.checkpoint import Weights, read_header, read_json
from regconv.errors import CheckpointError
from regconv.layouts import Shape, StoredTensor

if TYPE_CHECKING:
    from torch import Tensor

# safetensors' names of dtypes -> NumPy's
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8",
}  # fmt: skip
# What torch.load raises for bytes that were changed at random, found by trying.
_DAMAGED_PICKLE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error,
)  # fmt: skip
_TRANSLATED: dict[str, Callable[[dict[str, StoredTensor]], dict[str, StoredTensor]]] = {
    "pt": dict,
    "tf": tensorflow_weights.hub_tensors,
    "flax": flax_weights.hub_tensors,
}


def shapes(weights: Weights) -> dict[str, Shape]:
    """Hub name -> hub shape of every tensor. Raises CheckpointError for damaged or refused files."""
    return {name: stored.shape for name, stored in _all_tensors(weights)}


def tensor_names(weights: Weights) -> set[str] | None:
    """The hub names in the files as far as they can be had without unpickling; None for one pickled file.

    Raises CheckpointError for damaged files.
    """
    if weights.index is not None:
        return _listed_names(weights)
    return None if weights.paths[0].suffix == ".bin" else set(shapes(weights))


def stored_dtype(weights: Weights) -> str:
    """The dtype of the first floating-point tensor, as "float16"; "float32" where there is none."""
    return next((stored.dtype for _, stored in _all_tensors(weights) if "float" in stored.dtype), "float32")


def read_arrays(weights: Weights, names: Collection[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """(hub name, array in hub axes and stored dtype) of the named tensors, or of all, one shard in memory at a time.

    bfloat16 is that of ml_dtypes, which comes with TensorFlow and JAX. Raises CheckpointError for damaged files.
    """
    for name, stored in _all_tensors(weights):
        if names is None or name in names:
            yield name, _as_bfloat16(stored.read()) if stored.dtype == "bfloat16" else stored.read()


def read_tensors(weights: Weights, names: Collection[str] | None = None) -> Iterator[tuple[str, Tensor]]:
    """The same as torch tensors on the CPU. They may share memory with the file until the next one is asked for."""
    import torch

    for name, stored in _all_tensors(weights):
        if names is None or name in names:
            # Without a name here for the tensor: it can be freed before the next one is read.
            yield name, torch.from_numpy(stored.read()).view(getattr(torch, stored.dtype))


def _as_bfloat16(array: np.ndarray) -> np.ndarray:
    try:
        import ml_dtypes
    except ImportError as error:
        raise CheckpointError(
            "the weights are bfloat16, which NumPy has only with ml_dtypes: install TensorFlow or JAX, which bring it"
        ) from error
    return array.view(ml_dtypes.bfloat16)


def _all_tensors(weights: Weights) -> Iterator[tuple[str, StoredTensor]]:
    found: set[str] = set()
    for path in weights.paths:
        with _OPENED[path.suffix](path) as tensors:
            found |= tensors.keys()
            yield from tensors.items()
    if weights.index is not None and (ghosts := _listed_names(weights) - found):
        raise CheckpointError(f"{weights.index} lists tensors that no shard has: {sorted(ghosts)}")


def _listed_names(weights: Weights) -> set[str]:
    assert weights.index is not None
    listed = set(read_json(weights.index)["weight_map"])
    made_by = weights.made_by
    if made_by == "tf":
        has_scope = weights.paths[0].suffix == ".h5"
        return {tensorflow_weights.hub_name_of(name, has_scope) for name in listed}
    return {flax_weights.hub_name_of(name) for name in listed} if made_by == "flax" else listed


@contextlib.contextmanager
def _opened_safetensors(path: Path) -> Iterator[dict[str, StoredTensor]]:
    header, made_by = read_header(path)
    with path.open("rb") as file:
        stored = {name: _safetensor(path, file, name, entry) for name, entry in header.items()}
        yield _TRANSLATED[made_by](stored)


def _safetensor(path: Path, file: BinaryIO, name: str, entry: Mapping[str, Any]) -> StoredTensor:
    begin, end = entry["data_offsets"]
    try:
        shape, dtype = tuple(entry["shape"]), _DTYPES.get(entry["dtype"], entry["dtype"])
        size = byte_size(shape, dtype)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: {name} cannot be read: {error}") from error
    if size != end - begin:
        raise CheckpointError(f"{path}: the header is damaged: {name} has {size} bytes in {begin}:{end}")
    return StoredTensor(shape, dtype, partial(fill, path, file, [(begin, end)], shape, dtype))


@contextlib.contextmanager
def _opened_pickle(path: Path) -> Iterator[dict[str, StoredTensor]]:
    import torch

    try:
        # Mapped, where the file is of the kind that can be: then tensors are read from the disk one by one.
        values = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} holds something other than tensors, or is damaged; it is not opened") from error
    except _DAMAGED_PICKLE as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(values, Mapping) or not all(_is_plain(value) for value in values.values()):
        raise CheckpointError(f"{path} holds no plain mapping of names to dense tensors of real numbers")
    yield {
        name: StoredTensor(tuple(tensor.shape), _dtype_name(tensor), partial(_as_array, tensor))
        for name, tensor in values.items()
    }


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _is_plain(value: Any) -> bool:
    import torch

    is_dense = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return is_dense and _dtype_name(value) in DTYPES


def _as_array(tensor: Tensor) -> np.ndarray:
    import torch

    plain = tensor.detach()
    return (plain.view(torch.uint16) if plain.dtype == torch.bfloat16 else plain).numpy()


_OPENED: dict[str, Callable[[Path], contextlib.AbstractContextManager[dict[str, StoredTensor]]]] = {
    ".safetensors": _opened_safetensors,
    ".bin": _opened_pickle,
    ".h5": tensorflow_weights.opened_h5,
    ".msgpack": flax_weights.opened_msgpack,
}
