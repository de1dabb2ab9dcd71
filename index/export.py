"""export: everything that a library knows, in one file that others can read: NumPy's .npz or Parquet.

One state of the catalogue, read content by content in slices, so that no more than a slice is in memory.

.npz, arrays of n contents in one order, in which the library met them: digest, size, width, height, format, taken_at (NaT:
unknown), camera ("": unknown), state ("present" where one of its photos is), has_vector, and vector_PART (n, width), zeros
where there is none. What a content has several of comes with its row's number: photo_row, photo_path (bytes, os.fsdecode
makes them paths), photo_state; label_row, label_index, label_score, with the words of the indices in label_names; word_row,
word.

.parquet, a row for each content in that order: the same columns, photos, labels and words as lists, vector_PART null where
there is none. A path that is not UTF-8 is written out in `path` and exact in `path_bytes`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from index.errors import LibraryError
from index.library import Library
from index.progress import DONE, Progress, step
from storage.errors import ShardError
from storage.listings import ContentRow, Listing, Totals
from storage.shards import replaced
from storage.tables import GONE, PRESENT

SLICE = 4096  # contents in memory at a time
FORMATS = (".npz", ".parquet")


@dataclass(frozen=True)
class Slice:
    """Some contents in order of their ids, and what belongs to each, by its place in the slice."""

    contents: list[ContentRow]
    states: list[str]
    embedded: np.ndarray  # bool (n,)
    photos: list[tuple[int, str, str]]  # (place, path, state)
    labels: list[tuple[int, int, float]]  # (place, label index, probability)
    words: list[tuple[int, str]]  # (place, word)

    @property
    def ids(self) -> np.ndarray:
        """The content ids, int64 (n,)."""
        return np.array([content.id for content in self.contents], np.int64)


@dataclass
class Source:
    """What an export reads from, and what it has met so far."""

    library: Library
    listing: Listing
    totals: Totals
    parts: tuple[tuple[str, int], ...]
    dtype: np.dtype
    photos: int = 0
    with_vectors: int = 0

    def slices(self) -> Iterator[Slice]:
        """Every content, some at a time."""
        last = 0
        while contents := self.listing.contents(last, SLICE):
            first, last = contents[0].id, contents[-1].id
            found = self._slice(contents, first, last)
            self.photos += len(found.photos)
            self.with_vectors += int(found.embedded.sum())
            yield found

    def vectors(self, contents: np.ndarray, embedded: np.ndarray, part: str) -> np.ndarray:
        """(n, width) of the dtype asked for; zeros where there is none.

        Raises LibraryError where a vector that the catalogue named at the beginning is no more, ShardError where one can't be
        read.
        """
        known, found = self._known(contents, part)
        if (embedded & ~known).any():
            self.library.vectors.forget()  # shards were merged meanwhile: ask where the vectors are now
            self.library.vectors.refresh()
            known, found = self.library.vectors.of(contents, part)
        if (embedded & ~known).any():
            raise LibraryError("Vectors were given up while they were exported. Nothing was written; run it again.")
        found[~embedded] = 0
        return found.astype(self.dtype)

    def _known(self, contents: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Like Stored.of; where a file is not there, none are known."""
        try:
            return self.library.vectors.of(contents, part)
        except ShardError:
            return np.zeros(len(contents), bool), np.empty(0, np.float32)

    def _slice(self, contents: list[ContentRow], first: int, last: int) -> Slice:
        space = self.library.space_id
        places = {content.id: place for place, content in enumerate(contents)}
        photos = [(places[content], path, state) for content, path, state in self.listing.photos(first, last)]
        present = {place for place, _, state in photos if state == PRESENT}
        embedded = self.listing.with_vector(first, last, space)
        return Slice(
            contents,
            [PRESENT if place in present else GONE for place in range(len(contents))],
            np.array([content.id in embedded for content in contents], bool),
            photos,
            [(places[content], index, score) for content, index, score in self.listing.labels(first, last, space)],
            [(places[content], word) for content, word in self.listing.words(first, last)],
        )


def export(
    library: Library, out: str | Path, *, parts: Sequence[str] = (), dtype: str = "float16"
) -> Generator[Progress, None, None]:
    """Write the library to a .npz or .parquet file, which appears whole or not at all; the last Progress carries the report.

    `parts` are those whose vectors are wanted, all by default. Raises LibraryError for another ending, an unknown part, a
    folder that can't be written to, or Parquet without pyarrow.
    """
    start, out = time.monotonic(), Path(out).expanduser().absolute()
    _check_place(out)
    chosen = _chosen(library, parts)
    if out.suffix.lower() == ".npz":
        from index.export_npz import write
    else:
        from index.export_parquet import write
    try:
        with library.catalog.listing() as listing:
            source = Source(library, listing, listing.totals(), chosen, np.dtype(dtype))
            library.vectors.refresh()
            with replaced(out) as file:
                for done, total in write(source, file):
                    yield step("exporting", done, total, out.name)
    except OSError as error:
        raise LibraryError(
            f"{out} could not be written: {error}. Nothing is there; make room or name another file."
        ) from error
    report = {
        "path": str(out),
        "contents": source.totals.contents,
        "photos": source.photos,
        "unreadable": source.totals.unreadable,
        "parts": [{"name": name, "width": width} for name, width in chosen],
        "dtype": dtype,
        "with_vectors": source.with_vectors,
        "bytes": os.path.getsize(out),
        "seconds": round(time.monotonic() - start, 3),
    }
    yield step(DONE, 1, 1, report=report)


def _check_place(out: Path) -> None:
    if out.suffix.lower() not in FORMATS:
        raise LibraryError(f"{out.name} says no format that is known. Give a file that ends in .npz or .parquet.")
    if out.is_dir() or not out.parent.is_dir():
        reason = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise LibraryError(f"{out} can't be written: {reason}. Name another file.")


def _chosen(library: Library, parts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """The parts asked for, in the library's order, with their widths."""
    widths = dict(library.space.parts)
    unknown = [part for part in parts if part not in widths]
    if unknown:
        raise LibraryError(f"The library has no part {unknown[0]!r}. It has {', '.join(widths)}.")
    return tuple((name, width) for name, width in widths.items() if not parts or name in parts)


def seconds_of(moments: Sequence[datetime | None]) -> np.ndarray:
    """As datetime64[s] (n,), NaT for None."""
    return np.array([np.datetime64("NaT") if moment is None else moment for moment in moments], "datetime64[s]")
