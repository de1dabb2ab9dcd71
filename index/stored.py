"""The stored vectors of a space by content id: where each lies, and its numbers, without asking the database each time."""

from __future__ import annotations

import itertools
import mmap
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from index.errors import IndexMismatch
from storage.catalog import Catalog
from storage.errors import ShardError
from storage.records import GenerationRecord
from storage.shards import ADVICE, ShardFile, ShardStore

MOST_MAPPED = 768 << 20  # bytes of files that are in this process' memory before those of the shards are handed back
MANY = 1000  # rows, around each of which Linux maps 64 KiB
_PLACE = np.dtype([("content", "<i8"), ("shard", "<i8"), ("row", "<i4")])


class Stored:
    """Vectors of one space. What another process adds is seen at the next `refresh`. Safe to use from several threads."""

    def __init__(self, catalog: Catalog, shards: ShardStore, space_id: int, dtype: np.dtype) -> None:
        self.catalog = catalog
        self.shards = shards
        self.space_id = space_id
        self.dtype = dtype
        self.last_shard = 0
        self._take(np.empty(0, _PLACE))
        self._mapped: dict[int, np.memmap] = {}
        self._files: dict[int, ShardFile] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._contents)

    @property
    def contents(self) -> np.ndarray:
        """The contents that have a vector, int64 ascending."""
        return self._contents

    def refresh(self) -> None:
        """Learn the places of every vector that the catalogue has now."""
        with self._lock:
            # Asked again afterwards: of what is merged between two questions, the old shards hold nothing any more.
            while (newest := self.catalog.newest_shard(self.space_id)) != self.last_shard:
                self._extend(newest)
                if len(self) != self.catalog.vector_count(self.space_id, newest):
                    self.forget()  # shards were merged, or given up
                    self._extend(newest)

    def forget(self) -> None:
        """Know nothing: the next `refresh` reads the catalogue anew."""
        with self._lock:
            self._take(np.empty(0, _PLACE))
            self.last_shard = 0
            self._mapped.clear()
            self._files.clear()

    def of(self, contents: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Which of these contents, int64 (n,), have a vector: bool (n,); and the vectors, float32 (n, width), else zeros.

        Raises ShardError where a file is not what the catalogue names.
        """
        known, vectors = self.of_parts(contents, (part,))
        return known, vectors[part]

    def of_parts(self, contents: np.ndarray, parts: Iterable[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The same with the vectors of several parts, which lie beside each other."""
        with self._lock:
            known, shards, rows = self._find(contents)
            found = {part: np.zeros((len(contents), self.dtype[part].shape[0]), np.float32) for part in parts}
            asked = np.flatnonzero(known)
            asked = asked[np.argsort(shards[asked], kind="stable")]
            for group in np.split(asked, np.flatnonzero(np.diff(shards[asked])) + 1) if len(asked) else ():
                mapped = self._map(int(shards[group[0]]))
                if mapped is None:
                    known[group] = False  # given up since
                    continue
                _check_row(int(rows[group].max()), mapped)
                # Whole rows at once, of a plain array: ten times as fast as the fields of a memmap.
                taken = np.asarray(mapped).take(rows[group])
                for part, vectors in found.items():
                    vectors[group] = taken[part]
                if len(group) > MANY:
                    self._release_if_large()
            self._release_if_large()
            return known, found

    def by_shard(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Everything, a shard at a time: its rows, memory-mapped; the numbers, int64 (n,), of those in use; their contents."""
        with self._lock:
            order = np.argsort(self._shards, kind="stable")
            contents, shards, rows = self._contents[order], self._shards[order], self._rows[order].astype(np.int64)
        starts = np.flatnonzero(np.diff(shards, prepend=-1))
        for start, end in itertools.pairwise([*starts, len(shards)]):
            with self._lock:
                mapped = self._map(int(shards[start]))
            if mapped is not None:  # not given up since
                _check_row(int(rows[start:end].max()), mapped)
                yield mapped, rows[start:end], contents[start:end]
                self._release_if_large()

    def rows_of(self, shard_id: int, last_row: int) -> np.ndarray:
        """A shard's rows, memory-mapped, up to `last_row` at least. Raises ShardError."""
        with self._lock:
            mapped = self._map(shard_id)
        if mapped is None:
            raise ShardError(f"The shard {shard_id} is no longer in the catalogue. {ADVICE}")
        _check_row(int(last_row), mapped)
        return mapped

    def release(self) -> None:
        """Hand the pages that were read back to the system's cache, so that this process does not grow by the library."""
        with self._lock:
            for mapped in self._mapped.values():
                if isinstance(mapped.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                    mapped.base.madvise(mmap.MADV_DONTNEED)

    def _release_if_large(self) -> None:
        if _mapped_bytes() > MOST_MAPPED:
            self.release()

    def sample(self, count: int) -> np.ndarray:
        """So many of the contents, int64, ascending, drawn alike each time."""
        drawn = np.random.default_rng(0).choice(len(self), min(count, len(self)), replace=False)
        return self._contents[np.sort(drawn)]

    def save(self, path: Path) -> None:
        """Write the places to a file; the caller sees to it that it appears whole."""
        with self._lock, path.open("wb") as file:
            np.save(file, self._places(), allow_pickle=False)

    def load(self, path: Path, record: GenerationRecord) -> None:
        """Take over what `save` wrote. Raises IndexMismatch where it is no such file."""
        try:
            places = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise IndexMismatch(f"{path} holds no places of vectors: {error}") from error
        if places.dtype != _PLACE or places.shape != (record.count,):
            raise IndexMismatch(f"{path} holds {places.shape} of {places.dtype}, expected {record.count} of {_PLACE}")
        with self._lock:
            self._take(places)
            self.last_shard = record.last_shard

    def _extend(self, newest: int) -> None:
        # Before the places, so that every shard they name has its file here, which a merge leaves on the disk for a while.
        self._files = self.catalog.shards(self.space_id)
        new = [self._places()]
        for shard_id, rows, contents in self.catalog.vector_places(self.space_id, self.last_shard, newest):
            places = np.empty(len(rows), _PLACE)
            places["content"], places["shard"], places["row"] = contents, shard_id, rows
            new.append(places)
        whole = np.concatenate(new)
        whole = whole[np.argsort(whole["content"], kind="stable")]
        last = np.append(whole["content"][1:] != whole["content"][:-1], True)[: len(whole)]
        self._take(whole[last])
        self.last_shard = newest

    def _take(self, places: np.ndarray) -> None:
        # An array each: a search in a field of a structured array would copy the whole field first.
        self._contents, self._shards, self._rows = (np.ascontiguousarray(places[name]) for name in _PLACE.names or ())

    def _places(self) -> np.ndarray:
        places = np.empty(len(self), _PLACE)
        places["content"], places["shard"], places["row"] = self._contents, self._shards, self._rows
        return places

    def _find(self, contents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not len(self):
            nothing = np.zeros(len(contents), np.int64)
            return np.zeros(len(contents), bool), nothing, nothing
        at = np.minimum(np.searchsorted(self._contents, contents), len(self) - 1)
        return self._contents[at] == contents, self._shards[at], self._rows[at].astype(np.int64)

    def _map(self, shard_id: int) -> np.ndarray | None:
        """The shard's rows, None where the catalogue no longer has it."""
        if shard_id not in self._files:
            self._files = self.catalog.shards(self.space_id)
        file = self._files.get(shard_id)
        if file is None:
            return None
        if shard_id in self._mapped:
            with suppress(OSError):
                # Reading beyond the end of a file that was cut off meanwhile would kill the process.
                if os.stat(self._mapped[shard_id].filename or "").st_size == file.bytes:
                    return self._mapped[shard_id]
        self._mapped[shard_id] = self.shards.open(file, self.dtype)
        return self._mapped[shard_id]


def _check_row(row: int, mapped: np.ndarray) -> None:
    if row >= len(mapped):
        raise ShardError(f"The catalogue names row {row} of a shard that has {len(mapped)}. {ADVICE}")


def _mapped_bytes() -> int:
    """How much of files is in this process' memory; 0 where the system does not say."""
    with suppress(OSError), open("/proc/self/statm") as file:
        return int(file.read().split()[2]) * mmap.PAGESIZE
    return 0


def float32_slices(rows: np.ndarray, part: str, step: int = 8192) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of a shard's rows with their float32 (n, width) vectors, so that a large shard is never whole in memory."""
    for start in range(0, len(rows), step):
        where = slice(start, min(start + step, len(rows)))
        yield where, rows[part][where].astype(np.float32)
