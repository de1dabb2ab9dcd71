"""back_up: a consistent copy of a library in a folder, made while a job may be at work, brought up to date again and again.

    backup.json         what the backup holds; it is replaced by a rename, which is the moment the old backup becomes the new
    catalog-….sqlite    the catalogue; none where a server has it
    shards/             each named by backup.json with size and checksum
    thumbnails/         the cache is left out: it is built again

Shards are never changed once written, so those of an earlier backup stay. The catalogue is copied after them, and what it names
beyond them is fetched then; where a job merged that away meanwhile, the catalogue is copied again.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.errors import DamagedBackup, LibraryError
from index.library import Library
from index.manifest import (
    MANIFEST,
    SHARDS,
    THUMBNAILS,
    CatalogFile,
    Manifest,
    manifest_of,
    thumbnails_in,
)
from index.progress import DONE, Progress, step
from storage.database import now
from storage.shards import ShardFile, checksum_of, replaced
from storage.snapshot import Snapshot, is_a_file, take_snapshot

LOCK = "backup.lock"
ROUNDS = 10  # of copying the catalogue again because a job merged shards meanwhile
OURS = re.compile(r"backup\.(json|lock)(\..*)?|shards|thumbnails|catalog-.*\.sqlite(-journal|-wal|-shm)?")
SHOWN = 200  # thumbnails between two signs of life
SERVERS = (
    "The catalogue is on a server and is not in this backup: copy it with the server's own tools (pg_dump for PostgreSQL), "
    "while no job runs."
)


@dataclass
class Placed:
    """How many files came how."""

    copied: int = 0
    kept: int = 0  # from an earlier backup
    bytes: int = 0  # copied

    def copy(self, source: Path, target: Path, *, durable: bool = True) -> None:
        """Copy a file that is never changed to where it appears whole. Not by link: who damages one must not damage both."""
        copy_whole(source, target, durable=durable)
        self.copied += 1
        self.bytes += target.stat().st_size


@dataclass
class _Work:
    """A backup being made."""

    library: Library
    out: Path
    born: str
    placed: Placed = field(default_factory=Placed)
    thumbnails: Placed = field(default_factory=Placed)
    sound: set[str] = field(default_factory=set)  # shards whose bytes in the backup were checked in this run


def back_up(library: Library, out: str | Path) -> Generator[Progress, None, None]:
    """Make or renew the backup in the folder `out`; the last Progress carries counts and paths.

    A kill or an error leaves the backup that was there. Raises LibraryError where `out` is something else than a backup of this
    very library, the disk refuses, or a shard of the library is damaged.
    """
    start = time.monotonic()
    work = _Work(library, Path(out).expanduser().absolute(), library.catalog.born())
    _check_place(library, work.out)
    _check_same_library(work)
    with _disk_errors(work.out), alone(work.out):
        for name in (SHARDS, THUMBNAILS):
            (work.out / name).mkdir(parents=True, exist_ok=True)
        yield from _place_shards(work, library.catalog.all_shards())
        catalog, snapshot = yield from _catalog(work)
        yield from _place_thumbnails(work)
        held = work.thumbnails.copied + work.thumbnails.kept
        manifest = Manifest(
            library.model, work.born, now().isoformat(), snapshot.photos, catalog, snapshot.shards, held
        )
        manifest.write(work.out)
        _sweep(work, manifest)
    yield step(DONE, 1, 1, report=_report(work, manifest, time.monotonic() - start))


def _report(work: _Work, manifest: Manifest, seconds: float) -> dict[str, Any]:
    return {
        "backup": str(work.out),
        "library": str(work.library.folder),
        "catalog": None if manifest.catalog is None else str(work.out / manifest.catalog.file),
        "note": None if manifest.catalog is not None else SERVERS,
        "photos": manifest.photos,
        "shards": len(manifest.shards),
        "shards_new": work.placed.copied,
        "thumbnails": manifest.thumbnails,
        "thumbnails_new": work.thumbnails.copied,
        "bytes_copied": work.placed.bytes + work.thumbnails.bytes,
        "seconds": round(seconds, 3),
    }


# the catalogue


def _catalog(work: _Work) -> Generator[Progress, None, tuple[CatalogFile | None, Snapshot]]:
    """The catalogue's copy, and the shards that it names, all of which are in the backup by then."""
    catalog = work.library.catalog
    if not is_a_file(catalog.engine):
        counts = catalog.counts(None)
        counts.pop("embedded")
        return None, Snapshot([shard for shard in catalog.all_shards() if shard.file in work.sound], counts)
    for _ in range(ROUNDS):
        yield step("copying the catalogue", 0, 1)
        path = work.out / f"catalog-{uuid.uuid4().hex[:12]}.sqlite"
        snapshot = take_snapshot(catalog.engine, path)
        yield from _place_shards(work, [shard for shard in snapshot.shards if shard.file not in work.sound])
        if work.sound.issuperset(shard.file for shard in snapshot.shards):
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            return CatalogFile(path.name, path.stat().st_size, checksum_of(path)), snapshot
        path.unlink()
    raise LibraryError(
        f"Shards were merged away faster than they could be copied, {ROUNDS} times. The backup is as it was; run it again "
        "when the index job is done."
    )


# files


def _place_shards(work: _Work, shards: Iterable[ShardFile]) -> Iterator[Progress]:
    """Bring shards into the backup, each checked byte by byte where it lies. One merged away meanwhile is left out."""
    shards = list(shards)
    for done, shard in enumerate(shards):
        yield step("copying shards", done, len(shards), shard.file)
        source, target = work.library.shards.folder / shard.file, work.out / SHARDS / shard.file
        if _is(target, shard):
            work.placed.kept += 1
        else:
            try:
                work.placed.copy(source, target)
            except FileNotFoundError as error:
                if shard in work.library.catalog.all_shards():
                    raise LibraryError(f"{source} is not there. {_MEND}") from error
                continue
            if not _is(target, shard):
                target.unlink()
                raise LibraryError(f"{source} is not what was once written: its bytes have changed. {_MEND}")
        work.sound.add(shard.file)


_MEND = (
    "The backup is as it was. `python app.py doctor` says what is affected, `--mend` and an index run make it again."
)


def _is(path: Path, shard: ShardFile) -> bool:
    try:
        return path.stat().st_size == shard.bytes and checksum_of(path) == shard.checksum
    except FileNotFoundError:
        return False


def _place_thumbnails(work: _Work) -> Iterator[Progress]:
    """Bring every thumbnail into the backup. They are named by what they show; one of another size was made anew."""
    for done, source in enumerate(thumbnails_in(work.library.thumbnails.folder), 1):
        target = work.out / THUMBNAILS / source.parent.name / source.name
        with suppress(FileNotFoundError):  # removed meanwhile
            size = source.stat().st_size
            if target.exists() and target.stat().st_size == size:
                work.thumbnails.kept += 1
            else:
                target.parent.mkdir(exist_ok=True)
                work.thumbnails.copy(source, target, durable=False)
        if done % SHOWN == 0:
            yield step("copying thumbnails", done, None, source.name)


def copy_whole(source: Path, target: Path, *, durable: bool = True) -> None:
    """Copy a file, which appears whole or not at all."""
    with source.open("rb") as original, replaced(target, durable=durable) as file:
        shutil.copyfileobj(original, file, 1 << 20)


def _sweep(work: _Work, manifest: Manifest) -> None:
    """Remove what the backup no longer names: older catalogues, shards merged away, thumbnails of what was forgotten."""
    kept = {MANIFEST, LOCK, SHARDS, THUMBNAILS} | ({manifest.catalog.file} if manifest.catalog else set())
    shards = {shard.file for shard in manifest.shards}
    stale = [path for path in work.out.iterdir() if path.name not in kept]
    stale += [path for path in (work.out / SHARDS).iterdir() if path.name not in shards]
    own = work.library.thumbnails.folder
    stale += [
        path
        for subfolder in (work.out / THUMBNAILS).iterdir()
        for path in subfolder.iterdir()
        if not (own / subfolder.name / path.name).exists()
    ]
    for path in stale:
        with suppress(OSError):  # the backup is whole; the next one tries again
            path.unlink()


# where


def _check_place(library: Library, out: Path) -> None:
    for one, other in ((out, library.folder), (library.folder, out)):
        if one.resolve().is_relative_to(other.resolve()):
            raise LibraryError(
                f"A backup in {out} would lie in the library {library.folder}, or hold it. Give another folder."
            )
    if out.exists() and not out.is_dir():
        raise LibraryError(f"{out} is a file. Give a folder for the backup.")
    if out.exists() and (others := [name for name in os.listdir(out) if not OURS.fullmatch(name)]):
        raise LibraryError(
            f"{out} holds other things, such as {sorted(others)[0]}. Give a new folder, or that of a backup."
        )


def _check_same_library(work: _Work) -> None:
    """A library made anew in the old one's place must not take the place of the old one's backup."""
    if not (work.out / MANIFEST).exists():
        return
    try:
        there = manifest_of(work.out)
    except DamagedBackup:
        return  # it is worth nothing as it is; its files are checked one by one
    if there.born != work.born:
        raise LibraryError(
            f"The backup in {work.out} is of another library, made at {there.born} with {there.model}; the one in "
            f"{work.library.folder} was made at {work.born}. Give a new folder."
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else makes a backup in this folder meanwhile. Raises LibraryError where somebody does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("wb") as file:
        try:
            import fcntl
        except ImportError:  # Windows: two at a time are the user's own fault there
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LibraryError(f"Another backup is being made in {folder}. Wait for it, then start again.") from error
        yield


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"The backup in {out} could not be written: {error}. What was there before is still whole; mend the disk and run it "
            "again."
        ) from error
