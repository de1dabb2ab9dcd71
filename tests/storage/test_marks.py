"""Words that the user gave, and what was learnt from them, in the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from storage.catalog import Catalog
from storage.records import Batch, FileStamp, Filter, ProbeRecord

BatchOf = Callable[..., Batch]
PROBE = ProbeRecord(["cat", "dog"], b"\x00\x01\xff", {"temperature": 0.5})


@pytest.fixture
def contents(catalog: Catalog, space: int, batch_of: BatchOf) -> list[int]:
    """The content ids of /a.png, /b.png and /c.png."""
    catalog.store(batch_of(["/a.png", "/b.png", "/c.png"]), space)
    return catalog.matching(Filter()).tolist()


def test_marks_are_kept_by_word_and_given_once(catalog: Catalog, space: int, contents: list[int]) -> None:
    a, b, c = contents
    catalog.mark({"dog": [c, a], "cat": [b]})
    catalog.mark({"dog": [c]})
    assert catalog.words() == {"cat": 1, "dog": 2}
    assert catalog.marked(space) == {"cat": [b], "dog": [a, c]}
    assert list(catalog.marked(space)) == ["cat", "dog"]


def test_marking_anew_corrects_these_words_and_leaves_others(catalog: Catalog, space: int, contents: list[int]) -> None:
    a, b, _ = contents
    catalog.mark({"cat": [a], "dog": [b], "mine": [a]})
    catalog.mark({"dog": [a], "cat": []})
    assert catalog.marked(space) == {"dog": [a, b], "mine": [a]}


def test_a_mark_outlives_a_move_and_counts_where_there_is_a_vector(
    catalog: Catalog, space: int, contents: list[int], batch_of: BatchOf
) -> None:
    catalog.mark({"cat": [contents[0]]})
    batch = batch_of(["/a.png"])
    moved = Batch(photos=[(FileStamp("/elsewhere/z.png", 100, 7), batch.contents[0].digest)])
    catalog.store(moved, space)
    assert catalog.marked_with(["cat"]).tolist() == [contents[0]]
    found = catalog.photos(contents, Filter(folder="/elsewhere"), space)
    assert [photo.path for photo in found[contents[0]]] == ["/elsewhere/z.png"]
    other = catalog.space_id("another key", "another model", {})
    assert catalog.marked(other) == {}
    assert catalog.words() == {"cat": 1}


def test_contents_are_found_by_label_and_by_word(catalog: Catalog, space: int, batch_of: BatchOf) -> None:
    catalog.store(batch_of(["/labelled.png"], labels=[(7, 0.75), (9, 0.125), (2, 0.0625)]), space)
    catalog.store(batch_of(["/marked.png"]), space)
    catalog.store(batch_of(["/less.png"], labels=[(2, 0.5), (9, 0.25)]), space)
    labelled, marked, less = catalog.matching(Filter()).tolist()
    catalog.mark({"cat": [marked, labelled], "dog": [marked], "sea": [less]})
    for among in (None, np.array([labelled, marked, less])):
        contents, scores = catalog.labelled([7, 9], space, among)
        assert (contents.tolist(), scores.tolist()) == ([labelled, less], [0.875, 0.25])
        assert catalog.marked_with(["cat", "dog"], among).tolist() == [labelled, marked]
        assert catalog.marked_with(["cow"], among).tolist() == []
        assert catalog.labelled([], space, among)[0].tolist() == []
    assert catalog.labelled([7, 9], space, np.array([less, marked]))[0].tolist() == [less]
    assert catalog.marked_with(["cat"], np.array([less])).tolist() == []
    assert catalog.labelled([7], space + 1)[0].tolist() == []
    assert catalog.label_counts(space, 0.25) == {7: 1, 2: 1, 9: 1}
    assert catalog.label_counts(space, 0.3) == {7: 1, 2: 1}
    assert catalog.mark_gone(["/"], (), seen=(), newest=catalog.newest_photo()) == 3
    assert catalog.label_counts(space, 0.0) == {}, "nothing that is there is called so"


def test_a_probe_is_replaced_and_goes_with_its_words(catalog: Catalog, space: int, contents: list[int]) -> None:
    other = catalog.space_id("another key", "another model", {})
    assert catalog.probe(space) is None
    catalog.save_probe(space, PROBE)
    catalog.save_probe(space, replace(PROBE, words=["cat", "fish"]))
    catalog.save_probe(other, PROBE)
    assert catalog.probe(space) == replace(PROBE, words=["cat", "fish"])
    catalog.drop_probe(other)
    assert catalog.probe(other) is None
    catalog.mark({"cat": contents, "dog": contents[:1]})
    catalog.unmark(["cat"])
    assert catalog.probe(space) is None, "it still knew a word that was taken back"
    assert catalog.words() == {"dog": 1}
    catalog.unmark()
    assert catalog.words() == {}


def test_many_marks_and_odd_words_go_through(catalog: Catalog, space: int, batch_of: BatchOf) -> None:
    catalog.store(batch_of([f"/{n}.png" for n in range(1201)]), space)
    contents = catalog.matching(Filter()).tolist()
    odd = "'); DROP TABLE mark;-- 雪"
    catalog.mark({odd: contents})
    catalog.mark({odd: contents[:1], "b": contents[1:]})
    assert catalog.words() == {odd: 1, "b": 1200}
