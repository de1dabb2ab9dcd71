"""The doctor finds what is planted, by the check that should, and mending with an index run makes all well again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select, update

from index import checks
from index.doctor import CHECKS, examine
from index.errors import LibraryError
from index.library import Library
from index.recall import measured_recalls
from index.vectors import VectorIndex
from storage.database import writing
from storage.errors import JobRunning
from storage.shards import checksum_of
from storage.tables import Generation, Shard, Vector
from tests.index.health import details, failing

Open = Callable[..., Library]
Run = Callable[..., dict[str, Any]]
COUNT = 5


pytestmark = pytest.mark.usefixtures("inline_decoder")


@pytest.fixture
def indexed(open_library: Open, photos: Path, run: Run) -> Library:
    """A library of the five colours."""
    library = open_library()
    run(library, photos)
    return library


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
    assert set(measured_recalls(library).values()) == {None}


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


def misplace(library: Library) -> None:
    """Two vectors' places change sides in the cache's file, which is whole by its checksum."""
    (file,) = library.cache.glob("*.places")
    places = np.load(file)
    places["row"][:2] = places["row"][1::-1]
    with file.open("wb") as opened:
        np.save(opened, places)
    with writing(library.catalog.engine) as connection:
        connection.execute(update(Generation).where(Generation.file == file.name).values(checksum=checksum_of(file)))


@pytest.mark.parametrize(
    ("damage", "check", "detail"),
    [
        (flip_a_byte, "shards", "have changed since it was written"),
        (truncate_shard, "shards", "can't be read"),
        (lose_shard, "shards", "No such file"),
        (swap_rows, "rows", "3 of 5 vectors carry their content's own fingerprint"),
        (point_beyond_the_end, "rows", "4 of 5 vectors"),
        (lose_a_thumbnail, "thumbnails", "1 of 5 photos have no whole thumbnail"),
        (empty_a_thumbnail, "thumbnails", "1 of 5 photos have no whole thumbnail"),
        (flip_a_byte_of_the_index, "cache", "whose bytes have changed"),
        (lose_a_vector, "places", "4 of 4 vectors are looked for where they lie, 5 are known"),
        (swap_rows, "places", "3 of 5 vectors are looked for"),
        (misplace, "places", "3 of 5 vectors are looked for where they lie, 5 are known"),
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
        assert set(measured_recalls(library).values()) == {1.0}


def test_of_a_swap_only_its_vectors_are_given_up(indexed: Library, open_library: Open, photos: Path, run: Run) -> None:
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
    assert set(measured_recalls(library).values()) == {1.0}
    held = library.index("stage2")
    held.remove(held.ids()[::3])
    recalls = measured_recalls(library)
    assert recalls["default"] == recalls["subject"]
    assert 0.4 < (recalls["default"] or 0) < 0.8
    assert recalls["colour"] == 1.0, "the first stage has an index of its own"
    health = examine(library, recall=True)
    assert health["recall_at_10"] is None, "an index that lacks photos is ill; its recall is no news"


def test_mending_gives_nothing_up_while_the_shards_are_not_there(library: Library, photos: Path, run: Run) -> None:
    run(library, photos)
    away = library.shards.folder.rename(library.folder / "unplugged")
    with pytest.raises(LibraryError, match="mounted"):
        examine(library, mend=True)
    away.rename(library.shards.folder)
    assert examine(library)["ok"]


def test_files_that_moved_or_changed_are_counted_and_are_no_illness(indexed: Library, photos: Path) -> None:
    assert details(indexed)["files"] == "5 photos are where they were, unchanged"
    (photos / "red.png").rename(photos / "scarlet.png")
    (photos / "lime.png").unlink()
    (photos / "blue.png").write_bytes(b"somebody wrote into it")
    os.utime(photos / "rose.png", ns=(7, 7))
    assert details(indexed)["files"].startswith("of 5 photos 2 are not where they were and 2 have changed; `index` on")
    assert failing(indexed) == {}


def test_large_libraries_are_sampled_and_whole_looks_at_all(
    indexed: Library, photos: Path, monkeypatch: pytest.MonkeyPatch, paint: Callable[..., Path], run: Run
) -> None:
    for name, most in {"PHOTOS": 2, "VECTORS": 5, "SHARD_BYTES": 1}.items():
        monkeypatch.setattr(checks, name, most)
    paint(photos / "more.png", "red", seed=8)  # a shard of its own
    run(indexed, photos)
    said = details(indexed)
    assert "a sample; --whole looks at all" in said["files"]
    assert re.match(r"[12] photos are where", said["files"])
    assert (
        said["shards"]
        == "1 vector shards are whole, byte by byte, 1 more have their size (a sample; --whole looks at all)"
    )
    assert re.match(r"([56]) of \1 vectors", said["rows"])
    assert said["thumbnails"].endswith("(a sample; --whole looks at all)")
    whole = details(indexed, whole=True)
    assert "sample" not in " ".join(whole.values())
    assert whole["files"] == "6 photos are where they were, unchanged"
    assert whole["shards"] == "2 vector shards are whole, byte by byte"
    for shard in indexed.catalog.shards(indexed.space_id).values():
        path = indexed.shards.folder / shard.file
        path.write_bytes(path.read_bytes()[:-40] + b"?" * 40)
    assert {"shards", "rows"} <= set(failing(indexed)), "a sample of any size finds what is wrong everywhere"
