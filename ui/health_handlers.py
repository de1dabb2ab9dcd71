"""What the page does about the library's health: `doctor` in the background, and its answers in words for the page."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from index.background import in_background
from index.doctor import CHECKS, examination
from index.library import Library
from ui.handlers import READ_ONLY
from ui.page_words import for_page

log = logging.getLogger(__name__)

NAMES = {
    "database": "Database", "photos": "Photos", "catalogue": "Catalogue", "files": "Photo files", "shards": "Vector files",
    "rows": "Vectors' owners", "left over": "Left-over files", "places": "Vectors' places", "index": "Search index",
    "cache": "Saved indexes", "thumbnails": "Thumbnails", "vectors": "Vectors and network",
}  # fmt: skip
# What `mend` makes again, or gives up so that the next index run makes it again.
MENDABLE = CHECKS.keys() - {"database", "photos", "files"}


@dataclass(frozen=True)
class Finding:
    """One question to the library and its answer in words."""

    name: str
    ok: bool
    words: str


@dataclass(frozen=True)
class HealthView:
    """Where a check is, or what the last one found. `problem` says why it ended without an answer."""

    running: bool = False
    phase: str = ""
    share: float | None = None
    current: str | None = None
    finished_at: datetime | None = None  # UTC, without zone
    ok: bool = True
    findings: list[Finding] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    can_mend: bool = False
    problem: str | None = None


class Checkup:
    """A check that runs in the background, outlives the page that started it, and remembers what it found."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._view = HealthView()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, *, whole: bool = False, mend: bool = False) -> str | None:
        """Begin to look, at samples or at the whole library, and mend first if asked to; None, or why that was refused."""
        if (mend or whole) and self.library.catalog.is_read_only:  # a demo: anybody could keep the computer busy
            return READ_ONLY
        with self._lock:
            if self._view.running:
                return "A check is at work already."
            self._stop.clear()
            self._view = HealthView(running=True, phase="Beginning")
            self._thread = in_background("checkup", self._run, whole, mend)
        return None

    def stop(self) -> None:
        """End after the current step; what was mended stays so."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until the check that was started has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def view(self) -> HealthView:
        """Where it is now."""
        return replace(self._view, phase="Stopping") if self._view.running and self._stop.is_set() else self._view

    def _run(self, whole: bool, mend: bool) -> None:
        report: dict[str, Any] | None = None
        try:
            with closing(examination(self.library.follow(), whole=whole, recall=whole, mend=mend)) as steps:
                for step in steps:
                    report = step.report
                    share = step.done / step.total if step.total else None
                    self._view = HealthView(True, _phase(step.phase), share, step.current)
                    if self._stop.is_set() and report is None:
                        self._view = HealthView(problem="The check was stopped.")
                        return
            assert report is not None
            self._view = _found(report)
        except Exception as error:
            # Whatever ends it, the person who waits for it reads why.
            log.info("The check of the library failed.", exc_info=True)
            self._view = HealthView(problem=for_page(str(error) or type(error).__name__))


def _phase(phase: str) -> str:
    """What a check or mending does at the moment."""
    name = phase.removeprefix("examining: ")
    return f"Looking at: {NAMES[name].lower()}" if name in NAMES else phase.capitalize()


def _found(report: dict[str, Any]) -> HealthView:
    checks = report["checks"]
    findings = [Finding(NAMES[check["name"]], check["ok"], for_page(check["detail"])) for check in checks]
    if (recall := report["recall_at_10"]) is not None:
        words = [f"a search finds {recall:.1%} of the true ten nearest", *map(for_page, report["advice"])]
        findings.append(Finding("Recall of a search", not report["advice"], "; ".join(words)))
    ill = {check["name"] for check in checks if not check["ok"]}
    return HealthView(
        finished_at=datetime.now(UTC).replace(tzinfo=None), ok=report["ok"], findings=findings,
        mended=[for_page(words) for words in report["mended"]], can_mend=bool(ill & MENDABLE),
    )  # fmt: skip
