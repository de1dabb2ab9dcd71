"""The indexes of a library's parts: in step with the catalogue, kept in the cache, built anew where that is needed.

The pooled part's is of whitened vectors (index/whitening.py). The whitening is kept in the catalogue, as a setting of the
space, and fitted anew when the library has twice or half as many contents; a saved index carries its name.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index.choose import EXACT_UP_TO
from index.generations import PLACES, Generations
from index.stored import Stored, float32_slices
from index.vectors import Source, VectorIndex
from index.whitening import Whitening, enough, fit, is_worth_it

ATTEMPTS = 5  # at an index in step with the catalogue, while shards are merged


@dataclass
class _Held:
    """An index in memory, and the newest shard that is inside."""

    index: VectorIndex
    last_shard: int
    is_saved: bool = False


class Indexes:
    """One index for each part of a space, made when first asked for. Safe to use from several threads."""

    def __init__(self, stored: Stored, widths: dict[str, int], cache: Path, pooled: str) -> None:
        self.stored = stored
        self.widths = widths
        self.pooled = pooled
        self._fitted: Whitening | None = None
        self._held: dict[str, _Held] = {}
        self._generations = Generations(stored.catalog, cache)
        self._lock = threading.RLock()
        self._generations.open(stored.space_id, PLACES, stored.load)

    def of(self, part: str) -> VectorIndex:
        """The index of one part, with every vector that the catalogue has now."""
        with self._lock:
            for _ in range(ATTEMPTS):
                self.stored.refresh()
                held = self._held[part] = self._in_step(part)
                if len(held.index) == len(self.stored):
                    break  # else shards were merged between two of the questions
            return held.index

    def compared(self, part: str, vectors: np.ndarray) -> np.ndarray:
        """Vectors (n, width) of a part as they are stored, in the form in which its index compares them."""
        return self.of(part).compared(vectors) if part == self.pooled else vectors

    def whitening(self, part: str) -> Whitening | None:
        """How a search whitens a part's vectors, without its index; None where it does not."""
        with self._lock:
            self.stored.refresh()
            held = self._held.get(part)
            return self._whitening(part) if held is None else held.index.whitening

    @property
    def is_worth_saving(self) -> bool:
        """Whether an index that took its time to build is in memory only."""
        with self._lock:
            return any(not held.is_saved and len(held.index) > EXACT_UP_TO for held in self._held.values())

    def save(self) -> None:
        """Keep the indexes that are in memory as files, so that the next start need not build them.

        Raises LibraryError where the disk refuses.
        """
        with self._lock:
            space = self.stored.space_id
            for part, held in self._held.items():
                if not held.is_saved:
                    self._save_whitening(held.index.whitening)
                    form = _form(held.index.whitening)
                    self._generations.save(space, part, held.index, held.last_shard, form)
                    held.is_saved = True
            if self._generations.last_shard(space, PLACES) != self.stored.last_shard:
                self._generations.save(space, PLACES, self.stored, self.stored.last_shard)

    def drop(self) -> None:
        """Forget every index, in memory and saved: the vectors in the shards are the truth."""
        with self._lock:
            self._held.clear()
            self.stored.forget()
            self._generations.drop(self.stored.space_id)

    def damaged(self) -> list[str]:
        """The saved files that are not what was saved."""
        return self._generations.damaged(self.stored.space_id, (*self.widths, PLACES))

    def _in_step(self, part: str) -> _Held:
        """The index in memory, else the saved one, else a new one, with the vectors of the shards that are known."""
        newest = self.stored.last_shard
        held = self._held.get(part) or self._opened(part) or self._empty(part)
        if held.last_shard < newest:
            self._extend(part, held, newest)
            if len(held.index) != len(self.stored) or not self._suits(part, held.index):
                held = self._empty(part)  # shards were merged or mended, or the library has grown: build anew
                self._extend(part, held, newest)
        return held

    def _opened(self, part: str) -> _Held | None:
        whitening = self._whitening(part)
        width, source = self._width(part, whitening), self._source(part, whitening)
        saved = self._generations.open(
            self.stored.space_id, part, lambda path, _: VectorIndex.open(path, width, source), _form(whitening)
        )
        if saved is None or len(saved[0]) != saved[1].count:
            return None
        saved[0].whitening = whitening
        return _Held(saved[0], saved[1].last_shard, is_saved=True)

    def _empty(self, part: str) -> _Held:
        """An index without vectors that has learnt what it needs to know of them."""
        whitening = self._whitening(part)
        source = self._source(part, whitening)
        index = VectorIndex.for_count(len(self.stored), self._width(part, whitening), source)
        index.whitening = whitening
        if not index.is_trained:
            sample = self.stored.sample(index.trained_on(len(self.stored)))
            known, vectors = source(sample)
            index.train(vectors if known.all() else vectors[known])  # no copy of what may be 300 MB
        return _Held(index, 0)

    def _width(self, part: str, whitening: Whitening | None) -> int:
        return self.widths[part] if whitening is None else whitening.dims

    def _source(self, part: str, whitening: Whitening | None) -> Source:
        def source(contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            known, vectors = self.stored.of(contents, part)
            return known, vectors if whitening is None else whitening.of(vectors)

        return source

    def _suits(self, part: str, index: VectorIndex) -> bool:
        """Whether an index is still what would be made of the vectors that there are now."""
        count = len(self.stored)
        if index.whitening is None:
            return index.suits(count) and self._whitening(part) is None
        return index.suits(count) and not index.whitening.is_outgrown(count)

    def _whitening(self, part: str) -> Whitening | None:
        """How a part's vectors are whitened: as was saved, else as this process has fitted it; None where they are not."""
        count = len(self.stored)
        if part != self.pooled or not is_worth_it(self.widths[part], count):
            return None
        for whitening in (self._saved_whitening(), self._fitted):
            if whitening is not None and not whitening.is_outgrown(count):
                return whitening
        sample = self.stored.sample(enough(self.widths[part]))
        self._fitted = fit(self.stored.of(sample, part)[1], count=count)
        return self._fitted

    def _saved_whitening(self) -> Whitening | None:
        saved = self.stored.catalog.setting(self._key())
        return None if saved is None else Whitening.from_json(json.loads(saved))

    def _save_whitening(self, whitening: Whitening | None) -> None:
        if whitening is not None:
            self.stored.catalog.remember(self._key(), json.dumps(whitening.as_json()))

    def _key(self) -> str:
        return f"whitening/{self.stored.space_id}"

    def _extend(self, part: str, held: _Held, newest: int) -> None:
        """Put in the vectors of the shards after the last one inside, up to `newest`."""
        catalog, space = self.stored.catalog, self.stored.space_id
        for shard_id, rows, contents in catalog.vector_places(space, held.last_shard, newest):
            mapped = self.stored.rows_of(shard_id, rows.max())
            content_of = np.full(len(mapped), -1, np.int64)
            content_of[rows] = contents  # a row that no content points to stays out
            for where, vectors in float32_slices(mapped, part):
                used = content_of[where] >= 0
                held.index.add(content_of[where][used], held.index.compared(vectors[used]))
            self.stored.release()
            held.last_shard, held.is_saved = shard_id, False  # the next one may be damaged: this one is inside
        held.last_shard = newest


def _form(whitening: Whitening | None) -> str:
    return "" if whitening is None else whitening.digest
