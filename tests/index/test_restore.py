"""What may not become of a backup and a restore: what is damaged, in the way, or another library's is refused and left alone."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import index.backup
import index.compact
import index.pending
from index.backup import alone, back_up
from index.doctor import examine
from index.errors import LibraryError
from index.library import Library
from index.manifest import manifest_of
from index.restore import restore
from storage.database import sqlite_url
from storage.errors import CatalogError, JobRunning
from storage.shards import checksum_of
from tests.index.library_bytes import files_of, report_of, rows_of, tree

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("inline_decoder")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_a_file_in_place_of_a_backups_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("no backup")
    with pytest.raises(LibraryError, match=r"/README\.md is a file; give the folder of `backup --out`\.$") as refused:
        report_of(restore(tmp_path / "README.md", tmp_path / "again"))
    assert type(refused.value) is LibraryError  # and no DamagedBackup
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink], ids=["flip", "truncate", "remove"])
@pytest.mark.parametrize("file", ["shards/*.npy", "catalog-*.sqlite", "backup.json"])
def test_a_damaged_backup_is_refused_by_the_name_of_what_is_damaged(
    lived_in: Library, tmp_path: Path, damage: Callable[[Path], None], file: str
) -> None:
    out = tmp_path / "backup"
    report_of(back_up(lived_in, out))
    path = sorted(out.glob(file))[0]
    if file == "backup.json" and damage is flip:
        path.write_text(path.read_text().replace('"shards"', '"shard"', 1))
    else:
        damage(path)
    rows, files = rows_of(lived_in.folder), files_of(lived_in.folder)
    with pytest.raises(LibraryError) as refused:
        list(restore(out, lived_in.folder, force=True))
    assert path.name in str(refused.value)
    assert str(out) in str(refused.value)
    assert (rows_of(lived_in.folder), files_of(lived_in.folder)) == (rows, files), "the library in the way is as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "library", "photos"]
    report_of(back_up(lived_in, out))  # renewed, it is whole again
    report_of(restore(out, tmp_path / "again"))
    assert rows_of(tmp_path / "again") == rows_of(lived_in.folder)


def test_a_list_that_leads_out_of_the_backup_is_refused(lived_in: Library, tmp_path: Path) -> None:
    report_of(back_up(lived_in, tmp_path / "backup"))
    path = tmp_path / "backup" / "backup.json"
    values = json.loads(path.read_text())
    values["shards"][0]["file"] = "../../library/catalog.sqlite"
    path.write_text(json.dumps(values))
    with pytest.raises(LibraryError, match="is no name of a file"):
        list(restore(tmp_path / "backup", tmp_path / "again"))


def test_a_backup_of_a_newer_program_is_refused(lived_in: Library, tmp_path: Path) -> None:
    report_of(back_up(lived_in, tmp_path / "backup"))
    path = tmp_path / "backup" / "backup.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    for steps in (restore(tmp_path / "backup", tmp_path / "again"), back_up(lived_in, tmp_path / "backup")):
        with pytest.raises(LibraryError, match=r"has format 2, this RegConv knows 1\. Use the newer one"):
            list(steps)


def test_a_backup_whose_catalogue_is_of_a_newer_schema_is_refused(lived_in: Library, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    report_of(back_up(lived_in, out))
    file = next(out.glob("catalog-*"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    manifest = (out / "backup.json").read_text()
    (out / "backup.json").write_text(manifest.replace(manifest_of(out).catalog.checksum, checksum_of(file)))  # type: ignore[union-attr]
    with pytest.raises(CatalogError, match="schema 9999"):
        list(restore(out, tmp_path / "again"))
    assert not (tmp_path / "again").exists()
    assert not (tmp_path / "again.restoring").exists()


def test_a_library_in_the_way_is_refused_or_moved_aside_whole(
    lived_in: Library, open_library: Open, tmp_path: Path
) -> None:
    out = tmp_path / "backup"
    report_of(back_up(lived_in, out))
    lived_in.catalog.unmark()
    lived_in.close()
    later = rows_of(lived_in.folder)
    with pytest.raises(LibraryError, match=r"holds a library of 11 photos\. Give another --library, or --force"):
        list(restore(out, lived_in.folder))
    assert rows_of(lived_in.folder) == later
    aside = Path(report_of(restore(out, lived_in.folder, force=True))["moved_aside"])
    assert rows_of(aside) == later
    assert open_library().catalog.words() == {"cold \u2744": 1, "warm": 2}
    assert open_library(folder=aside).catalog.words() == {}


def test_what_is_in_the_way_and_no_library_stays(lived_in: Library, open_library: Open, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    report_of(back_up(lived_in, out))
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "letter.txt").write_text("dear")
    with pytest.raises(LibraryError, match="holds other things and no library"):
        list(restore(out, tmp_path / "papers", force=True))
    (tmp_path / "new.restoring").mkdir()
    (tmp_path / "new.restoring" / "letter.txt").write_text("dear")
    with pytest.raises(LibraryError, match=r"new\.restoring is in the way"):
        list(restore(out, tmp_path / "new"))
    assert (tmp_path / "new.restoring" / "letter.txt").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    report_of(restore(out, tmp_path / "empty"))
    with open_library(folder=tmp_path / "fresh"):  # a library without photos is nothing to lose
        pass
    assert report_of(restore(out, tmp_path / "fresh"))["photos"]["present"] == 9
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "catalog.sqlite").write_bytes(b"SQLite format 3\0" + b"?" * 5000)
    with pytest.raises(LibraryError, match="holds a library that can't be read"):
        list(restore(out, tmp_path / "damaged"))
    assert report_of(restore(out, tmp_path / "damaged", force=True))["moved_aside"] is not None


def test_a_library_at_work_is_not_moved_away(lived_in: Library, tmp_path: Path) -> None:
    report_of(back_up(lived_in, tmp_path / "backup"))
    job = lived_in.catalog.start_job("index", [])
    with pytest.raises(JobRunning):
        list(restore(tmp_path / "backup", lived_in.folder, force=True))
    lived_in.catalog.finish_job(job, "done")


def test_another_library_does_not_take_the_place_of_a_backup(
    lived_in: Library, open_library: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "backup"
    report_of(back_up(lived_in, out))
    kept = tree(out)
    other = open_library(folder=tmp_path / "other")
    with sqlite3.connect(other.folder / "catalog.sqlite") as connection:
        connection.execute("UPDATE space SET created_at = '2001-02-03 04:05:06.000000'")
    with pytest.raises(
        LibraryError, match=r"is of another library.*was made at 2001-02-03T04:05:06. Give a new folder"
    ):
        list(back_up(other, out))
    assert tree(out) == kept
    report_of(restore(out, tmp_path / "again"))
    report_of(back_up(open_library(folder=tmp_path / "again"), out))  # restored, it is the same one still


def test_where_a_backup_may_lie(lived_in: Library, tmp_path: Path, photos: Path) -> None:
    for place in (lived_in.folder / "inside", tmp_path, lived_in.folder):
        with pytest.raises(LibraryError, match="would lie in the library"):
            list(back_up(lived_in, place))
    with pytest.raises(LibraryError, match="holds other things"):
        list(back_up(lived_in, photos))
    with pytest.raises(LibraryError, match="is a file"):
        list(back_up(lived_in, photos / "red.png"))
    (tmp_path / "backup").mkdir()
    with alone(tmp_path / "backup"), pytest.raises(LibraryError, match="Another backup is being made"):
        list(back_up(lived_in, tmp_path / "backup"))


def test_a_damaged_shard_does_not_get_into_a_backup_and_does_not_spoil_one(lived_in: Library, tmp_path: Path) -> None:
    out = tmp_path / "backup"
    report_of(back_up(lived_in, out))
    shard = sorted(lived_in.shards.folder.iterdir())[0]
    flip(shard)
    with pytest.raises(LibraryError, match=rf"{shard.name} is not what was once written.*--mend"):
        list(back_up(lived_in, tmp_path / "second"))
    assert not (tmp_path / "second" / "backup.json").exists()
    report_of(back_up(lived_in, out))  # has the shard from before, and keeps it
    report_of(restore(out, tmp_path / "again"))
    shard.unlink()
    with pytest.raises(LibraryError, match=rf"{shard.name} is not there.*--mend"):
        list(back_up(lived_in, tmp_path / "third"))


def test_a_full_disk_leaves_the_backup_that_was_there(
    lived_in: Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    photos: Path,
    paint: Callable[..., Path],
    run: Run,
) -> None:
    out = tmp_path / "backup"
    before = rows_of(lived_in.folder)
    report_of(back_up(lived_in, out))
    paint(photos / "new.png", "red", seed=20)
    run(lived_in, photos)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(shutil, "copyfileobj", full)
        with pytest.raises(LibraryError, match=r"No space left on device\. What was there before is still whole"):
            list(back_up(lived_in, out))
        with pytest.raises(LibraryError, match=r"could not be restored.*No space left.*again is as it was"):
            list(restore(out, tmp_path / "again"))
    assert not (tmp_path / "again").exists()
    assert not [name for name in tree(out) if name.endswith(".tmp")]
    report_of(restore(out, tmp_path / "again"))
    assert rows_of(tmp_path / "again") == before


def test_lost_thumbnails_are_told_and_mended(lived_in: Library, open_library: Open, tmp_path: Path) -> None:
    report_of(back_up(lived_in, tmp_path / "backup"))
    next((tmp_path / "backup" / "thumbnails").glob("*/*")).unlink()
    assert report_of(restore(tmp_path / "backup", tmp_path / "again"))["thumbnails_missing"] == 1
    library = open_library(folder=tmp_path / "again")
    assert "made 1 thumbnails" in examine(library, mend=True)["mended"]
    assert os.path.samefile(
        sqlite_url(library.folder / "catalog.sqlite").database or "", library.folder / "catalog.sqlite"
    )


def test_a_server_s_catalogue_is_left_to_its_own_tools(
    lived_in: Library, open_library: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "the server"
    shutil.copytree(lived_in.folder, kept)
    monkeypatch.setattr(index.backup, "is_a_file", lambda engine: False)
    report = report_of(back_up(lived_in, tmp_path / "backup"))
    assert report["catalog"] is None
    assert "copy it with the server's own tools" in report["note"]
    assert report["photos"] == {"present": 9, "unreadable": 1, "gone": 1}
    with pytest.raises(LibraryError, match=r"pg_dump.*Restore it there first, then give its --database here too"):
        list(restore(tmp_path / "backup", tmp_path / "again"))
    database = f"sqlite:///{kept / 'catalog.sqlite'}"
    restored = report_of(restore(tmp_path / "backup", tmp_path / "again", database=database))
    assert (restored["photos"], restored["shards_missing"]) == (report["photos"], 0)
    library = open_library(folder=tmp_path / "again", database=database)
    assert examine(library, whole=True)["ok"]
    assert not (tmp_path / "again" / "catalog.sqlite").exists()
