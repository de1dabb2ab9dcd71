"""A catalogue in a temporary folder, and batches to put into it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from storage.catalog import Catalog
from storage.database import sqlite_url
from storage.records import Batch, ContentFacts, FileStamp
from storage.shards import ShardFile


@pytest.fixture
def open_catalog(tmp_path: Path) -> Iterator[Callable[[], Catalog]]:
    """Opens the catalogue in tmp_path/catalog.sqlite, as often as it is called; all are closed at the end."""
    opened: list[Catalog] = []

    def open_one() -> Catalog:
        opened.append(Catalog(sqlite_url(tmp_path / "catalog.sqlite")))
        return opened[-1]

    yield open_one
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog]) -> Catalog:
    """A fresh catalogue."""
    return open_catalog()


@pytest.fixture
def space(catalog: Catalog) -> int:
    """The id of a space in it."""
    return catalog.space_id("key", "a model", {"parts": [["pooled", 3]]})


@pytest.fixture
def digest_of() -> Callable[[str], str]:
    """A digest for a text that stands for a file's bytes."""
    return _digest_of


def _digest_of(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=32).hexdigest()


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """(paths, **facts of every content) -> a batch that embeds a content of its own for each path."""
    numbers = itertools.count()

    def make(
        paths: Sequence[str], *, taken_at: datetime | None = None, camera: str | None = None, labels: Any = ()
    ) -> Batch:
        digests = [_digest_of(path) for path in paths]
        return Batch(
            contents=[ContentFacts(digest, 100, 40, 30, "PNG", taken_at, camera, labels) for digest in digests],
            shard=ShardFile(f"shard-{next(numbers)}.npy", len(paths), 1000, "0" * 64),
            provenance={"engine": "none"},
            photos=[(FileStamp(path, 100, 7), digest) for path, digest in zip(paths, digests, strict=True)],
        )

    return make
