"""The job, by its consequences: what is embedded, what is found, what is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.errors import NothingIndexed
from index.job import index_folder
from index.library import Library
from index.runner import Runner
from storage.errors import JobRunning
from storage.records import Filter

Run = Callable[..., dict[str, Any]]
Paint = Callable[..., Path]


def counts(report: dict[str, Any]) -> tuple[int, int, int, int, int]:
    """(embedded, unchanged, moved, failed, gone)"""
    return report["embedded"], report["unchanged"], report["moved"], len(report["failed"]), report["gone"]


def vectors(library: Library) -> dict[str, list[float]]:
    """The stored pooled vector of every present photo, by file name."""
    found = {}
    for photo in library.catalog.photos_in("present", 1000):
        stored = library.stored([photo.content_id or 0], library.space.pooled)
        found[Path(photo.path).name] = stored[photo.content_id or 0].tolist()
    return found


def nearest(library: Library, name: str) -> list[str]:
    """File names by likeness to the photo of this name."""
    asked = np.array([vectors(library)[name]], np.float32)
    _, ids = library.index(library.space.pooled).search(asked, 10)
    photos = library.catalog.photos([i for i in ids[0].tolist() if i >= 0], Filter(), library.space_id)
    return [Path(photo.path).name for content in ids[0].tolist() for photo in photos.get(content, [])]


def test_first_run_embeds_all_and_second_nothing(library: Library, photos: Path, run: Run) -> None:
    assert counts(run(library, photos)) == (5, 0, 0, 0, 0)
    assert nearest(library, "red.png")[:2] == ["red.png", "rose.png"]
    assert nearest(library, "lime.png")[:2] == ["lime.png", "green.png"]
    embedded = library.backbone.embedded  # type: ignore[attr-defined]
    assert counts(run(library, photos)) == (0, 5, 0, 0, 0)
    assert library.backbone.embedded == embedded  # type: ignore[attr-defined]


def test_moved_copied_touched_and_swapped_files_keep_their_vectors(library: Library, photos: Path, run: Run) -> None:
    run(library, photos)
    before = vectors(library)
    (photos / "sub").mkdir()
    (photos / "red.png").rename(photos / "sub" / "moved.png")
    (photos / "copy.png").write_bytes((photos / "green.png").read_bytes())
    os.utime(photos / "blue.png", (1, 1))
    (photos / "rose.png").rename(photos / "t")
    (photos / "lime.png").rename(photos / "rose.png")
    (photos / "t").rename(photos / "lime.png")
    assert counts(run(library, photos)) == (0, 2, 4, 0, 1)  # green, blue | moved, copy, lime, rose | red's old path
    after = vectors(library)
    assert after["moved.png"] == before["red.png"]
    assert after["copy.png"] == after["green.png"] == before["green.png"]
    assert (after["rose.png"], after["lime.png"]) == (before["lime.png"], before["rose.png"])
    assert len(np.unique(library.index("stage2").ids())) == 5


def test_deleted_photo_leaves_the_results_and_comes_back_without_embedding(
    library: Library, photos: Path, run: Run
) -> None:
    run(library, photos)
    kept = (photos / "rose.png").read_bytes()
    (photos / "rose.png").unlink()
    assert counts(run(library, photos)) == (0, 4, 0, 0, 1)
    assert "rose.png" not in nearest(library, "red.png")
    (photos / "rose.png").write_bytes(kept)
    assert counts(run(library, photos)) == (0, 4, 1, 0, 0)
    assert nearest(library, "red.png")[1] == "rose.png"


def test_changed_bytes_give_a_new_vector(library: Library, photos: Path, run: Run, paint: Paint) -> None:
    run(library, photos)
    paint(photos / "red.png", "blue", seed=9)
    assert counts(run(library, photos)) == (1, 4, 0, 0, 0)
    assert nearest(library, "red.png")[1] == "blue.png"


def test_a_bad_file_costs_one_failure_and_shifts_nobody(library: Library, photos: Path, run: Run) -> None:
    (photos / "lost.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more than that")
    (photos / "notes.txt").write_text("not seen at all")
    report = run(library, photos)
    assert counts(report) == (5, 0, 0, 1, 0)
    assert report["failed"][0]["path"] == str(photos / "lost.png")
    assert report["failed"][0]["reason"]
    for name, vector in vectors(library).items():
        strongest = {"red": 0, "rose": 0, "green": 1, "lime": 1, "blue": 2}[name.removesuffix(".png")]
        assert int(np.argmax(vector)) == strongest, "a vector belongs to another file"
    assert counts(run(library, photos)) == (0, 5, 0, 1, 0)  # told again, not tried again


def test_failed_files_are_tried_again_when_asked_or_changed(
    library: Library, photos: Path, run: Run, paint: Paint
) -> None:
    good = paint(photos / "late.png", "green", seed=3).read_bytes()
    (photos / "late.png").write_bytes(good[: len(good) // 2])
    assert counts(run(library, photos)) == (5, 0, 0, 1, 0)
    stamp = (photos / "late.png").stat()
    (photos / "late.png").write_bytes(good[: len(good) // 2][::-1])  # as long, other bytes, the same time
    os.utime(photos / "late.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert counts(run(library, photos, retry_failed=True)) == (0, 5, 0, 1, 0)
    (photos / "late.png").write_bytes(good)
    assert counts(run(library, photos)) == (1, 5, 0, 0, 0)


def test_a_photo_that_becomes_unreadable_is_no_longer_found(library: Library, photos: Path, run: Run) -> None:
    run(library, photos)
    (photos / "rose.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    assert counts(run(library, photos)) == (0, 4, 0, 1, 0)
    assert "rose.png" not in nearest(library, "red.png")
    assert [photo.path for photo in library.catalog.photos_in("unreadable", 10)] == [str(photos / "rose.png")]


def test_two_files_of_the_same_bytes_are_embedded_once(library: Library, photos: Path, run: Run) -> None:
    (photos / "twin.png").write_bytes((photos / "red.png").read_bytes())
    assert counts(run(library, photos)) == (5, 0, 1, 0, 0)
    assert library.backbone.embedded == 5  # type: ignore[attr-defined]
    assert set(nearest(library, "red.png")[:2]) == {"red.png", "twin.png"}


def test_other_folders_are_left_alone(library: Library, tmp_path: Path, photos: Path, run: Run, paint: Paint) -> None:
    other = paint(tmp_path / "other" / "blue.png", "blue", seed=5).parent
    (tmp_path / "photos-2").mkdir()  # starts like the first folder's name
    paint(tmp_path / "photos-2" / "red.png", "red", seed=6)
    run(library, photos, other, tmp_path / "photos-2")
    for path in [*other.iterdir(), *(tmp_path / "photos-2").iterdir()]:
        path.unlink()
    assert counts(run(library, photos)) == (0, 5, 0, 0, 0)
    assert library.catalog.counts(library.space_id)["present"] == 7


def test_an_empty_or_missing_root_does_not_empty_the_library(
    library: Library, photos: Path, run: Run, paint: Paint
) -> None:
    elsewhere = paint(photos.parent / "elsewhere" / "green.png", "green", seed=8).parent
    run(library, photos, elsewhere)
    hidden = photos.rename(photos.parent / "unplugged")
    report = run(library, photos, elsewhere)
    assert (counts(report), len(report["skipped_folders"])) == ((0, 1, 0, 0, 0), 1)
    photos.mkdir()  # the mount point that is left
    report = run(library, photos, elsewhere)
    assert (counts(report), len(report["skipped_folders"])) == ((0, 1, 0, 0, 0), 1)
    assert "not mounted" in report["skipped_folders"][0]["reason"]
    photos.rmdir()
    hidden.rename(photos)
    assert counts(run(library, photos)) == (0, 5, 0, 0, 0)


def test_a_folder_that_cannot_be_listed_keeps_its_photos(
    library: Library, photos: Path, run: Run, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = paint(photos / "locked" / "red.png", "red", seed=4).parent
    run(library, photos)
    real = os.scandir

    def scandir(folder: str) -> Any:  # the tests may run as root, for whom no folder is locked
        if os.fspath(folder) == str(locked):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    report = run(library, photos)
    assert counts(report) == (0, 5, 0, 0, 0)
    assert report["skipped_folders"] == [
        {"path": str(locked), "reason": "The folder can't be listed: Permission denied."}
    ]
    assert library.catalog.counts(library.space_id)["present"] == 6


def test_nothing_that_can_be_read_is_an_error(library: Library, tmp_path: Path, photos: Path) -> None:
    with pytest.raises(NothingIndexed, match="No such file"):
        list(index_folder(library, [str(tmp_path / "nowhere")]))
    with pytest.raises(NothingIndexed, match="is a file"):
        list(index_folder(library, [str(photos / "red.png")]))
    job = library.catalog.latest_job("index")
    assert job is not None
    assert job.state == "failed"


def test_an_empty_folder_is_no_error(library: Library, tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    assert counts(run(library, tmp_path / "empty")) == (0, 0, 0, 0, 0)


def test_a_library_inside_the_photos_does_not_index_its_thumbnails(library: Library, photos: Path, run: Run) -> None:
    report = run(library, photos.parent)  # tmp_path holds photos/ and library/
    assert counts(report) == (5, 0, 0, 0, 0)
    assert counts(run(library, photos.parent)) == (0, 5, 0, 0, 0)


def test_interrupted_anywhere_and_run_again_equals_one_clean_run(
    open_library: Callable[..., Library], photos: Path, run: Run, paint: Paint
) -> None:
    for seed in range(20):
        paint(photos / f"more-{seed:02}.png", ["red", "green", "blue"][seed % 3], seed=100 + seed)
    library = open_library()
    for stop_after in (1, 2, 9, 14):
        with closing(index_folder(library, [str(photos)])) as steps:
            for _ in range(stop_after):
                next(steps)
        job = library.catalog.latest_job("index")
        assert job is not None
        assert job.state == "interrupted"
    run(library, photos)
    interrupted = vectors(library)
    clean = open_library(folder=photos.parent / "clean")
    run(clean, photos)
    assert interrupted == vectors(clean)
    assert len(interrupted) == 25
    assert library.catalog.counts(library.space_id)["embedded"] == 25


def test_progress_adds_up_and_ends_with_the_report(library: Library, photos: Path) -> None:
    steps = list(index_folder(library, [str(photos)]))
    assert [step.phase for step in steps if step.phase in ("finishing", "done")] == ["finishing", "done"]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == 5
    assert all(step.report is None for step in steps[:-1])


def test_a_second_job_is_refused_until_the_first_ends(
    library: Library, open_library: Callable[..., Library], photos: Path
) -> None:
    other = open_library()
    with closing(index_folder(library, [str(photos)])) as first:
        next(first)
        with pytest.raises(JobRunning, match=f"process {os.getpid()}"):
            next(index_folder(other, [str(photos)]))
    *_, last = index_folder(other, [str(photos)])
    assert last.report is not None


def test_a_failing_model_stops_the_job_and_says_so(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pictures: np.ndarray) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(library.backbone, "embed", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(index_folder(library, [str(photos)]))
    job = library.catalog.latest_job("index")
    assert job is not None
    assert (job.state, job.report) == ("failed", {"error": "out of memory"})
    assert library.catalog.counts(library.space_id) == {"present": 0, "unreadable": 0, "gone": 0, "embedded": 0}


def test_the_runner_works_in_the_background_and_can_be_stopped(library: Library, photos: Path, paint: Paint) -> None:
    runner = Runner(library)
    runner.start([str(photos)])
    runner.wait(60)
    job = runner.job()
    assert job is not None
    assert (job.state, job.report and job.report["embedded"]) == ("done", 5)
    runner.stop()  # nothing runs: nothing happens
    assert runner.job() == job


def test_odd_names_go_through(library: Library, photos: Path, run: Run, paint: Paint) -> None:
    source = paint(photos / "plain.png", "green", seed=11)
    names = [
        b"line\nbreak.png",
        b"not-utf8-\xff\xfe.png",
        "雪 ümlaut.png".encode(),
        b"q" * 251 + b".png",
        b"'); DROP TABLE photo;--.png",
    ]
    for position, name in enumerate(names):
        target = os.fsencode(photos) + b"/" + name
        Path(os.fsdecode(target)).write_bytes(paint(source, "green", seed=20 + position).read_bytes())
    source.unlink()
    assert counts(run(library, photos)) == (10, 0, 0, 0, 0)
    assert counts(run(library, photos)) == (0, 10, 0, 0, 0)
    kept = {os.fsencode(photo.path).rsplit(b"/", 1)[1] for photo in library.catalog.photos_in("present", 100)}
    assert kept >= set(names)
