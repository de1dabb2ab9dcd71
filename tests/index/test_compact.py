"""Merging of shards: nobody's vector changes, nobody who searches meanwhile fails, no damage gets a fresh checksum."""

from __future__ import annotations

import os
import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

import index.compact
import index.job
import index.pending
from index.compact import SMALL_SHARDS, compact, sweep
from index.doctor import examine
from index.errors import LibraryError
from index.library import Library
from index.search import example_of_photo, find_similar
from storage.database import writing
from storage.errors import CatalogError, LeaseLost
from storage.records import Batch, ContentFacts, FileStamp
from storage.shards import ShardFile, ShardStore, shard_rows
from storage.tables import Vector

Fill = Callable[..., list[int]]
Open = Callable[..., Library]
MANY = SMALL_SHARDS + 4


def put(library: Library, first: int, vectors: np.ndarray) -> None:
    """A shard of contents with these vectors, and a photo of each that is named by its number."""
    norms = np.linalg.norm(vectors, axis=1)
    units, digests = vectors / norms[:, None], [f"{first + row:064x}" for row in range(len(vectors))]
    parts = ("stage1", "stage2")
    rows = shard_rows(library.space.parts, dict.fromkeys(parts, units), dict.fromkeys(parts, norms), digests)
    contents = [ContentFacts(digest, 100, 4, 3, "PNG", None, None) for digest in digests]
    photos = [(FileStamp(f"/photos/{first + row}.png", 100, 7), digest) for row, digest in enumerate(digests)]
    library.catalog.store(Batch(contents, library.shards.write(rows), {}, photos), library.space_id)


@pytest.fixture
def many(library: Library) -> dict[int, np.ndarray]:
    """Contents with their vectors, in a shard each."""
    vectors = np.random.default_rng(5).normal(size=(MANY, 3)).astype(np.float32)
    for number, vector in enumerate(vectors):
        put(library, number, vector[None])
    photos = library.catalog.photos_in("present", MANY)
    return {photo.content_id or 0: vectors[int(Path(photo.path).stem)] for photo in photos}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is out of use may be removed without waiting for readers."""
    monkeypatch.setattr(index.compact, "GRACE_S", -1)


def merge(library: Library) -> list[tuple[int, int]]:
    return list(compact(library))


def files(library: Library) -> set[str]:
    return {path.name for path in library.shards.folder.iterdir()}


def assert_stored(library: Library, expected: dict[int, np.ndarray]) -> None:
    for part in ("stage1", "stage2"):
        found = library.stored(list(expected), part)
        assert found.keys() == expected.keys()
        for content, vector in expected.items():
            np.testing.assert_allclose(found[content], vector / np.linalg.norm(vector), atol=1e-3)


def checks(library: Library) -> list[str]:
    """What the doctor finds wrong, besides that these photos have no files and so no thumbnails."""
    return [check["name"] for check in examine(library)["checks"] if not check["ok"] and check["name"] != "thumbnails"]


def test_many_shards_become_one_and_every_vector_stays_its_contents_own(
    library: Library, open_library: Open, many: dict[int, np.ndarray]
) -> None:
    before = library.catalog.shards(library.space_id)
    reader = open_library()
    assert_stored(reader, many)
    assert merge(library) == [(0, 1), (1, 1)]
    ((shard_id, shard),) = library.catalog.shards(library.space_id).items()
    assert shard_id > max(before)
    assert (shard.rows, library.shards.verify(shard)) == (MANY, None)
    (kept,) = library.catalog.shard_uses(library.space_id)
    assert (kept.live, kept.provenance) == (MANY, {})
    for each in (library, reader, open_library()):
        assert_stored(each, many)
        assert checks(each) == []
        assert sorted(each.index("stage2").ids().tolist()) == sorted(many)
    assert merge(library) == []


def test_old_files_stay_for_readers_and_go_later(
    library: Library, open_library: Open, many: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_library()
    assert_stored(reader, many)  # it knows the old places from now on
    long_ago = time.time() - 1e6
    for path in library.shards.folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    old = files(library)
    merge(library)
    (new,) = library.catalog.shard_files()
    (library.shards.folder / "half.npy.tmp").write_bytes(b"left by a kill, long ago")
    os.utime(library.shards.folder / "half.npy.tmp", (long_ago, long_ago))
    sweep(library)
    assert files(library) == old | {new}
    known, vectors = reader.vectors.of(np.array(sorted(many)), "stage2")
    assert known.all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    monkeypatch.setattr(index.compact, "GRACE_S", -1)
    sweep(library)
    assert files(library) == {new}
    assert_stored(reader, many)


def test_rows_that_nobody_needs_are_left_out(library: Library, fill: Fill, at_once: None) -> None:
    vectors = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    contents = fill(library, {f"/{number}.png": vector for number, vector in enumerate(vectors)})
    (gone,) = fill(library, {"/gone.png": (1.0, 0.0, 0.0)})
    library.catalog.drop_vectors([*contents[:4], gone], library.space_id)
    assert merge(library)[-1] == (1, 1)
    sweep(library)
    (shard,) = library.catalog.shards(library.space_id).values()
    assert (shard.rows, len(files(library))) == (8, 1)
    kept = dict(zip(contents[4:], vectors[4:], strict=True))
    assert_stored(library, kept)
    library.catalog.drop_vectors(contents, library.space_id)
    merge(library)
    sweep(library)
    assert (library.catalog.shards(library.space_id), files(library)) == ({}, set())
    assert len(library.index("stage2")) == 0


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, lambda path: path.write_bytes(b"short")])
def test_damage_is_left_for_the_doctor_to_tell(
    library: Library, many: dict[int, np.ndarray], damage: Callable[[Path], Any], at_once: None
) -> None:
    damaged_id, damaged = list(library.catalog.shards(library.space_id).items())[3]
    damage(library.shards.folder / damaged.file)
    merge(library)
    sweep(library)
    after = library.catalog.shards(library.space_id)
    assert after.pop(damaged_id) == damaged
    assert [shard.rows for shard in after.values()] == [MANY - 1]
    assert "shards" in checks(library)


def test_a_row_beyond_the_end_is_left_for_the_doctor_to_tell(library: Library, many: dict[int, np.ndarray]) -> None:
    with writing(library.catalog.engine) as connection:
        connection.execute(update(Vector).where(Vector.content_id == min(many)).values(row=1))
    merge(library)
    assert sorted(shard.rows for shard in library.catalog.shards(library.space_id).values()) == [1, MANY - 1]
    assert "rows" in checks(library)


def test_nothing_changes_where_the_vectors_changed_meanwhile(
    library: Library, many: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ShardStore.write_slices

    def write(self: ShardStore, *values: Any) -> ShardFile:
        library.catalog.drop_vectors([min(many)], library.space_id)
        return real(self, *values)

    monkeypatch.setattr(ShardStore, "write_slices", write)
    before = library.catalog.shards(library.space_id)
    with pytest.raises(CatalogError, match=f"expected {MANY}, found {MANY - 1}.*Nothing was changed"):
        merge(library)
    assert library.catalog.shards(library.space_id) == before
    del many[min(many)]
    assert_stored(library, many)


def test_a_job_that_lost_its_lease_merges_nothing(library: Library, many: dict[int, np.ndarray]) -> None:
    job_id = library.catalog.start_job("index", [])
    library.catalog.finish_job(job_id, "interrupted")
    before = library.catalog.shards(library.space_id)
    with pytest.raises(LeaseLost, match=r"taken for dead.*Nothing of this step was written"):
        list(compact(library, job_id))
    assert library.catalog.shards(library.space_id) == before


def test_a_disk_that_is_full_is_said_in_words_and_nothing_changes(
    library: Library, many: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = library.catalog.shards(library.space_id)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LibraryError, match=r"could not be merged: .*No space left.*nothing is lost"):
            merge(library)
    assert library.catalog.shards(library.space_id) == before
    assert files(library) == {shard.file for shard in before.values()}
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
        merge(library)
    assert "stay unmerged" in caplog.text
    assert library.catalog.shards(library.space_id) == before
    assert merge(library)[-1] == (1, 1)


def test_one_slice_at_a_time_is_in_memory(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.compact, "SLICE_BYTES", 16 << 10)
    monkeypatch.setattr(index.compact, "SMALL_SHARDS", 3)
    for number in range(4):
        put(library, number * 2000, np.ones((2000, 3), np.float32))
    written: list[int] = []

    def measured(self: ShardStore, dtype: np.dtype, count: int, slices: Any) -> ShardFile:
        tracemalloc.start()
        try:
            return real(self, dtype, count, slices)
        finally:
            written.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    real = ShardStore.write_slices
    monkeypatch.setattr(ShardStore, "write_slices", measured)
    merge(library)
    sizes = [shard.bytes for shard in library.catalog.shards(library.space_id).values()]
    assert max(sizes) > 400_000
    assert max(written) < 200_000


def test_whoever_searches_meanwhile_finds_the_same(
    library: Library, open_library: Open, many: dict[int, np.ndarray]
) -> None:
    """Two readers of their own ask all the time, while shards are added and merged three times."""
    asked = {photo.content_id: photo.id for photo in library.catalog.photos_in("present", MANY)}
    failed: list[BaseException] = []
    answered = 0
    done = threading.Event()

    def ask(reader: Library) -> None:
        nonlocal answered
        try:
            while not done.is_set():
                for content, photo_id in asked.items():
                    best = find_similar(reader, [example_of_photo(reader, photo_id)], k=1).neighbours[0]
                    assert best.photo.content_id == content
                    answered += 1
        except BaseException as error:  # noqa: BLE001  the thread that waits raises it
            failed.append(error)

    readers = [threading.Thread(target=ask, args=(open_library(),)) for _ in range(2)]
    for reader in readers:
        reader.start()
    merged, random = 0, np.random.default_rng(6)
    for turn in range(3):
        for number in range(SMALL_SHARDS + 1):
            put(library, 1000 * (turn + 1) + number, random.normal(size=(1, 3)))
        merged += len(merge(library)) > 0
        sweep(library)
    done.set()
    for reader in readers:
        reader.join()
    assert failed == []
    assert merged == 3
    assert answered > 2 * MANY


def test_a_merge_between_two_questions_of_the_catalogue_hides_nothing(
    library: Library, open_library: Open, many: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_library()
    real, merged = reader.catalog.newest_shard, []

    def newest_shard(space_id: int) -> int:
        answer = real(space_id)
        if not merged:
            merged.extend(merge(library))
        return answer

    monkeypatch.setattr(reader.catalog, "newest_shard", newest_shard)
    assert_stored(reader, many)
    assert merged == [(0, 1), (1, 1)]


def test_a_merge_while_an_index_is_brought_in_step_hides_nothing(
    library: Library, open_library: Open, many: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_library()
    real, merged = reader.vectors.refresh, []

    def refresh() -> None:
        real()
        if not merged:
            merged.extend(merge(library))

    monkeypatch.setattr(reader.vectors, "refresh", refresh)
    assert sorted(reader.index("stage2").ids().tolist()) == sorted(many)
    assert merged == [(0, 1), (1, 1)]


def test_shard_ids_are_never_given_twice(library: Library, many: dict[int, np.ndarray], fill: Fill) -> None:
    merge(library)
    (first,) = library.catalog.shards(library.space_id)
    library.catalog.drop_vectors(list(many), library.space_id)
    merge(library)
    assert library.catalog.shards(library.space_id) == {}
    fill(library, {"/new.png": (0.0, 1.0, 0.0)})
    (second,) = library.catalog.shards(library.space_id)
    assert second > first > MANY
