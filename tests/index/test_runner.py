"""A job that runs in the background: paused, killed, gone on with, cancelled."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import index.job
from index.background import NICENESS
from index.errors import LibraryError
from index.folders import indexed_folders, sizes
from index.job import index_folder
from index.library import Library
from index.runner import Runner
from storage.records import JobRecord

Run = Callable[..., dict[str, Any]]


def newest(runner: Runner) -> JobRecord:
    job = runner.job()
    assert job is not None
    return job


@dataclass
class Held:
    """A job stands still at its first batch of two, once `reached`, until it may `go_on`."""

    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def held(library: Library, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Of this library; every step looks whether it is to stop."""
    held, embed = Held(), library.embedder.embed

    def wait(pictures: Any) -> Any:
        held.reached.set()
        assert held.go_on.wait(30)
        return embed(pictures)

    monkeypatch.setattr(library.embedder, "embed", wait)
    monkeypatch.setattr(index.job, "BEAT_S", 0.0)
    monkeypatch.setattr(type(library.embedder), "batch_size", 2)
    return held


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux only")
def test_a_job_gives_way_to_whoever_looks_at_a_picture(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, niceness = library.embedder.embed, []

    def noted(pictures: Any) -> Any:
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return embed(pictures)

    monkeypatch.setattr(library.embedder, "embed", noted)
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    runner = Runner(library)
    runner.start([str(photos)])
    runner.wait(30)
    assert set(niceness) == {min(19, mine + NICENESS)}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


def test_a_paused_job_keeps_its_place_and_is_gone_on_with(library: Library, photos: Path, run: Run, held: Held) -> None:
    runner = Runner(library)
    runner.start([str(photos)])
    assert held.reached.wait(30)
    runner.stop()
    held.go_on.set()
    runner.wait(30)
    paused = newest(runner)
    assert paused.state == "interrupted"
    assert paused.stop_asked
    assert 0 < paused.progress["done"] < paused.progress["total"] == 5
    done = library.catalog.counts(library.space_id)["embedded"]
    assert done >= paused.progress["done"]
    again = Runner(library)  # as a server that was started anew has it
    again.resume()
    again.wait(30)
    finished = newest(runner)
    assert finished.report is not None
    assert (finished.state, finished.folders) == ("done", [str(photos)])
    assert (finished.report["embedded"], finished.report["unchanged"]) == (5 - done, done)


def test_a_server_that_ends_stops_its_own_job_alone_and_waits_for_its_step(
    library: Library, photos: Path, held: Held
) -> None:
    other = library.catalog.start_job("index", ["/elsewhere"])  # as a command line beside the server does
    runner = Runner(library)
    runner.end(30)
    assert not newest(runner).stop_asked
    library.catalog.finish_job(other, "interrupted")

    runner.start([str(photos)])
    assert held.reached.wait(30)
    runner.end(0.01)  # within a step
    assert newest(runner).state == "running"
    held.go_on.set()
    runner.end(30)
    assert (newest(runner).state, newest(runner).stop_asked) == ("interrupted", True)
    assert library.catalog.counts(library.space_id)["embedded"] >= 2


def test_a_cancelled_job_is_not_gone_on_with_and_keeps_what_it_did(library: Library, photos: Path, held: Held) -> None:
    runner = Runner(library)
    runner.start([str(photos)])
    assert held.reached.wait(30)
    runner.cancel()
    held.go_on.set()
    runner.wait(30)
    assert newest(runner).state == "cancelled"
    assert library.catalog.counts(library.space_id)["embedded"] == 2
    with pytest.raises(LibraryError, match="no paused job"):
        runner.resume()


def test_a_paused_job_can_be_cancelled_and_a_complete_one_stays_complete(
    library: Library, photos: Path, run: Run
) -> None:
    runner = Runner(library)
    with pytest.raises(LibraryError, match="no paused job"):
        runner.resume()
    runner.cancel()  # nothing is there to be cancelled
    with closing(index_folder(library, [str(photos)])) as steps:
        next(steps)
    assert newest(runner).state == "interrupted"
    runner.cancel()
    assert newest(runner).state == "cancelled"
    run(library, photos)
    runner.cancel()
    assert newest(runner).state == "done"


def test_going_on_tries_again_what_was_to_be_tried_again(library: Library, photos: Path, run: Run) -> None:
    (photos / "broken.png").write_bytes((photos / "red.png").read_bytes()[:100])
    assert len(run(library, photos)["failed"]) == 1
    tried = []
    for retry in (False, True):
        with closing(index_folder(library, [str(photos)], retry_failed=retry)) as steps:
            next(steps)
        runner = Runner(library)
        runner.resume()
        runner.wait(30)
        tried.append(newest(runner).progress["retry_failed"])
    assert tried == [False, True]


def test_the_folders_that_were_indexed_and_what_they_take(library: Library, photos: Path, run: Run) -> None:
    assert indexed_folders(library) == []
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    empty = photos.parent / "empty"
    empty.mkdir()
    run(library, empty)
    run(library, photos)
    (only,) = indexed_folders(library)
    assert (only.path, only.photos, only.unreadable) == (str(photos), 5, 1)
    run(library, photos.parent)  # the folder above: it stands for both
    assert [folder.path for folder in indexed_folders(library)] == [str(photos.parent)]
    taken = sizes(library)
    thumbnails = [path.stat().st_size for path in library.thumbnails.folder.rglob("*.jpg")]
    assert len(thumbnails) == 5
    assert taken.thumbnails == sum(thumbnails)
    assert taken.catalog is not None
    assert taken.catalog >= (library.folder / "catalog.sqlite").stat().st_size
    assert taken.vectors > 0
    assert taken.total == taken.catalog + taken.vectors + taken.cache + taken.thumbnails
