"""Searches of whitened vectors: what is compared, when it is fitted, and that index and whitening always belong together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import index.open_space
from index.checks import index as index_check
from index.errors import ModelMismatch
from index.indexes import Indexes
from index.library import Library
from index.look import Example
from index.recall import measured_recalls
from index.search import example_of_photo, find_similar, nearest_contents
from index.vectors import VectorIndex
from index.whitening import LEAST, Whitening, fit

Fill = Callable[..., list[int]]
Open = Callable[..., Library]
WIDTH = 160


@pytest.fixture
def open_wide(open_library: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the library with a pooled part that is wide enough to be whitened."""
    narrow = index.open_space.describe

    def wide(model: str, **options: Any) -> Any:
        description = narrow(model, **options)
        description.parts = (("stage1", 3), ("stage2", WIDTH))
        return description

    monkeypatch.setattr(index.open_space, "describe", wide)
    return open_library


def vectors(count: int, seed: int = 0) -> np.ndarray:
    """Float32 (count, WIDTH) of unit length: ten kinds, beside a few directions in which all vary much more."""
    random = np.random.default_rng(seed)
    kinds, loud = np.random.default_rng(1).normal(size=(2, 10, WIDTH))
    rows = 6 + 0.7 * kinds[np.arange(count) % 10] + random.normal(size=(count, 3)) @ (2 * loud[:3])
    rows += random.normal(size=(count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def put(fill: Fill, library: Library, rows: np.ndarray, folder: str = "p") -> list[int]:
    names = {f"/{folder}/{at:04}.png": {"stage1": (1.0, at + 1, 0.5), "stage2": row} for at, row in enumerate(rows)}
    return fill(library, names)


def whitening_of(library: Library) -> Whitening | None:
    return library.index("stage2").whitening


def example(row: np.ndarray) -> Example:
    return Example({"stage1": np.array([1, 0, 0], np.float32), "stage2": row})


def test_the_score_is_the_cosine_of_whitened_vectors(open_wide: Open, fill: Fill) -> None:
    library = open_wide()
    contents = put(fill, library, vectors(LEAST + 20))
    stored = library.vectors.of(np.array(contents), "stage2")
    library.vectors.refresh()
    stored = library.vectors.of(np.array(contents), "stage2")[1]
    whitening = fit(stored)
    assert whitening is not None
    query = vectors(1, seed=9)[0]
    expected = whitening.of(stored) @ whitening.of(query[None])[0]
    answer = find_similar(library, [example(query)], k=200)
    assert answer.exact
    assert [one.photo.content_id for one in answer.neighbours] == np.array(contents)[np.argsort(-expected)].tolist()
    assert [one.score for one in answer.neighbours] == pytest.approx(np.sort(expected)[::-1].tolist(), abs=1e-5)
    scores, found = nearest_contents(library, {"stage2": query}, {"stage2": 1.0}, 5)
    assert found == [one.photo.content_id for one in answer.neighbours[:5]]
    assert scores == pytest.approx([one.score for one in answer.neighbours[:5]])
    assert measured_recalls(library) == {"default": 1.0} | dict.fromkeys(("colour", "pattern", "parts", "subject"), 1.0)
    assert index_check(library, True)[0]


def test_what_all_photos_share_counts_for_less(open_wide: Open, fill: Fill) -> None:
    library = open_wide()
    put(fill, library, vectors(300))
    plain, whitened = [], []
    everything = vectors(300)
    for row in range(30):
        query = vectors(40, seed=7)[row]
        near = find_similar(library, [example(query)], k=10).neighbours
        whitened += [int(one.photo.path[3:7]) % 10 == row % 10 for one in near]
        plain += (np.argsort(-(everything @ query))[:10] % 10 == row % 10).tolist()
    assert np.mean(whitened) > np.mean(plain) + 0.05
    unlike = find_similar(library, [example(everything[0])], [example(everything[1])], k=1).neighbours[0]
    assert unlike.photo.path == "/p/0000.png"


def test_with_several_parts_the_pooled_one_is_whitened_too(open_wide: Open, fill: Fill) -> None:
    library = open_wide()
    contents = put(fill, library, vectors(LEAST))
    one, two = np.array([[1.0, 3.0, 0.5]]), vectors(LEAST)[2:3]
    library.vectors.refresh()
    _, stored = library.vectors.of_parts(np.array(contents), ("stage1", "stage2"))
    whitening = whitening_of(library)
    assert whitening is not None
    first = (stored["stage1"] / np.linalg.norm(stored["stage1"], axis=1, keepdims=True)) @ (one / np.linalg.norm(one))[
        0
    ]
    expected = 0.25 * first + 0.75 * (whitening.of(stored["stage2"]) @ whitening.of(two)[0])
    query = Example({"stage1": one[0].astype(np.float32) / np.float32(np.linalg.norm(one)), "stage2": two[0]})
    near = find_similar(library, [query], weights={"stage1": 1.0, "stage2": 3.0}, k=4).neighbours
    assert [each.score for each in near] == pytest.approx(np.sort(expected)[::-1][:4].tolist(), abs=1e-4)


def test_few_photos_or_narrow_vectors_are_compared_as_they_are(open_wide: Open, fill: Fill) -> None:
    library = open_wide()
    put(fill, library, vectors(LEAST - 1))
    assert whitening_of(library) is None
    query = vectors(1, seed=3)[0]
    best = find_similar(library, [example(query)], k=1).neighbours[0]
    assert best.score == pytest.approx(float((vectors(LEAST - 1) @ query).max()), abs=1e-3)
    put(fill, library, vectors(1, seed=4), "q")
    assert whitening_of(library) is not None, "one more is enough, without opening the library anew"
    assert library.index("stage1").whitening is None


def test_it_is_kept_with_its_index_and_fitted_anew_when_the_library_has_doubled(
    open_wide: Open, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_wide()
    put(fill, first, vectors(150))
    kept = whitening_of(first)
    first.indexes.save()
    files = set(first.cache.glob("stage2-*"))
    assert kept is not None
    assert [kept.digest in path.name for path in files] == [True]

    put(fill, first, vectors(100, seed=5), "more")
    assert whitening_of(first) is kept, "not yet twice as many"
    first.indexes.save()
    put(fill, first, vectors(60, seed=6), "most")
    grown = whitening_of(first)
    assert grown is not None
    assert grown.count == 310
    assert grown.digest != kept.digest
    other = open_wide()
    assert (again := whitening_of(other)) is not None
    assert again.digest == grown.digest, "without the saved one, the same vectors make the same"
    first.indexes.save()
    assert [grown.digest in path.name for path in first.cache.glob("stage2-*")] == [True]

    added: list[int] = []
    monkeypatch.setattr(VectorIndex, "add", lambda self, ids, rows: added.append(len(ids)))
    assert (opened := whitening_of(open_wide())) is not None
    assert opened.digest == grown.digest
    assert added == [], "the saved index was opened, not built"


def test_an_index_of_another_whitening_is_never_used(open_wide: Open, fill: Fill) -> None:
    library = open_wide()
    put(fill, library, vectors(120))
    query = example(vectors(1, seed=2)[0])
    before = find_similar(library, [query]).neighbours
    library.indexes.save()
    other = fit(vectors(400, seed=8))
    assert other is not None
    key = Indexes._key(library.indexes)
    library.catalog.remember(key, json.dumps(replace(other, count=120).as_json()))
    anew = open_wide()
    held = whitening_of(anew)
    assert held is not None
    assert held.digest == other.digest
    after = find_similar(anew, [query]).neighbours
    stored = anew.vectors.of(np.array([after[0].photo.content_id]), "stage2")[1]
    assert after[0].score == pytest.approx(
        float((other.of(stored) @ other.of(query.vectors["stage2"][None])[0])[0]), abs=1e-5
    )
    assert [one.score for one in before] != [one.score for one in after]


def test_a_picture_of_another_space_is_refused(open_wide: Open, fill: Fill) -> None:
    library = open_wide()
    put(fill, library, vectors(3))
    own = example_of_photo(library, 1)
    assert find_similar(library, [own], k=1).neighbours[0].photo.id == 1
    with pytest.raises(ModelMismatch, match="Look at it again"):
        find_similar(library, [own], [replace(own, space="another")])
