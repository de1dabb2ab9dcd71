"""What the page does about a change of model, as plain functions on plain values; a refusal comes back in words."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from index.errors import LibraryError
from index.library import Library
from index.runner import DONE, RUNNING, JobRecord, Runner
from index.switch import forget_spaces, switch_back, switch_status
from ui.handlers import READ_ONLY
from ui.job_words import JobView, ago, duration, job_view, photos
from ui.page_words import for_page
from ui.switch_text import lacking_note

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpaceView:
    """A model that the library has vectors of."""

    model: str
    role: str  # active, previous, building or kept
    vectors: int
    lacking: int  # pictures that it has none of
    bytes: int


@dataclass(frozen=True)
class SwitchView:
    """What the page shows of the library's models; `problem` says what was refused, or why the last run did not switch."""

    model: str = ""
    photos: int = 0
    spaces: list[SpaceView] = field(default_factory=list)
    can_go_back: bool = False
    running: bool = False
    building: str | None = None  # the model of the newest run
    done: int = 0
    total: int | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    failed: list[tuple[str, str]] = field(default_factory=list)  # (path, reason), of the newest run
    note: str | None = None  # photos that the model that answers lacks, and what to do
    problem: str | None = None


def switch_view(library: Library) -> SwitchView:
    """The library's models as they are now, and how far a running change is."""
    try:
        status = switch_status(library)
    except Exception as error:  # noqa: BLE001  whatever refuses, the person reads why
        return SwitchView(problem=_words(error))
    job = status["job"] or {}
    progress, report = job.get("progress") or {}, job.get("report") or {}
    is_running = job.get("state") == "running"
    spaces = [
        SpaceView(_name(space["model"]), space["role"], space["vectors"], space["lacking"], space["bytes"])
        for space in status["spaces"]
    ]
    return SwitchView(
        _name(status["model"]),
        status["photos"],
        spaces,
        status["previous"] is not None,
        is_running,
        _name(job.get("model") or "") or None,
        progress.get("done", 0),
        progress.get("total"),
        progress.get("images_per_second") if is_running else None,
        progress.get("seconds_left") if is_running else None,
        [(failure["path"], failure["reason"]) for failure in report.get("failed", ())],
        _in_page_words(lacking_note(status)),
        _in_page_words(report.get("problem") or report.get("error")),
    )


def start_switch(runner: Runner, model: str, anyway: bool = False) -> str | None:
    """Begin to change over to a model in the background; None, or why that was refused."""
    if not model.strip():
        return "Name a model first: a hub name, a folder on the computer that runs RegConv, or starter."
    return _refusal(runner.library, lambda: runner.start_switch(model.strip(), anyway=anyway))


def stop_switch(runner: Runner) -> str | None:
    """Ask the running change to end after its current step; what was built is kept."""
    return _refusal(runner.library, lambda: runner.stop("switch"))


def go_back(library: Library) -> str | None:
    """Let the model before this one answer again; None, or why that was refused."""
    return _refusal(library, lambda: switch_back(library))


def forget_others(library: Library) -> str | None:
    """Give up the vectors of all models but the one that answers; None, or why that was refused."""
    return _refusal(library, lambda: forget_spaces(library))


def switch_job_view(job: JobRecord | None) -> JobView | None:
    """The newest change of model, as shown while it runs and when it has ended: from the job's own record, and so quickly asked.

    None where there was none, and after `go_back` and `forget_others`, which are done at once.
    """
    if job is None or not job.folders:
        return None
    view, model = job_view(job), _name(job.folders[0])
    assert view is not None
    report = job.report or {}
    if job.state == RUNNING:
        building = job.progress.get("phase", "embedding") == "embedding" and not job.stop_asked
        return replace(view, headline=f"Making vectors of {model}" if building else view.headline)
    if job.state != DONE:
        return replace(view, headline=f"{model}: {view.headline}", problem=view.problem and for_page(view.problem))
    words = f"{model} answers" if report.get("active") else f"Not changed over to {model}, the old model answers"
    facts = [f"{photos(report['built'])} embedded in {duration(report['seconds'])}"] if report.get("built") else []
    facts += [f"{report['failed_count']:,} unreadable"] if report.get("failed_count") else []
    problem = report.get("problem")
    return JobView(False, f"{words}{ago(job.finished_at)}", None, facts, problem=problem and for_page(problem))


def _name(model: str) -> str:
    """A hub name, or the last part of a folder: pages show no paths of the computer."""
    return os.path.basename(model) if os.path.isabs(model) else model


def _refusal(library: Library, act: Callable[[], Any]) -> str | None:
    if library.catalog.is_read_only:
        return READ_ONLY
    try:
        act()
    except Exception as error:
        log.info("A change of model was refused.", exc_info=not isinstance(error, LibraryError))
        return _words(error)
    return None


def _words(error: Exception) -> str:
    return for_page(str(error) or type(error).__name__)


def _in_page_words(words: str | None) -> str | None:
    return None if words is None else for_page(words)
