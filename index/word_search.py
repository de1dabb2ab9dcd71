"""find_named: photos by words alone, those first that are it most."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from index.bounds import Bounds
from index.library import Library
from index.search import EVERYTHING, Answer, Neighbour
from index.words import Named, rated
from storage.records import Filter

CHUNK = 1000  # contents whose photos are asked for at a time


def find_named(
    library: Library,
    names: Sequence[Named],
    *,
    k: int = 12,
    where: Filter = EVERYTHING,
    within: Collection[int] | None = None,
    without: Collection[int] = (),
) -> Answer:
    """The k photos that are most surely what all of the words stand for (`index.words.named`); scores from 0 to 1.

    A score is the model's probability, or the chance of a taught word; 1 for photos that were marked with it. `where`,
    `within` and `without` as in `find_similar`.
    """
    contents, scores = rated(library, names)
    order = np.lexsort((contents, -scores))
    bounds = Bounds(where, (), None if within is None else frozenset(within), frozenset(without))
    found: list[Neighbour] = []
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        photos = bounds.photos(library, contents[chunk].tolist())
        found += [Neighbour(photo, float(scores[at])) for at in chunk for photo in photos.get(int(contents[at]), ())]
        if len(found) >= k:
            break
    return Answer(found[:k], exact=True)
