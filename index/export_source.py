"""What an export writes: the catalogue and the vectors of one moment, some contents at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from index.errors import LibraryError
from index.library import Library
from storage.errors import ShardError
from storage.listings import ContentRow, Listing, Totals
from storage.tables import GONE, PRESENT

SLICE = 4096  # contents in memory at a time


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


def seconds_of(moments: Sequence[datetime | None]) -> np.ndarray:
    """As datetime64[s] (n,), NaT for None."""
    return np.array([np.datetime64("NaT") if moment is None else moment for moment in moments], "datetime64[s]")
