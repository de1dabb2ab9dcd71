"""The lease: one job at a time on a library, and none kept out by a job that is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from storage import jobs
from storage.catalog import Catalog
from storage.database import writing
from storage.errors import CatalogError, JobRunning
from storage.records import Batch
from storage.tables import Job

ROOT = Path(__file__).parents[2]
START_A_JOB = (
    "import sys, time; from pathlib import Path; from storage.catalog import Catalog; from storage.database import sqlite_url\n"
    "print(Catalog(sqlite_url(Path(sys.argv[1]))).start_job('index', ['/photos']), flush=True); time.sleep(60)"
)


def change(catalog: Catalog, job_id: int, **values: Any) -> None:
    with writing(catalog.engine) as connection:
        connection.execute(update(Job).where(Job.id == job_id).values(**values))


@pytest.fixture
def other_process(catalog: Catalog, tmp_path: Path) -> Any:
    """A process that has started a job on the catalogue and goes on living."""
    command = [sys.executable, "-c", START_A_JOB, str(tmp_path / "catalog.sqlite")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        yield process
        process.kill()


def state_of(catalog: Catalog, kind: str = "index") -> str:
    job = catalog.latest_job(kind)
    assert job is not None
    return job.state


def test_one_job_at_a_time_and_the_next_when_it_has_finished(
    catalog: Catalog, open_catalog: Callable[[], Catalog]
) -> None:
    first = catalog.start_job("index", ["/photos"])
    with pytest.raises(
        JobRunning, match=rf"Another job \(index\) .* process {os.getpid()} on .*Wait for it or stop it"
    ):
        open_catalog().start_job("mend", [])
    catalog.finish_job(first, jobs.DONE, {"seen": 3})
    second = open_catalog().start_job("mend", [])
    assert second != first
    job = catalog.latest_job("index")
    assert job is not None
    assert (job.state, job.report, job.folders) == ("done", {"seen": 3}, ["/photos"])
    assert job.finished_at is not None


def test_a_living_process_keeps_its_lease_and_a_killed_one_loses_it_at_once(
    catalog: Catalog, other_process: subprocess.Popen[str]
) -> None:
    with pytest.raises(JobRunning, match=f"process {other_process.pid}"):
        catalog.start_job("index", [])
    assert state_of(catalog) == "running"
    other_process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.Process(other_process.pid).status() != psutil.STATUS_ZOMBIE:  # nobody has waited for it yet
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert state_of(catalog) == "interrupted"
    assert catalog.start_job("mend", []) > 0
    other_process.wait()
    assert state_of(catalog) == "interrupted"
    with pytest.raises(JobRunning):
        catalog.start_job("index", [])


def test_a_process_number_that_was_given_out_again_is_not_taken_for_the_job(catalog: Catalog) -> None:
    dead = catalog.start_job("index", [])
    change(catalog, dead, process_started=jobs._started(psutil.Process()) - 0.5)
    assert state_of(catalog) == "interrupted"
    catalog.start_job("index", [])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the start is not counted from the boot")
def test_a_clock_that_is_set_does_not_take_the_lease_away(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.start_job("index", [])
    boot, now = psutil.boot_time(), time.time()
    for step in (-86400.0, 86400.0):
        monkeypatch.setattr(psutil._pslinux, "boot_time", lambda step=step: boot + step)
        monkeypatch.setattr(time, "time", lambda step=step: now + step)
        with pytest.raises(JobRunning):
            catalog.start_job("index", [])


def test_another_machines_lease_ends_by_time(catalog: Catalog) -> None:
    job = catalog.start_job("index", [])
    change(catalog, job, host="elsewhere", pid=1)
    with pytest.raises(JobRunning, match="on elsewhere"):
        catalog.start_job("index", [])
    change(catalog, job, lease_until=time.time() - 1)
    assert state_of(catalog) == "interrupted"
    assert catalog.start_job("index", []) != job


def test_a_beat_renews_the_lease_and_shows_the_progress(catalog: Catalog) -> None:
    job_id = catalog.start_job("index", [])
    change(catalog, job_id, host="elsewhere", lease_until=0.0)
    assert catalog.beat(job_id, {"done": 4}) is False
    job = catalog.latest_job("index")
    assert job is not None
    assert (job.state, job.progress) == ("running", {"done": 4})


def test_a_job_that_is_asked_to_stop_hears_it_at_its_next_beat(
    catalog: Catalog, open_catalog: Callable[[], Catalog]
) -> None:
    job_id = catalog.start_job("index", [])
    assert catalog.beat(job_id, {}) is False
    open_catalog().ask_to_stop(job_id)
    assert catalog.beat(job_id, {}) is True


def test_a_job_whose_lease_went_to_another_stops(catalog: Catalog) -> None:
    slept = catalog.start_job("index", [])
    change(catalog, slept, host="elsewhere", lease_until=time.time() - 1)  # as another machine sees it
    catalog.start_job("index", [])
    assert catalog.beat(slept, {"done": 4}) is True
    assert catalog.beat(slept + 1, {}) is False


@pytest.mark.parametrize("opened_anew", [False, True])
def test_an_end_that_could_not_be_written_does_not_keep_the_lease(
    catalog: Catalog, open_catalog: Callable[[], Catalog], monkeypatch: pytest.MonkeyPatch, opened_anew: bool
) -> None:
    job_id = catalog.start_job("index", [])

    def full(*_: Any) -> None:
        raise OperationalError("UPDATE job", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "finish", full)
        with pytest.raises(CatalogError, match="disk is full"):
            catalog.finish_job(job_id, jobs.FAILED, {"error": "disk full"})
        assert state_of(catalog) == "running"
    if opened_anew:
        catalog.close()
        catalog = open_catalog()
    assert catalog.start_job("mend", []) != job_id  # a server need not be started anew once there is room again
    assert state_of(catalog) == "failed"


def test_two_that_start_at_the_same_moment_are_one(catalog: Catalog, open_catalog: Callable[[], Catalog]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def start(own: Catalog) -> bool:
        try:
            return own.start_job("index", []) > 0
        except JobRunning:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(start, [open_catalog() for _ in range(4)])) == 1


def test_a_cancelled_job_stays_cancelled_and_each_kind_has_its_own(catalog: Catalog) -> None:
    job = catalog.start_job("index", ["/photos"])
    catalog.beat(job, {"done": 3, "total": 8})
    catalog.cancel_job(job)
    running = catalog.latest_job("index")
    assert running is not None
    assert (running.state, running.stop_asked, running.cancel_asked) == ("running", True, True)
    assert catalog.beat(job, {"done": 4, "total": 8})
    catalog.finish_job(job, jobs.INTERRUPTED)
    assert state_of(catalog) == "cancelled"
    switch = catalog.start_job("switch", ["model"])
    catalog.cancel_job(switch)
    catalog.finish_job(switch, jobs.INTERRUPTED)
    assert (state_of(catalog), state_of(catalog, "switch")) == ("cancelled", "cancelled")
    catalog.finish_job(catalog.start_job("index", []), jobs.INTERRUPTED)
    assert state_of(catalog) == "interrupted"


def test_a_job_that_was_done_before_it_could_be_cancelled_is_done(catalog: Catalog) -> None:
    job = catalog.start_job("index", ["/photos"])
    catalog.cancel_job(job)
    catalog.finish_job(job, jobs.DONE, {"seen": 1})
    assert state_of(catalog) == "done"


def test_a_killed_job_can_be_cancelled(catalog: Catalog, other_process: subprocess.Popen[str]) -> None:
    other_process.kill()
    other_process.wait()
    killed = catalog.latest_job("index")
    assert killed is not None
    assert killed.state == "interrupted"
    catalog.cancel_job(killed.id)
    assert state_of(catalog) == "cancelled"


def test_photos_are_counted_by_the_folders_that_jobs_were_given(
    catalog: Catalog, space: int, batch_of: Callable[..., Batch]
) -> None:
    catalog.finish_job(catalog.start_job("index", ["/a", "/b"]), jobs.DONE)
    catalog.finish_job(catalog.start_job("index", ["/b", "/c"]), jobs.DONE)
    catalog.finish_job(catalog.start_job("switch", ["model"]), jobs.DONE)
    assert catalog.job_folders("index") == {"/a", "/b", "/c"}
    catalog.store(batch_of(["/a/1.jpg", "/a/deep/2.jpg", "/ab/3.jpg"]), space)
    assert catalog.counts_below("/a") == {"present": 2}
    assert catalog.counts_below("/b") == {}
