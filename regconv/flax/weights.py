"""A Flax network's arrays under the hub's names and axes, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.serialization import msgpack_serialize
from flax.traverse_util import flatten_dict

from regconv.checkpoint import FLAX_NAME, INDEX_ENDING, shard_names, weight_names, write_files
from regconv.layouts import COUNTER, FLAX_LEAVES, Shape, hub_axes, hub_name, hub_shape, kernel_axes

ParameterPath = tuple[str, ...]  # from the collection ("params", "batch_stats") to the array's own name


def hub_paths(params: Mapping[str, Any]) -> dict[str, ParameterPath]:
    """Hub name -> path of every array."""
    return {hub_name(".".join(path[1:]), FLAX_LEAVES): path for path in flatten_dict(params)}


def hub_shapes(shape_tree: Mapping[str, Any]) -> dict[str, Shape]:
    """Hub name -> hub shape of every array of a tree of jax.ShapeDtypeStruct."""
    flat = flatten_dict(shape_tree)
    return {
        name: hub_shape(flat[path].shape) if path[-1] == "kernel" else flat[path].shape
        for name, path in hub_paths(shape_tree).items()
    }


def from_hub(path: ParameterPath, array: np.ndarray) -> np.ndarray:
    """A hub array with the axes of the parameter at this path, in float32."""
    return np.asarray(kernel_axes(array) if path[-1] == "kernel" else array, np.float32)


def to_hub(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Every array under its hub name, with hub axes and its own dtype; beside batch statistics torch's counter, 0."""
    flat = flatten_dict(params)
    arrays = {}
    for name, path in hub_paths(params).items():
        array = np.asarray(jax.device_get(flat[path]))
        arrays[name] = hub_axes(array) if path[-1] == "kernel" else array
        if path[-1] == "var":
            arrays[f"{name.rpartition('.')[0]}.{COUNTER}"] = np.array(0, np.int64)
    return arrays


def write_msgpack(folder: Path, files: Mapping[str, bytes], params: Mapping[str, Any]) -> set[str]:
    """Writes flax_model.msgpack and the given small files; an earlier checkpoint stays whole if this fails.

    Weights of other kinds, which from_pretrained would read first, are removed then. Returns the names of the files.
    """
    written = {**files, FLAX_NAME: msgpack_serialize(jax.device_get(params))}
    write_files(folder, written)
    for name in weight_names():
        path = folder / name
        if name != FLAX_NAME and path.is_file():  # it would win over what was just written
            shards = shard_names(path) if name.endswith(INDEX_ENDING) else []
            for old in [path, *(folder / shard for shard in shards)]:
                old.unlink(missing_ok=True)
    return set(written)
