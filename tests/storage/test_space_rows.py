"""What the catalogue says of several spaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from storage.catalog import Catalog
from storage.errors import CatalogError, LeaseLost
from storage.records import Batch, FileStamp, GenerationRecord, ProbeRecord
from storage.tables import Base

BatchOf = Callable[..., Batch]
PATHS = [f"/photos/{number}.jpg" for number in range(6)]


@pytest.fixture
def second(catalog: Catalog, space: int, batch_of: BatchOf) -> int:
    """A second space with the first two of six contents, all of which the first has. The sixth is gone, the fifth has a copy."""
    whole = batch_of(PATHS, labels=[(1, 0.9)])
    whole.photos.append((FileStamp("/elsewhere/4.jpg", 100, 9), whole.contents[4].digest))
    catalog.store(whole, space)
    catalog.mark_gone(["/photos"], [], seen=range(1, 6), newest=6)
    catalog.remember("space", str(space))
    catalog.remember("model", "a model")
    other = catalog.space_id("another", "another model", {"parts": [["pooled", 4]]})
    some = batch_of(PATHS[:2], labels=[(2, 0.8)])
    some.photos = []
    catalog.store(some, other)
    return other


def ids(found: Iterable) -> list[int]:
    return [content.id for content in found]


def test_what_a_space_lacks_comes_by_pages_with_every_present_copy(catalog: Catalog, space: int, second: int) -> None:
    assert (catalog.lacking(space), catalog.lacking(second)) == (0, 3)
    first = catalog.missing(second, 0, 2)
    assert (ids(first), ids(catalog.missing(second, first[-1].id, 2))) == ([3, 4], [5])
    assert first[0].photos == [FileStamp(PATHS[2], 100, 7)]
    assert catalog.missing(second, 4, 9)[0].photos == [
        FileStamp("/elsewhere/4.jpg", 100, 9),
        FileStamp(PATHS[4], 100, 7),
    ]
    assert catalog.missing(second, 5, 9) == []


def test_spaces_are_listed_with_what_they_take(catalog: Catalog, space: int, second: int) -> None:
    catalog.add_generation(second, GenerationRecord(0, "pooled", "a.faiss", 77, "", 2, 1))
    found = [(row.id, row.key, row.model, row.vectors, row.bytes) for row in catalog.spaces()]
    assert found == [(space, "key", "a model", 6, 1000), (second, "another", "another model", 2, 1077)]


def test_the_switch_names_what_answers_and_what_did(catalog: Catalog, space: int, second: int) -> None:
    assert catalog.active() == (space, "a model")
    job_id = catalog.start_job("switch", [])
    catalog.remember("shadow_space", str(second))
    catalog.activate(second, "its new name", job_id)
    assert catalog.active() == (second, "its new name")
    assert (catalog.setting("previous_space"), catalog.setting("shadow_space")) == (str(space), None)
    assert catalog.spaces()[1].model == "its new name"
    catalog.activate(second, "another name", job_id)  # the same space: the way back stays
    assert catalog.setting("previous_space") == str(space)
    catalog.finish_job(job_id, "done")
    with pytest.raises(LeaseLost):
        catalog.activate(space, "a model", job_id)
    assert catalog.active() == (second, "another name")


def test_a_catalogue_of_no_library_has_nothing_active(catalog: Catalog) -> None:
    assert catalog.active() is None
    assert catalog.spaces() == []


def test_nothing_of_a_space_that_was_given_up_is_left_in_any_table(
    catalog: Catalog, space: int, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.spaces.LABELS_AT_ONCE", 2)
    catalog.save_probe(second, ProbeRecord(["a"], b"", {}))
    catalog.add_generation(second, GenerationRecord(0, "pooled", "a.faiss", 77, "", 2, 1))
    catalog.remember("previous_space", str(second))
    catalog.remember(f"whitening/{second}", "of this space")
    catalog.remember(f"whitening/1{second}", "of another one")
    job_id = catalog.start_job("switch", [])
    with pytest.raises(CatalogError, match="can't be given up"):
        catalog.drop_spaces({space, second}, job_id)
    assert catalog.drop_spaces({second}, job_id) == {"shard-1.npy"}
    tables = [table for table in Base.metadata.sorted_tables if "space_id" in table.columns]
    assert {table.name for table in tables} >= {"vector", "shard", "label", "probe", "generation"}
    with catalog.engine.connect() as connection:
        for table in tables:
            held = connection.execute(table.select().where(table.c.space_id == second)).all()
            assert held == [], table.name
    assert catalog.setting("previous_space") is None
    assert (catalog.setting(f"whitening/{second}"), catalog.setting(f"whitening/1{second}")) == (None, "of another one")
    assert catalog.labels(1, space) == [(1, 0.9)]
    assert (catalog.lacking(space), catalog.lacking(second)) == (0, 5)
    assert catalog.contradictions(whole=True) == {}
