"""What the page does about index jobs, as plain functions on plain values; a refusal comes back in words."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from index.folders import IndexedFolder, indexed_folders
from index.library import Library
from index.runner import RUNNING, Runner
from index.sample import make_sample
from ui.handlers import READ_ONLY

log = logging.getLogger(__name__)

UNREADABLE_SHOWN = 50  # on a page
SAMPLE = "sample-photos"  # folder within the library's
KINDS = ("index", "switch", "mend")  # of jobs that change the library, one at a time


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class UnreadablePage:
    """Some of the files that could not be read; `following` is the photo id after which the next page begins, None for none."""

    files: list[Unreadable] = field(default_factory=list)
    following: int | None = None


def folders_in(text: str) -> list[str]:
    """The folders of a text field with one in each line; a pair of quotes around one, as file managers copy it, is dropped."""
    lines = (line.strip() for line in text.splitlines())
    unquoted = (line[1:-1] if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'" else line for line in lines)
    return [os.path.expanduser(line) for line in unquoted if line]


def start_job(runner: Runner, text: str, retry_failed: bool = False) -> str | None:
    """Begin to index the folders in the text; None, or why that was refused."""
    folders = folders_in(text)
    if not folders:
        return "Name a folder first: its full path, one folder in each line."
    if runner.library.catalog.is_read_only:  # said first: whether a folder is there is nobody's business then
        return READ_ONLY
    if problems := [problem for folder in folders if (problem := _problem_with(folder))]:
        return "\n".join(problems)
    return _refusal(runner, lambda: runner.start(folders, retry_failed=retry_failed))


def update_folders(runner: Runner, folder: str | None = None) -> str | None:
    """Begin to index again one of the indexed folders, or all; None, or why that was refused. What is away is left as it was."""
    known = [one.path for one in indexed_folders(runner.library) if folder in (None, one.path)]
    if not known:
        return "This folder was not indexed yet." if folder else "No folder was indexed yet."
    return _refusal(runner, lambda: runner.start(known))


def pause_job(runner: Runner) -> str | None:
    """Ask the index job to end after its current step, to be gone on with; None, or why that was refused."""
    return _refusal(runner, runner.stop)


def resume_job(runner: Runner) -> str | None:
    """Go on with the index job that was paused or killed; None, or why that was refused."""
    return _refusal(runner, runner.resume)


def cancel_job(runner: Runner) -> str | None:
    """End the index job for good, running or paused, and keep what it has done; None, or why that was refused."""
    return _refusal(runner, runner.cancel)


def retry_unreadable(runner: Runner) -> str | None:
    """Begin to try the unreadable files again, in every indexed folder that has some; None, or why that was refused."""
    folders = [folder.path for folder in indexed_folders(runner.library) if folder.unreadable]
    if not folders:
        return "No unreadable file is known."
    return _refusal(runner, lambda: runner.start(folders, retry_failed=True))


def start_sample(runner: Runner) -> str | None:
    """Begin to index the sample pictures, which are made on the spot (some seconds); None, or why that was refused."""
    folder = runner.library.folder / SAMPLE

    def begin() -> None:
        if not is_busy(runner):  # which `start` would say only after they are made
            make_sample(folder)
        runner.start([str(folder)])

    return _refusal(runner, begin)


def is_busy(runner: Runner) -> bool:
    """Whether a job that changes the library is at work, in whichever process."""
    return any(job is not None and job.state == RUNNING for job in map(runner.job, KINDS))


def known_folders(library: Library) -> list[IndexedFolder]:
    """The folders that were indexed, with how many photos each has."""
    return indexed_folders(library)


def unreadable(library: Library, after: int = 0, limit: int = UNREADABLE_SHOWN) -> UnreadablePage:
    """The files that could not be read, with the reason: a page of them, from beyond the photo id `after` on."""
    photos = library.catalog.photos_in("unreadable", limit + 1, after)
    files = [Unreadable(photo.path, photo.reason or "") for photo in photos[:limit]]
    return UnreadablePage(files, photos[limit - 1].id if len(photos) > limit else None)


def _refusal(runner: Runner, act: Callable[[], object]) -> str | None:
    if runner.library.catalog.is_read_only:
        return READ_ONLY
    try:
        act()
    except Exception as error:
        # Whatever refuses (a job at work, a changed model, a locked database): the person who pressed reads why.
        log.info("The index job was refused.", exc_info=True)
        return str(error) or type(error).__name__
    return None


def _problem_with(folder: str) -> str | None:
    path = Path(folder)
    if not path.is_absolute():
        return f"{folder}: give the full path, from / or ~ on."
    # Not Path's own questions, which raise where a name is too long.
    if os.path.isfile(path):
        return f"{folder} is a file; give the folder that it is in."
    if not os.path.isdir(path):
        return f"{folder}: there is no such folder on the computer that runs RegConv."
    return None if os.access(path, os.R_OK | os.X_OK) else f"{folder} may not be read by RegConv."
