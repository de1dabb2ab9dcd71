"""A space filled beside the one that answers: every content of a present photo that has no vector in it gets one.

What was stored is stored: after a kill or Ctrl-C the next run asks what is still missing. Photos and thumbnails are not touched.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

from index.decode import Decoded, DecodeTask, Failure, Known
from index.job import KEPT_FAILURES
from index.library import Library
from index.pending import Pending
from storage.records import FileStamp
from storage.spaces import MissingContent

PAGE = 1000  # contents in memory at a time
CHANGED = "has other bytes than when it was indexed; `index` on its folder takes it up"


class Filling:
    """One run: what has been built, and what could not be read. A content fails only with the last of its copies."""

    def __init__(self, shadow: Library, job_id: int) -> None:
        self.shadow = shadow
        self.built = 0
        self.failed = 0
        self.failures: list[dict[str, str]] = []  # {"path", "reason"} of the first KEPT_FAILURES; all are counted
        self.current: str | None = None
        self._pending = Pending(shadow, job_id)
        self._submitted: deque[tuple[MissingContent, list[FileStamp]]] = (
            deque()
        )  # in the order of the decoder's answers
        self._again: deque[tuple[MissingContent, list[FileStamp]]] = deque()  # unreadable, but with copies left to try

    @property
    def done(self) -> int:
        """Contents dealt with."""
        return self.built + self.failed

    def steps(self) -> Iterator[None]:
        """Fill the space; control comes back after every file. Raises what the model raises, LibraryError, LeaseLost."""
        contents = self._missing()
        try:
            yield from self._round(contents)
            while self._again:
                yield from self._round(contents)
        finally:
            self._pending.commit()

    def _round(self, contents: Iterator[MissingContent]) -> Iterator[None]:
        group: list[Decoded] = []
        results = self.shadow.decoder.decode(self._tasks(contents))
        try:
            for result in results:
                content, copies = self._submitted.popleft()
                self.current = copies[0].path
                if isinstance(result, Decoded) and result.digest == content.digest:
                    group.append(result)
                else:
                    self._try_a_copy(content, copies, result)
                if group and len(group) >= self.shadow.embedder.batch_size:
                    self._embed(group)
                    group = []
                if self._pending.is_due:
                    self._pending.commit()
                yield
            if group:
                self._embed(group)
        finally:
            results.close()

    def _missing(self) -> Iterator[MissingContent]:
        after = 0
        while page := self.shadow.catalog.missing(self.shadow.space_id, after, PAGE):
            yield from page
            after = page[-1].id

    def _tasks(self, contents: Iterator[MissingContent]) -> Iterator[DecodeTask]:
        while True:
            if self._again:
                content, copies = self._again.popleft()
            else:
                following = next(contents, None)
                if following is None:
                    return
                content, copies = following, _by_promise(following.photos)
            self._submitted.append((content, copies))
            yield DecodeTask(copies[0].path)

    def _try_a_copy(self, content: MissingContent, copies: list[FileStamp], result: Decoded | Known | Failure) -> None:
        if len(copies) > 1:
            self._again.append((content, copies[1:]))
            return
        self.failed += 1
        if len(self.failures) < KEPT_FAILURES:
            reason = result.reason if isinstance(result, Failure) else CHANGED
            self.failures.append({"path": copies[0].path, "reason": reason})

    def _embed(self, group: list[Decoded]) -> None:
        self._pending.embed_known(group)
        self.built += len(group)


def _by_promise(photos: list[FileStamp]) -> list[FileStamp]:
    """Those that are where they were, unchanged, first: a copy may be on a disk that is not mounted."""
    return photos if len(photos) == 1 else sorted(photos, key=lambda photo: not _is_there(photo))


def _is_there(photo: FileStamp) -> bool:
    try:
        found = os.stat(photo.path)
    except (OSError, ValueError):
        return False
    return FileStamp(photo.path, found.st_size, found.st_mtime_ns) == photo
