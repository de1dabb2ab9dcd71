"""Indexes of codes, whose candidates are ranked again by the stored vectors: near to brute force, and honest about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from index.choose import EXACT, Choice, as_codes, in_lists
from index.errors import IndexMismatch
from index.vectors import SCANNED, VectorIndex

COUNT, WIDE, THIN = 40_000, 192, 48
KINDS = {
    "codes": (WIDE, as_codes(WIDE)),
    "narrow codes": (THIN, as_codes(THIN)),
    "lists": (WIDE, in_lists(WIDE, 128)),
    "narrow lists": (THIN, in_lists(THIN, 128)),
}


def clustered(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Unit vectors in clusters of a few directions, as a network's are, float16 like those of a shard."""
    fixed, random = np.random.default_rng(7), np.random.default_rng(seed)
    centres, directions = fixed.normal(size=(200, 16)), fixed.normal(size=(16, dim))
    inside = centres[random.integers(0, 200, n)] + 0.7 * random.normal(size=(n, 16))
    vectors = np.tanh(inside @ directions / 4) + 0.05 * random.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


class Shards:
    """What a library's shards are to an index: vectors by content id."""

    def __init__(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.row = {int(content): row for row, content in enumerate(ids)}
        self.vectors = vectors
        self.most = 0  # contents asked for at once

    def __call__(self, contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.most = max(self.most, len(contents))
        rows = np.array([self.row.get(int(content), -1) for content in contents], np.int64)
        return rows >= 0, np.where((rows >= 0)[:, None], self.vectors[rows], 0)


Made = tuple[VectorIndex, Shards, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def made() -> Callable[[str], Made]:
    """(index, shards, ids, vectors) of a kind, built once."""
    known: dict[str, Made] = {}

    def make(kind: str) -> Made:
        if kind not in known:
            dim, choice = KINDS[kind]
            vectors = clustered(COUNT, dim)
            ids = np.random.default_rng(3).permutation(3 * COUNT)[:COUNT].astype(np.int64)
            shards = Shards(ids, vectors)
            known[kind] = filled(dim, choice, shards, ids, vectors), shards, ids, vectors
        return known[kind]

    return make


def filled(dim: int, choice: Choice, shards: Shards, ids: np.ndarray, vectors: np.ndarray) -> VectorIndex:
    index = VectorIndex(dim, choice, shards)
    assert not index.is_trained
    index.train(vectors[: index.trained_on(len(vectors))])
    for start in range(0, len(ids), 15_000):
        index.add(ids[start : start + 15_000], vectors[start : start + 15_000])
    return index


def true_best(vectors: np.ndarray, ids: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ unit.T
    order = np.argsort(-scores, axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), ids[order]


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, true, strict=True)]))


@pytest.mark.parametrize("kind", KINDS)
def test_recall_of_ten_is_99_in_100_and_scores_are_cosines_of_the_stored_vectors(
    made: Callable[[str], Made], kind: str
) -> None:
    index, _, ids, vectors = made(kind)
    queries = clustered(100, index.dim, seed=1)
    scores, found = index.search(queries, 10)
    _, true = true_best(vectors, ids, queries, 10)
    assert recall(found, true) >= 0.99
    assert not index.exact
    row = {int(content): number for number, content in enumerate(ids)}
    stored = vectors[[[row[content] for content in line] for line in found.tolist()]]
    cosines = np.einsum("qd,qkd->qk", queries / np.linalg.norm(queries, axis=1, keepdims=True), stored)
    np.testing.assert_allclose(scores, cosines / np.linalg.norm(stored, axis=2), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [4 / COUNT, 0.01, 0.8, 0.95])
def test_a_filter_finds_the_nearest_that_it_leaves(made: Callable[[str], Made], kind: str, share: float) -> None:
    index, _, ids, vectors = made(kind)
    chosen = np.random.default_rng(11).permutation(COUNT)[: round(share * COUNT)]
    queries = clustered(40, index.dim, seed=2)
    scores, found = index.search(queries, 10, ids[chosen])
    k = min(10, len(chosen))
    true_scores, true = true_best(vectors[chosen], ids[chosen], queries, k)
    assert (found[:, k:] == -1).all()
    assert np.isin(found[:, :k], ids[chosen]).all()
    if len(chosen) <= SCANNED:
        np.testing.assert_allclose(scores[:, :k], true_scores, atol=1e-5)  # exact
    assert recall(found[:, :k], true) >= 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_adds_and_removals_are_seen_at_once(kind: str) -> None:
    dim, choice = KINDS[kind]
    vectors, ids = clustered(12_000, dim), np.arange(12_000)
    index = filled(dim, choice, Shards(ids, vectors), ids[:11_000], vectors[:11_000])
    assert index.search(vectors[11_500:11_501], 1)[1].item() != 11_500
    index.add(ids[11_000:], vectors[11_000:])
    assert index.search(vectors[11_500:11_501], 1)[1].item() == 11_500
    assert index.remove(ids[11_400:11_600]) == 200
    assert len(index) == 11_800
    assert not np.isin(index.search(vectors[11_400:11_600], 50)[1], ids[11_400:11_600]).any()
    assert sorted(index.ids().tolist()) == [*range(11_400), *range(11_600, 12_000)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_index_is_the_same_when_opened(made: Callable[[str], Made], tmp_path: Path, kind: str) -> None:
    index, shards, _, vectors = made(kind)
    index.save(tmp_path / "x.faiss")
    opened = VectorIndex.open(tmp_path / "x.faiss", index.dim, shards)
    assert opened.choice == index.choice
    for before, after in zip(index.search(vectors[:9], 7), opened.search(vectors[:9], 7), strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(IndexMismatch, match="the stored vectors that rank their candidates"):
        VectorIndex.open(tmp_path / "x.faiss", index.dim)


def test_what_the_shards_no_longer_have_is_not_found() -> None:
    vectors, ids = clustered(12_000, WIDE), np.arange(12_000)
    shards = Shards(ids, vectors)
    index = filled(WIDE, as_codes(WIDE), shards, ids, vectors)
    del shards.row[5]
    assert index.search(vectors[5:6], 3)[1].tolist()[0].count(5) == 0
    assert index.search(vectors[5:6], 3, np.array([5, 6]))[1].tolist() == [[6, -1, -1]]


def test_a_filter_reads_the_vectors_that_it_leaves_a_slice_at_a_time(made: Callable[[str], Made]) -> None:
    index, shards, ids, vectors = made("codes")
    shards.most = 0
    scores, found = index.search(vectors[:1], 3, ids[:25_000])
    assert found[0, 0] == ids[0]
    np.testing.assert_allclose(scores[0, 0], 1, atol=1e-6)
    assert 0 < shards.most <= 8192


def test_a_foreign_file_under_an_id_map_is_opened_by_what_is_inside(tmp_path: Path) -> None:
    flat = faiss.IndexIDMap2(faiss.IndexFlatIP(4))
    flat.add_with_ids(np.eye(4, dtype=np.float32), np.arange(4))
    faiss.write_index(flat, str(tmp_path / "x.faiss"))
    assert VectorIndex.open(tmp_path / "x.faiss", 4).choice.factory == EXACT.factory
