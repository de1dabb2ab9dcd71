"""The files that a scan found to need work, kept in a temporary file: a first run over millions must not fill the memory."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from types import TracebackType

from index.errors import LibraryError
from storage.records import Seen


class Worklist:
    """Filled in chunks, then read back in the same chunks, in order."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)
        self.count = 0

    def __enter__(self) -> Worklist:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, chunk: Sequence[Seen]) -> None:
        """Add files to the end. Raises LibraryError where the disk refuses."""
        if chunk:
            try:
                pickle.dump(list(chunk), self._file)
                self._file.flush()
            except OSError as error:
                raise LibraryError(
                    f"The temporary folder {tempfile.gettempdir()} could not be written: {error}. Nothing is lost; make room "
                    "there, or name another folder in TMPDIR, and run it again."
                ) from error
            self.count += len(chunk)

    def chunks(self) -> Iterator[list[Seen]]:
        """Everything from the start."""
        self._file.seek(0)
        while True:
            try:
                chunk = pickle.load(self._file)
            except EOFError:
                return
            yield chunk


class IdSet:
    """Photo ids up to a largest one, one byte each: ten million fit into ten megabytes."""

    def __init__(self, largest: int) -> None:
        self._present = bytearray(largest + 1)

    def add(self, photo_id: int) -> None:
        """Put an id in. One beyond the largest was given since and is nobody's to ask about."""
        if photo_id < len(self._present):
            self._present[photo_id] = 1

    def discard(self, photo_id: int) -> None:
        """Take an id out."""
        if photo_id < len(self._present):
            self._present[photo_id] = 0

    def __contains__(self, photo_id: object) -> bool:
        return isinstance(photo_id, int) and photo_id < len(self._present) and bool(self._present[photo_id])
