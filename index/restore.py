"""restore: a backup becomes a library again. Everything is checked first, and what was in its place is moved aside."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from index.backup import SERVERS, SHOWN, copy_whole
from index.errors import LibraryError
from index.manifest import SHARDS, THUMBNAILS, Manifest, manifest_of, thumbnails_in
from index.progress import DONE, Progress, step
from storage.catalog import Catalog
from storage.database import now, sqlite_url
from storage.errors import JobRunning, StorageError
from storage.shards import checksum_of

HALF = ".restoring"
OURS = re.compile(r"catalog\.sqlite.*|shards|thumbnails")  # what a kill may leave there


def restore(
    backup: str | Path, folder: str | Path, *, force: bool = False, database: str | None = None
) -> Generator[Progress, None, None]:
    """Make the library `folder` what the backup holds; the last Progress carries counts and paths.

    Nothing is there, or everything. A library with photos is in the way unless `force` moves it aside; nothing is deleted.
    `database` is the URL of the catalogue where the backup has none. Raises LibraryError, JobRunning.
    """
    start = time.monotonic()
    source, folder = Path(backup).expanduser().absolute(), Path(folder).expanduser().absolute()
    manifest = manifest_of(source)
    _check_catalog(manifest, database)
    in_the_way = _in_the_way(folder, force)
    half = _half(folder)
    try:
        shutil.rmtree(half, ignore_errors=True)  # what a kill left of an earlier try
        half.mkdir(parents=True)
        yield from _copy(source, manifest, half)
        counts, missing = _opened(half, manifest, database)
        moved = _into_place(half, folder, in_the_way)
    except OSError as error:
        raise LibraryError(f"The library could not be restored: {error}. {folder} is as it was.") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    held = sum(1 for _ in thumbnails_in(folder / THUMBNAILS))
    report = {
        "library": str(folder),
        "backup": str(source),
        "made_at": manifest.made_at,
        "model": manifest.model,
        "photos": counts,
        "shards": len(manifest.shards),
        "shards_missing": missing,  # of a server's catalogue that is younger than the backup: `doctor --mend`
        "thumbnails": held,
        "thumbnails_missing": max(0, manifest.thumbnails - held),
        "moved_aside": None if moved is None else str(moved),
        "seconds": round(time.monotonic() - start, 3),
    }
    yield step(DONE, 1, 1, report=report)


def _half(folder: Path) -> Path:
    """Where the library is put together. Raises LibraryError where something else has that name."""
    half = folder.with_name(folder.name + HALF)
    if half.exists() and (not half.is_dir() or not all(OURS.fullmatch(name) for name in os.listdir(half))):
        raise LibraryError(f"{half} is in the way and not of an earlier try. Give it another name, then restore again.")
    return half


def _check_catalog(manifest: Manifest, database: str | None) -> None:
    if manifest.catalog is None and database is None:
        raise LibraryError(f"{SERVERS} Restore it there first, then give its --database here too.")
    if manifest.catalog is not None and database is not None:
        raise LibraryError("This backup holds its catalogue, an SQLite file: leave --database out.")


def _in_the_way(folder: Path, force: bool) -> bool:
    """Whether something has to be moved aside; raises LibraryError where it must not be."""
    if not folder.exists() or (folder.is_dir() and not os.listdir(folder)):
        return False
    file = folder / "catalog.sqlite"
    if not file.exists() and not (folder / SHARDS).is_dir():
        raise LibraryError(f"{folder} holds other things and no library. Give a new folder as --library.")
    photos: int | None = None
    if file.exists():
        try:
            catalog = Catalog(sqlite_url(file))
            try:
                # A job at work would go on writing into the folder that is moved away.
                catalog.finish_job(catalog.start_job("restore", []), "done")
                photos = sum(count for name, count in catalog.counts(None).items() if name != "embedded")
            finally:
                catalog.close()
        except JobRunning:
            raise
        except StorageError:
            pass  # damaged, perhaps the reason for all this: what it held is not known
    if photos != 0 and not force:
        held = "a library that can't be read" if photos is None else f"a library of {photos} photos"
        raise LibraryError(f"{folder} holds {held}. Give another --library, or --force, which moves this one aside.")
    return True


def _copy(source: Path, manifest: Manifest, half: Path) -> Iterator[Progress]:
    """Copy everything, checking the bytes of what can't be made again."""
    (half / SHARDS).mkdir()
    (half / THUMBNAILS).mkdir()
    files = [(SHARDS + "/" + shard.file, SHARDS + "/" + shard.file, shard.checksum) for shard in manifest.shards]
    if manifest.catalog is not None:
        files.append((manifest.catalog.file, "catalog.sqlite", manifest.catalog.checksum))
    for done, (name, target, checksum) in enumerate(files):
        yield step("copying", done, len(files), name)
        try:
            copy_whole(source / name, half / target)
        except FileNotFoundError as error:
            raise LibraryError(
                f"The backup in {source} is not whole: {name} is missing. Nothing was restored."
            ) from error
        if checksum_of(half / target) != checksum:
            raise LibraryError(
                f"The backup in {source} is damaged: the bytes of {name} have changed since it was made. Nothing was restored."
            )
    for done, thumbnail in enumerate(thumbnails_in(source / THUMBNAILS)):
        target_path = half / THUMBNAILS / thumbnail.parent.name / thumbnail.name
        target_path.parent.mkdir(exist_ok=True)
        copy_whole(thumbnail, target_path, durable=False)
        if done % SHOWN == 0:
            yield step("copying thumbnails", done, manifest.thumbnails, thumbnail.name)


def _opened(half: Path, manifest: Manifest, database: str | None) -> tuple[dict[str, int], int]:
    """The photos by state that the catalogue counts, once it opens and is of a schema known here; how many shards it misses."""
    catalog = Catalog(database or sqlite_url(half / "catalog.sqlite"))
    try:
        counts = catalog.counts(None)
        counts.pop("embedded")
        return counts, len(catalog.shard_files() - {shard.file for shard in manifest.shards})
    finally:
        catalog.close()


def _into_place(half: Path, folder: Path, in_the_way: bool) -> Path | None:
    """Where the folder that was in the way is now."""
    aside = None
    if in_the_way:
        aside = folder.with_name(f"{folder.name}.before-restore-{now():%Y%m%d-%H%M%S}")
        folder.rename(aside)
    try:
        half.replace(folder)
    except OSError:
        if aside is not None:
            aside.rename(folder)
        raise
    return aside
