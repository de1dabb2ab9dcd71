"""What a backup says that it holds: the file backup.json, read and written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from index.errors import DamagedBackup, LibraryError
from storage.shards import TEMPORARY, ShardFile, replaced

MANIFEST, SHARDS, THUMBNAILS = "backup.json", "shards", "thumbnails"
FORMAT = 1


@dataclass(frozen=True)
class CatalogFile:
    """The catalogue's file in a backup."""

    file: str
    bytes: int
    checksum: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    model: str
    born: str  # when its library was made: which library it is, wherever it lies
    made_at: str
    photos: dict[str, int]  # by state
    catalog: CatalogFile | None  # None where a server has it
    shards: list[ShardFile]
    thumbnails: int
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Make a folder the backup that this describes: until here it is what it was before."""
        with replaced(folder / MANIFEST) as file:
            file.write(json.dumps(asdict(self), indent=1).encode())


def manifest_of(backup: Path) -> Manifest:
    """What a backup says that it holds. Raises DamagedBackup, and LibraryError where there is
    none that is whole, or one of a newer RegConv."""
    path = backup / MANIFEST
    if backup.is_file():
        raise LibraryError(f"{backup} is a file; give the folder of `backup --out`.")
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise LibraryError(
            f"There is no whole backup in {backup}: it has no {MANIFEST}. Give the folder of `backup --out`."
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    try:
        if values["format"] != FORMAT:
            raise LibraryError(
                f"The backup in {backup} has format {values['format']}, this RegConv knows {FORMAT}. Use the newer one."
            )
        shards = [ShardFile(**shard) for shard in values.pop("shards")]
        catalog = None if values["catalog"] is None else CatalogFile(**values["catalog"])
        manifest = Manifest(**values | {"catalog": catalog, "shards": shards})
        for name in [shard.file for shard in shards] + ([catalog.file] if catalog else []):
            if Path(name).name != name:
                raise ValueError(f"{name!r} is no name of a file")
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"it lacks {error}" if isinstance(error, KeyError) else error) from error
    return manifest


def thumbnails_in(folder: Path) -> Iterator[Path]:
    """The thumbnails below a folder, one of its subfolders at a time."""
    with suppress(FileNotFoundError):
        for subfolder in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield from (path for path in subfolder.iterdir() if not path.name.endswith(TEMPORARY))


def _damaged(path: Path, error: Exception | str) -> DamagedBackup:
    return DamagedBackup(
        f"{path} is damaged ({error}): nothing says any more what the backup holds. Take another backup, or renew this one "
        "from its library by `backup`."
    )
