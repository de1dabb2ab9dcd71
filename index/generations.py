"""Saved indexes: FAISS files in the cache folder, each with a row in the catalogue that says what it holds.

A cache: whatever is missing, damaged or older than its row is built again from the shards. Written under the library's
lease only, so that what no row names can be swept.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from index.errors import IndexMismatch, LibraryError
from storage.catalog import Catalog
from storage.records import GenerationRecord
from storage.shards import checksum_of

T = TypeVar("T")
PLACES = "places"  # the part under whose name the places of the stored vectors are kept
ENDINGS = (".faiss", ".places")
HALF = "-half"


class Saves(Protocol):
    """What can be kept: an index, or the places of the stored vectors."""

    def save(self, path: Path) -> None: ...
    def __len__(self) -> int: ...


class Generations:
    """The saved indexes of one library."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.folder = folder

    def open(
        self, space_id: int, part: str, read: Callable[[Path, GenerationRecord], T], form: str = ""
    ) -> tuple[T, GenerationRecord] | None:
        """What `read` makes of the newest saved file of a part, if it is whole and as its row says; and the row.

        `form` names how the vectors inside were changed before they were put in: a file of another form is not read.
        """
        record = self.catalog.generation(space_id, part)
        if record is None or _form_of(record.file) != form:
            return None
        path = self.folder / record.file
        try:
            if checksum_of(path) != record.checksum:
                return None
            return read(path, record), record
        except (OSError, IndexMismatch):
            return None

    def last_shard(self, space_id: int, part: str) -> int | None:
        """The newest shard inside the saved file of a part that is still there, None without one."""
        record = self.catalog.generation(space_id, part)
        return record.last_shard if record is not None and (self.folder / record.file).exists() else None

    def save(self, space_id: int, part: str, index: Saves, last_shard: int, form: str = "") -> None:
        """Keep an index as the newest of its part. Raises LibraryError where the disk refuses."""
        name = "-".join(filter(None, (part, form, uuid.uuid4().hex[:12])))
        path = self.folder / f"{name}{ENDINGS[part == PLACES]}"
        half = path.with_name(path.name + HALF)
        try:
            self.folder.mkdir(exist_ok=True)
            index.save(half)
            half.replace(path)
        except (OSError, RuntimeError) as error:  # FAISS raises the latter
            half.unlink(missing_ok=True)
            raise LibraryError(
                f"The index could not be kept in {self.folder}: {error}. Nothing is lost, it is built again when it is asked "
                "for. Make room there, or make the folder writable."
            ) from error
        record = GenerationRecord(
            0, part, path.name, path.stat().st_size, checksum_of(path), len(index), last_shard
        )  # fmt: skip
        self.catalog.add_generation(space_id, record)
        self.sweep()

    def drop(self, space_id: int) -> None:
        """Forget every saved index of a space."""
        self.catalog.drop_generations(space_id)
        self.sweep()

    def damaged(self, space_id: int, parts: tuple[str, ...]) -> list[str]:
        """The files that are not what was saved. A missing one is no damage: who deletes the cache loses time only."""
        records = [self.catalog.generation(space_id, part) for part in parts]
        files = [(self.folder / record.file, record.checksum) for record in records if record is not None]
        return [path.name for path, checksum in files if path.exists() and checksum_of(path) != checksum]

    def sweep(self) -> None:
        """Remove older generations' files, and what a kill left while one was written."""
        known = self.catalog.generation_files()
        for path in self.folder.glob("*"):
            if path.name.removesuffix(HALF).endswith(ENDINGS) and path.name not in known:
                with suppress(OSError):  # in use by another process, where that keeps it from being removed
                    path.unlink()


def _form_of(file: str) -> str:
    """The form in a saved file's name, "" for vectors as they are stored."""
    return "-".join(file.split("-")[1:-1])
