"""The page's side of index jobs, as functions."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from index.job import index_folder
from index.library import Library
from index.runner import Runner
from ui import handlers
from ui.job_handlers import (
    cancel_job,
    folders_in,
    is_busy,
    known_folders,
    pause_job,
    resume_job,
    retry_unreadable,
    start_job,
    start_sample,
    unreadable,
    update_folders,
)


def test_folders_are_read_line_by_line_without_quotes():
    text = '  /a b \n"/c"\n\n\'/d\'\n~/pictures\n"'
    assert folders_in(text) == ["/a b", "/c", "/d", os.path.expanduser("~/pictures"), '"']


def test_bad_folders_are_refused_by_name(library: Library, photo_folder: Path, tmp_path: Path):
    runner = Runner(library)
    assert "Name a folder" in str(start_job(runner, "  \n "))
    text = f"{tmp_path / 'missing'}\nrelative\n{photo_folder / 'moon.jpg'}\n{tmp_path}"
    lines = str(start_job(runner, text)).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{tmp_path / 'missing'}: there is no such folder")
    assert lines[1].startswith("relative: give the full path")
    assert "is a file" in lines[2]
    assert "there is no such folder" in str(start_job(runner, "/" + "x" * 300))


def test_a_job_runs_and_a_second_one_is_refused(empty_library: Library, photo_folder: Path):
    runner = Runner(empty_library)
    assert start_job(runner, str(photo_folder)) is None
    assert "Another job" in str(start_job(runner, str(photo_folder)))
    runner.wait(60)
    job = runner.job()
    assert job is not None
    assert job.state == "done"
    assert empty_library.catalog.counts(empty_library.space_id)["embedded"] == 14
    assert [Path(file.path).name for file in unreadable(empty_library).files] == ["broken.jpg"]
    gone = empty_library.catalog.photos_in("present", 1)[0]
    assert handlers.look_at_photo(empty_library, gone.id).hits


@pytest.fixture
def half_indexed(empty_library: Library, photo_folder: Path) -> Library:
    """A library whose index job was interrupted."""
    with closing(index_folder(empty_library, [str(photo_folder)])) as steps:
        next(steps)
    return empty_library


def test_an_interrupted_job_is_resumed_with_its_folders(half_indexed: Library, photo_folder: Path):
    runner = Runner(half_indexed)
    assert resume_job(runner) is None
    runner.wait(60)
    job = runner.job()
    assert job is not None
    assert (job.state, job.folders) == ("done", [str(photo_folder)])
    assert [(folder.path, folder.photos, folder.unreadable) for folder in known_folders(half_indexed)] == [
        (str(photo_folder), 14, 1)
    ]
    assert "no paused job" in str(resume_job(runner))


def test_a_cancelled_job_is_not_resumed(half_indexed: Library):
    runner = Runner(half_indexed)
    assert cancel_job(runner) is None
    assert "no paused job" in str(resume_job(runner))
    assert pause_job(runner) is None  # nothing is at work
    assert cancel_job(runner) is None


def test_updates_take_known_folders_only_and_leave_what_is_away(
    empty_library: Library, photo_folder: Path, tmp_path: Path
):
    runner = Runner(empty_library)
    assert "No folder was indexed" in str(update_folders(runner))
    away = tmp_path / "away"
    away.mkdir()
    (away / "moon.png").write_bytes((photo_folder / "moon.jpg").read_bytes())
    runner.start([str(photo_folder), str(away)])
    runner.wait(60)
    assert "was not indexed" in str(update_folders(runner, "/etc"))
    (away / "moon.png").unlink()
    away.rmdir()
    assert update_folders(runner) is None
    runner.wait(60)
    job = runner.job()
    assert job is not None
    assert job.report is not None
    assert (job.report["unchanged"], job.report["gone"]) == (14, 0)
    assert [folder["path"] for folder in job.report["skipped_folders"]] == [str(away)]
    assert update_folders(runner, str(photo_folder)) is None
    assert is_busy(runner)
    runner.wait(60)
    assert not is_busy(runner)


def test_unreadable_files_come_in_pages_and_are_tried_again(empty_library: Library, photo_folder: Path, tmp_path: Path):
    runner, folder = Runner(empty_library), tmp_path / "photos"
    assert "No unreadable file" in str(retry_unreadable(runner))
    folder.mkdir()
    whole = (photo_folder / "moon.jpg").read_bytes()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(whole[: 900 + number])
    runner.start([str(folder)])
    runner.wait(60)
    first = unreadable(empty_library, limit=3)
    assert first.following is not None
    second = unreadable(empty_library, first.following, limit=3)
    assert second.following is None
    assert sorted(Path(file.path).name for file in [*first.files, *second.files]) == [f"{n}.jpg" for n in range(5)]
    stamp = (folder / "0.jpg").stat()
    (folder / "0.jpg").write_bytes(whole[:900])  # it can be read no better, and has the same time as before
    os.utime(folder / "0.jpg", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert retry_unreadable(runner) is None
    runner.wait(60)
    job = runner.job()
    assert job is not None
    assert job.report is not None
    assert (job.progress["retry_failed"], job.report["failed_count"]) == (True, 5)


def test_the_sample_is_made_and_indexed(empty_library: Library):
    runner = Runner(empty_library)
    blocking = empty_library.catalog.start_job("mend", [])
    assert "Another job" in str(start_sample(runner))
    assert not (empty_library.folder / "sample-photos").exists()
    empty_library.catalog.finish_job(blocking, "done")
    assert start_sample(runner) is None
    runner.stop()  # what follows is indexing as always
    runner.wait(60)
    job = runner.job()
    assert job is not None
    assert job.folders == [str(empty_library.folder / "sample-photos")]
    assert len(list((empty_library.folder / "sample-photos").glob("*.*"))) == 155
