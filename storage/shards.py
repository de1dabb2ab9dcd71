"""Immutable files of vectors, and how they come to the disk so that a kill at any moment loses none.

A shard is one `.npy` file with a structured dtype: a field for every part of a space (float16, unit length), `norms`
(float32, one for each part, the length before it was made a unit) and `digest` (the content's BLAKE2b-256), so that a shard
says by itself whose vectors it holds. `numpy.load(file, mmap_mode="r")` reads it without us.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

import numpy as np

from storage.errors import ShardError

TEMPORARY = ".tmp"


@dataclass(frozen=True)
class ShardFile:
    """What the catalogue keeps of a shard: enough to notice any other file in its place."""

    file: str
    rows: int
    bytes: int
    checksum: str


@contextmanager
def replaced(path: Path, *, durable: bool = True, by_way_of: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write to that appears at `path` whole or not at all; till then it lies in the same folder or `by_way_of` one.

    A durable one is on the disk before this ends; what can be made again is not worth that wait.
    """
    temporary = (by_way_of or path.parent) / f"{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY}"
    try:
        with temporary.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


def checksum_of(path: Path) -> str:
    """BLAKE2b-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _checksum).hexdigest()


def shard_dtype(parts: Sequence[tuple[str, int]]) -> np.dtype:
    """The structured dtype of a space's rows, from its (part, width) pairs."""
    fields: list[tuple] = [(name, "<f2", (width,)) for name, width in parts]
    return np.dtype([*fields, ("norms", "<f4", (len(parts),)), ("digest", "u1", (32,))])


def shard_rows(
    parts: Sequence[tuple[str, int]],
    vectors: Mapping[str, np.ndarray],
    norms: Mapping[str, np.ndarray],
    digests: Sequence[str],
) -> np.ndarray:
    """Rows of a shard: vectors[part] (n, width) and norms[part] (n,) of the n contents with these hex digests."""
    rows = np.empty(len(digests), shard_dtype(parts))
    for position, (name, _) in enumerate(parts):
        rows[name] = vectors[name]
        rows["norms"][:, position] = norms[name]
    rows["digest"] = np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32)
    return rows


class ShardStore:
    """The folder of a library's shards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, rows: np.ndarray) -> ShardFile:
        """A new shard on the disk. It exists for the library only once a row of the catalogue names it."""
        return self.write_slices(rows.dtype, len(rows), [rows])

    def write_slices(self, dtype: np.dtype, count: int, slices: Iterable[np.ndarray]) -> ShardFile:
        """The same from slices of rows, `count` in all (else ShardError), of which one at a time is in memory."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{uuid.uuid4().hex}.npy"
        header = io.BytesIO()
        facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
        np.lib.format.write_array_header_1_0(header, facts)
        # The checksum is of what was meant to be written: what the disk makes of it is then `verify`'s to find.
        checksum, size = _checksum(), 0
        with replaced(path) as file:
            for data in itertools.chain([np.frombuffer(header.getvalue(), np.uint8)], map(_bytes_of, slices)):
                file.write(data.data)
                checksum.update(data.data)
                size += len(data)
            came = (size - len(header.getvalue())) / dtype.itemsize
            if came != count:
                raise ShardError(f"A shard of {count} rows was to be written, {came:g} came. Nothing was stored.")
        return ShardFile(path.name, count, size, checksum.hexdigest())

    def open(self, shard: ShardFile, dtype: np.dtype) -> np.memmap:
        """The rows, memory-mapped. Size and header are checked here, the checksum by `verify`.

        Raises ShardError where the file is missing or is not the one that the catalogue names.
        """
        path = self.folder / shard.file
        try:
            size = path.stat().st_size
            rows = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, SyntaxError, TokenError) as error:  # the last two from a damaged header
            raise ShardError(f"The vector shard {path} can't be read ({error}). {ADVICE}") from error
        if (size, rows.shape, rows.dtype) != (shard.bytes, (shard.rows,), dtype):
            raise ShardError(
                f"The vector shard {path} has {size} bytes, {rows.shape} rows; expected {shard.bytes} bytes, {shard.rows} rows "
                f"of {dtype}. {ADVICE}"
            )
        return rows

    def verify(self, shard: ShardFile) -> str | None:
        """None if the file's bytes are those once written, else what is wrong with them."""
        path = self.folder / shard.file
        try:
            found = checksum_of(path)
        except OSError as error:
            return f"{shard.file}: can't be read ({error.strerror})"
        return None if found == shard.checksum else f"{shard.file}: its bytes have changed since it was written"

    def orphans(self, known: Collection[str]) -> list[Path]:
        """Files that no row of the catalogue names: left by a kill between the file and its row."""
        if not self.folder.exists():
            return []
        return sorted(path for path in self.folder.iterdir() if path.name not in known and path.is_file())


ADVICE = "Run `python app.py doctor`, which says what is affected; `--mend` lets the next index run make those vectors again."


def _checksum() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=32)


def _bytes_of(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows).view(np.uint8)


def _sync_folder(folder: Path) -> None:
    # The rename itself is on the disk only once the folder is; Windows has no such call and needs none.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
