"""Runs long jobs in the background of a server: they outlive the page that started them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

from index.background import in_background
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.progress import Progress
from index.switch import switch_model
from storage.jobs import CANCELLED, DONE, INTERRUPTED, RUNNING
from storage.records import JobRecord

__all__ = ["CANCELLED", "DONE", "INTERRUPTED", "RUNNING", "JobRecord", "Runner"]
log = logging.getLogger(__name__)


class Runner:
    """Starts, stops and shows the library's jobs. What it shows is in the catalogue: another process' job shows too."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._thread: threading.Thread | None = None

    def start(self, folders: Sequence[str], *, retry_failed: bool = False) -> None:
        """Begin to index. Raises JobRunning where a job is at work, NothingIndexed for a file in place of a folder."""
        self._begin(index_folder(self.library, folders, retry_failed=retry_failed), "index")

    def start_switch(self, model: str, *, anyway: bool = False) -> None:
        """Begin to change over to a model. Raises JobRunning, and what describing the model raises."""
        self._begin(switch_model(self.library, model, anyway=anyway), "switch")

    def resume(self) -> None:
        """Go on with the index job that was stopped half way or killed. Raises what `start` does, LibraryError for none."""
        job = self.job()
        if job is None or job.state != INTERRUPTED:
            raise LibraryError("There is no paused job to go on with.")
        self.start(job.folders, retry_failed=bool(job.progress.get("retry_failed")))

    def cancel(self, kind: str = "index") -> None:
        """End the newest job of a kind for good, running or paused: what it has done is kept, `resume` does not go on with it."""
        job = self.job(kind)
        if job is not None and job.state in (RUNNING, INTERRUPTED):
            self.library.catalog.cancel_job(job.id)

    def stop(self, kind: str = "index") -> None:
        """Ask the running job of a kind to end after its current step; what it has done is kept, the next one goes on from it."""
        job = self.job(kind)
        if job is not None and job.state == RUNNING:
            self.library.catalog.ask_to_stop(job.id)

    def job(self, kind: str = "index") -> JobRecord | None:
        """The newest job of a kind, "index" or "switch": its state, progress and report."""
        return self.library.catalog.latest_job(kind)

    def end(self, timeout_s: float) -> None:
        """Ask the job that was started here to end, and wait for it so long; another process' job goes on."""
        if self._thread is None or not self._thread.is_alive():
            return
        try:
            self.stop(self._thread.name)
        except Exception:
            log.exception("The %s job could not be asked to stop.", self._thread.name)
        self.wait(timeout_s)

    def _begin(self, steps: Iterator[Progress], name: str) -> None:
        next(steps)  # takes the lease, so that a refusal reaches the caller
        self._thread = in_background(name, _exhaust, steps, name)

    def wait(self, timeout_s: float | None = None) -> None:
        """Until the job that was started here has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)


def _exhaust(steps: Iterator[Progress], name: str) -> None:
    try:
        for _ in steps:
            pass
    except Exception:
        # The job has already put its error into the catalogue, where the page shows it.
        log.exception("The %s job failed.", name)
