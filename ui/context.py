"""What the page and the HTTP interface of one library hold together: both show the same jobs and searches."""

from __future__ import annotations

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
