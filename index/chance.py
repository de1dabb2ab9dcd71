"""Scores with a meaning: how many unrelated pairs of the library's own photos look at least so alike.

A sample of the library's contents, of copies one, is compared pair by pair. Left out are pairs that are known to be related:
photos of one folder, and photos taken on one day (each where it leaves at least half of the pairs; in a library that is one
folder without dates all pairs count, and the answer errs on the careful side). A score lies below the chance line where among
so many photos one that is at least so alike is to be expected by chance alone.

The pairs share photos, so their tail is known less well than so many independent ones would tell: "1 in N" is said up to one
two-hundredth of the pairs' number, where it held within a factor of 2 (bench/chance.py).

For a query of one picture only: of the means of two and five unlike pictures, what is said was wrong by up to 18 times, either
way.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from index.errors import LibraryError
from index.library import Library
from index.open_space import OpenSpace
from index.tail import Tail, fit_tail
from index.vectors import VectorIndex
from storage.errors import CatalogError
from storage.records import Filter, PhotoRecord

SAMPLE = 4096  # contents
LEAST = 30  # contents
PAIRS_A_CLAIM = 200  # pairs beyond it that "1 in N" needs
COPY = 0.999  # a cosine of the pooled part above this: the same picture, saved again
GROWN = 0.25  # the share by which a library changes before its scores are weighed anew
KEPT = 8  # weightings whose chances the catalogue keeps
REMEMBERED = 64  # and this process: a person's own mix may be any
BLOCK = 512
TOO_FEW = "the library has too few pairs of photos to say how rare this is"

_known: WeakKeyDictionary[OpenSpace, dict[str, Chance]] = WeakKeyDictionary()
_too_few: WeakKeyDictionary[OpenSpace, tuple[str, int]] = WeakKeyDictionary()  # which weighting of how many contents
_lock = threading.Lock()


@dataclass(frozen=True)
class Chance:
    """What scores of one weighting mean in a library that has `photos` contents to be found.

    tail: of scores of unrelated pairs; pairs: how many were compared; fitted: contents with vectors that the library had then.
    """

    tail: Tail
    pairs: int
    photos: int
    fitted: int

    @property
    def most(self) -> int:
        """The largest N of which "1 in N" can be said."""
        return _two_digits(max(1, self.pairs / PAIRS_A_CLAIM), math.floor)

    @property
    def line(self) -> float:
        """The chance line: among the library's photos one is to be expected above it by chance alone."""
        return self.tail.score_at(1 / max(1, self.photos))

    def is_outgrown(self, count: int) -> bool:
        """Whether a library that has so many contents now is another one by a quarter."""
        return abs(count - self.fitted) > GROWN * self.fitted

    def of(self, score: float) -> float:
        """The chance that an unrelated pair is at least so alike, 0 to 1."""
        return self.tail.beyond(score)

    def one_in(self, score: float) -> int:
        """N of "1 in N unrelated pairs look this alike", two digits of it, at most `most`."""
        chance = self.of(score)
        return self.most if chance * self.most <= 1 else _two_digits(1 / chance, round)

    def is_rarer(self, score: float) -> bool:
        """Whether N is `most` because the library is too small to tell how rare it really is."""
        return self.of(score) * self.most < 1

    def is_chance(self, score: float) -> bool:
        """Whether a photo at least so alike is to be expected by chance alone."""
        return self.photos * self.of(score) >= 1

    def words(self, score: float) -> str:
        """The meaning of a score as a sentence."""
        number = self.one_in(score)
        if number <= 1:
            # Of a few hundred pairs nothing rare can be said: not that it is common either.
            return TOO_FEW if self.of(score) < 0.5 else "most unrelated pairs look this alike"
        return f"{'fewer than ' if self.is_rarer(score) else ''}1 in {number:,} unrelated pairs look this alike"

    def meaning(self, score: float) -> dict[str, Any]:
        """What a neighbour's JSON says beside its score."""
        return {
            "one_in": self.one_in(score),
            "or_rarer": self.is_rarer(score),
            "beyond_chance": not self.is_chance(score),
        }


def chance_of(library: Library, weights: Mapping[str, float] | None = None) -> Chance | None:
    """What scores of a search with these part weights (the pooled part alone by default) mean in this library.

    None where it is too small to tell, see `why_none`. Fitted when first asked for and when the library has grown or shrunk by
    a quarter, kept in the catalogue where that can be written to.
    """
    library.vectors.refresh()
    count = len(library.vectors)
    if count < LEAST:
        return None
    weights = weights or {library.space.pooled: 1.0}
    if unknown := set(weights) - set(library.space.names):
        raise LibraryError(
            f"There is no part {', '.join(sorted(unknown))}; there are {', '.join(library.space.names)}."
        )
    indexes = {part: library.index(part) for part in weights}
    key = _key(weights, indexes)
    with _lock:
        known = _known.setdefault(library.opened, {})
        chance = known.pop(key, None)
        if chance is None or chance.is_outgrown(count):
            chance = _kept(library, key)
        if chance is None or chance.is_outgrown(count):
            if _too_few.get(library.opened) == (key, count):
                return None
            chance = _fitted(library, weights, indexes, count)
            if chance is None:
                _too_few[library.opened] = key, count
            else:
                _keep(library, key, chance)
        if chance is not None:
            known[key] = chance
            if len(known) > REMEMBERED:
                del known[next(iter(known))]  # that was asked for longest ago
    return chance


def why_none(library: Library) -> str:
    """Why `chance_of` has no answer."""
    return (
        f"What a score means can be told from {LEAST} different photos on, of which each shows something; this library has "
        f"{len(library.vectors):,}."
    )


def _fitted(
    library: Library, weights: Mapping[str, float], indexes: Mapping[str, VectorIndex], count: int
) -> Chance | None:
    sample = library.vectors.sample(SAMPLE)
    photos = library.catalog.photos(sample.tolist(), Filter(), library.space_id)
    contents = np.array([content for content in sample.tolist() if content in photos], np.int64)
    pooled = library.space.pooled
    known, vectors = library.vectors.of_parts(contents, {*weights, pooled})
    usable = np.flatnonzero(known)[distinct(vectors[pooled][known])]
    if len(usable) < LEAST:
        return None
    shown = [photos[content][0] for content in contents[usable].tolist()]
    found = {part: _unit(index.compared(vectors[part][usable])) for part, index in indexes.items()}
    scores = unrelated_scores(_side_by_side(found, weights), shown)
    return Chance(fit_tail(scores), len(scores), round(count * len(contents) / len(sample)), count)


def distinct(pooled: np.ndarray) -> np.ndarray:
    """Which of the vectors (n, d) of the pooled part count: int64, ascending. Of copies the first; none of zeros.

    A picture of one colour may have zeros: it is like nothing.
    """
    units = _unit(pooled)
    numbers = np.arange(len(units))
    counts = [
        ~((units[start : start + BLOCK] @ units.T > COPY) & (numbers < numbers[start : start + BLOCK, None])).any(
            axis=1
        )
        for start in range(0, len(units), BLOCK)
    ]
    return np.flatnonzero(np.concatenate([*counts, np.zeros(0, bool)]) & units.any(axis=1))


def _side_by_side(vectors: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Rows whose inner products are the weighted means of the parts' cosines."""
    total = sum(weights.values())
    return np.concatenate([math.sqrt(weight / total) * vectors[part] for part, weight in weights.items()], axis=1)


def unrelated_scores(vectors: np.ndarray, photos: Sequence[PhotoRecord]) -> np.ndarray:
    """The scores, float32, of all pairs of photos (n) but those of one folder or day; vectors: (n, d), whose inner products."""
    events = [ids for ids in (_folders(photos), _days(photos)) if _leave_half(ids)]
    numbers = np.arange(len(photos))
    found = []
    for start in range(0, len(photos), BLOCK):
        rows = slice(start, start + BLOCK)
        unrelated = numbers > numbers[rows, None]
        for ids in events:
            unrelated &= ids[rows, None] != ids
        found.append((vectors[rows] @ vectors.T)[unrelated])
    return np.concatenate(found).astype(np.float32)


def _folders(photos: Sequence[PhotoRecord]) -> np.ndarray:
    """A number for each photo, the same for those of one folder."""
    return np.unique([os.path.dirname(photo.path) for photo in photos], return_inverse=True)[1]


def _days(photos: Sequence[PhotoRecord]) -> np.ndarray:
    """A number for each photo, the same for those of one day; photos without a date have their own."""
    return np.array(
        [-1 - at if photo.taken_at is None else photo.taken_at.toordinal() for at, photo in enumerate(photos)]
    )


def _leave_half(ids: np.ndarray) -> bool:
    """Whether at least half of all pairs have different ids."""
    counts = np.unique(ids, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1)).sum()) <= 0.5 * len(ids) * (len(ids) - 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _two_digits(number: float, whole: Callable[[float], int]) -> int:
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return whole(number / step) * step


# what the catalogue keeps


def _name(library: Library) -> str:
    return f"chance/{library.space_id}"


def _key(weights: Mapping[str, float], indexes: Mapping[str, VectorIndex]) -> str:
    """A weighting, and how each part is whitened."""
    total = sum(weights.values())
    whitened = {part: index.whitening.digest for part, index in indexes.items() if index.whitening is not None}
    return " ".join(
        f"{part}{whitened.get(part, '')}:{weight / total:.4f}" for part, weight in sorted(weights.items()) if weight > 0
    )


def _kept(library: Library, key: str) -> Chance | None:
    saved = json.loads(library.catalog.setting(_name(library)) or "{}").get(key)
    if saved is None:
        return None
    tail = saved.pop("tail")
    return Chance(Tail(tuple(tail["levels"]), tuple(tail["scores"]), tail["scale"], tail["shape"]), **saved)


def _keep(library: Library, key: str, chance: Chance) -> None:
    kept = json.loads(library.catalog.setting(_name(library)) or "{}")
    kept.pop(key, None)
    kept = dict([*kept.items(), (key, asdict(chance))][-KEPT:])
    with suppress(CatalogError):  # read-only, or its disk is full: what was fitted stays in memory
        library.catalog.remember(_name(library), json.dumps(kept))
