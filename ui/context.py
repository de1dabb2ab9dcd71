"""What the page and the HTTP interface of one library hold together: both show the same jobs and searches."""

from __future__ import annotations

import time
from dataclasses import dataclass

from index.library import Library
from index.runner import Runner
from ui.duplicate_handlers import DuplicateSearch
from ui.map_handlers import MapDrawing


@dataclass(frozen=True)
class PageContext:
    """A library with what is at work for it in the background."""

    library: Library
    runner: Runner
    duplicates: DuplicateSearch
    map: MapDrawing

    @classmethod
    def of(cls, library: Library, runner: Runner | None = None) -> PageContext:
        """With nothing at work yet."""
        return cls(library, runner or Runner(library), DuplicateSearch(library), MapDrawing(library))

    def end(self, timeout_s: float) -> None:
        """Ask all that is at work here to end, and wait so long for it; what was done is kept.

        A thread that is within C++ code when Python ends aborts the process.
        """
        until = time.monotonic() + timeout_s
        self.duplicates.stop()
        self.map.stop()
        self.runner.end(timeout_s)
        for one in (self.duplicates, self.map):
            one.wait(max(0.0, until - time.monotonic()))
