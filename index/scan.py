"""Walk folders: what could be a picture, with its stamp, in a fixed order."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from regconv.images import looks_like_image
from storage.records import FileStamp

HEAD_BYTES = 32
OURS = frozenset({"catalog.sqlite", "backup.json", "backup.lock"})  # one of them is in every library and every backup,
KEPT_IN = frozenset({"shards", "thumbnails"})  # beside one of these; a backup's catalogue has a name of its own
NO_PHOTOS = KEPT_IN | {"cache"}


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder whose files could not be listed: what is known below it stays as it was."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mounted:
    """A folder below the root on which another disk begins."""

    path: str


def roots(folders: Iterable[str]) -> list[str]:
    """Absolute paths of the folders, each once, none inside another."""
    found: list[str] = []
    # With the separator at the end, what lies inside a folder follows it directly: "a/", "a/b/", "a-b/".
    for folder in sorted({os.path.join(os.path.abspath(os.path.expanduser(folder)), "") for folder in folders}):
        if not found or not folder.startswith(found[-1]):
            found.append(folder)
    return [os.path.dirname(folder) for folder in found]


def scan(root: str, skip: Collection[str] = ()) -> Iterator[FileStamp | Unlisted | Mounted]:
    """Every file below `root` that is or claims to be an image, folder by folder, sorted by name; and where disks begin.

    Links to files are followed, links to folders are not (a link may lead back up). Folders in `skip` (real paths) are
    left out, and of any library or backup met what it keeps there: its thumbnails are no photos, those beside them are.
    """
    pending: list[tuple[str, int | None]] = [(root, None)]  # folders, and the devices of those above them
    while pending:
        folder, above = pending.pop()
        try:
            device = device_of(folder)
            if above is not None and device != above:
                yield Mounted(folder)
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Unlisted(folder, f"The folder can't be listed: {error.strerror}.")
            continue
        own = not_photos(entry.name for entry in entries)
        below = [entry.path for entry in entries if _is_folder(entry) and entry.name not in own]
        pending += [(path, device) for path in reversed(below) if os.path.realpath(path) not in skip]
        for entry in entries:
            stamp = _stamp(entry)
            if stamp is not None:
                yield stamp


def not_photos(names: Iterable[str]) -> Collection[str]:
    """Of a folder with these names in it, the subfolders that a library or a backup there keeps its own files in."""
    found = set(names)
    return NO_PHOTOS if found & OURS and found & KEPT_IN else frozenset()


def device_of(folder: str) -> int:
    """The number of the device that a folder lies on."""
    return os.stat(folder).st_dev


def mount_point(folder: str) -> str | None:
    """The folder, or the one above it, on which its disk begins; None for the disk that all others are mounted on.

    Raises OSError where the folder is not there.
    """
    device = device_of(folder)
    above = os.path.dirname(folder)
    while above != folder and device_of(above) == device:
        folder, above = above, os.path.dirname(above)
    return None if above == folder else folder


def is_empty(root: str) -> bool:
    """Whether a folder has no entries at all: what is left where a disk was mounted looks so."""
    with os.scandir(root) as listing:
        return next(listing, None) is None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return True  # listing it will fail and say so: what is known below it stays


def _stamp(entry: os.DirEntry[str]) -> FileStamp | None:
    """The stamp of a candidate, None for anything else. One that vanishes meanwhile is not seen."""
    try:
        if entry.is_dir():
            return None
        facts = entry.stat()
        if not stat.S_ISREG(facts.st_mode) or not (looks_like_image(entry.name, b"") or _has_image_head(entry.path)):
            return None
        return FileStamp(entry.path, facts.st_size, facts.st_mtime_ns)
    except OSError:
        # A broken link says nothing of an image, unless its name does.
        return FileStamp(entry.path, 0, 0) if looks_like_image(entry.name, b"") else None


def _has_image_head(path: str) -> bool:
    with open(path, "rb", buffering=0) as file:
        return looks_like_image("", file.read(HEAD_BYTES))
