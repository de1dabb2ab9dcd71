"""index_folder: scan -> what changed -> decode -> embed -> store, as a generator of Progress.

A kill at any moment costs at most what was embedded since the last commit (index/pending.py).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from index.compact import compact, sweep
from index.decode import Decoded, DecoderClosed, DecodeTask, Failure, Known
from index.errors import NothingIndexed
from index.library import Library
from index.mounts import Mounts
from index.pending import Pending
from index.progress import DONE, EMBEDDING, FINISHING, SCANNING, Counts, Progress, Rate
from index.scan import Mounted, Unlisted, is_empty, roots, scan
from index.worklist import IdSet, Worklist
from storage import jobs
from storage.errors import LeaseLost
from storage.records import FileStamp, Filter, Seen

SCAN_CHUNK = 500
BEAT_S = 1.0
KEPT_FAILURES = 1000  # in the report that the catalogue keeps; the list of unreadable photos is whole


class _StopAsked(Exception):
    """Somebody asked the job to stop."""


def check_folders(folders: Sequence[str]) -> list[str]:
    """The roots of these folders. Raises NothingIndexed for a file among them, and where none of them can be listed.

    It needs no library and no model, so a command can ask it before either is made or fetched.
    """
    found = _roots(folders)
    problems: list[str] = []
    for folder in found:
        try:
            os.scandir(folder).close()
        except OSError as error:
            problems.append(f"{folder}: The folder can't be listed: {error.strerror}.")
    if len(problems) == len(found):
        raise NothingIndexed("\n".join([*problems, "Give a folder of photos that is there."]))
    return found


def _roots(folders: Sequence[str]) -> list[str]:
    found = roots(folders)
    for folder in found:
        if os.path.isfile(folder):
            raise NothingIndexed(f"{folder} is a file; give the folder that it is in.")
    return found


def index_folder(
    library: Library, folders: Sequence[str], *, retry_failed: bool = False
) -> Generator[Progress, None, None]:
    """Bring the library up to date with these folders; the last Progress carries the report.

    Photos elsewhere are not touched. Files that failed before and have not changed are tried again only with `retry_failed`.
    Closing the generator, or asking the job to stop, keeps what has been done; the next run goes on from there.
    Raises JobRunning where another job is at work, NothingIndexed where no folder can be read, and whatever the model raises.
    """
    found = _roots(folders)
    library.follow().description  # noqa: B018  (a changed model must be refused before anything is done)
    job_id = library.catalog.start_job("index", found)
    state, report = jobs.INTERRUPTED, None
    try:
        library = library.follow()  # under the lease nobody switches to another model
        library.description  # noqa: B018
        run = _Run(library, job_id, found, retry_failed)
        yield from run.steps()
        state, report = jobs.DONE, run.report()
        yield run.progress(DONE, report=report)
    except (_StopAsked, LeaseLost, DecoderClosed):  # the last: the library was closed, since its server ends
        report = run.report()
    except Exception as error:
        state, report = jobs.FAILED, {"error": str(error) or type(error).__name__}
        raise
    finally:
        if report and "failed" in report:
            report = report | {"failed": report["failed"][:KEPT_FAILURES], "failed_count": len(report["failed"])}
        library.catalog.finish_job(job_id, state, report)


class _Run:
    """One job's state."""

    def __init__(self, library: Library, job_id: int, folders: list[str], retry_failed: bool) -> None:
        self.library = library
        self.job_id = job_id
        self.folders = folders
        self.retry_failed = retry_failed
        self.counts = Counts()
        self.started = time.monotonic()
        self.last_beat = 0.0
        self.last_phase = ""
        self.rate = Rate()
        self.total: int | None = None
        self.current: str | None = None
        self.newest = library.catalog.newest_photo()
        self.seen = IdSet(self.newest)
        self.pending = Pending(library, job_id)
        self.mounts = Mounts(library.catalog, library.space_id)
        self.absent: list[str] = []  # where disks were

    def steps(self) -> Iterator[Progress]:
        with Worklist() as work:
            yield self.progress(SCANNING)
            for folder in self.folders:
                yield from self._scan(folder, work)
            unlisted = {skipped["path"] for skipped in self.counts.skipped_folders}
            if unlisted.issuperset(self.folders):
                raise NothingIndexed(
                    "\n".join(f"{skipped['path']}: {skipped['reason']}" for skipped in self.counts.skipped_folders)
                )
            self.total = self.counts.seen + work.count
            yield from self._work_off(work)
        yield self.progress(FINISHING)
        spared = [skipped["path"] for skipped in self.counts.skipped_folders]
        catalog = self.library.catalog
        self.counts.gone = catalog.mark_gone(self.folders, spared, self.seen, self.newest, self.job_id)
        # A disk that is mounted elsewhere now has taken its photos along.
        self.counts.gone += sum(catalog.mark_moved(folder, self.job_id) for folder in self.absent)
        for merged, groups in compact(self.library, self.job_id):
            self.current = f"merging vectors, {merged} of {groups}"
            yield self.progress(FINISHING)
        self.library.index(self.library.space.pooled)
        self.library.indexes.save()
        sweep(self.library)

    def progress(self, phase: str, report: dict[str, Any] | None = None) -> Progress:
        """The moment now, shown to the catalogue too: at each new phase, and once a second."""
        done = self.counts.seen
        rate = self.rate.update(done) if phase == EMBEDDING else None
        left = None if rate is None or self.total is None else (self.total - done) / rate
        counts = self.counts
        progress = Progress(
            phase, done, self.total, counts.embedded, counts.unchanged, counts.moved, len(counts.failed), counts.gone,
            rate, left, self.current, report,
        )  # fmt: skip
        if report is None and (time.monotonic() - self.last_beat > BEAT_S or phase != self.last_phase):
            self.last_beat, self.last_phase = time.monotonic(), phase
            if self.library.catalog.beat(self.job_id, progress.as_dict() | {"retry_failed": self.retry_failed}):
                raise _StopAsked
        return progress

    def report(self) -> dict[str, Any]:
        """What the run did, as `index --json` prints it."""
        counts, seconds = self.counts, time.monotonic() - self.started
        return {
            "library": str(self.library.folder),
            "model": self.library.model,
            "seen": counts.seen,
            "embedded": counts.embedded,
            "unchanged": counts.unchanged,
            "moved": counts.moved,
            "gone": counts.gone,
            "failed": counts.failed,
            "skipped_folders": counts.skipped_folders,
            "seconds": round(seconds, 3),
            "images_per_second": round(counts.embedded / seconds, 2),
        }

    # scanning

    def _scan(self, folder: str, work: Worklist) -> Iterator[Progress]:
        if self._looks_unmounted(folder):
            reason = (
                "The folder is empty, but photos of it are known: left as they were, in case its disk is not mounted. "
            )
            self._skip(Unlisted(folder, reason + "If it was really emptied, index the folder above it."))
            return
        chunk: list[FileStamp] = []
        met, unlisted = [], []
        for entry in scan(folder, skip={os.path.realpath(self.library.folder)}):
            if isinstance(entry, Unlisted):
                self._skip(entry)
                unlisted.append(entry.path)
                continue
            if isinstance(entry, Mounted):
                met.append(entry.path)
                continue
            chunk.append(entry)
            if len(chunk) == SCAN_CHUNK:
                yield self._sort_out(chunk, work)
                chunk = []
        yield self._sort_out(chunk, work)
        for absent in self.mounts.absent(folder, met, unlisted):
            self._skip(absent)
            self.absent.append(absent.path)

    def _looks_unmounted(self, folder: str) -> bool:
        try:
            empty = is_empty(folder)
        except OSError:
            return False  # the scan will say why it can't be listed
        return empty and len(self.library.catalog.matching(Filter(folder=folder))) > 0

    def _skip(self, folder: Unlisted) -> None:
        self.counts.skipped_folders.append({"path": folder.path, "reason": folder.reason})

    def _sort_out(self, stamps: list[FileStamp], work: Worklist) -> Progress:
        changed = []
        for seen in self.library.catalog.changed(stamps, self.library.space_id):
            if seen.photo_id is not None:
                self.seen.add(seen.photo_id)
            if seen.unchanged:
                self.counts.unchanged += 1
            elif seen.failed is not None and not self.retry_failed:
                self._fail(seen.stamp.path, seen.failed)
            else:
                changed.append(seen)
        work.append(changed)
        self.current = stamps[-1].path if stamps else self.current
        return self.progress(SCANNING)

    def _fail(self, path: str, reason: str) -> None:
        self.counts.failed.append({"path": path, "reason": reason})

    # decoding and embedding

    def _work_off(self, work: Worklist) -> Iterator[Progress]:
        submitted: deque[Seen] = deque()  # the decoder answers in the order of its tasks
        group: list[tuple[Seen, Decoded]] = []
        results = self.library.decoder.decode(self._tasks(work, submitted))
        yield self.progress(EMBEDDING)
        try:
            for result in results:
                seen = submitted.popleft()
                self.current = seen.stamp.path
                if isinstance(result, Decoded):
                    group.append((seen, result))
                else:
                    self._take(seen, result)
                if group and len(group) >= self.library.embedder.batch_size:
                    self._embed(group)
                    group = []
                if self.pending.is_due:
                    self.pending.commit()
                yield self.progress(EMBEDDING)
            if group:
                self._embed(group)
        finally:
            results.close()
            self.pending.commit()

    def _tasks(self, work: Worklist, submitted: deque[Seen]) -> Iterator[DecodeTask]:
        for chunk in work.chunks():
            # Only a file as large as a known content can be a copy of it: its worker hashes before it decodes.
            known = self.library.catalog.embedded_digests({seen.stamp.size for seen in chunk}, self.library.space_id)
            for seen in chunk:
                submitted.append(seen)
                yield DecodeTask(seen.stamp.path, known.get(seen.stamp.size, frozenset()))

    def _take(self, seen: Seen, result: Known | Failure) -> None:
        """A file that needs no embedding: its content is known, or it can't be read."""
        if isinstance(result, Known):
            self._link(seen, result)
        elif os.path.lexists(seen.stamp.path):
            size = seen.stamp.size if result.size is None else result.size
            mtime_ns = seen.stamp.mtime_ns if result.mtime_ns is None else result.mtime_ns
            self.pending.fail(FileStamp(seen.stamp.path, size, mtime_ns), result.reason)
            self._fail(seen.stamp.path, result.reason)
        elif seen.photo_id is not None:  # deleted since the scan: gone, not unreadable
            self.seen.discard(seen.photo_id)

    def _link(self, seen: Seen, result: Known | Decoded) -> None:
        self.pending.link(FileStamp(seen.stamp.path, result.size, result.mtime_ns), result.digest)
        if seen.digest == result.digest:
            self.counts.unchanged += 1
        else:
            self.counts.moved += 1

    def _embed(self, group: Sequence[tuple[Seen, Decoded]]) -> None:
        known = self.pending.known({decoded.digest for _, decoded in group})
        fresh: list[Decoded] = []
        copies: list[tuple[Seen, Decoded]] = []
        for seen, decoded in group:
            if decoded.digest in known:
                copies.append((seen, decoded))
            else:
                known.add(decoded.digest)
                fresh.append(decoded)
        if fresh:
            self.pending.embed(fresh)
            if not self.counts.embedded:
                self.rate = Rate(self.counts.seen)  # until here the network was loaded
            self.counts.embedded += len(fresh)
        for seen, decoded in copies:
            self._link(seen, decoded)
