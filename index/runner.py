"""Runs an index job in the background of a server: it outlives the page that started it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

from index.job import index_folder
from index.library import Library
from index.progress import Progress
from storage.records import JobRecord

log = logging.getLogger(__name__)


class Runner:
    """Starts, stops and shows the library's index job. What it shows is in the catalogue: another process' job shows too."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._thread: threading.Thread | None = None

    def start(self, folders: Sequence[str], *, retry_failed: bool = False) -> None:
        """Begin a job. Raises JobRunning where one is at work, NothingIndexed for a file in place of a folder."""
        steps = index_folder(self.library, folders, retry_failed=retry_failed)
        next(steps)  # takes the lease, so that a refusal reaches the caller
        self._thread = threading.Thread(target=_exhaust, args=(steps,), name="index", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the running job to end after its current step; what it has done is kept."""
        job = self.job()
        if job is not None and job.state == "running":
            self.library.catalog.ask_to_stop(job.id)

    def job(self) -> JobRecord | None:
        """The newest index job: its state, progress and report."""
        return self.library.catalog.latest_job("index")

    def wait(self, timeout_s: float | None = None) -> None:
        """Until the job that was started here has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)


def _exhaust(steps: Iterator[Progress]) -> None:
    try:
        for _ in steps:
            pass
    except Exception:
        # The job has already put its error into the catalogue, where the page shows it.
        log.exception("The index job failed.")
