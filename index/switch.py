"""Change a library's model with no dark day: the new space is built beside the old one, which answers until the switch.

A space is all that one model's files and settings make (index/library.py). The switch is one transaction, and so is the way back;
photos, thumbnails, words and whatever else a user said belong to contents and stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from index.compact import compact, sweep
from index.decode import DecoderClosed
from index.errors import LibraryError
from index.generations import Generations
from index.job import BEAT_S
from index.library import Library
from index.open_space import switch_command
from index.progress import DONE, EMBEDDING, FINISHING, Progress, Rate
from index.shadow import Filling
from index.switch_checks import checked
from index.teach import refit
from storage import jobs
from storage.errors import LeaseLost
from storage.records import JobRecord
from storage.spaces import PREVIOUS, SHADOW, SpaceRow
from storage.tables import PRESENT

KIND = "switch"  # of the jobs in the catalogue
CHECKING = "checking"


class _StopAsked(Exception):
    """Somebody asked the job to stop."""


def switch_model(library: Library, model: str, *, anyway: bool = False) -> Generator[Progress, None, None]:
    """Build the model's space beside the one that answers, check it, and switch; the last Progress carries the report.

    A space that is known already gets only what it lacks. Where photos could not be read or a check fails, nothing is switched
    and the report's `problem` says why; `anyway` switches all the same. Closing the generator, or asking the job to stop, keeps
    what was built. Raises JobRunning, ReadOnly, and what describing and running the model raise: then nothing is switched.
    """
    description = library.described(model)
    job_id = library.catalog.start_job(KIND, [description.name])
    state, report = jobs.INTERRUPTED, None
    run: _Switch | None = None
    try:
        now = library.follow()
        run = _Switch(now, now.shadow(description), job_id, anyway)
        yield from run.steps()
        state, report = jobs.DONE, run.report()
        yield run.progress(DONE, report)
    except (_StopAsked, LeaseLost, DecoderClosed):
        report = None if run is None else run.report()
    except Exception as error:
        state, report = jobs.FAILED, {"error": str(error) or type(error).__name__}
        raise
    finally:
        library.catalog.finish_job(job_id, state, report)


def switch_back(library: Library) -> dict[str, Any]:
    """Let the space before this one answer again, at once: what `switch-model --back` prints.

    Raises LibraryError where there is none, JobRunning, ReadOnly.
    """
    start = time.monotonic()
    with _job(library, []) as job_id:
        setting = library.catalog.setting(PREVIOUS)
        if setting is None:
            raise LibraryError(
                "There is no model to go back to: this library was not changed over, or what was before has been given up. "
                "`switch-model NAME` changes it over."
            )
        space = {space.id: space for space in library.catalog.spaces()}[int(setting)]
        library.catalog.activate(space.id, space.model, job_id)
        now = library.follow()
        refit(now)  # words may have been taught meanwhile
        report = _facts(now) | {"built": 0, "active": True, "failed": [], "failed_count": 0, "checks": []}
    return report | {"problem": None, "seconds": round(time.monotonic() - start, 3)}


def forget_spaces(library: Library) -> dict[str, Any]:
    """Give up every space but the one that answers, with its room on the disk: what `switch-model --forget` prints.

    Then there is no way back. Rows go first, then files: a kill leaves files that belong to nothing, which the next index run
    sweeps. Raises JobRunning, ReadOnly.
    """
    with _job(library, []) as job_id:
        now = library.follow()
        others = [space for space in library.catalog.spaces() if space.id != now.space_id]
        files = library.catalog.drop_spaces({space.id for space in others}, job_id)
        for file in files:
            with suppress(OSError):  # open in another process, where that keeps it from being removed
                (now.shards.folder / file).unlink()
        Generations(now.catalog, now.cache).sweep()
        held = [space for space in others if space.vectors]
        forgotten = [{"space": space.key, "model": space.model, "vectors": space.vectors} for space in held]
        return _facts(now) | {"active": True, "forgotten": forgotten, "bytes": sum(space.bytes for space in others)}


def switch_status(library: Library) -> dict[str, Any]:
    """Which spaces there are, what each holds and lacks, and the newest switch: what `switch-model --status` prints."""
    now = library.follow()
    roles = {str(now.space_id): "active"}
    for role, setting in (("previous", PREVIOUS), ("building", SHADOW)):
        roles.setdefault(library.catalog.setting(setting) or "", role)
    shown = [space for space in library.catalog.spaces() if space.vectors or str(space.id) in roles]
    spaces = [
        {
            "space": space.key,
            "model": space.model,
            "role": roles.get(str(space.id), "kept"),
            "vectors": space.vectors,
            "lacking": library.catalog.lacking(space.id),
            "bytes": space.bytes,
        }
        for space in shown
    ]
    return _facts(now) | {"active": True, "spaces": spaces, "job": _job_facts(library.catalog.latest_job(KIND))}


class _Switch:
    """One run's state."""

    def __init__(self, library: Library, shadow: Library, job_id: int, anyway: bool) -> None:
        self.library = library  # with the space that answers now
        self.shadow = shadow
        self.catalog = library.catalog
        self.job_id = job_id
        self.anyway = anyway
        self.filling = Filling(shadow, job_id)
        self.checks: list[dict[str, Any]] = []
        self.problem: str | None = None
        self.started = time.monotonic()
        self.last_beat, self.last_phase = 0.0, ""
        self.total = 0
        self.rate = Rate()

    @property
    def is_active(self) -> bool:
        """Whether the new space answers."""
        return self.catalog.active() == (self.shadow.space_id, self.shadow.model)

    def steps(self) -> Iterator[Progress]:
        is_another = self.shadow.space_id != self.library.space_id
        if is_another:
            self.catalog.remember(SHADOW, str(self.shadow.space_id))
        self.total = self.catalog.lacking(self.shadow.space_id)
        yield self.progress(EMBEDDING)
        if self.total:
            yield from self._fill()
        if is_another or self.filling.built:
            yield self.progress(FINISHING)
            for _ in compact(self.shadow, self.job_id):
                yield self.progress(FINISHING)
            self.shadow.index(self.shadow.space.pooled)
            self.shadow.indexes.save()
        if is_another:
            yield self.progress(CHECKING)
            for check in checked(self.shadow):
                self.checks.append(vars(check))
                yield self.progress(CHECKING)
        lacking = self.catalog.lacking(self.shadow.space_id)
        self.problem = self._problem(lacking)
        if not self.is_active and (self.problem is None or self.anyway):
            yield self.progress(FINISHING)
            self._switch()
        sweep(self.library)

    def _fill(self) -> Iterator[Progress]:
        is_warm = False
        for _ in self.filling.steps():
            if self.filling.built and not is_warm:
                is_warm, self.rate = True, Rate(self.filling.done)  # until here the network was loaded
            yield self.progress(EMBEDDING)

    def _problem(self, lacking: int) -> str | None:
        """Why the new space should not answer yet."""
        command = switch_command(self.shadow.folder, self.shadow.model)
        if lacking:
            return (
                f"Pictures without vectors of {self.shadow.model}: {lacking}, because their files could not be read. Bring them "
                f"back (is a disk not mounted?) or run `index` on their folders, so that what was deleted counts as gone; then "
                f"{command} makes the rest. --anyway goes without them: no search finds them until then."
            )
        if ill := [f"{check['name']} ({check['detail']})" for check in self.checks if not check["ok"]]:
            return f"{self.shadow.model} did not pass its checks: {'; '.join(ill)}. `doctor` may say more; --anyway takes it."
        return None

    def _switch(self) -> None:
        words = self._words()
        refit(self.shadow)
        self.catalog.activate(self.shadow.space_id, self.shadow.model, self.job_id)
        self.library.follow()
        if self._words() != words:  # taught in the moment between
            refit(self.shadow)

    def _words(self) -> dict[str, list[int]]:
        return self.catalog.marked(self.shadow.space_id)

    def progress(self, phase: str, report: dict[str, Any] | None = None) -> Progress:
        """The moment now, shown to the catalogue too: at each new phase, and once a second."""
        done = self.filling.done
        rate = self.rate.update(done) if phase == EMBEDDING else None
        left = None if rate is None else (self.total - done) / rate
        progress = Progress(
            phase, done, self.total, self.filling.built, 0, 0, self.filling.failed, 0, rate, left, self.filling.current, report
        )  # fmt: skip
        if report is None and (time.monotonic() - self.last_beat > BEAT_S or phase != self.last_phase):
            self.last_beat, self.last_phase = time.monotonic(), phase
            if self.catalog.beat(self.job_id, progress.as_dict()):
                raise _StopAsked
        return progress

    def report(self) -> dict[str, Any]:
        """What the run did, as `switch-model --json` prints it."""
        seconds = time.monotonic() - self.started
        return _facts(self.shadow) | {
            "built": self.filling.built,
            "active": self.is_active,
            "failed": self.filling.failures,
            "failed_count": self.filling.failed,
            "checks": self.checks,
            "problem": self.problem,
            "images_per_second": round(self.filling.built / seconds, 2),
            "seconds": round(seconds, 3),
        }


@contextmanager
def _job(library: Library, folders: list[str]) -> Iterator[int]:
    """The library's lease for something short."""
    job_id = library.catalog.start_job(KIND, folders)
    state = jobs.FAILED
    try:
        yield job_id
        state = jobs.DONE
    finally:
        library.catalog.finish_job(job_id, state)


def _facts(library: Library) -> dict[str, Any]:
    """What every report says of the space that it is about, and of the way back."""
    spaces = {str(space.id): space for space in library.catalog.spaces()}
    previous: SpaceRow | None = spaces.get(library.catalog.setting(PREVIOUS) or "")
    counts = library.catalog.counts(library.space_id)
    return {
        "library": str(library.folder),
        "model": library.model,
        "space": library.space.key,
        "photos": counts["embedded"],
        "without": counts[PRESENT] - counts["embedded"],
        "previous": None if previous is None else {"model": previous.model, "space": previous.key},
    }


def _job_facts(job: JobRecord | None) -> dict[str, Any] | None:
    if job is None:
        return None
    return {"state": job.state, "model": next(iter(job.folders), None), "progress": job.progress, "report": job.report}
