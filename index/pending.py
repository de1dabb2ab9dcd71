"""What a job has worked out and not stored yet, and how it is stored: the shard first, then one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from index.decode import Decoded
from index.errors import LibraryError
from index.library import Library
from regconv.backbone import Parts
from storage.records import Batch, ContentFacts, FileStamp
from storage.shards import shard_rows

COMMIT_S = 15
COMMIT_PHOTOS = 4096


class Pending:
    """Photos, failures and embedded contents since the last commit: all that a kill can cost."""

    def __init__(self, library: Library, job_id: int) -> None:
        self.library = library
        self.job_id = job_id
        self._batch = Batch()
        self._parts: list[Parts] = []
        self._digests: set[str] = set()
        self._since = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to commit."""
        waiting = max(len(self._batch.photos), len(self._batch.contents))
        return time.monotonic() - self._since > COMMIT_S or waiting >= COMMIT_PHOTOS

    def link(self, stamp: FileStamp, digest: str) -> None:
        """A file whose content is known."""
        self._batch.photos.append((stamp, digest))

    def fail(self, stamp: FileStamp, reason: str) -> None:
        """A file that could not be read."""
        self._batch.failures.append((stamp, reason))

    def known(self, digests: set[str]) -> set[str]:
        """Those of the digests that need no embedding any more."""
        return self.library.catalog.embedded(digests, self.library.space_id) | (digests & self._digests)

    def embed(self, fresh: Sequence[Decoded]) -> None:
        """Vectors, labels and thumbnails of contents that have none yet, and their photos."""
        parts = self._embedded(fresh)
        with _disk_errors():
            for decoded in fresh:
                self.library.thumbnails.write(decoded.digest, decoded.thumbnail)
        self._add(fresh, parts)
        for decoded in fresh:
            self.link(FileStamp(decoded.task.path, decoded.size, decoded.mtime_ns), decoded.digest)

    def embed_known(self, known: Sequence[Decoded]) -> None:
        """Vectors and labels of contents whose photos and thumbnails another space has brought already."""
        self._add(known, self._embedded(known))

    def commit(self) -> None:
        """Store everything. Where the disk refuses, nothing of it is stored and the next run does it again.

        Raises LibraryError, and LeaseLost where another job may have begun meanwhile.
        """
        batch, parts = self._batch, self._parts
        self._batch, self._parts, self._digests, self._since = Batch(), [], set(), time.monotonic()
        if batch.contents:
            space = self.library.space
            vectors = {name: np.concatenate([part.vectors[name] for part in parts]) for name in space.names}
            norms = {name: np.concatenate([part.norms[name] for part in parts]) for name in space.names}
            rows = shard_rows(space.parts, vectors, norms, [content.digest for content in batch.contents])
            with _disk_errors():
                batch.shard = self.library.shards.write(rows)
            batch.provenance = self.library.embedder.provenance
        if batch.photos or batch.failures or batch.contents:
            self.library.catalog.store(batch, self.library.space_id, self.job_id)

    def _embedded(self, fresh: Sequence[Decoded]) -> Parts:
        return self.library.embedder.embed(np.stack([decoded.picture for decoded in fresh]))

    def _add(self, fresh: Sequence[Decoded], parts: Parts) -> None:
        self._parts.append(parts)
        for row, decoded in enumerate(fresh):
            labels = [
                (int(index), float(score)) for index, score in zip(parts.labels[row], parts.scores[row], strict=True)
            ]
            self._batch.contents.append(_facts(decoded, labels))
            self._digests.add(decoded.digest)


def _facts(decoded: Decoded, labels: Sequence[tuple[int, float]]) -> ContentFacts:
    return ContentFacts(
        decoded.digest,
        decoded.size,
        decoded.width,
        decoded.height,
        decoded.format,
        decoded.taken_at,
        decoded.camera,
        labels,
    )


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"The library could not be written: {error}. Everything up to the last commit is kept; mend the disk and run it again."
        ) from error
