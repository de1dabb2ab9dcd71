"""The doctor finds what is planted, by the check that should, and mending with an index run makes all well again."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select, update

import index.library
from index.decode_worker import Decoded, DecodeTask, Failure, decode_file
from index.doctor import CHECKS, examine, measured_recall
from index.errors import LibraryError
from index.library import Library
from index.vectors import VectorIndex
from regconv.errors import UnreadableImage
from regconv.images import Limits, Recipe
from storage.database import writing
from storage.errors import JobRunning
from storage.shards import checksum_of
from storage.tables import Generation, Shard, Vector

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
COUNT = 5


class InlineDecoder:
    """The decoder's work without its processes: they are tested elsewhere, and take their time to start."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def decode(self, tasks: Iterable[DecodeTask]) -> Generator[Any, None, None]:
        for task in tasks:
            yield decode_file(task, self.recipe, Limits())

    def picture(self, path: str) -> Decoded:
        result = decode_file(DecodeTask(path), self.recipe, Limits())
        if isinstance(result, Failure):
            raise UnreadableImage(path, result.reason)
        assert isinstance(result, Decoded)
        return result

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _inline_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.library, "Decoder", InlineDecoder)


@pytest.fixture
def indexed(open_library: Open, photos: Path, run: Run) -> Library:
    """A library of the five colours."""
    library = open_library()
    run(library, photos)
    return library


def failing(library: Library) -> dict[str, str]:
    """The checks that are not ok, with their details."""
    health = examine(library)
    failed = {check["name"]: check["detail"] for check in health["checks"] if not check["ok"]}
    assert health["ok"] == (not failed)
    return failed


def only_shard(library: Library) -> Path:
    (shard,) = library.catalog.shards(library.space_id).values()
    return library.shards.folder / shard.file


def test_a_healthy_library_is_well_and_the_report_keeps_its_contract(indexed: Library) -> None:
    health = examine(indexed, recall=True)
    assert failing(indexed) == {}
    assert [check["name"] for check in health["checks"]] == list(CHECKS)
    assert health["photos"] == {"present": COUNT, "unreadable": 0, "gone": 0}
    assert (health["ok"], health["embedded"], health["recall_at_10"], health["mended"]) == (True, COUNT, 1.0, [])
    assert health["faiss"].startswith(("cpu", "gpu"))
    json.dumps(health)


def test_a_fresh_library_is_well(library: Library) -> None:
    assert failing(library) == {}
    assert measured_recall(library) is None


# What can be planted, and the checks that must find it.


def flip_a_byte(library: Library) -> None:
    data = bytearray(only_shard(library).read_bytes())
    data[-40] ^= 1  # in the last row's norms, where neither the index nor a fingerprint would show it
    only_shard(library).write_bytes(data)


def truncate_shard(library: Library) -> None:
    only_shard(library).write_bytes(only_shard(library).read_bytes()[:-1])


def lose_shard(library: Library) -> None:
    only_shard(library).unlink()


def swap_rows(library: Library) -> None:
    with writing(library.catalog.engine) as connection:
        first, second = connection.execute(select(Vector.content_id, Vector.row).order_by(Vector.row).limit(2)).all()
        for content, row in ((first[0], 99), (second[0], first[1]), (first[0], second[1])):
            connection.execute(update(Vector).where(Vector.content_id == content).values(row=row))


def point_beyond_the_end(library: Library) -> None:
    with writing(library.catalog.engine) as connection:
        connection.execute(update(Vector).where(Vector.row == COUNT - 1).values(row=COUNT))


def lose_a_thumbnail(library: Library) -> None:
    library.thumbnails.path(library.catalog.photos_in("present", 1)[0].digest or "").unlink()


def empty_a_thumbnail(library: Library) -> None:
    library.thumbnails.path(library.catalog.photos_in("present", 1)[0].digest or "").write_bytes(b"")


def flip_a_byte_of_the_index(library: Library) -> None:
    (file,) = library.cache.glob("*.faiss")
    data = bytearray(file.read_bytes())
    data[-2] ^= 4
    file.write_bytes(data)


def lose_a_vector(library: Library) -> None:
    with writing(library.catalog.engine) as connection:
        connection.execute(delete(Vector).where(Vector.row == 2))


def save_another_index(library: Library, ids: np.ndarray, vectors: np.ndarray) -> None:
    """An index in place of the saved one, whole by its checksum."""
    (file,) = library.cache.glob("*.faiss")
    other = VectorIndex(3)
    other.add(ids, vectors)
    other.save(file)
    values = {"checksum": checksum_of(file), "bytes": file.stat().st_size, "count": len(other)}
    with writing(library.catalog.engine) as connection:
        connection.execute(update(Generation).values(**values))


def shift_the_index(library: Library) -> None:
    ids = np.sort(library.index("stage2").ids())
    vectors = np.stack([library.stored([content], "stage2")[content] for content in ids.tolist()])
    save_another_index(library, ids, np.roll(vectors, 1, axis=0))


def put_a_stranger_into_the_index(library: Library) -> None:
    ids = np.sort(library.index("stage2").ids())
    vectors = np.stack([library.stored([content], "stage2")[content] for content in ids.tolist()])
    save_another_index(library, np.append(ids[1:], 777), np.roll(vectors, -1, axis=0))


@pytest.mark.parametrize(
    ("damage", "check", "detail"),
    [
        (flip_a_byte, "shards", "have changed since it was written"),
        (truncate_shard, "shards", "can't be read"),
        (lose_shard, "shards", "No such file"),
        (swap_rows, "rows", "3 of 5 vectors carry their content's own fingerprint"),
        (point_beyond_the_end, "rows", "4 of 5 vectors"),
        (lose_a_thumbnail, "thumbnails", "1 photos have no thumbnail"),
        (empty_a_thumbnail, "thumbnails", "1 photos have no thumbnail"),
        (flip_a_byte_of_the_index, "cache", "whose bytes have changed"),
        (lose_a_vector, "photos", "5 photos are present, 4 of them have vectors; run `python app.py index`"),
        (shift_the_index, "index", "of 5 asked find themselves"),
        (put_a_stranger_into_the_index, "index", "holds 4 of 5 vectors, 1 that are no longer known"),
    ],
)
def test_planted_damage_is_found_and_mended(
    indexed: Library,
    open_library: Open,
    photos: Path,
    run: Run,
    damage: Callable[[Library], None],
    check: str,
    detail: str,
) -> None:
    damage(indexed)
    found = failing(open_library())
    assert check in found
    assert detail in found[check]
    mender = open_library()
    assert examine(mender, mend=True)["mended"]
    run(mender, photos)
    for library in (mender, open_library()):
        assert failing(library) == {}
        assert library.catalog.counts(library.space_id)["embedded"] == COUNT
        assert measured_recall(library) == 1.0


def test_a_swap_is_found_by_no_other_check_and_only_its_vectors_are_given_up(
    indexed: Library, open_library: Open, photos: Path, run: Run
) -> None:
    swap_rows(indexed)
    mender = open_library()
    mended = examine(mender, mend=True)["mended"]
    assert any("gave up 2 vectors" in line for line in mended)
    assert run(mender, photos)["embedded"] == 2


def test_vectors_that_the_model_would_not_give_are_found(indexed: Library, open_library: Open) -> None:
    path = only_shard(indexed)
    rows = np.load(path)
    rows["stage2"] = rows["stage2"][:, ::-1]  # red has become blue
    np.save(path, rows)
    with writing(indexed.catalog.engine) as connection:
        connection.execute(update(Shard).values(checksum=checksum_of(path)))
    found = failing(open_library())
    assert "lowest cosine 0." in found["vectors"]
    assert "shards" not in found


def test_a_left_over_file_is_told_and_removed(indexed: Library) -> None:
    kept = only_shard(indexed)
    (indexed.shards.folder / "left.npy").write_bytes(b"between the file and its row, a kill")
    health = examine(indexed)
    detail = {check["name"]: check["detail"] for check in health["checks"]}["left over"]
    assert detail.startswith("1 files in shards/ belong to nothing")
    assert health["ok"]  # it costs room, nothing else
    assert "removed left.npy, which belonged to nothing" in examine(indexed, mend=True)["mended"]
    assert list(indexed.shards.folder.iterdir()) == [kept]


def test_a_deleted_cache_is_no_damage(indexed: Library, open_library: Open) -> None:
    for path in indexed.cache.iterdir():
        path.unlink()
    assert failing(open_library()) == {}


def test_mending_what_is_well_changes_nothing_that_is_true(indexed: Library, open_library: Open) -> None:
    before = (only_shard(indexed).read_bytes(), indexed.catalog.photos_in("present", 99))
    assert examine(indexed, mend=True)["mended"] == ["built the index anew from the shards"]
    assert (only_shard(indexed).read_bytes(), indexed.catalog.photos_in("present", 99)) == before
    assert len(list(indexed.cache.glob("*.faiss"))) == 1


def test_photos_that_are_not_there_to_be_compared_are_no_damage(indexed: Library, photos: Path) -> None:
    photos.rename(photos.parent / "unplugged")
    assert failing(indexed) == {}


def test_mending_waits_for_no_job_and_disturbs_none(indexed: Library, open_library: Open) -> None:
    job = indexed.catalog.start_job("index", [])
    with pytest.raises(JobRunning):
        examine(open_library(), mend=True)
    assert failing(open_library()) == {}  # to look is allowed
    indexed.catalog.finish_job(job, "done")
    assert examine(open_library(), mend=True)["ok"]
    assert indexed.catalog.latest_job("mend").state == "done"  # type: ignore[union-attr]


def test_mending_that_fails_gives_the_lease_back(
    indexed: Library, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("the disk is gone")

    library = open_library()
    monkeypatch.setattr(library.indexes, "drop", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        examine(library, mend=True)
    assert indexed.catalog.latest_job("mend").state == "failed"  # type: ignore[union-attr]
    assert indexed.catalog.start_job("index", []) > 0


def test_recall_falls_with_what_the_index_does_not_find(library: Library, fill: Callable[..., list[int]]) -> None:
    vectors = np.random.default_rng(0).normal(size=(150, 3))
    fill(library, {f"/{number}.png": vector for number, vector in enumerate(vectors)})
    assert measured_recall(library) == 1.0
    held = library.index("stage2")
    held.remove(held.ids()[::3])
    recall = measured_recall(library)
    assert recall is not None
    assert 0.4 < recall < 0.8


def test_mending_gives_nothing_up_while_the_shards_are_not_there(library: Library, photos: Path, run: Run) -> None:
    run(library, photos)
    away = library.shards.folder.rename(library.folder / "unplugged")
    with pytest.raises(LibraryError, match="mounted"):
        examine(library, mend=True)
    away.rename(library.shards.folder)
    assert examine(library)["ok"]
