"""The catalogue's verbs, by what can be read afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from storage import queries
from storage.catalog import Catalog
from storage.records import Batch, FileStamp, Filter, GenerationRecord
from storage.tables import Photo

Make = Callable[..., Batch]
ROOT = Path(__file__).parents[2]
EVERYTHING = Filter()


def found(catalog: Catalog, space: int, where: Filter = EVERYTHING) -> list[str]:
    """The paths that a search with this filter may show, by way of the contents."""
    contents = catalog.matching(where).tolist()
    photos = catalog.photos(contents, where, space)
    return sorted(photo.path for of_content in photos.values() for photo in of_content)


def counts(catalog: Catalog, space: int) -> tuple[int, int, int, int]:
    """(present, unreadable, gone, embedded)"""
    known = catalog.counts(space)
    return known["present"], known["unreadable"], known["gone"], known["embedded"]


def test_settings_and_spaces_are_remembered(catalog: Catalog, open_catalog: Callable[[], Catalog]) -> None:
    assert catalog.setting("model") is None
    catalog.remember("model", "first")
    catalog.remember("model", "second")
    first, second = catalog.space_id("a", "one", {"parts": [["x", 3]]}), catalog.space_id("b", "two", {})
    other = open_catalog()
    assert other.setting("model") == "second"
    assert (other.space_id("a", "one", {}), other.space(first)) == (first, ("a", "one", {"parts": [["x", 3]]}))
    assert second != first


def test_stored_photos_are_found_with_what_was_learnt(catalog: Catalog, space: int, batch_of: Make) -> None:
    taken = datetime(2020, 2, 29, 23, 59)
    batch = batch_of(["/p/a.png", "/p/b.png"], taken_at=taken, camera="Leica M6", labels=[(4, 0.7), (1, 0.2)])
    catalog.store(batch, space)
    contents = catalog.matching(EVERYTHING).tolist()
    photo = catalog.photos(contents, EVERYTHING, space)[contents[0]][0]
    assert (photo.path, photo.state, photo.width, photo.height) == ("/p/a.png", "present", 40, 30)
    assert (photo.taken_at, photo.camera, photo.digest) == (taken, "Leica M6", batch.contents[0].digest)
    assert catalog.photo(photo.id) == photo
    assert catalog.labels(contents[0], space) == [(4, 0.7), (1, 0.2)]
    assert catalog.labels(contents[0], space + 1) == []
    assert counts(catalog, space) == (2, 0, 0, 2)
    assert counts(catalog, space + 1) == (2, 0, 0, 0)
    assert catalog.photo(photo.id + 100) is None


def test_vectors_are_found_by_shard_and_by_content(catalog: Catalog, space: int, batch_of: Make) -> None:
    for number in range(3):
        catalog.store(batch_of([f"/{number}-{row}.png" for row in range(4)]), space)
    one, two, three = catalog.shards(space)
    assert catalog.newest_shard(space) == three
    assert catalog.newest_shard(space + 1) == 0
    places = {
        shard: (rows.tolist(), contents.tolist()) for shard, rows, contents in catalog.vector_places(space, 0, three)
    }
    assert [rows for rows, _ in places.values()] == [[0, 1, 2, 3]] * 3
    assert [shard for shard, _, _ in catalog.vector_places(space, one, two)] == [two]
    assert catalog.vector_count(space, two) == 8
    content = places[two][1][3]
    assert catalog.places_of([content, 999], space) == {content: (two, 3)}
    assert catalog.digests([content, 999]).keys() == {content}
    assert catalog.shard_files() == {"shard-0.npy", "shard-1.npy", "shard-2.npy"}


def test_what_a_scan_is_told(catalog: Catalog, space: int, batch_of: Make) -> None:
    batch = batch_of(["/a.png", "/b.png"])
    batch.failures.append((FileStamp("/bad.png", 5, 5), "is damaged"))
    catalog.store(batch, space)
    asked = [
        FileStamp("/bad.png", 5, 5),
        FileStamp("/a.png", 100, 7),
        FileStamp("/new.png", 1, 1),
        FileStamp("/b.png", 100, 8),
        FileStamp("/bad.png", 5, 6),
    ]
    bad, same, new, touched, bad_touched = catalog.changed(asked, space)
    assert [seen.stamp for seen in (bad, same, new, touched, bad_touched)] == asked
    assert (same.unchanged, same.digest, same.failed) == (True, batch.contents[0].digest, None)
    assert (touched.unchanged, touched.digest) == (False, batch.contents[1].digest)
    assert (new.photo_id, new.unchanged, new.failed) == (None, False, None)
    assert (bad.failed, bad.unchanged, bad.digest) == ("is damaged", False, None)
    assert (bad_touched.failed, bad_touched.unchanged) == (None, False)
    assert not catalog.changed(asked[1:2], space + 1)[0].unchanged  # embedded in another space only
    assert catalog.embedded_digests({100, 5}, space) == {100: frozenset(c.digest for c in batch.contents)}
    assert catalog.embedded({batch.contents[0].digest, "0" * 64}, space) == {batch.contents[0].digest}


def test_more_paths_than_one_statement_takes(catalog: Catalog, space: int, batch_of: Make) -> None:
    paths = [f"/many/{number:04}.png" for number in range(1203)]
    catalog.store(batch_of(paths), space)
    assert all(seen.unchanged for seen in catalog.changed([FileStamp(path, 100, 7) for path in paths], space))
    assert found(catalog, space) == paths
    assert catalog.mark_gone(["/many"], [], set(range(1, 101)), catalog.newest_photo()) == 1103
    assert counts(catalog, space) == (100, 0, 1103, 100)


def test_only_what_was_not_seen_below_the_folders_is_gone(catalog: Catalog, space: int, batch_of: Make) -> None:
    paths = ["/a/1.png", "/a/2.png", "/a/locked/3.png", "/a/locked-too/4.png", "/b/5.png"]
    batch = batch_of(paths)
    batch.failures.append((FileStamp("/a/bad.png", 1, 1), "is damaged"))
    catalog.store(batch, space)
    newest = catalog.newest_photo()
    ids = {photo.path: photo.id for photo in catalog.photos_in("present", 99)}
    catalog.store(batch_of(["/a/later.png"]), space)  # by the very run that asks
    assert catalog.mark_gone(["/a"], ["/a/locked"], {ids["/a/1.png"]}, newest) == 3
    assert found(catalog, space) == ["/a/1.png", "/a/later.png", "/a/locked/3.png", "/b/5.png"]
    assert [photo.path for photo in catalog.photos_in("gone", 99)] == ["/a/2.png", "/a/locked-too/4.png", "/a/bad.png"]
    assert catalog.mark_gone(["/a"], ["/a/locked"], {ids["/a/1.png"]}, newest) == 0  # gone once


def test_a_gone_photo_that_is_stored_again_is_present_with_its_old_id(
    catalog: Catalog, space: int, batch_of: Make
) -> None:
    batch = batch_of(["/a.png"])
    catalog.store(batch, space)
    before = catalog.photos_in("present", 9)[0]
    catalog.mark_gone(["/"], [], set(), catalog.newest_photo())
    assert catalog.changed([FileStamp("/a.png", 100, 7)], space)[0].digest is None
    catalog.store(Batch(photos=[(FileStamp("/a.png", 100, 9), batch.contents[0].digest)]), space)
    assert catalog.photos_in("present", 9) == [before]
    assert counts(catalog, space) == (1, 0, 0, 1)


def test_a_photo_changes_between_readable_and_not(catalog: Catalog, space: int, batch_of: Make) -> None:
    batch = batch_of(["/a.png", "/b.png"])
    catalog.store(batch, space)
    catalog.store(Batch(failures=[(FileStamp("/a.png", 3, 3), "ends early")]), space)
    assert found(catalog, space) == ["/b.png"]
    bad = catalog.photos_in("unreadable", 9)[0]
    assert (bad.path, bad.reason, bad.content_id) == ("/a.png", "ends early", None)
    catalog.store(Batch(photos=[(FileStamp("/a.png", 100, 7), batch.contents[1].digest)]), space)
    good = catalog.photo(bad.id)
    assert good is not None
    assert (good.state, good.reason, good.digest) == ("present", None, batch.contents[1].digest)


def test_a_store_that_fails_leaves_nothing(catalog: Catalog, space: int, batch_of: Make) -> None:
    catalog.store(batch_of(["/kept.png"]), space)
    before = (counts(catalog, space), catalog.shard_files(), found(catalog, space))
    broken = batch_of(["/a.png", "/b.png"], labels=[(1, 0.5)])
    broken.photos.append((FileStamp("/c.png", 1, 1), "f" * 64))  # of a content that nobody has
    with pytest.raises(KeyError):
        catalog.store(broken, space)
    assert (counts(catalog, space), catalog.shard_files(), found(catalog, space)) == before
    same_file = replace(batch_of(["/d.png"]), shard=next(iter(catalog.shards(space).values())))
    with pytest.raises(IntegrityError):
        catalog.store(same_file, space)
    assert (counts(catalog, space), catalog.shard_files(), found(catalog, space)) == before
    assert catalog.digests(range(1, 50)).keys() == {1}


def test_a_content_that_is_embedded_twice_keeps_its_first_vector(catalog: Catalog, space: int, batch_of: Make) -> None:
    catalog.store(batch_of(["/a.png"], labels=[(1, 0.5)]), space)
    catalog.store(batch_of(["/a.png", "/b.png"], labels=[(2, 0.5)]), space)
    first, second = catalog.shards(space)
    a, b = catalog.matching(EVERYTHING).tolist()
    assert catalog.places_of([a, b], space) == {a: (first, 0), b: (second, 1)}
    assert catalog.labels(a, space) == [(1, 0.5)]


def test_filters_hold_all_at_once(catalog: Catalog, space: int, batch_of: Make) -> None:
    day = datetime(2021, 6, 1)
    catalog.store(batch_of(["/a/leica.png"], taken_at=day, camera="Leica M6", labels=[(1, 0.9), (2, 0.1)]), space)
    catalog.store(
        batch_of(["/a/canon.png"], taken_at=day.replace(day=2), camera="Canon 50%_D", labels=[(2, 0.9)]), space
    )
    catalog.store(batch_of(["/b/none.png"]), space)
    for where, expected in [
        (Filter(camera="leica"), ["/a/leica.png"]),
        (Filter(camera="50%_d"), ["/a/canon.png"]),
        (Filter(camera="5_%"), []),
        (Filter(camera="' OR 1=1 --"), []),
        (Filter(after=day), ["/a/canon.png", "/a/leica.png"]),
        (Filter(before=day.replace(day=2)), ["/a/leica.png"]),
        (Filter(after=day, before=day), []),
        (Filter(camera="leica", folder="/a"), ["/a/leica.png"]),
        (Filter(camera="leica", folder="/b"), []),
        (Filter(), ["/a/canon.png", "/a/leica.png", "/b/none.png"]),
    ]:
        assert found(catalog, space, where) == expected, where
    assert not Filter()
    assert Filter(folder="/a")


def test_a_newer_saved_index_replaces_the_older(catalog: Catalog, space: int) -> None:
    old = GenerationRecord(0, "pooled", "old.faiss", 10, "0" * 64, 3, 1)
    catalog.add_generation(space, old)
    catalog.add_generation(space, replace(old, part="stage1", file="stage.faiss"))
    catalog.add_generation(space, replace(old, file="new.faiss", count=5, last_shard=2))
    kept = catalog.generation(space, "pooled")
    assert kept is not None
    assert (kept.file, kept.count, kept.last_shard) == ("new.faiss", 5, 2)
    assert catalog.generation_files() == {"new.faiss", "stage.faiss"}
    assert catalog.generation(space + 1, "pooled") is None
    catalog.drop_generations(space)
    assert catalog.generation_files() == set()


def test_a_lost_shard_takes_its_vectors_along_and_its_id_is_not_given_again(
    catalog: Catalog, space: int, batch_of: Make
) -> None:
    catalog.store(batch_of(["/a.png"]), space)
    catalog.store(batch_of(["/b.png", "/c.png"]), space)
    newest = catalog.newest_shard(space)
    assert catalog.drop_shard(newest) == 2
    assert counts(catalog, space) == (3, 0, 0, 1)
    catalog.store(batch_of(["/b.png"]), space)
    assert catalog.newest_shard(space) > newest, (
        "an index that had the lost shard inside would never look at the new one"
    )
    assert counts(catalog, space) == (3, 0, 0, 2)


def test_vectors_are_dropped_by_content(catalog: Catalog, space: int, batch_of: Make) -> None:
    catalog.store(batch_of(["/a.png", "/b.png"]), space)
    a, b = catalog.matching(EVERYTHING).tolist()
    catalog.drop_vectors([a], space)
    assert catalog.places_of([a, b], space).keys() == {b}
    assert not catalog.changed([FileStamp("/a.png", 100, 7)], space)[0].unchanged


def test_pages_of_photos_are_complete(catalog: Catalog, space: int, batch_of: Make) -> None:
    catalog.store(batch_of([f"/{number}.png" for number in range(7)]), space)
    pages, last = [], 0
    while page := catalog.photos_in("present", 3, last):
        pages.append(len(page))
        last = page[-1].id
    assert pages == [3, 3, 1]


def test_threads_and_processes_write_at_once_and_lose_nothing(
    catalog: Catalog, space: int, batch_of: Make, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom storage.catalog import Catalog\nfrom storage.database import sqlite_url\n"
        "catalog = Catalog(sqlite_url(Path(sys.argv[1])))\n"
        "for n in range(60): catalog.remember(f'process {n}', 'x')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "catalog.sqlite")]
    batches = [batch_of([f"/{thread}/{number}.png"]) for thread in range(3) for number in range(10)]
    with subprocess.Popen(command, cwd=ROOT) as other, ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda batch: catalog.store(batch, space), batches))
        while other.poll() is None:
            catalog.remember("thread", "x")
    assert other.returncode == 0
    assert counts(catalog, space) == (30, 0, 0, 30)
    assert all(catalog.setting(f"process {n}") == "x" for n in range(60))
    assert len(set(catalog.places_of(catalog.matching(EVERYTHING).tolist(), space).values())) == 30


@pytest.mark.parametrize(
    ("where", "contents", "index"),
    [
        (Filter(), [1, 2, 3], "ix_photo_content_id"),
        (Filter(folder="/p"), None, "path>? AND path<?"),
        (Filter(folder="/p", camera="leica"), None, "path>? AND path<?"),
    ],
)
def test_what_a_search_asks_is_looked_up_and_not_walked_through(
    catalog: Catalog, space: int, where: Filter, contents: list[int] | None, index: str
) -> None:
    statement = queries.present_photos(where)
    if contents is not None:
        statement = statement.where(Photo.content_id.in_(contents))
    compiled = statement.compile(catalog.engine, compile_kwargs={"render_postcompile": True})
    with catalog.engine.connect() as connection:
        parameters = tuple(compiled.params[name] for name in compiled.positiontup or ())
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", parameters).all()
    photo = next(row[3] for row in plan if " photo " in row[3])
    assert photo.startswith("SEARCH")
    assert index in photo
