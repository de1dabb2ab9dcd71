"""What the page's events about duplicates do, as plain functions on plain values: no Gradio here, and no HTML."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from index.background import in_background
from index.duplicate_decisions import decide, undo
from index.duplicate_groups import KINDS, Group, undecided
from index.duplicates import find_duplicates
from index.errors import LibraryError
from index.library import Library
from index.progress import Progress
from ui.handlers import READ_ONLY

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchView:
    """Where a search for duplicates is; `problem` says why it ended without an answer."""

    running: bool
    phase: str = ""
    done: int = 0
    total: int | None = None
    counts: dict[str, int] = field(default_factory=dict)  # groups to decide about, by kind; once it has ended
    without_thumbnail: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class GroupView:
    """A group as the page shows it: the photo to keep comes first."""

    kind: str
    why: str
    photos: list[tuple[int, str, str]]  # (photo id, path, what it is to the first)


@dataclass(frozen=True)
class GroupPage:
    """Some of the groups that are left to decide about, and how many there are."""

    groups: list[GroupView]
    total: int


class DuplicateSearch:
    """A search that runs in the background, outlives the page that started it, and remembers what it found."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.groups: list[Group] = []
        self.has_looked = False  # a search has come to its end since the server started
        self._view = SearchView(running=False)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to look; nothing where it is at work already."""
        with self._lock:
            if self._view.running:
                return
            self._view = SearchView(running=True)
            self._stop.clear()
            self._thread = in_background("duplicates", self._run)

    def stop(self) -> None:
        """End after the current step; fingerprints that were made are kept."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until the search that was started has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def view(self) -> SearchView:
        """Where it is now."""
        return self._view

    def left(self, kind: str | None = None) -> list[Group]:
        """The groups of a kind, or of all, about which something is left to decide."""
        groups = undecided(self.groups, self.library.catalog.decisions())
        return [group for group in groups if kind is None or group.kind == kind]

    def _run(self) -> None:
        last: Progress | None = None
        try:
            for last in find_duplicates(self.library):
                self._view = SearchView(True, last.phase, last.done, last.total)
                if self._stop.is_set():
                    self._view = SearchView(running=False, problem="The search was stopped.")
                    return
            assert last is not None
            assert last.report is not None
            self.groups = last.report["groups"]
            self.has_looked = True
            left = self.left()
            counts = {kind: sum(group.kind == kind for group in left) for kind in KINDS}
            self._view = SearchView(False, counts=counts, without_thumbnail=last.report["without_thumbnail"])
        except Exception as error:
            # Whatever ends it, the person who waits for it reads why.
            log.exception("The search for duplicates failed.")
            self._view = SearchView(running=False, problem=str(error) or type(error).__name__)


def page_of_groups(search: DuplicateSearch, offset: int = 0, limit: int = 20, kind: str | None = None) -> GroupPage:
    """Some of the groups that are left to decide about."""
    left = search.left(kind)
    shown = left[max(offset, 0) : max(offset, 0) + max(limit, 0)]
    return GroupPage([_view(group) for group in shown], len(left))


def decide_group(search: DuplicateSearch, verdict: str, photo_ids: Sequence[int]) -> str | None:
    """Keep a decision about photos of one group; None, or why that was refused."""
    return _refusal(search, lambda: decide(search.library, verdict, photo_ids, search.groups))


def undo_decision(search: DuplicateSearch, photo_ids: Sequence[int]) -> str | None:
    """Take back what was decided about these photos; None, or why that was refused."""
    return _refusal(search, lambda: undo(search.library, photo_ids))


def _refusal(search: DuplicateSearch, action: Callable[[], object]) -> str | None:
    if search.library.catalog.is_read_only:
        return READ_ONLY
    try:
        action()
    except LibraryError as error:
        return str(error)
    return None


def _view(group: Group) -> GroupView:
    return GroupView(
        group.kind, group.why, [(member.photo_id, member.path, member.relation) for member in group.members]
    )
