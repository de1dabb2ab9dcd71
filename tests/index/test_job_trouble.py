"""The job when the disk is full, the lease is lost, or a file says impossible things of itself."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

import index.job
import index.pending
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from storage.catalog import Catalog
from storage.database import writing
from storage.errors import CatalogError
from storage.shards import ShardFile, ShardStore
from storage.tables import Job
from storage.thumbnails import ThumbnailStore
from tests.index.planted_faults import PlantedDecoder

Run = Callable[..., dict[str, Any]]
Open = Callable[..., Library]
FULL = OSError(errno.ENOSPC, "No space left on device")


def state_of_the_job(library: Library) -> tuple[str, Any]:
    job = library.catalog.latest_job("index")
    assert job is not None
    return job.state, job.report


@pytest.fixture
def many(photos: Path, paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixteen photos, committed four at a time."""
    for seed in range(11):
        paint(photos / f"more-{seed:02}.png", ["red", "green", "blue"][seed % 3], seed=100 + seed)
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 4)
    return photos


def test_a_full_disk_keeps_what_was_committed_and_the_next_run_does_the_rest(
    library: Library, many: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = ShardStore.write, []

    def write(self: ShardStore, rows: np.ndarray) -> ShardFile:
        written.append(len(rows))
        if len(written) == 3:
            raise FULL
        return real(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(ShardStore, "write", write)
        with pytest.raises(LibraryError, match=r"could not be written: .*No space left.*up to the last commit is kept"):
            list(index_folder(library, [str(many)]))
    assert library.catalog.counts(library.space_id)["embedded"] == sum(written[:2]) == 8
    state, report = state_of_the_job(library)
    assert (state, "No space left" in report["error"]) == ("failed", True)
    report = run(library, many)
    assert (report["embedded"], report["unchanged"]) == (8, 8)


def test_a_full_disk_for_thumbnails_is_said_in_words(
    library: Library, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: ThumbnailStore, digest: str, jpeg: bytes) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(ThumbnailStore, "write", write)
        with pytest.raises(LibraryError, match=r"could not be written: .*No space left"):
            list(index_folder(library, [str(photos)]))
    assert library.catalog.counts(library.space_id)["present"] == 0
    assert run(library, photos)["embedded"] == 5


def test_a_catalogue_that_refuses_leaves_an_orphan_and_loses_nothing(
    library: Library, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store(self: Catalog, *_: Any) -> None:
        raise CatalogError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "store", store)
        with pytest.raises(CatalogError, match="disk is full"):
            list(index_folder(library, [str(photos)]))
    assert state_of_the_job(library)[0] == "failed"
    assert len(library.shards.orphans(library.catalog.shard_files())) == 1
    assert run(library, photos)["embedded"] == 5
    assert len(library.index("stage2")) == 5


def test_an_error_before_the_first_step_gives_the_lease_back(
    library: Library, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Catalog) -> int:
        raise CatalogError("locked")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "newest_photo", fail)
        with pytest.raises(CatalogError, match="locked"):
            list(index_folder(library, [str(photos)]))
    assert state_of_the_job(library) == ("failed", {"error": "locked"})
    assert run(library, photos)["embedded"] == 5  # JobRunning, were the lease still held


def test_a_job_whose_lease_went_to_another_machine_stops(
    library: Library, open_library: Open, many: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index.job, "BEAT_S", 0.0)
    steps = index_folder(library, [str(many)])
    next(steps)
    with writing(library.catalog.engine) as connection:  # this machine slept, and another looked
        connection.execute(update(Job).values(host="elsewhere", lease_until=time.time() - 1))
    other = open_library()
    taken = other.catalog.start_job("index", [])
    assert [step for step in steps if step.report is not None] == []
    assert other.catalog.beat(taken, {}) is False
    other.catalog.finish_job(taken, "done")
    assert run(other, many)["seen"] == 16


def test_a_job_that_is_asked_to_stop_keeps_what_it_has_done(
    library: Library, open_library: Open, many: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index.job, "BEAT_S", 0.0)
    for step in index_folder(library, [str(many)]):
        assert step.report is None
        if step.embedded >= 8:
            open_library().catalog.ask_to_stop(library.catalog.latest_job("index").id)  # type: ignore[union-attr]
    state, report = state_of_the_job(library)
    assert (state, report["embedded"]) == ("interrupted", library.catalog.counts(library.space_id)["embedded"])
    assert 8 <= report["embedded"] < 16
    assert run(library, many)["unchanged"] == report["embedded"]


def test_a_file_from_the_far_future_is_indexed_like_others(library: Library, photos: Path, run: Run) -> None:
    os.utime(photos / "red.png", (15_000_000_000, 15_000_000_000))  # the year 2445, where the file system has it
    assert run(library, photos)["embedded"] == 5
    assert run(library, photos)["unchanged"] == 5


def test_a_folder_given_twice_in_different_ways_is_seen_once(
    library: Library, photos: Path, run: Run, paint: Callable[..., Path]
) -> None:
    paint(photos / "sub" / "green.png", "green", seed=3)
    paint(photos.parent / "photos-2" / "blue.png", "blue", seed=4)  # sorts between photos and photos/sub
    report = run(library, photos, photos.parent / "photos-2", photos / "sub", f"{photos}/../photos/")
    assert (report["seen"], report["embedded"]) == (7, 7)


def test_a_decoder_that_hangs_crashes_or_eats_memory_costs_one_file(
    library: Library, open_library: Open, many: Path, run: Run
) -> None:
    for number, fault in enumerate(("hang", "crash", "hungry")):
        (many / f"more-{number:02}.png").rename(many / f"{fault}.png")
    with PlantedDecoder(library.description.recipe, workers=2, deadline_s=2, memory_mb=512) as decoder:
        library.opened.__dict__["decoder"] = decoder
        report = run(library, many)
    assert report["embedded"] == 13
    reasons = {Path(failed["path"]).stem: failed["reason"] for failed in report["failed"]}
    assert reasons.keys() == {"hang", "crash", "hungry"}
    assert reasons["hang"] == "took longer than 2 s to decode"
    assert reasons["crash"] == "crashed the process that decoded it (SIGABRT)"
    assert "memory" in reasons["hungry"]
    assert library.catalog.counts(library.space_id) == {"present": 13, "unreadable": 3, "gone": 0, "embedded": 13}
    report = run(open_library(), many, retry_failed=True)  # with a decoder that can read them
    assert (report["embedded"], report["unchanged"], report["failed"]) == (3, 13, [])
