"""Photos decoded and embedded again, held against the vectors that are stored of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from index.decode import Decoded, DecodeTask
from index.library import Library
from storage.listings import StampRow

SAMPLE = 8
SAMPLE_OF_WHOLE = 100  # all would take as long as indexing did
SAME = 0.9995  # cosine that a picture embedded again must reach: the bound between engines


def embedded_again(library: Library, whole: bool = False) -> Iterator[tuple[StampRow, float]]:
    """(photo, cosine of its stored vector and the one that the network gives now) of a sample, drawn anew each time.

    Photos that are not there or have changed since are left out: the next index run sees to them. Raises what loading the
    network raises.
    """
    sample = some(library, SAMPLE_OF_WHOLE if whole else SAMPLE)
    with closing(library.decoder.decode(DecodeTask(photo.path) for photo in sample)) as decoded:
        pictures = (
            (photo, result.picture)
            for photo, result in zip(sample, decoded, strict=True)
            if isinstance(result, Decoded) and result.digest == photo.digest
        )
        while group := list(itertools.islice(pictures, library.backbone.batch_size)):
            yield from _compared(library, group)


def _compared(library: Library, group: list[tuple[StampRow, np.ndarray]]) -> Iterator[tuple[StampRow, float]]:
    part = library.space.pooled
    stored = library.stored({photo.content_id or 0 for photo, _ in group}, part)
    vectors = library.backbone.embed(np.stack([picture for _, picture in group])).vectors[part]
    for (photo, _), fresh in zip(group, vectors, strict=True):
        own = stored.get(photo.content_id or 0)
        if own is not None:
            length = float(np.linalg.norm(own) * np.linalg.norm(fresh))
            # Two vectors without length are the same; one without is as different as can be.
            yield photo, float(fresh @ own) / length if length else float(np.array_equal(own, fresh))


def some(library: Library, count: int) -> list[StampRow]:
    """Up to so many present photos; of another part of the library each time."""
    newest = library.catalog.newest_photo()
    random = np.random.default_rng()
    wanted = min(newest, 8 * count)  # some are gone
    drawn = (random.choice(newest, wanted, replace=False, shuffle=True) + 1).tolist() if wanted else []
    found = {photo.id: photo for photo in library.catalog.stamps(drawn)}
    return [found[photo] for photo in drawn if photo in found][:count]
