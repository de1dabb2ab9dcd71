"""The library's indexes: in step with the catalogue whoever changes it, and a cache that may be lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

import index.indexes
from index.errors import LibraryError
from index.library import Library
from index.vectors import VectorIndex
from storage.errors import ShardError

Fill = Callable[..., list[int]]
Open = Callable[..., Library]
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of vectors of every add to an index, from now on."""
    adds: list[int] = []
    real = VectorIndex.add

    def add(self: VectorIndex, ids: np.ndarray, vectors: np.ndarray) -> None:
        adds.append(len(ids))
        real(self, ids, vectors)

    monkeypatch.setattr(VectorIndex, "add", add)
    return adds


def nearest(library: Library, vector: tuple[float, float, float], part: str = "stage2") -> int:
    return int(library.index(part).search(np.array([vector], np.float32), 1)[1].item())


def kept_files(library: Library) -> list[str]:
    """The saved indexes' files, without the one that says where each vector lies."""
    return sorted(path.name for path in library.cache.iterdir() if path.suffix.startswith(".faiss"))


def test_an_index_catches_up_with_what_another_instance_stores(
    open_library: Open, fill: Fill, built: list[int]
) -> None:
    page, job = open_library(), open_library()
    (red,) = fill(job, {"/red.png": RED, "/g.png": (0.1, 0.9, 0.0)})[:1]
    assert nearest(page, RED) == red
    (green,) = fill(job, {"/green.png": GREEN})
    assert nearest(page, GREEN) == green
    assert nearest(page, GREEN, "stage1") == green
    assert nearest(page, RED) == red
    assert built == [2, 1, 2, 1]  # shard by shard, none twice: stage2 first 2 then 1, stage1 in two shards


def test_a_saved_index_is_opened_and_not_built(open_library: Open, fill: Fill, built: list[int]) -> None:
    first = open_library()
    red, green = fill(first, {"/red.png": RED, "/green.png": GREEN})
    assert nearest(first, RED) == red
    first.indexes.save()
    (kept,) = kept_files(first)
    first.indexes.save()
    assert kept_files(first) == [kept]  # nothing new to keep
    del built[:]
    later = open_library()
    assert (nearest(later, RED), nearest(later, GREEN), built) == (red, green, [])
    (blue,) = fill(later, {"/blue.png": BLUE})
    assert (nearest(later, BLUE), built) == (blue, [1])
    later.indexes.save()
    assert len(kept_files(later)) == 1
    assert kept_files(later) != [kept]
    assert len(open_library().index("stage2")) == 3


def delete_file(library: Library, file: Path) -> None:
    file.unlink()


def delete_cache(library: Library, file: Path) -> None:
    for path in library.cache.iterdir():
        path.unlink()
    library.cache.rmdir()


def flip_a_byte(library: Library, file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-3] ^= 0x40  # FAISS itself reads it without complaint
    file.write_bytes(data)


def truncate(library: Library, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def other_index(library: Library, file: Path) -> None:
    faiss.write_index(faiss.IndexFlatIP(3), str(file))


@pytest.mark.parametrize("damage", [delete_file, delete_cache, flip_a_byte, truncate, other_index])
def test_a_lost_or_damaged_cache_is_built_again_and_kept_again(
    open_library: Open, fill: Fill, built: list[int], damage: Callable[[Library, Path], None]
) -> None:
    first = open_library()
    red, green = fill(first, {"/red.png": RED, "/green.png": GREEN})
    first.index("stage2")
    first.indexes.save()
    damage(first, first.cache / kept_files(first)[0])
    del built[:]
    later = open_library()
    assert (nearest(later, RED), nearest(later, GREEN), built) == (red, green, [2])
    later.indexes.save()
    assert (nearest(open_library(), RED), built) == (red, [2]), "a lost file must not cost a build at every start"


def test_the_cache_keeps_only_what_the_catalogue_names(open_library: Open, fill: Fill) -> None:
    library = open_library()
    fill(library, {"/red.png": RED})
    library.index("stage1")
    library.index("stage2")
    library.indexes.save()
    (library.cache / "stage2-killed.faiss").write_bytes(b"renamed, and then the kill")
    (library.cache / "stage2-killed.faiss-half").write_bytes(b"half")
    (library.cache / "weights.json").write_text("{}")
    fill(library, {"/green.png": GREEN})
    library.index("stage2")
    library.indexes.save()
    assert [name.partition("-")[0] for name in kept_files(library)] == ["stage1", "stage2"]
    assert (library.cache / "weights.json").exists()
    library.indexes.drop()
    assert kept_files(library) == []
    assert len(library.index("stage1")) == 2


def test_a_full_disk_while_the_index_is_kept_is_said_in_words(
    open_library: Open, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = open_library()
    fill(library, {"/red.png": RED})
    library.index("stage2")

    def full(self: VectorIndex, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("Error in write: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(VectorIndex, "save", full)
        with pytest.raises(LibraryError, match=r"could not be kept in .*No space left.*Nothing is lost"):
            library.indexes.save()
    assert kept_files(library) == []
    library.indexes.save()
    assert len(kept_files(library)) == 1


def test_vectors_that_were_given_up_leave_the_index_when_the_next_shard_comes(
    open_library: Open, fill: Fill, built: list[int]
) -> None:
    page, mender = open_library(), open_library()
    red, green = fill(mender, {"/red.png": RED, "/green.png": GREEN})
    assert sorted(page.index("stage2").ids().tolist()) == [red, green]
    mender.catalog.drop_shard(mender.catalog.newest_shard(mender.space_id))
    _, blue = fill(mender, {"/red.png": RED, "/blue.png": BLUE})
    assert sorted(page.index("stage2").ids().tolist()) == [red, blue]


def test_a_damaged_shard_is_said_each_time_and_does_not_fill_the_memory(
    open_library: Open, fill: Fill, built: list[int]
) -> None:
    library = open_library()
    fill(library, {"/red.png": RED})
    library.index("stage2")
    fill(library, {"/green.png": GREEN})
    fill(library, {"/blue.png": BLUE})
    newest = library.catalog.shards(library.space_id)[library.catalog.newest_shard(library.space_id)]
    path = library.shards.folder / newest.file
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    del built[:]
    for _ in range(3):
        with pytest.raises(ShardError, match="--mend"):
            library.index("stage2")
    assert built == [1], "the good shard before it was put in again each time"
    path.write_bytes(whole)
    assert sorted(library.index("stage2").ids().tolist()) == [1, 2, 3]


def test_searches_while_another_instance_stores_are_right(open_library: Open, fill: Fill) -> None:
    page, job = open_library(), open_library()
    (red,) = fill(job, {"/red.png": RED})
    wrong: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            if nearest(page, RED) != red:
                wrong.append(1)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for number in range(12):
        fill(job, {f"/{number}-{row}.png": (0.5, 0.8, row / 10) for row in range(8)})
    done.set()
    for asker in askers:
        asker.join(30)
    assert wrong == []
    assert len(page.index("stage2")) == 1 + 12 * 8


def test_what_a_search_had_to_build_is_kept_where_it_may_be(
    open_library: Open, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = open_library()
    fill(library, {"/red.png": RED, "/green.png": GREEN})
    library.index("stage1")
    assert not library.keep_indexes(), "so small a one is built in no time"
    monkeypatch.setattr(index.indexes, "EXACT_UP_TO", 1)
    job = library.catalog.start_job("index", [])
    assert not library.keep_indexes(), "a job is at work"
    library.catalog.finish_job(job, "done")
    assert kept_files(library) == []
    assert library.keep_indexes()
    assert [name.split("-")[0] for name in kept_files(library)] == ["stage1"]
    assert not library.keep_indexes(), "it is kept already"
    assert library.catalog.start_job("index", []), "the lease was given back"


def test_a_full_disk_costs_the_kept_index_and_not_the_answer(
    open_library: Open, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = open_library()
    fill(library, {"/red.png": RED, "/green.png": GREEN})
    library.index("stage2")
    monkeypatch.setattr(index.indexes, "EXACT_UP_TO", 1)

    def full(self: VectorIndex, path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(VectorIndex, "save", full)
        assert not library.keep_indexes()
    assert library.keep_indexes()
