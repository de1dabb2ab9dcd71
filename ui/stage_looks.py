"""The last pictures that were looked at stage by stage, kept so that a page or a click needs no network."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from index.errors import LibraryError
from index.library import Library
from regconv.cell_geometry import CellGrid, cell_grids, receptive_fields
from regconv.errors import CheckpointError, UnreadableImage

KEPT_BYTES = 128 << 20  # of all maps that are kept; a single look that is larger is kept alone

_Key = tuple[str, str, int, int]  # the space's, path, size, mtime_ns


@dataclass(frozen=True)
class StageLook:
    """One stage's maps of one picture, float32 (c, h, w), and how they lie on it; receptive: pixels that a cell looks at."""

    name: str
    maps: np.ndarray
    grid: CellGrid
    receptive: int

    @cached_property
    def means(self) -> np.ndarray:
        """Each channel's mean, float32 (c,)."""
        means: np.ndarray = self.maps.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        return means

    @cached_property
    def strongest(self) -> np.ndarray:
        """The channels by their mean, the highest first, int64 (c,)."""
        return np.argsort(-self.means, kind="stable")

    @cached_property
    def widest(self) -> float:
        """The range of values of the map that has most."""
        return float((self.maps.max(axis=(1, 2)) - self.maps.min(axis=(1, 2))).max())


@dataclass(frozen=True)
class StagesLook:
    """A picture, uint8 (side, side, 3), as the network got it, with the maps of the stem and every stage by name."""

    title: str  # the file's name
    picture: np.ndarray
    content_id: int | None  # where it is of the library
    stages: dict[str, StageLook]

    @property
    def bytes_kept(self) -> int:
        """The memory of its arrays."""
        return self.picture.nbytes + sum(stage.maps.nbytes for stage in self.stages.values())


class StageLooks:
    """Looks by file identity and space, the least recently used dropped first; safe for several threads."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self.most_bytes = most_bytes
        self.made = 0  # how often the network ran
        self._kept: OrderedDict[_Key, StagesLook] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, library: Library, picture: str | int) -> StagesLook:
        """The look at a file, or at a photo of the library by its id; `library` is a handle from `follow`.

        Raises UnreadableImage; LibraryError for an unknown photo; CheckpointError where values are not finite; what loading
        the network raises.
        """
        path = picture if isinstance(picture, str) else _path(library, picture)
        try:
            stat = os.stat(path)
        except OSError as error:
            raise UnreadableImage(path, error.strerror or "can't be reached") from error
        key = (library.space.key, path, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        look = _look(library, path)
        with self._lock:
            self.made += 1
            self._kept[key] = look
            while len(self._kept) > 1 and sum(one.bytes_kept for one in self._kept.values()) > self.most_bytes:
                self._kept.popitem(last=False)
        return look


def _path(library: Library, photo_id: int) -> str:
    photo = library.catalog.photo(photo_id)
    if photo is None:
        raise LibraryError(f"There is no photo with the number {photo_id} in this library any more.")
    return photo.path


def _look(library: Library, path: str) -> StagesLook:
    """One run of the network, without the vectors that a search needs."""
    decoded = library.decoder.picture(path)
    features = library.backbone.features(decoded.picture[None])
    config = library.description.config
    grids, fields = cell_grids(config), receptive_fields(config)
    stages = {}
    for (name, grid), maps in zip(grids.items(), (features.stem, *features.stages), strict=True):
        if not np.isfinite(maps).all():
            raise CheckpointError(f"{name} has values that are not finite; bad weights?")
        stages[name] = StageLook(name, maps[0], grid, fields[name])
    content_id = library.catalog.contents_with([decoded.digest]).get(decoded.digest)
    return StagesLook(os.path.basename(path), decoded.picture, content_id, stages)
