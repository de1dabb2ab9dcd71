"""Weights as Flax's classes of the hub's older software wrote them: flax_model.msgpack, its shards, safetensors.

The file is a nested map of arrays, each a MessagePack extension whose content is [shape, dtype, bytes]; arrays of more
than 2^30 bytes are maps of chunks (flax.readthedocs.io, flax.serialization). Names begin with the collection, "params"
or "batch_stats". Arrays stay in the file until they are asked for.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from regconv.array_bytes import byte_size, fill
from regconv.errors import CheckpointError
from regconv.layouts import FLAX_LEAVES, Shape, StoredTensor, hub_name, in_hub_layout

_ARRAY, _SCALAR = 1, 3  # extension types; 2 is a complex number
_CHUNKED = "__msgpack_chunked_array__"
_COLLECTIONS = ("params", "batch_stats")
_SHORT_BYTES = 1024  # no name, shape or header is longer
# First byte -> how the length after it is written, or the length itself (MessagePack's specification).
_EXTENSIONS: dict[int, str | int] = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I", **{0xD4 + n: 1 << n for n in range(5)}}
_BINARIES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_MAPS = {*range(0x80, 0x90), 0xDE, 0xDF}
# What reading raises for bytes that were changed at random.
_DAMAGED_MSGPACK = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error)


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
    """The tensors of a flax_model.msgpack or one of its shards, by hub name, while it is open.

    Raises CheckpointError for damage.
    """
    import msgpack

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                leaves: dict[str, Any] = {}
                if _walk(content, 0, "", leaves) != len(content):
                    raise ValueError("there is more after its end")
            tensors = hub_tensors({name: _stored(path, file, found) for name, found in _arrays(leaves).items()})
        except (*_DAMAGED_MSGPACK, msgpack.UnpackException) as error:
            raise CheckpointError(f"{path} is no Flax checkpoint, or damaged: {error}") from error
        yield tensors


@dataclass(frozen=True)
class _Array:
    """Where an array's bytes lie in the file."""

    shape: Shape
    dtype: str
    parts: list[tuple[int, int]]


def _stored(path: Path, file: BinaryIO, found: _Array) -> StoredTensor:
    size = sum(end - begin for begin, end in found.parts)
    if size != byte_size(found.shape, found.dtype):
        raise ValueError(f"{size} bytes for an array {found.shape} of {found.dtype}")
    return StoredTensor(found.shape, found.dtype, partial(fill, path, file, found.parts, found.shape, found.dtype))


def _walk(content: mmap.mmap, offset: int, name: str, leaves: dict[str, Any]) -> int:
    """Puts everything in the value at `offset` into `leaves` by dotted name, and returns where the next one begins."""
    first = content[offset]
    if first in _EXTENSIONS:
        kind, begin, end = _extension(content, offset)
        if kind not in (_ARRAY, _SCALAR) or end > len(content):
            raise ValueError(f"{name} is an extension of type {kind}, {begin}:{end} of {len(content)} bytes")
        leaves[name] = _array(content, begin, end)
        return end
    if first not in _MAPS:
        leaves[name], offset = _unpacked(content, offset)
        return offset
    count, offset = _unpacked(content, offset, "read_map_header")
    for _ in range(count):
        key, offset = _unpacked(content, offset)
        offset = _walk(content, offset, f"{name}.{key}" if name else str(key), leaves)
    return offset


def _unpacked(content: mmap.mmap, offset: int, verb: str = "unpack") -> tuple[Any, int]:
    """A key, number or header, which are all short, and where the next value begins."""
    import msgpack

    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(content[offset : offset + _SHORT_BYTES])
    return getattr(unpacker, verb)(), offset + unpacker.tell()


def _extension(content: mmap.mmap, offset: int) -> tuple[int, int, int]:
    """Type, begin and end of an extension's content."""
    layout = _EXTENSIONS[content[offset]]
    if isinstance(layout, int):
        length, offset = layout, offset + 1
    else:
        (length,) = struct.unpack_from(layout, content, offset + 1)
        offset += 1 + struct.calcsize(layout)
    return content[offset], offset + 1, offset + 1 + length


def _array(content: mmap.mmap, begin: int, end: int) -> _Array:
    count, offset = _unpacked(content, begin, "read_array_header")
    shape, offset = _unpacked(content, offset)
    dtype, offset = _unpacked(content, offset)
    layout = _BINARIES.get(content[offset])
    if count != 3 or layout is None:
        raise ValueError("an array is not [shape, dtype, bytes]")
    (length,) = struct.unpack_from(layout, content, offset + 1)
    start = offset + 1 + struct.calcsize(layout)
    if start + length != end:
        raise ValueError(f"an array's bytes {start}:{start + length} do not end with it at {end}")
    return _Array(tuple(shape), str(dtype), [(start, end)])


def _arrays(leaves: dict[str, Any]) -> dict[str, _Array]:
    """The arrays among the leaves, those in chunks put together."""
    chunked = [name.removesuffix(_CHUNKED) for name in leaves if name.endswith(_CHUNKED)]
    arrays = {}
    for beginning in chunked:
        inside = {name.removeprefix(beginning): leaves.pop(name) for name in list(leaves) if name.startswith(beginning)}
        axes = sum(name.startswith("shape.") for name in inside)
        chunks = [inside[f"chunks.{number}"] for number in range(sum(name.startswith("chunks.") for name in inside))]
        shape = tuple(inside[f"shape.{axis}"] for axis in range(axes))
        parts = [part for chunk in chunks for part in chunk.parts]
        arrays[beginning.removesuffix(".")] = _Array(shape, chunks[0].dtype, parts)
    other = [name for name, found in leaves.items() if not isinstance(found, _Array)]
    if other:
        raise ValueError(f"{other[0]} is no array")
    return leaves | arrays
