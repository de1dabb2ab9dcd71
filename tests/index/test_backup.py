"""A backup is a whole library of one moment: restored it is the library again, and half of one never passes for one."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import index.backup
import index.compact
import index.pending
from index.backup import back_up
from index.doctor import examine
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.manifest import manifest_of
from index.restore import restore
from index.search import example_of_photo, find_similar
from index.teach import own_labels, taught
from storage.errors import ReadOnly
from storage.records import Filter
from storage.snapshot import take_snapshot
from tests.index.library_bytes import files_of, report_of, rows_of, tree

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("inline_decoder")


def answers(library: Library) -> dict[str, Any]:
    """What a user gets to see."""
    found = library.catalog.photos(library.catalog.matching(Filter()).tolist(), Filter(), 1)
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


def test_a_library_that_can_only_be_read_is_backed_up(
    lived_in: Library, open_library: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived_in.close()
    before, allowed = rows_of(lived_in.folder), os.access

    def access(path: Any, mode: int, **options: Any) -> bool:
        return allowed(path, mode, **options) and not (mode & os.W_OK and str(lived_in.folder) in str(path))

    with monkeypatch.context() as mounted:
        mounted.setattr(os, "access", access)
        library = open_library(create=False)
        with pytest.raises(ReadOnly):
            library.catalog.unmark()
        report_of(back_up(library, tmp_path / "backup"))
        library.close()
    report_of(restore(tmp_path / "backup", tmp_path / "again"))
    assert rows_of(tmp_path / "again") == before


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

    taken.clear()

    def merge_around(engine: Any, path: Path) -> Any:
        is_first = not taken
        if is_first:
            write_anew(lived_in)
        taken.append(take_snapshot(engine, path))
        if is_first:  # what the catalogue's copy names, and no backup has yet, is gone again
            for shard in taken[0].shards:
                write_anew(lived_in)
                (lived_in.shards.folder / shard.file).unlink()
        return taken[-1]

    monkeypatch.setattr(index.backup, "take_snapshot", merge_around)
    report_of(back_up(lived_in, tmp_path / "second"))
    assert len(taken) == 2
    assert len(list((tmp_path / "second").glob("catalog-*"))) == 1
    report_of(restore(tmp_path / "second", tmp_path / "again"))
    assert rows_of(tmp_path / "again") == rows_of(lived_in.folder)
    monkeypatch.setattr(index.backup, "ROUNDS", 0)
    with pytest.raises(LibraryError, match="Shards were merged away faster than they could be copied, 0 times"):
        list(back_up(lived_in, tmp_path / "second"))


def write_anew(library: Library) -> None:
    """The only shard becomes another file."""
    (use,) = library.catalog.shard_uses(library.space_id)
    rows = np.array(library.shards.open(use.file, library.space.dtype))
    contents = library.catalog.vector_digests(use.id)[1]
    library.catalog.replace_shards(library.space_id, [use], library.shards.write(rows[: len(contents)]), contents, None)


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
