"""Small pictures compared pair by pair, in worker processes where there is much to do. Workers read the thumbnails themselves."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from index.decode import clean_context
from index.decode_worker import start_worker
from index.duplicate_relation import Relation, Small, related, same_pixels, similar
from storage.thumbnails import ThumbnailStore

OPEN = 128  # small pictures in memory, a megabyte each at most
MANY = 128  # pairs that are worth starting processes for
AT_ONCE = 16  # pairs a worker is given
MEMORY_MB = 2048
ALL, PIXELS, TIME = "all", "pixels", "time"  # how two are compared


class Picture(NamedTuple):
    """A content's thumbnail and the facts that are compared."""

    thumbnails: str  # folder
    digest: str
    width: int  # of the original
    height: int
    saved_as: str
    contrast: float
    colour: float


class Task(NamedTuple):
    """Two pictures to be compared: in every way, as for the same pixels alone, or as pictures of a burst."""

    how: str
    first: Picture
    second: Picture


class Answer(NamedTuple):
    """What came out; with a lost thumbnail nothing does."""

    lost: tuple[bool, bool]
    relation: Relation | None = None
    similarity: float = 0.0


class Comparer:
    """Compares; starts its workers at the first time that there are many pairs. To be closed."""

    def __init__(self) -> None:
        self.workers = max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, tasks: Sequence[Task]) -> list[Answer]:
        """The answers, in order."""
        if len(tasks) < MANY:
            return _compare(tasks)
        pieces = [tasks[start : start + AT_ONCE] for start in range(0, len(tasks), AT_ONCE)]
        try:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self.workers, mp_context=clean_context(), initializer=start_worker, initargs=(MEMORY_MB,)
                )
            return [answer for piece in self._pool.map(_compare, pieces) for answer in piece]
        except BrokenProcessPool:  # the system ended one, perhaps for want of memory
            self.close()
            return _compare(tasks)

    def close(self) -> None:
        """End the workers and let go of the pictures."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        _small.cache_clear()


def thumbnail(thumbnails: ThumbnailStore, digest: str) -> Image.Image | None:
    """A content's small upright picture in RGB, None where there is none that can be read."""
    jpeg = thumbnails.read(digest) if thumbnails.has(digest) else None
    if jpeg is None:
        return None
    try:
        return Image.open(io.BytesIO(jpeg)).convert("RGB")
    except (OSError, SyntaxError):  # damaged between its first and its last byte
        return None


def _compare(tasks: Sequence[Task]) -> list[Answer]:
    return [_answer(task) for task in tasks]


def _answer(task: Task) -> Answer:
    first, second = _small(task.first), _small(task.second)
    if first is None or second is None:
        return Answer((first is None, second is None))
    there = (False, False)
    if task.how == TIME:
        return Answer(there, similarity=similar(first, second))
    return Answer(there, same_pixels(first, second) if task.how == PIXELS else related(first, second))


@lru_cache(OPEN)
def _small(picture: Picture) -> Small | None:
    found = thumbnail(ThumbnailStore(Path(picture.thumbnails)), picture.digest)
    if found is None:
        return None
    size = {"width": picture.width, "height": picture.height}
    return Small.of(found, **size, saved_as=picture.saved_as, contrast=picture.contrast, colour=picture.colour)
