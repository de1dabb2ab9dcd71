"""A backup is a whole library of one moment: restored it is the library again, and half of one never passes for one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import index.backup
import index.compact
import index.pending
from index.backup import alone, back_up
from index.doctor import examine
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.manifest import manifest_of
from index.restore import restore
from index.search import example_of_photo, find_similar
from index.teach import own_labels, taught
from storage.database import sqlite_url
from storage.errors import CatalogError, JobRunning
from storage.records import Filter
from storage.shards import checksum_of
from storage.snapshot import take_snapshot

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]
KEPT = ("setting", "content", "photo", "space", "shard", "vector", "label", "mark", "probe")

pytestmark = pytest.mark.usefixtures("inline_decoder")


def report_of(steps: Iterator[Any]) -> dict[str, Any]:
    *_, last = steps
    assert last.report is not None
    json.dumps(last.report)
    return last.report


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path) -> dict[str, list[tuple]]:
    """Every row of every table that holds more than runs and caches, without a line of ours."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in KEPT}


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if name.startswith(("shards", "thumbnails"))}


def answers(library: Library) -> dict[str, Any]:
    """What a user gets to see."""
    found = library.catalog.photos(library.catalog.matching(Filter(), library.space_id).tolist(), Filter(), 1)
    photos = [photo for of_content in found.values() for photo in of_content]
    vectors = {part: library.stored(list(found), part) for part in library.space.names}
    own = {content: {part: vectors[part][content] for part in vectors} for content in found}
    return {
        "photos": photos,
        "vectors": {(part, content): row.tolist() for part in vectors for content, row in vectors[part].items()},
        "unreadable": library.catalog.photos_in("unreadable", 99),
        "gone": library.catalog.photos_in("gone", 99),
        "words": library.catalog.words(),
        "own labels": {content: own_labels(taught(library), own[content]) for content in found},
        "similar": [
            [(n.photo.path, n.score) for n in find_similar(library, [example_of_photo(library, p.id)], k=9).neighbours]
            for p in photos
        ],
    }


def test_what_was_destroyed_comes_back_equal(
    lived_in: Library, open_library: Open, tmp_path: Path, photos: Path
) -> None:
    folder = lived_in.folder
    before, rows, files = answers(lived_in), rows_of(folder), files_of(folder)
    assert len(before["photos"]) == 9
    assert (len(before["unreadable"]), len(before["gone"]), len(rows["shard"])) == (1, 1, 2)
    assert before["words"] == {"warm": 2, "cold \u2744": 1}
    report = report_of(back_up(lived_in, tmp_path / "backup"))
    assert report["photos"] == {"present": 9, "unreadable": 1, "gone": 1}
    assert (report["shards"], report["shards_new"], report["thumbnails"]) == (2, 2, 9)
    lived_in.close()
    shutil.rmtree(folder)
    restored = report_of(restore(tmp_path / "backup", folder))
    assert (restored["photos"], restored["moved_aside"]) == (report["photos"], None)
    assert (restored["shards_missing"], restored["thumbnails_missing"]) == (0, 0)
    assert rows_of(folder) == rows
    assert files_of(folder) == files
    library = open_library()
    assert answers(library) == before
    assert examine(library, recall=True, whole=True)["ok"]
    *_, last = index_folder(library, [str(photos)])
    assert last.report is not None
    assert (last.report["embedded"], last.report["unchanged"]) == (0, 9)
    assert library.backbone.embedded <= 9, "the doctor alone has asked the network"  # type: ignore[attr-defined]


def test_a_backup_shares_nothing_with_its_library(lived_in: Library, open_library: Open, tmp_path: Path) -> None:
    before = rows_of(lived_in.folder)
    report_of(back_up(lived_in, tmp_path / "backup"))
    for path in lived_in.folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"somebody writes into every file, in its place")
    report_of(restore(tmp_path / "backup", tmp_path / "again"))
    assert rows_of(tmp_path / "again") == before
    assert examine(open_library(folder=tmp_path / "again"), whole=True)["ok"]


def test_a_backup_is_renewed_by_what_is_new(
    lived_in: Library, open_library: Open, photos: Path, paint: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "backup"
    report_of(back_up(lived_in, out))
    times = {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    paint(photos / "new.png", "red", seed=20)
    run(lived_in, photos)
    report = report_of(back_up(lived_in, out))
    assert (report["shards"], report["shards_new"], report["thumbnails_new"]) == (3, 1, 1)
    assert times.items() <= {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}.items()
    assert len(list(out.glob("catalog-*.sqlite"))) == 1, "the older catalogue is gone"
    report_of(restore(out, tmp_path / "again"))
    assert rows_of(tmp_path / "again") == rows_of(lived_in.folder)
    with sqlite3.connect(out / manifest_of(out).catalog.file) as connection:  # type: ignore[union-attr]
        assert connection.execute("SELECT count(*) FROM generation").fetchone() == (0,)


def test_while_a_job_writes_every_backup_is_of_one_moment(
    open_library: Open,
    photos: Path,
    paint: Callable[..., Path],
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 2)
    for number in range(9):
        paint(photos / f"more-{number}.png", "blue", seed=number)
    library, other = open_library(), open_library()
    seen = set()
    for number, _ in enumerate(index_folder(library, [str(photos)])):
        if number % 3 == 0:
            report_of(back_up(other, tmp_path / "backup"))
            report_of(restore(tmp_path / "backup", tmp_path / str(number)))
            with open_library(folder=tmp_path / str(number)) as restored:
                health = examine(restored)
                assert health["ok"], health["checks"]
                assert health["photos"]["present"] == health["embedded"]
                seen.add(health["embedded"])
                if health["embedded"] == 4:  # nobody's job runs in it, and it goes on from there
                    report = run(restored, photos)
                    assert (report["embedded"], report["unchanged"]) == (10, 4)
    assert len(seen) > 3, "backups of different moments"
    assert seen <= {0, 2, 4, 6, 8, 10, 12, 14}, "nothing between two commits"


def test_a_backup_beside_a_job_in_another_thread(
    open_library: Open, photos: Path, paint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 1)
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 2)
    monkeypatch.setattr(index.compact, "GRACE_S", -1)
    for number in range(25):
        paint(photos / f"more-{number}.png", "blue", seed=number)
    library, other = open_library(), open_library()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in index_folder(library, [str(photos)]):
                time.sleep(0.01)  # time for the other thread
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    moments = set()
    while thread.is_alive():
        report_of(back_up(other, tmp_path / "backup"))
        shutil.rmtree(tmp_path / "again", ignore_errors=True)
        counts = report_of(restore(tmp_path / "backup", tmp_path / "again"))["photos"]
        with open_library(folder=tmp_path / "again") as restored:
            assert restored.catalog.contradictions(whole=True) == {}
            assert all(restored.shards.verify(shard) is None for shard in restored.catalog.all_shards())
            assert restored.catalog.counts(restored.space_id)["embedded"] == counts["present"]
        moments.add(counts["present"])
    thread.join()
    assert not failed
    assert len(moments) > 1
    assert report_of(back_up(other, tmp_path / "backup"))["photos"]["present"] == 30
    assert len(library.catalog.shards(library.space_id)) < 5, "shards were merged meanwhile"


def test_shards_merged_away_between_the_copy_and_the_catalogue_are_fetched_again(
    lived_in: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 1)
    taken = []

    def merge_before(engine: Any, path: Path) -> Any:
        if not taken:
            assert list(index.compact.compact(lived_in)), "the two shards become one"
        taken.append(take_snapshot(engine, path))
        return taken[-1]

    monkeypatch.setattr(index.backup, "take_snapshot", merge_before)
    report_of(back_up(lived_in, tmp_path / "backup"))
    assert len(taken) == 1
    assert len(list((tmp_path / "backup" / "shards").iterdir())) == 1, "what was copied first is swept"

    def merge_after(engine: Any, path: Path) -> Any:
        taken.append(take_snapshot(engine, path))
        if len(taken) == 2:  # written anew, and the old file removed, once the catalogue was copied
            (use,) = lived_in.catalog.shard_uses(lived_in.space_id)
            rows = np.array(lived_in.shards.open(use.file, lived_in.space.dtype))
            contents = lived_in.catalog.vector_digests(use.id)[1]
            lived_in.catalog.replace_shards(
                lived_in.space_id, [use], lived_in.shards.write(rows[: len(contents)]), contents, None
            )
            (lived_in.shards.folder / use.file.file).unlink()
        return taken[-1]

    monkeypatch.setattr(index.backup, "take_snapshot", merge_after)
    report_of(back_up(lived_in, tmp_path / "second"))
    assert len(taken) == 2, "the shard was there already when the catalogue named it"
    report_of(restore(tmp_path / "second", tmp_path / "again"))


# what a kill leaves


CHILD = """
import os, shutil, signal, sys
import index.backup, index.manifest
from index.library import Library

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

def half(source, target, length):
    target.write(source.read()[:100]); target.flush(); die()

where, library, out = sys.argv[1:]
if where == "in a shard":
    shutil.copyfileobj = half
elif where == "in the catalogue":
    index.backup.take_snapshot = lambda engine, path: (path.write_bytes(b"SQLite format 3"), die())
elif where == "before it is whole":
    index.manifest.Manifest.write = die
else:
    index.backup._sweep = die
list(index.backup.back_up(Library.open(library), out))
"""


@pytest.mark.parametrize("where", ["in a shard", "in the catalogue", "before it is whole", "before the old is swept"])
def test_a_kill_leaves_the_backup_that_was_there(
    lived_in: Library, photos: Path, paint: Callable[..., Path], run: Run, tmp_path: Path, where: str
) -> None:
    out, fresh = tmp_path / "backup", tmp_path / "fresh"
    before = rows_of(lived_in.folder)
    report_of(back_up(lived_in, out))
    paint(photos / "new.png", "red", seed=20)
    run(lived_in, photos)
    killed = [
        subprocess.Popen([sys.executable, "-c", CHILD, where, lived_in.folder, folder], cwd=ROOT)
        for folder in (out, fresh)
    ]
    assert [process.wait(timeout=120) for process in killed] == [-signal.SIGKILL] * 2
    report_of(restore(out, tmp_path / "old"))
    is_new = where == "before the old is swept"
    assert rows_of(tmp_path / "old") == (rows_of(lived_in.folder) if is_new else before)
    if not is_new:
        assert tree(fresh), "something is there, and does not pass for a backup"
        with pytest.raises(LibraryError, match=r"no whole backup in .*fresh: it has no backup\.json"):
            list(restore(fresh, tmp_path / "never"))
        assert not (tmp_path / "never").exists()
    for folder in (out, fresh):
        report_of(back_up(lived_in, folder))
        names = {name for name in tree(folder) if not name.startswith("catalog-")}
        assert names == set(files_of(lived_in.folder)) | {"backup.json", "backup.lock"}, "and nothing half"
        assert len(list(folder.glob("catalog-*"))) == 1


def test_a_restore_that_is_killed_leaves_no_library_and_is_begun_again(lived_in: Library, tmp_path: Path) -> None:
    report_of(back_up(lived_in, tmp_path / "backup"))
    code = (
        "import os, signal, sys; import index.restore as r\n"
        "r._opened = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "list(r.restore(sys.argv[1], sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, tmp_path / "backup", tmp_path / "again"]
    assert subprocess.run(command, cwd=ROOT, timeout=120, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "again").exists()
    assert (tmp_path / "again.restoring" / "catalog.sqlite").exists()
    report_of(restore(tmp_path / "backup", tmp_path / "again"))
    assert rows_of(tmp_path / "again") == rows_of(lived_in.folder)
    assert not (tmp_path / "again.restoring").exists()


# what is refused


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


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
