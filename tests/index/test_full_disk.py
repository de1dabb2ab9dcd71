"""A disk that is full at one of the places that a job writes to: said in words, nothing lost, and done by the next run."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

import index.pending
from index.doctor import examine
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.stored import Stored
from index.vectors import VectorIndex
from storage.errors import CatalogError

Run = Callable[..., dict[str, Any]]
FULL = OSError(errno.ENOSPC, "No space left on device")

pytestmark = pytest.mark.usefixtures("inline_decoder")


@pytest.fixture
def many(photos: Path, paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty-five photos, committed three at a time."""
    for seed in range(20):
        paint(photos / f"more-{seed:02}.png", ["red", "green", "blue"][seed % 3], seed=100 + seed)
    monkeypatch.setattr(index.pending, "COMMIT_PHOTOS", 3)
    return photos


def is_whole(library: Library, photos: int) -> None:
    health = examine(library, whole=True)
    assert health["ok"], health["checks"]
    assert health["embedded"] == health["photos"]["present"] == photos


@pytest.mark.parametrize(
    ("room", "error"), [(VectorIndex, RuntimeError("No space left on device")), (VectorIndex, FULL), (Stored, FULL)]
)
def test_where_the_index_is_kept(
    library: Library, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, room: Any, error: Exception
) -> None:
    def save(self: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(room, "save", save)
        with pytest.raises(
            LibraryError, match=r"index could not be kept in .*No space left.*Nothing is lost.*Make room"
        ):
            list(index_folder(library, [str(photos)]))
    is_whole(library, 5)
    assert list(library.cache.glob("*-half")) == []
    assert run(library, photos)["unchanged"] == 5
    assert {path.suffix for path in library.cache.iterdir()} == {".faiss", ".places"}


@pytest.mark.parametrize("pages", [0, 2, 4])
def test_in_the_catalogue(library: Library, many: Path, run: Run, pages: int) -> None:
    run(library, many)
    for path in many.glob("more-*.png"):
        path.rename(path.with_name("an" + "other" * 40 + path.name))
    engine = library.catalog.engine
    with engine.connect() as connection:
        most = connection.exec_driver_sql("PRAGMA page_count").scalar() + pages

    def limit(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={most}")

    engine.dispose()
    event.listen(engine, "connect", limit)
    with pytest.raises(CatalogError, match=r"database or disk is full.*Nothing of this step was written"):
        list(index_folder(library, [str(many)]))
    health = examine(library, whole=True)
    assert health["ok"], health["checks"]
    event.remove(engine, "connect", limit)
    engine.dispose()
    report = run(library, many)
    assert (report["embedded"], report["seen"]) == (0, 25)
    is_whole(library, 25)


def test_for_temporary_files(library: Library, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def dump(*_: Any) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(pickle, "dump", dump)
        with pytest.raises(LibraryError, match=r"temporary folder .*No space left.*Nothing is lost.*TMPDIR"):
            list(index_folder(library, [str(photos)]))
    assert run(library, photos)["embedded"] == 5
