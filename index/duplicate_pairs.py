"""Which pairs of contents are worth comparing: by their hashes in any orientation, by their vectors, by time.

Pairs of places in the array of fingerprints, int64 (n, 2), the smaller place first, each once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from index.fingerprint import ORIENTATIONS, in_orientation
from index.library import Library

CLOSE_BITS = 12  # of 63: an edit's hash differs by no more, hardly any two other photographs' by so little
BLOCK, SLICE = 256, 2048  # hashes compared at a time, and with so many others: 4 MB
NEAREST = 3  # neighbours by vectors that are compared, itself not counted
LIKELY = 0.3  # least score in the index of a picture and a part of it
BURST_S = 3  # from one picture of a burst to the next
NO_PAIRS = np.empty((0, 2), np.int64)


def by_hash(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(hashes done, pairs whose hashes are close in one of the eight orientations), ROW (n,), piece by piece.

    Every hash is compared with every later one, 8 n² / 2 comparisons: see bench/duplicates.py for what that takes. Equal
    hashes stand for each other: of those only neighbours in the order of size and colour are paired.
    """
    order = np.lexsort((rows["content"], rows["colour"], rows["contrast"], rows["height"], rows["width"], rows["hash"]))
    hashes = rows["hash"][order]
    first = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
    alike = np.flatnonzero(~first)
    yield 0, _pairs(order[alike - 1], order[alike])
    # A picture without structure has the hash 0, which is close to nothing.
    own = order[first & (hashes != 0)]
    hashes = rows["hash"][own]
    turned = [in_orientation(hashes, *turn) for turn in ORIENTATIONS]
    for start in range(0, len(own), BLOCK):
        found = [NO_PAIRS]
        for other in turned:
            for one, two in _close(other[start : start + BLOCK], hashes[start:]):
                found.append(_pairs(own[start + one], own[start + two]))
        yield min(start + BLOCK, len(own)), np.unique(np.concatenate(found), axis=0)


def _close(some: np.ndarray, hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(places in `some`, later places in `hashes`) of hashes that are close, a slice that stays in the processor's cache."""
    for start in range(0, len(hashes), SLICE):
        near = np.bitwise_count(some[:, None] ^ hashes[None, start : start + SLICE]) <= CLOSE_BITS
        if near.any():
            one, two = np.nonzero(near)
            later = one < two + start
            yield one[later], two[later] + start


def by_vectors(library: Library, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(contents done, pairs of nearest neighbours by the pooled part), piece by piece: what finds parts of pictures.

    (Of 200 photographs cropped to 60 % a side and more, tilted or framed, each was among the first three neighbours of its
    original by the pooled part; by earlier parts not all were, and those that were, were among them by the pooled part too.)
    """
    part = library.space.pooled
    library.vectors.refresh()
    for start in range(0, len(rows), BLOCK):
        places = np.arange(start, min(start + BLOCK, len(rows)))
        known, vectors = library.vectors.of(rows["content"][places], part)
        index = library.index(part)
        scores, contents = index.search(index.compared(vectors[known]), NEAREST + 1)
        near = np.minimum(np.searchsorted(rows["content"], contents), len(rows) - 1)
        there = (scores >= LIKELY) & (rows["content"][near] == contents)
        one, _ = np.nonzero(there)
        pairs = np.unique(_pairs(places[known][one], near[there]), axis=0)
        yield int(places[-1]) + 1, pairs[pairs[:, 0] < pairs[:, 1]]


def by_time(library: Library, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of one camera that follow each other within BURST_S, piece by piece."""
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
