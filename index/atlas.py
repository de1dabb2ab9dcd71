"""The library as a map: every picture a place in the plane, those close together that searches find alike.

Copies of a content are one picture. Kept in the cache folder, a file for each space: what is missing, damaged or of another
library is drawn anew. Above MOST pictures the map shows so many, drawn at random and the same ones each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from index.library import Library
from index.progress import Progress, step
from index.projection import project
from storage.records import Filter, PhotoRecord

MOST = 20_000
READING, ARRANGING = "reading", "arranging"  # phases
HALF = "-half"
OLD_S = 3600.0  # nobody writes a map for so long: what has this age was left by a kill


@dataclass(frozen=True)
class Atlas:
    """contents: int64 (n,), in an order as good as random; places: float32 (n, 2)."""

    contents: np.ndarray
    places: np.ndarray

    @cached_property
    def stamp(self) -> str:
        """Names it: another map has another one."""
        return hashlib.blake2b(self.contents.tobytes() + self.places.tobytes(), digest_size=6).hexdigest()

    def places_of(self, contents: np.ndarray) -> np.ndarray:
        """float32 (m, 2): the places of contents (m,), NaN where they have none."""
        places = np.full((len(contents), 2), np.nan, np.float32)
        if len(self.contents):
            order = np.argsort(self.contents)
            at = order[np.searchsorted(self.contents, contents, sorter=order).clip(max=len(order) - 1)]
            known = self.contents[at] == contents
            places[known] = self.places[at[known]]
        return places


def contents_to_show(library: Library) -> np.ndarray:
    """The contents, int64 (n,), that a map drawn now would show."""
    return library.catalog.first_contents(library.space_id, MOST)


def photos_of(library: Library, contents: Collection[int]) -> dict[int, PhotoRecord]:
    """A present photo, the first by its path, of each of these contents that has one."""
    found = library.catalog.photos(contents, Filter(), library.space_id)
    return {content: photos[0] for content, photos in found.items()}


def draw(library: Library, old: Atlas | None = None) -> Iterator[tuple[Progress, Atlas | None]]:
    """Draw the map: progress in percent, and at the end the map. It goes on from an old one that has half of the pictures.

    Raises ShardError where vectors can't be read.
    """
    yield step(READING, 0, 100), None
    contents, vectors = _vectors(library, contents_to_show(library))
    known = None if old is None else old.places_of(contents)
    if known is not None and np.isnan(known[:, 0]).mean() > 0.5:
        known = None
    for share, places in project(vectors, known):
        yield step(ARRANGING, round(100 * share), 100), None if places is None else Atlas(contents, places)


def save(library: Library, atlas: Atlas) -> None:
    """Keep a map for the next start. Raises OSError where the disk refuses."""
    path = _path(library)
    path.parent.mkdir(exist_ok=True)
    half = path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}{HALF}")
    try:
        with half.open("wb") as file:
            np.savez(file, contents=atlas.contents, places=atlas.places, about=np.array(_about(library)))
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    _sweep(library)


def load(library: Library) -> Atlas | None:
    """The map that was kept for the library's space, None where there is none that is whole."""
    try:
        # Opened here: NumPy would leave a file open that is no archive.
        with _path(library).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            contents, places, about = file["contents"], file["places"], str(file["about"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    is_sound = contents.dtype == np.int64 and contents.ndim == 1 and places.dtype == np.float32
    is_sound = is_sound and places.shape == (len(contents), 2) and bool(np.isfinite(places).all())
    return Atlas(contents, places) if is_sound and about == _about(library) else None


def _vectors(library: Library, contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(those of the contents that have a vector, float32 (n, d): their vectors as searches compare them)."""
    part = library.space.pooled
    library.vectors.refresh()
    known, vectors = library.vectors.of(contents, part)
    whitening = library.indexes.whitening(part)
    return contents[known], vectors[known] if whitening is None else whitening.of(vectors[known])


def _about(library: Library) -> str:
    """Whose map it is: numbers of contents and spaces mean something in one catalogue only."""
    key, model, _ = library.catalog.space(library.space_id)
    return json.dumps([key, model, library.catalog.born()])


def _path(library: Library) -> Path:
    return library.cache / f"map-{library.space_id}.npz"


def _sweep(library: Library) -> None:
    """Remove the maps of spaces that were given up, and what kills left."""
    kept = {f"map-{space.id}.npz" for space in library.catalog.spaces()}
    for path in library.cache.glob("map-*.npz*"):
        with suppress(OSError):  # another process was faster
            is_half = path.name.endswith(HALF)
            if (is_half and path.stat().st_mtime < time.time() - OLD_S) or not (is_half or path.name in kept):
                path.unlink()
