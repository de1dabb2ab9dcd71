"""Disks below the indexed folders, and what becomes of their photos when one is not mounted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import index.scan
from index.library import Library
from index.mounts import SETTING
from index.scan import mount_point
from index.search import example_of_photo, find_similar

ROOT = Path(__file__).parents[2]
Run = Callable[..., dict[str, Any]]
Paint = Callable[..., Path]


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders on which another device begins."""
    points: set[Path] = set()

    def device_of(folder: str) -> int:
        os.stat(folder)
        return 1 + sum(Path(folder).is_relative_to(point) for point in points)

    monkeypatch.setattr(index.scan, "device_of", device_of)
    return points


@pytest.fixture
def disk(photos: Path, paint: Paint, disks: set[Path], library: Library, run: Run) -> Path:
    """A disk with two photos below a folder with five, indexed."""
    point = photos / "disk"
    paint(point / "rose.png", "rose", seed=1)
    paint(point / "sub" / "lime.png", "lime", seed=2)
    disks.add(point)
    assert run(library, photos)["embedded"] == 7
    return point


def unmount(disk: Path, disks: set[Path], leaves_a_folder: bool) -> Path:
    kept = disk.rename(disk.parent.parent / "on the shelf")
    disks.discard(disk)
    if leaves_a_folder:
        disk.mkdir()
    return kept


def states(library: Library) -> dict[str, int]:
    counts = library.catalog.counts(library.space_id)
    return {state: counts[state] for state in ("present", "gone")}


@pytest.mark.parametrize("leaves_a_folder", [True, False])
@pytest.mark.usefixtures("inline_decoder")
def test_photos_of_a_disk_that_is_not_mounted_stay(
    library: Library, photos: Path, disk: Path, disks: set[Path], run: Run, leaves_a_folder: bool
) -> None:
    kept = unmount(disk, disks, leaves_a_folder)
    (photos / "red.png").unlink()
    for _ in range(2):
        report = run(library, photos)
        [skipped] = report["skipped_folders"]
        assert skipped["path"] == str(disk)
        assert "was a disk of its own and is not mounted: its photos were left as they were" in skipped["reason"]
    assert states(library) == {"present": 6, "gone": 1}
    rose = next(photo.id for photo in library.catalog.photos_in("present", 10) if photo.path == str(disk / "rose.png"))
    found = find_similar(library, [example_of_photo(library, rose)], k=1).neighbours
    assert [each.photo.path for each in found] == [str(disk / "rose.png")]
    if leaves_a_folder:
        disk.rmdir()
    kept.rename(disk)
    disks.add(disk)
    report = run(library, photos)
    assert (report["unchanged"], report["gone"], report["skipped_folders"]) == (6, 0, [])


@pytest.mark.usefixtures("inline_decoder")
def test_a_mount_point_that_is_an_ordinary_folder_now_is_believed(
    library: Library, photos: Path, disk: Path, disks: set[Path], run: Run
) -> None:
    unmount(disk, disks, leaves_a_folder=True)
    (disk / "note.txt").write_text("the disk is no more")
    report = run(library, photos)
    assert (report["gone"], report["skipped_folders"]) == (2, [])
    (disk / "note.txt").unlink()
    assert run(library, photos)["skipped_folders"] == [], "forgotten: nothing of it is known any more"


@pytest.mark.usefixtures("inline_decoder")
def test_a_deleted_folder_on_a_mounted_disk_is_believed(library: Library, photos: Path, disk: Path, run: Run) -> None:
    (disk / "sub" / "lime.png").unlink()
    (disk / "sub").rmdir()
    assert run(library, photos)["gone"] == 1
    (disk / "rose.png").unlink()
    report = run(library, photos)
    assert (report["gone"], report["skipped_folders"]) == (1, []), "an empty disk that is mounted is empty"


@pytest.mark.usefixtures("inline_decoder")
def test_photos_of_a_disk_that_is_mounted_elsewhere_move(
    library: Library, photos: Path, disk: Path, disks: set[Path], run: Run
) -> None:
    kept = unmount(disk, disks, leaves_a_folder=True)
    (kept / "rose.png").unlink()
    kept.rename(photos / "other name")
    disks.add(photos / "other name")
    report = run(library, photos)
    assert (report["embedded"], report["moved"], report["gone"]) == (0, 1, 1)
    assert states(library) == {"present": 7, "gone": 1}, "what is not on the other one may be on the missing one"


@pytest.mark.usefixtures("inline_decoder")
@pytest.mark.parametrize("inside", ["", "sub"])
def test_a_root_on_a_disk_is_known_to_runs_over_the_folder_above(
    library: Library, photos: Path, paint: Paint, disks: set[Path], run: Run, inside: str
) -> None:
    disk = photos / "disk"
    paint(disk / "sub" / "rose.png", "rose", seed=1)
    disks.add(disk)
    assert run(library, disk / inside)["embedded"] == 1
    unmount(disk, disks, leaves_a_folder=True)
    report = run(library, photos)
    assert [skipped["path"] for skipped in report["skipped_folders"]] == [str(disk)]
    assert (report["embedded"], report["gone"]) == (5, 0)


@pytest.mark.usefixtures("inline_decoder")
def test_a_disk_in_a_folder_that_cannot_be_listed_is_not_forgotten(
    library: Library, photos: Path, disk: Path, disks: set[Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refused(folder: str) -> Any:
        if folder == str(photos):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    above = photos.parent
    with monkeypatch.context() as patch:
        patch.setattr(index.scan.os, "scandir", refused)
        assert run(library, above)["gone"] == 0
    unmount(disk, disks, leaves_a_folder=True).rename(above.parent / "far away")
    assert run(library, above)["gone"] == 0
    assert str(disk) in (library.catalog.setting(SETTING) or "")


@pytest.mark.usefixtures("inline_decoder")
def test_mount_points_with_odd_names_are_remembered(
    library: Library, photos: Path, paint: Paint, disks: set[Path], run: Run
) -> None:
    disk = photos / os.fsdecode(b"d\xffsk\n")
    paint(disk / "rose.png", "rose", seed=1)
    disks.add(disk)
    run(library, photos)
    unmount(disk, disks, leaves_a_folder=False)
    assert [skipped["path"] for skipped in run(library, photos)["skipped_folders"]] == [str(disk)]


def test_where_a_disk_begins(tmp_path: Path, disks: set[Path]) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    assert mount_point(str(tmp_path / "a" / "b")) is None
    disks.add(tmp_path / "a")
    assert mount_point(str(tmp_path / "a" / "b" / "c")) == str(tmp_path / "a")
    disks.add(tmp_path / "a" / "b")
    assert mount_point(str(tmp_path / "a" / "b" / "c")) == str(tmp_path / "a" / "b")
    assert mount_point("/") is None
    with pytest.raises(FileNotFoundError):
        mount_point(str(tmp_path / "nowhere"))


def test_real_disks_in_a_namespace_of_their_own(tmp_path: Path) -> None:
    own = [shutil.which("unshare") or "", "--user", "--map-root-user", "--mount"]
    if not own[0] or subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace to mount disks in: the planted ones above have to do")
    command = [*own, sys.executable, "-m", "tests.index.real_disks", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
