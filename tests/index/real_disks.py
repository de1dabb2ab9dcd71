"""A program that mounts and unmounts disks in a namespace of its own, and says `done` where a library bears it.

unshare -Urm python -m tests.index.real_disks EMPTY_FOLDER
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import index.pending
from index.doctor import examine
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.search import example_of_photo, find_similar
from storage.errors import CatalogError, ReadOnly
from tests.index.colour_program import without_torch

RED, BLUE = (200, 30, 20), (20, 30, 200)


def main(base: Path) -> None:
    """Every step, asserted."""
    without_torch()
    photos, disk, home, away = (base / name for name in ("photos", "photos/disk", "home", "away"))
    for folder in (disk, home, away):
        folder.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", disk)
    Image.new("RGB", (40, 30), RED).save(photos / "red.png")
    Image.new("RGB", (40, 30), BLUE).save(disk / "blue.png")
    with Library.open(home, model="colours", create=True) as library:
        assert indexed(library, photos)["embedded"] == 2
        mount("--move", disk, away)
        report = indexed(library, photos)
        assert [skipped["path"] for skipped in report["skipped_folders"]] == [str(disk)]
        assert (report["unchanged"], report["gone"]) == (1, 0)
        mount("--move", away, disk)
        assert indexed(library, photos)["unchanged"] == 2
        log = (home / "catalog.sqlite-wal").read_bytes()
    only_read(again(home, base / "closed"))
    (home / "catalog.sqlite-wal").write_bytes(log)
    with pytest.raises(CatalogError, match="was not closed by the program that wrote it"):
        Library.open(again(home, base / "not closed"))
    for number in range(18):
        colour = (number * 7, 255 - number * 5, number * 31 % 256)
        Image.new("RGB", (400, 300), colour).save(photos / f"{number}.png")
    kept = [full_disk(photos, base / f"small {room}", room << 10) for room in (8, 60, 180)]
    assert min(kept) < max(kept), kept  # it was full at the first step, and later
    print("done")  # noqa: T201  what the test reads


def full_disk(photos: Path, small: Path, room: int) -> int:
    """A library on a disk that fills up loses nothing, and goes on once there is room: how many photos it had when full."""
    small.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", small)
    index.pending.COMMIT_PHOTOS = 4
    with Library.open(small / "library", model="colours", create=True) as library:
        (small / "ballast").write_bytes(bytes(shutil.disk_usage(small).free - room))
        with pytest.raises((LibraryError, CatalogError), match=r"disk is full|No space left"):
            indexed(library, photos)
        kept = library.catalog.counts(library.space_id)["embedded"]
        assert examine(library, whole=True)["ok"]
    (small / "ballast").unlink()
    mount("-o", "remount,size=8m", small)
    with Library.open(small / "library") as library:
        report = indexed(library, photos)
        assert (kept, report["embedded"]) == (report["unchanged"], 20 - kept)
        assert examine(library, whole=True)["ok"]
    return int(kept)


def again(folder: Path, point: Path) -> Path:
    """The folder mounted a second time, read-only."""
    point.mkdir()
    mount("--bind", folder, point)
    mount("-o", "remount,bind,ro", point)
    return point


def only_read(folder: Path) -> None:
    """The library there is searched, and not changed."""
    with Library.open(folder) as library:
        blue = next(photo for photo in library.catalog.photos_in("present", 9) if photo.path.endswith("blue.png"))
        found = find_similar(library, [example_of_photo(library, blue.id)], k=1).neighbours
        assert [each.photo.path for each in found] == [blue.path]
        with pytest.raises(ReadOnly, match=f"{re.escape(str(folder))} can't be written to"):
            indexed(library, Path(blue.path).parent)


def mount(*options: Any) -> None:
    """`mount` with these options."""
    subprocess.run(["mount", *map(str, options)], check=True)


def indexed(library: Library, folder: Path) -> dict[str, Any]:
    """The report of a job."""
    *_, last = index_folder(library, [str(folder)])
    assert last.report is not None
    return last.report


if __name__ == "__main__":
    main(Path(sys.argv[1]))
