"""What a library was told to index, and what it takes on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from index.library import Library
from index.scan import roots
from storage.tables import PRESENT, UNREADABLE


@dataclass(frozen=True)
class IndexedFolder:
    """A folder that was indexed, with all below it."""

    path: str
    photos: int
    unreadable: int


@dataclass(frozen=True)
class Sizes:
    """Bytes on the disk. `catalog` is None where a server keeps the catalogue."""

    catalog: int | None
    vectors: int
    cache: int
    thumbnails: int

    @property
    def total(self) -> int:
        """All of it."""
        return (self.catalog or 0) + self.vectors + self.cache + self.thumbnails


def indexed_folders(library: Library) -> list[IndexedFolder]:
    """The folders that were ever indexed and of which something is known, none inside another, by path."""
    found = []
    for path in roots(library.catalog.job_folders("index")):
        counts = library.catalog.counts_below(path)
        folder = IndexedFolder(path, counts.get(PRESENT, 0), counts.get(UNREADABLE, 0))
        found += [folder] if folder.photos or folder.unreadable else []
    return found


def sizes(library: Library) -> Sizes:
    """What the library takes; every file is asked, which takes a while where there are a million thumbnails."""
    database = library.catalog.engine.url
    is_file = database.get_backend_name() == "sqlite"
    files = [library.folder / f"catalog.sqlite{ending}" for ending in ("", "-wal", "-shm")] if is_file else []
    return Sizes(
        sum(map(_size, files)) if is_file else None,
        _below(library.shards.folder),
        _below(library.cache),
        _below(library.thumbnails.folder),
    )


def _size(path: Path) -> int:
    with suppress(OSError):  # gone meanwhile
        return path.stat().st_size
    return 0


def _below(folder: Path) -> int:
    return sum(_sizes_below(folder))


def _sizes_below(folder: Path | str) -> Iterator[int]:
    with suppress(OSError), os.scandir(folder) as listing:
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes_below(entry.path)
            else:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False).st_size
