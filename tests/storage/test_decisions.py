"""Decisions and fingerprints as the catalogue keeps them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

import pytest

from storage.catalog import Catalog
from storage.decisions import KEEP_BOTH, NOT_DUPLICATE, DecisionRecord
from storage.errors import ReadOnly
from storage.fingerprints import FingerprintRow
from storage.records import Batch


@pytest.fixture
def contents(catalog: Catalog, space: int, batch_of: Callable[..., Batch]) -> list[int]:
    """Three contents, of a photo each."""
    catalog.store(batch_of(["/a.png", "/b.png", "/c.png"]), space)
    return catalog.contents_of([1, 2, 3]).tolist()


def row(content: int, code: int = 5) -> FingerprintRow:
    return FingerprintRow(content, code.to_bytes(8, "little"), 40.0, 7.5, 21.0)


def test_a_decision_is_kept_once_and_outlives_its_photos(
    catalog: Catalog, contents: list[int], open_catalog: Callable[[], Catalog]
) -> None:
    first = catalog.decide(KEEP_BOTH, {contents[0]: 1, contents[1]: 1})
    assert catalog.decide(KEEP_BOTH, {contents[1]: 1, contents[0]: 1}) == first
    second = catalog.decide(NOT_DUPLICATE, {contents[0]: 1, contents[1]: 1})
    catalog.mark_gone(["/"], (), set(), catalog.newest_photo())
    with closing(open_catalog()) as again:
        made = again.decisions()
    assert [(one.id, one.verdict, one.copies) for one in made] == [
        (first, KEEP_BOTH, {contents[0]: 1, contents[1]: 1}),
        (second, NOT_DUPLICATE, {contents[0]: 1, contents[1]: 1}),
    ]
    catalog.take_back([first])
    assert [one.id for one in catalog.decisions()] == [second]
    assert catalog.contradictions(whole=True) == {}


def test_a_decision_covers_photos_up_to_the_copies_it_was_about() -> None:
    made = DecisionRecord(1, KEEP_BOTH, datetime(2026, 1, 1), {7: 2, 9: 1})
    assert made.covers({7: 2})
    assert made.covers({7: 1, 9: 1})
    assert not made.covers({7: 3})
    assert not made.covers({7: 1, 8: 1})


def test_fingerprints_are_asked_for_once_for_each_version(catalog: Catalog, contents: list[int]) -> None:
    assert catalog.fingerprint_count(1) == (3, 0)
    assert [content for content, _ in catalog.without_fingerprint(1, 0, 2)] == contents[:2]
    catalog.store_fingerprints([row(contents[0], 2**63 + 5), row(contents[2])], 1)
    assert [content for content, _ in catalog.without_fingerprint(1, 0, 9)] == [contents[1]]
    assert catalog.fingerprint_count(1) == (3, 2)
    assert catalog.fingerprint_count(2) == (3, 0)
    kept = catalog.fingerprints(1)
    assert kept["content"].tolist() == [contents[0], contents[2]]
    assert kept["hash"].tolist() == [2**63 + 5, 5]
    assert (kept["contrast"][0], kept["sharpness"][0], kept["colour"][0]) == (40.0, 7.5, 21.0)
    catalog.note_detail(contents[0], 640)
    assert catalog.copies([contents[0]])[contents[0]][0].detail_px == 640
    catalog.store_fingerprints([row(contents[0])], 2)
    assert catalog.copies([contents[0]])[contents[0]][0].detail_px is None
    assert len(catalog.fingerprints(1)) == 1


def test_contents_without_a_present_photo_are_left_out(catalog: Catalog, contents: list[int]) -> None:
    catalog.store_fingerprints([row(content) for content in contents], 1)
    catalog.mark_gone(["/"], (), {1}, catalog.newest_photo())
    assert catalog.fingerprints(1)["content"].tolist() == [contents[0]]
    assert catalog.fingerprint_count(1) == (1, 1)
    assert list(catalog.copies(contents)) == [contents[0]]


def test_copies_come_older_first_then_by_shorter_path(
    catalog: Catalog, space: int, batch_of: Callable[..., Batch], contents: list[int]
) -> None:
    stored = batch_of(["/a.png"])
    stamp, digest = stored.photos[0]
    older = [(type(stamp)(path, stamp.size, stamp.mtime_ns + more), digest) for path, more in COPIES]
    catalog.store(Batch(photos=older), space)
    assert [copy.path for copy in catalog.copies(contents)[contents[0]]] == [
        "/old/a.png",
        "/a.png",
        "/aaa.png",
        "/new.png",
    ]
    assert catalog.copied_contents() == [contents[0]]


COPIES = [("/new.png", 5), ("/aaa.png", 0), ("/old/a.png", -5)]


def test_a_library_that_can_only_be_read_says_so(
    catalog: Catalog, contents: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ReadOnly("can be read only")

    monkeypatch.setattr("storage.read_only.refuse", refuse)
    with pytest.raises(ReadOnly, match="read only"):
        catalog.decide(KEEP_BOTH, {contents[0]: 1, contents[1]: 1})
    with pytest.raises(ReadOnly, match="read only"):
        catalog.store_fingerprints([row(contents[0])], 1)
    assert catalog.decisions() == []
