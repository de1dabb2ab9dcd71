"""Which pairs of contents are worth comparing: by their hashes in any orientation, by their vectors, by time.

Pairs of places in the array of fingerprints, int64 (n, 2), the smaller place first, each once. At least one of a pair is new:
not marked as compared yet. The new ones come in the order of their ids, each with all that were compared before it, so that a
search that was stopped meets no pair again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from index.fingerprint import ORIENTATIONS, in_orientation
from index.library import Library

CLOSE_BITS = 12  # of 63: an edit's hash differs by no more, hardly any two other photographs' by so little
BLOCK, SLICE = 256, 2048  # hashes compared at a time, and with so many others: 4 MB
NEAREST = 3  # neighbours by vectors that are compared, itself not counted
LIKELY = 0.3  # least score in the index of a picture and a part of it
BURST_S = 3  # from one picture of a burst to the next
NO_PAIRS = np.empty((0, 2), np.int64)


class Piece(NamedTuple):
    """Pairs to be compared, after which the contents at the places `done` have been compared."""

    pairs: np.ndarray
    done: np.ndarray  # int64 (m,)


def by_hash(rows: np.ndarray) -> Iterator[Piece]:
    """The pairs whose hashes are close in one of the eight orientations, ROW (n,), piece by piece.

    Every new hash is compared with every other once, 8 n² / 2 comparisons the first time: see bench/duplicates.py for what that
    takes. Equal hashes stand for each other: of those only neighbours in the order of size and colour are paired.
    """
    is_new = ~rows["compared"]
    new = np.flatnonzero(is_new)
    if not len(new):
        return
    order = np.lexsort((rows["content"], rows["colour"], rows["contrast"], rows["height"], rows["width"], rows["hash"]))
    first = np.append(True, np.diff(rows["hash"][order]) != 0)[: len(order)]
    equal, owners = _equal(order, first, is_new)
    old, stand = _stand_for(order, first, is_new)
    # A picture without structure has the hash 0, which is close to nothing.
    old, stand = (some[rows["hash"][some] != 0] for some in (old, stand))
    others = np.concatenate([old, stand])
    hashes = rows["hash"][others]
    for start in range(0, len(new), BLOCK):
        block = new[start : start + BLOCK]
        found = [equal[(owners >= block[0]) & (owners <= block[-1])]]
        begin, end = np.searchsorted(stand, block[0]), np.searchsorted(stand, block[-1], side="right")
        own = len(old) + np.arange(begin, end)
        for turn in ORIENTATIONS:
            for one, two in _close(in_orientation(hashes[own], *turn), hashes[: len(old) + end]):
                earlier = two < own[one]
                found.append(_pairs(others[own[one][earlier]], others[two[earlier]]))
        yield Piece(np.unique(np.concatenate(found), axis=0), block)


def _equal(order: np.ndarray, first: np.ndarray, is_new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pairs of neighbours with equal hashes of which one is new, the place of the one that is compared last)."""
    alike = np.flatnonzero(~first)
    one, other = order[alike - 1], order[alike]
    owners = np.maximum(np.where(is_new[one], one, -1), np.where(is_new[other], other, -1))
    return _pairs(one, other)[owners >= 0], owners[owners >= 0]


def _stand_for(order: np.ndarray, first: np.ndarray, is_new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places that stand for each hash, ascending: of hashes that were compared before, and of new ones."""
    # One that was compared stands for the hash, or else the first that will be.
    rank = np.where(is_new[order], order, order - len(order))
    stand = np.minimum.reduceat(rank, np.flatnonzero(first))
    return np.sort(stand[stand < 0] + len(order)), np.sort(stand[stand >= 0])


def _close(some: np.ndarray, hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(places in `some`, places in `hashes`) of hashes that are close, a slice that stays in the processor's cache."""
    for start in range(0, len(hashes), SLICE):
        near = np.bitwise_count(some[:, None] ^ hashes[None, start : start + SLICE]) <= CLOSE_BITS
        if near.any():
            one, two = np.nonzero(near)
            yield one, two + start


def by_vectors(library: Library, rows: np.ndarray) -> Iterator[Piece]:
    """Pairs of a new content and its nearest neighbours by the pooled part, piece by piece: what finds parts of pictures.

    (Of 200 photographs cropped to 60 % a side and more, tilted or framed, each was among the first three neighbours of its
    original by the pooled part; by earlier parts not all were, and those that were, were among them by the pooled part too.)
    """
    new = np.flatnonzero(rows["compared_in"] != library.space_id)
    number = np.full(len(rows), -1)
    number[new] = np.arange(len(new))
    near = np.full((len(new), NEAREST + 1), -1, np.int32)
    known = np.zeros(len(new), bool)
    library.vectors.refresh()
    for start in range(0, len(new), BLOCK):
        places = new[start : start + BLOCK]
        there, found = _nearest(library, rows, places)
        known[start : start + BLOCK] = there
        near[start : start + BLOCK][there] = found
        yield Piece(NO_PAIRS, places[:0])
    for start in range(0, len(new), BLOCK):
        places = new[start : start + BLOCK]
        one, rank = np.nonzero(near[start : start + BLOCK] >= 0)
        own, others = places[one], near[start + one, rank].astype(np.int64)
        # Of two new ones that are each other's neighbours, the later one sees to the pair.
        waits = (number[others] >= 0) & (others > own) & (near[number[others]] == own[:, None]).any(axis=1)
        keep = ~waits & (own != others)
        yield Piece(np.unique(_pairs(own[keep], others[keep]), axis=0), places[known[start : start + BLOCK]])


def _nearest(library: Library, rows: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(which of the places have a vector, bool; of those the places of their neighbours (m, NEAREST + 1), -1 for none)."""
    known, vectors = library.vectors.of(rows["content"][places], library.space.pooled)
    index = library.index(library.space.pooled)
    scores, contents = index.search(index.compared(vectors[known]), NEAREST + 1)
    near = np.minimum(np.searchsorted(rows["content"], contents), len(rows) - 1)
    return known, np.where((scores >= LIKELY) & (rows["content"][near] == contents), near, -1)


def by_time(library: Library, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of one camera that follow each other within BURST_S, new or not, piece by piece."""
    found: list[tuple[int, int]] = []
    before: tuple[int, str, datetime] | None = None
    for content, camera, taken in library.catalog.by_time():
        if before is not None and before[1] == camera and taken - before[2] <= timedelta(seconds=BURST_S):
            found.append((before[0], content))
        before = content, camera, taken
        if len(found) >= BLOCK:
            yield _places(rows, found)
            found = []
    yield _places(rows, found)


def _places(rows: np.ndarray, contents: list[tuple[int, int]]) -> np.ndarray:
    asked = np.array(contents, np.int64).reshape(-1, 2)
    if not len(rows):
        return NO_PAIRS
    places = np.minimum(np.searchsorted(rows["content"], asked), len(rows) - 1)
    there = (rows["content"][places] == asked).all(axis=1)
    return _pairs(places[there, 0], places[there, 1])


def _pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sort(np.stack([one, other], axis=1).astype(np.int64), axis=1)
