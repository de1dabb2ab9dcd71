"""find_similar: pictures in (some to be like, some to be unlike), photos of the library out, best first."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import numpy as np

from index.bounds import Bounds
from index.decode import DecodeTask, Known
from index.errors import LibraryError
from index.library import Library
from index.look import Example, glance_at, must_be_of
from index.vectors import VectorIndex
from index.words import Named
from regconv.errors import UnreadableImage
from storage.records import Filter, PhotoRecord

EVERYTHING = Filter()
CANDIDATES = 1000  # that each part proposes when several parts are weighed against each other
UNFILTERED = 1000  # nearest contents that are looked at for a filter before all that it leaves is looked up
LIKE = ("colour", "pattern", "parts", "subject")  # from the first stage to the last


@dataclass(frozen=True)
class Neighbour:
    """A photo and how like the query it is: the cosine in float32 over the stored vectors, at most 1.

    Of the pooled part it is the cosine of whitened vectors, where the library has photos enough (index/whitening.py).
    """

    photo: PhotoRecord
    score: float


@dataclass(frozen=True)
class Answer:
    """Neighbours, best first, and whether they are certainly the best there are."""

    neighbours: list[Neighbour]
    exact: bool


@dataclass(frozen=True)
class _Asked:
    """A part of a search: what it is compared with, float32 (d,) of unit length, and how much that counts."""

    part: str
    weight: float
    query: np.ndarray
    index: VectorIndex


def example_of_file(library: Library, path: str) -> Example:
    """A picture file as part of a query: from stored vectors where the library has the same bytes. Raises UnreadableImage."""
    # Loading the network takes longer than all the rest of a search.
    return _stored_example(library, path) or glance_at(library, path).example


def example_of_photo(library: Library, photo_id: int) -> Example:
    """A photo of the library as part of a query, from its stored vectors: no picture is read."""
    photo = library.catalog.photo(photo_id)
    if photo is None:
        raise LibraryError(f"There is no photo with the id {photo_id} in this library.")
    if photo.content_id is None:
        raise UnreadableImage(photo.path, photo.reason or "it could not be read")
    vectors = _stored_vectors(library, photo.content_id)
    if vectors is None:
        raise LibraryError(f"{photo.path} has no vector yet. Run the index on its folder again.")
    return Example(vectors, photo.content_id, library.space.key)


def _stored_example(library: Library, path: str) -> Example | None:
    with suppress(OSError):
        size = os.stat(path).st_size
        digests = library.catalog.embedded_digests({size}, library.space_id).get(size)
        if digests:
            with closing(library.decoder.decode([DecodeTask(path, digests)])) as results:
                result = next(results)
            if isinstance(result, Known):
                content = library.catalog.contents_with([result.digest]).get(result.digest)
                vectors = None if content is None else _stored_vectors(library, content)
                # Not by its content: whoever asks with a file wants to see its copies in the library.
                return None if vectors is None else Example(vectors, space=library.space.key)
    return None


def _stored_vectors(library: Library, content: int) -> dict[str, np.ndarray] | None:
    library.vectors.refresh()
    known, vectors = library.vectors.of_parts(np.array([content]), library.space.names)
    return {part: rows[0] for part, rows in vectors.items()} if known[0] else None


def like(library: Library, kind: str) -> dict[str, float]:
    """Part weights of a preset: colour asks the first stage, subject the pooled part, pattern and parts in between.

    Where the pooled part is one of its own, the last stage is left out: the two find nearly the same. What each finds:
    bench/RESULTS.md, "What kind of similar" (bench/dial.py). Raises LibraryError for an unknown preset.
    """
    stages, pooled = [name for name in library.space.names if name != library.space.pooled], library.space.pooled
    steps = [*(stages[:-1] if pooled == "pooled" else stages), pooled]
    if kind not in LIKE:
        raise LibraryError(f"There is no preset {kind!r}. There are {', '.join(LIKE)}.")
    position = round(LIKE.index(kind) * (len(steps) - 1) / (len(LIKE) - 1))
    return {steps[position]: 1.0}


def stage_weights(library: Library, weights: Sequence[float]) -> dict[str, float]:
    """Part weights from one number for each stored part, stages first. Raises LibraryError where the numbers don't fit."""
    names = library.space.names
    if len(weights) == len(names) and not any(weights):
        raise LibraryError("All stages count nothing, so there is nothing to compare: let one of them count.")
    fits = len(weights) == len(names) and all(0 <= weight < math.inf for weight in weights) and any(weights)
    if not fits:
        raise LibraryError(
            f"Expected {len(names)} weights, for {', '.join(names)}, none negative and one above zero; got {list(weights)}."
        )
    return {name: weight for name, weight in zip(names, weights, strict=True) if weight > 0}


def find_similar(
    library: Library,
    plus: Sequence[Example],
    minus: Sequence[Example] = (),
    *,
    k: int = 12,
    weights: Mapping[str, float] | None = None,
    where: Filter = EVERYTHING,
    names: Sequence[Named] = (),
    within: Collection[int] | None = None,
    without: Collection[int] = (),
) -> Answer:
    """The k photos most like the `plus` pictures and least like the `minus` ones (`example_of_file`, `example_of_photo`).

    Each counts by its `weight`: compared with is the weighted sum of their vectors of unit length, the minus ones' taken away.
    `weights` says how much each part counts (the pooled part alone by default), `where` which photos may be found, `names`
    what all of them must be called (`index.words.named`), `within` the ids of those that may (of all by default), `without`
    which contents to leave out. Photos that are gone are never found; copies of one content follow each other.
    """
    if not plus:
        raise LibraryError("A search needs at least one picture to be like; --minus only takes away from it.")
    must_be_of(library.space.key, (*plus, *minus))
    if not all(0 < example.weight < math.inf for example in (*plus, *minus)):
        raise LibraryError("A picture of a query counts by a number above zero; --minus takes away.")
    weights = weights or {library.space.pooled: 1.0}
    asked = [_asked(library.index(part), part, weight, plus, minus) for part, weight in weights.items()]
    total = len(asked[0].index)
    bounds = Bounds(where, tuple(names), None if within is None else frozenset(within), frozenset(without))
    allowed = None
    wanted = k + len(without) + 16
    if bounds.are_narrow:
        # What passes a broad filter is among the nearest of all; only for a narrow one all that it leaves is looked up.
        answer, is_all = _among(library, asked, max(wanted, UNFILTERED), None, bounds)
        if len(answer.neighbours) >= k or is_all:
            return Answer(answer.neighbours[:k], answer.exact)
        allowed = bounds.contents(library)
    while True:
        answer, is_all = _among(library, asked, wanted, allowed, bounds)
        if len(answer.neighbours) >= k or is_all or wanted >= total:
            return Answer(answer.neighbours[:k], answer.exact)
        wanted *= 4  # many of the nearest are gone: look further


def nearest_contents(
    library: Library, queries: Mapping[str, np.ndarray], weights: Mapping[str, float], k: int
) -> tuple[list[float], list[int]]:
    """(scores, content ids) of the k contents nearest to stored vectors float32 (d,) by part, whatever their photos are."""
    indexes = {part: library.index(part) for part in weights}
    asked = [
        _Asked(part, weight, indexes[part].compared(queries[part][None])[0], indexes[part])
        for part, weight in weights.items()
    ]
    return _ranked(library, asked, k, None)[:2]


def _asked(index: VectorIndex, part: str, weight: float, plus: Sequence[Example], minus: Sequence[Example]) -> _Asked:
    compared = index.compared(np.stack([example.vectors[part] for example in (*plus, *minus)]))
    signed = [example.weight for example in plus] + [-example.weight for example in minus]
    total = np.array(signed, np.float32) @ compared
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise LibraryError("Nothing is left to search for: the pictures cancel each other, or show nothing at all.")
    return _Asked(part, weight, (total / length).astype(np.float32), index)


def _among(
    library: Library,
    asked: Sequence[_Asked],
    wanted: int,
    allowed: np.ndarray | None,
    bounds: Bounds,
) -> tuple[Answer, bool]:
    """The photos that may be found among the `wanted` nearest contents, and whether there are no more contents."""
    scores, contents, exact = _ranked(library, asked, wanted, allowed)
    photos = bounds.photos(library, contents)
    neighbours = [
        Neighbour(photo, min(score, 1.0))  # rounding may lift a cosine above 1 by a bit of its last digit
        for content, score in zip(contents, scores, strict=True)
        for photo in photos.get(content, ())
    ]
    return Answer(neighbours, exact), len(contents) < wanted


def _ranked(
    library: Library, asked: Sequence[_Asked], k: int, allowed: np.ndarray | None
) -> tuple[list[float], list[int], bool]:
    """(scores, content ids, exact) of the best k contents."""
    if len(asked) > 1:
        return _ranked_by_parts(library, asked, k, allowed)
    index = asked[0].index
    scores, ids = index.search(asked[0].query[None], k, allowed)
    found = ids[0] >= 0
    return scores[0][found].tolist(), ids[0][found].tolist(), index.exact


def _ranked_by_parts(
    library: Library, asked: Sequence[_Asked], k: int, allowed: np.ndarray | None
) -> tuple[list[float], list[int], bool]:
    """Candidates from each part, ranked exactly by the weighted mean of the parts' cosines."""
    proposed = max(CANDIDATES, k)
    candidates: set[int] = set()
    exact = True
    for one in asked:
        candidates.update(one.index.propose(one.query[None], proposed, allowed)[0].tolist())
        exact = exact and one.index.exact and proposed >= (len(one.index) if allowed is None else len(allowed))
    contents = np.array(sorted(candidates - {-1}), np.int64)
    scores = np.zeros(len(contents), np.float32)
    total = sum(one.weight for one in asked)
    kept, stored = library.vectors.of_parts(contents, [one.part for one in asked])
    for one in asked:
        vectors = one.index.compared(stored[one.part])
        lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        scores += np.float32(one.weight / total) * (vectors @ one.query / lengths)
    contents, scores = contents[kept], scores[kept]
    best = np.lexsort((contents, -scores))[:k]
    return scores[best].tolist(), contents[best].tolist(), exact
