"""What a job says of itself while it runs and when it has ended."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

WINDOW_S = 20  # the rate is that of the last so many seconds: a disk that slows down shows
SCANNING, EMBEDDING, FINISHING, DONE = "scanning", "embedding", "finishing", "done"


@dataclass
class Counts:
    """What has become of the files seen: seen = embedded + unchanged + moved + failed; gone is beside it."""

    embedded: int = 0
    unchanged: int = 0
    moved: int = 0  # known content at another path than before: moved, renamed, copied or restored
    gone: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)  # {"path", "reason"}
    skipped_folders: list[dict[str, str]] = field(default_factory=list)  # {"path", "reason"}: left as they were

    @property
    def seen(self) -> int:
        """Files that are or claim to be pictures."""
        return self.embedded + self.unchanged + self.moved + len(self.failed)


@dataclass(frozen=True)
class Progress:
    """A moment of a job. `report` is there at the end only."""

    phase: str
    done: int  # files dealt with
    total: int | None  # known once the folders are scanned
    embedded: int
    unchanged: int
    moved: int
    failed: int
    gone: int
    images_per_second: float | None
    seconds_left: float | None
    current: str | None  # the file last dealt with
    report: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, without the report."""
        values = asdict(self)
        del values["report"]
        return values


def step(phase: str, done: int, total: int | None, current: str | None = None, report: Any = None) -> Progress:
    """A moment of a job that deals with other things than photos, and so without their rate."""
    return Progress(phase, done, total, 0, 0, 0, 0, 0, None, None, current, report)


class Rate:
    """Files a second over the last moments."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def update(self, done: int) -> float | None:
        """The rate now that so many are done; None while there is too little to say."""
        now = time.monotonic()
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[0][0] > WINDOW_S:
            self._points.popleft()
        (start, first), (end, last) = self._points[0], self._points[-1]
        return (last - first) / (end - start) if end - start > 0.5 and last > first else None
