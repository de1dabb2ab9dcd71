"""What a job says of itself while it runs and when it has ended."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

WINDOW_S = 20  # the rate is that of the last so many seconds: a disk that slows down shows
LEAST_S = 3  # what came in less says nothing of the hours to come
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
    """Files a second over the last moments, once there is something to go by.

    Files are done in batches, and the first comes late: a network has to be loaded, processes started. So the clock runs from
    the end of one batch to that of another.
    """

    def __init__(self, before: int | None = None) -> None:
        self._before = before
        self._points: deque[tuple[float, int]] = deque()  # when more were done, and how many then

    def update(self, done: int) -> float | None:
        """The rate now that so many are done; None while there is too little to say."""
        now = time.monotonic()
        if self._before is None:
            self._before = done
        if done > (self._points[-1][1] if self._points else self._before):
            self._points.append((now, done))
        if len(self._points) < 2:
            return None
        while self._points[-1][0] - self._points[1][0] > WINDOW_S:
            self._points.popleft()
        (start, first), (end, last) = self._points[0], self._points[-1]
        if end - start < LEAST_S:
            return None
        # While the next batch is awaited for longer than usual, no more than if it came at this moment.
        awaited = last - self._points[-2][1]
        return min((last - first) / (end - start), (last - first + awaited) / (now - start))
