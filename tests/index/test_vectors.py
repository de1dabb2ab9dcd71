"""VectorIndex against NumPy: the same neighbours, whatever is added, removed, filtered, saved or asked at once."""

from __future__ import annotations

import threading
from pathlib import Path

import faiss
import numpy as np
import pytest

from index.choose import EXACT
from index.errors import IndexMismatch
from index.stored import float32_slices
from index.vectors import VectorIndex

DIM = 24


def unit(n: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def by_hand(vectors: np.ndarray, ids: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best (scores, ids) in float64, ties by the smaller id."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    order = np.lexsort((np.broadcast_to(ids, scores.shape), -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), ids[order]


def test_the_neighbours_are_those_of_numpy() -> None:
    vectors, ids = unit(700), np.random.default_rng(5).permutation(10_000)[:700].astype(np.int64) + 2**40
    queries = np.concatenate([unit(20, seed=1), vectors[:5]])
    index = VectorIndex(DIM, EXACT)
    index.add(ids[:300], vectors[:300])
    index.add(ids[300:], vectors[300:])
    for k in (1, 10, 150, 700):
        scores, found = index.search(queries, k)
        true_scores, true_ids = by_hand(vectors, ids, queries, k)
        np.testing.assert_array_equal(found, true_ids)
        np.testing.assert_allclose(scores, true_scores, atol=1e-6)
        assert (scores.dtype, found.dtype) == (np.float32, np.int64)
    index.remove(ids[:600])
    np.testing.assert_array_equal(index.search(queries, 10)[1], by_hand(vectors[600:], ids[600:], queries, 10)[1])
    few = ids[600:640]
    np.testing.assert_array_equal(index.search(queries, 10, few)[1], by_hand(vectors[600:640], few, queries, 10)[1])


def test_vectors_and_queries_of_any_length_give_cosines() -> None:
    vectors = unit(50)
    index = VectorIndex(DIM, EXACT)
    index.add(np.arange(50), vectors * np.linspace(0.01, 90, 50, dtype=np.float32)[:, None])
    scores, found = index.search(vectors[:3] * 7, 2)
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-6)
    np.testing.assert_array_equal(found, by_hand(vectors, np.arange(50), vectors[:3], 2)[1])


def test_what_is_given_is_not_changed() -> None:
    vectors = unit(5) * 3
    before = vectors.copy()
    index = VectorIndex(DIM, EXACT)
    index.add(np.arange(5), vectors)
    index.search(vectors, 2)
    np.testing.assert_array_equal(vectors, before)


def test_ties_come_by_the_smaller_id() -> None:
    index = VectorIndex(DIM, EXACT)
    same = np.repeat(unit(1), 6, axis=0)
    index.add(np.array([9, 3, 7]), same[:3])
    index.add(np.array([1, 8]), same[:2])
    index.add(np.array([2]), -same[:1])
    scores, found = index.search(same[:1], 6)
    assert found[0].tolist() == [1, 3, 7, 8, 9, 2]
    np.testing.assert_allclose(scores[0], [1, 1, 1, 1, 1, -1], atol=1e-6)
    assert set(index.search(same[:1], 3)[1][0].tolist()) <= {1, 3, 7, 8, 9}


def test_more_than_there_is_is_filled_up_with_nothing() -> None:
    index = VectorIndex(DIM, EXACT)
    index.add(np.array([4, 5]), unit(2))
    scores, found = index.search(unit(2), 5)
    assert found[:, 2:].tolist() == [[-1] * 3] * 2
    assert np.isneginf(scores[:, 2:]).all()
    scores, found = index.search(unit(2), 5, ids=np.array([5]))
    assert found.tolist() == [[5, -1, -1, -1, -1]] * 2
    assert np.isneginf(scores[:, 1:]).all()


def test_an_empty_index_and_an_empty_filter_find_nothing() -> None:
    index = VectorIndex(DIM, EXACT)
    for k in (0, 1, 5):
        scores, found = index.search(unit(3), k)
        assert (scores.shape, found.shape) == ((3, k), (3, k))
        assert (found == -1).all()
    index.add(np.arange(4), unit(4))
    assert (index.search(unit(3), 2, ids=np.empty(0, np.int64))[1] == -1).all()
    assert (index.search(unit(3), 2, ids=np.array([99]))[1] == -1).all()
    assert index.search(np.empty((0, DIM), np.float32), 2)[1].shape == (0, 2)


@pytest.mark.parametrize("shape", [(3, DIM + 1), (3, DIM - 1), (DIM,), (1, 3, DIM)])
def test_another_width_is_refused_in_words(shape: tuple[int, ...]) -> None:
    index = VectorIndex(DIM, EXACT)
    index.add(np.arange(2), unit(2))
    wrong = np.ones(shape, np.float32)
    with pytest.raises(IndexMismatch, match=rf"for an index of width {DIM}: expected \(n, {DIM}\)"):
        index.search(wrong, 1)
    with pytest.raises(IndexMismatch, match=f"width {DIM}"):
        index.add(np.arange(3), wrong)
    assert len(index) == 2


def test_what_is_removed_is_not_found() -> None:
    vectors = unit(30)
    index = VectorIndex(DIM, EXACT)
    index.add(np.arange(30), vectors)
    assert index.remove(np.array([3, 4, 99])) == 2
    assert index.remove(np.array([3])) == 0
    assert index.remove(np.empty(0, np.int64)) == 0
    assert len(index) == 28
    assert index.search(vectors[3:4], 28)[1].min() >= 0
    assert not np.isin([3, 4], index.search(vectors[3:4], 28)[1]).any()
    index.add(np.array([3]), vectors[3:4])
    assert index.search(vectors[3:4], 1)[1].item() == 3
    assert sorted(index.ids().tolist()) == [n for n in range(30) if n != 4]


def test_zero_vectors_are_as_far_as_can_be_from_everything_alike() -> None:
    index = VectorIndex(DIM, EXACT)
    index.add(np.array([1, 2, 3]), np.stack([unit(1)[0], np.zeros(DIM, np.float32), -unit(1)[0]]))
    scores, found = index.search(unit(1), 3)
    assert found[0].tolist() == [1, 2, 3]
    np.testing.assert_allclose(scores[0], [1, 0, -1], atol=1e-6)
    assert (index.search(np.zeros((1, DIM), np.float32), 3)[0] == 0).all()


def test_a_saved_index_is_the_same_when_opened(tmp_path: Path) -> None:
    index = VectorIndex(DIM, EXACT)
    index.add(np.arange(100) * 3, unit(100))
    index.save(tmp_path / "x.faiss")
    opened = VectorIndex.open(tmp_path / "x.faiss", DIM)
    for before, after in zip(index.search(unit(9, seed=2), 7), opened.search(unit(9, seed=2), 7), strict=True):
        np.testing.assert_array_equal(before, after)
    assert len(opened) == 100
    assert opened.exact
    opened.add(np.array([1]), unit(1, seed=3))
    assert opened.remove(np.array([0])) == 1
    assert opened.search(unit(1, seed=3), 1)[1].item() == 1


def test_a_file_that_is_no_such_index_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "x.faiss"
    index = VectorIndex(DIM, EXACT)
    index.add(np.arange(100), unit(100))
    index.save(path)
    whole = path.read_bytes()
    with pytest.raises(IndexMismatch, match=f"width {DIM}, expected IndexIDMap2 of width {DIM + 1}"):
        VectorIndex.open(path, DIM + 1)
    for damaged in (b"", b"garbage" * 99, whole[: len(whole) // 2], b"XXXX" + whole[4:]):
        path.write_bytes(damaged)
        with pytest.raises(IndexMismatch, match="can be read"):
            VectorIndex.open(path, DIM)
    faiss.write_index(faiss.IndexFlatIP(DIM), str(path))
    with pytest.raises(IndexMismatch, match="holds IndexFlatIP"):
        VectorIndex.open(path, DIM)
    with pytest.raises(IndexMismatch, match="can be read"):
        VectorIndex.open(tmp_path / "nowhere.faiss", DIM)


def test_searches_during_adds_and_removals_find_only_what_belongs_together() -> None:
    vectors = unit(6000)
    index = VectorIndex(DIM, EXACT)
    index.add(np.arange(200), vectors[:200])
    wrong: list[str] = []
    changed = threading.Event()

    def ask() -> None:
        while not changed.is_set():
            scores, found = index.search(vectors[:16], 5)
            true = np.einsum("qd,qkd->qk", vectors[:16], vectors[found])
            if not np.allclose(scores, true, atol=1e-5) or (found[:, 0] != np.arange(16)).any():
                wrong.append(f"scores {scores} of ids {found}")
            ids = index.ids()
            if len(np.unique(ids)) != len(ids) or ids.min() < 0 or ids.max() >= 6000:
                wrong.append("ids of nothing")

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for start in range(200, 6000, 40):
        index.add(np.arange(start, start + 40), vectors[start : start + 40])
        if start % 200 == 0:
            index.remove(np.arange(start, start + 20))
    changed.set()
    for asker in askers:
        asker.join(30)
    assert wrong == []
    assert len(index) == 6000 - 20 * 29


def test_slices_of_a_shard_are_float32_and_complete() -> None:
    rows = np.zeros(25, [("pooled", "<f2", (3,))])
    rows["pooled"] = np.arange(75).reshape(25, 3)
    slices = list(float32_slices(rows, "pooled", step=10))
    assert [where for where, _ in slices] == [slice(0, 10), slice(10, 20), slice(20, 25)]
    np.testing.assert_array_equal(np.concatenate([vectors for _, vectors in slices]), np.arange(75).reshape(25, 3))
    assert all(vectors.dtype == np.float32 for _, vectors in slices)
