"""Relations between contents and the marks of comparisons as the catalogue keeps them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from storage.catalog import Catalog
from storage.fingerprints import FingerprintRow
from storage.records import Batch
from storage.relations import RelationRow


@pytest.fixture
def contents(catalog: Catalog, space: int, batch_of: Callable[..., Batch]) -> list[int]:
    """Three contents with fingerprints, of a photo each."""
    catalog.store(batch_of(["/a.png", "/b.png", "/c.png"]), space)
    found = catalog.contents_of([1, 2, 3]).tolist()
    catalog.store_fingerprints([FingerprintRow(one, bytes(8), 40.0, 7.5, 21.0) for one in found], 1)
    return found


def row(one: int, other: int, kind: str = "edited") -> RelationRow:
    return RelationRow(one, other, kind, "grey", 1.0, 0.5, True, False)


def marks(catalog: Catalog) -> list[tuple[bool, int]]:
    rows = catalog.fingerprints(1)
    return list(zip(rows["compared"].tolist(), rows["compared_in"].tolist(), strict=True))


def test_relations_and_marks_are_kept_and_forgotten(catalog: Catalog, space: int, contents: list[int]) -> None:
    one, two, three = contents
    catalog.store_compared([row(one, two), row(one, two, "burst"), row(two, three)], by_hash=[one, two])
    catalog.store_compared([row(one, two)], by_vectors=[two], space=space)
    assert list(catalog.relations()) == [row(one, two, "burst"), row(one, two), row(two, three)]
    assert marks(catalog) == [(True, 0), (True, space), (False, 0)]
    catalog.forget_compared([one])
    assert list(catalog.relations()) == [row(two, three)]
    assert marks(catalog) == [(False, 0), (True, space), (False, 0)]
    assert catalog.contradictions(whole=True) == {}


def test_a_new_fingerprint_forgets_what_was_found_by_the_old_one(catalog: Catalog, contents: list[int]) -> None:
    one, two, three = contents
    catalog.store_compared([row(one, two), row(two, three)], by_hash=contents)
    assert catalog.compared_and_gone(1) == []
    assert catalog.compared_and_gone(2) == contents
    catalog.store_fingerprints([FingerprintRow(one, bytes(8), 40.0, 7.5, 21.0)], 1)
    assert list(catalog.relations()) == [row(two, three)]
    assert marks(catalog) == [(False, 0), (True, 0), (True, 0)]
    catalog.mark_gone(["/"], (), set(), catalog.newest_photo())
    assert catalog.compared_and_gone(1) == [two, three]


def test_a_relation_of_nothing_is_a_contradiction(catalog: Catalog, contents: list[int]) -> None:
    catalog.close()
    with closing(sqlite3.connect(str(catalog.engine.url.database))) as connection:
        connection.execute(f"INSERT INTO relation VALUES ({contents[0]}, 999, 'edited', '', 1, 1, 0, 0)")
        connection.commit()
    assert catalog.contradictions(whole=False) == {"relations of a content that is not there": 1}
