"""Photos decoded and embedded again, held against the vectors that are stored of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from index.library import Library
from regconv.errors import UnreadableImage
from storage.listings import StampRow

SAMPLE = 8
SAMPLE_OF_WHOLE = 200  # all would take as long as indexing did
SAME = 0.9995  # cosine that a picture embedded again must reach: the bound between engines


def embedded_again(library: Library, whole: bool = False) -> Iterator[tuple[StampRow, float]]:
    """(photo, cosine of its stored vector and the one that the network gives now) of a sample, drawn anew each time.

    Photos that are not there or have changed since are left out: the next index run sees to them. Raises what loading the
    network raises.
    """
    part = library.space.pooled
    for photo in _some(library, SAMPLE_OF_WHOLE if whole else SAMPLE):
        try:
            decoded = library.decoder.picture(photo.path)
        except UnreadableImage:
            continue
        stored = library.stored([photo.content_id or 0], part).get(photo.content_id or 0)
        if decoded.digest != photo.digest or stored is None:
            continue
        fresh = library.backbone.embed(decoded.picture[None]).vectors[part][0]
        length = float(np.linalg.norm(stored) * np.linalg.norm(fresh))
        # Two vectors without length are the same; one without is as different as can be.
        yield photo, float(fresh @ stored) / length if length else float(np.array_equal(stored, fresh))


def _some(library: Library, count: int) -> list[StampRow]:
    """Up to so many present photos; of another part of the library each time."""
    newest = library.catalog.newest_photo()
    random = np.random.default_rng()
    wanted = min(newest, 8 * count)  # some are gone
    drawn = (random.choice(newest, wanted, replace=False, shuffle=True) + 1).tolist() if wanted else []
    found = {photo.id: photo for photo in library.catalog.stamps(drawn)}
    return [found[photo] for photo in drawn if photo in found][:count]
