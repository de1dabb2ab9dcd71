"""What the copy on the GPU proposes: with FAISS' own float16 index on the CPU in its place, and on a GPU where there is one.

The stand-in has the GPU's limits: no removal, no selector, at most 2048 neighbours.
"""

from __future__ import annotations

import logging
from typing import Any

import faiss
import numpy as np
import pytest

from index import gpu
from index.choose import Choice, as_codes
from index.gpu import MOST, GpuCopy, faiss_device
from index.vectors import VectorIndex

DIM, COUNT = 192, 12_000
needs_gpu = pytest.mark.skipif(
    not faiss_device().startswith("gpu"), reason=f"FAISS has no GPU here: {faiss_device()}"
)  # fmt: skip


class StandIn:
    """A float16 index with what FAISS' GPU indexes can do, and no more."""

    def __init__(self, dim: int, room: int | None = None) -> None:
        self.inside = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self.room = room
        self.asked: list[int] = []

    def add(self, vectors: np.ndarray) -> None:
        if self.room is not None and self.inside.ntotal + len(vectors) > self.room:
            raise RuntimeError("cudaMalloc error out of memory [2]\nat a line of FAISS")
        self.inside.add(vectors)

    def search(self, queries: np.ndarray, k: int) -> Any:
        assert 0 < k <= MOST
        self.asked.append(k)
        return self.inside.search(queries, k)


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=[pytest.mark.gpu, needs_gpu])])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """The stand-ins that were made; with the mark gpu none, and copies go to the GPU."""
    made: list[StandIn] = []

    def stand_in(index: Any) -> StandIn:
        made.append(StandIn(index.d))
        return made[-1]

    if request.param == "stand-in":
        monkeypatch.setattr(gpu, "on_gpu", stand_in)
    return made


def unit(n: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def best(vectors: np.ndarray, ids: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    normed = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    scores = queries.astype(np.float64) / np.linalg.norm(queries, axis=1, keepdims=True) @ normed.T
    order = np.argsort(-scores, axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), ids[order]


def indexed(vectors: np.ndarray, ids: np.ndarray, choice: Choice) -> VectorIndex:
    row = np.full(int(ids.max()) + 1, -1)
    row[ids] = np.arange(len(ids))

    def stored(contents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return row[contents] >= 0, vectors[row[contents]]

    index = VectorIndex(DIM, choice, stored)
    index.train(vectors)
    index.add(ids, vectors)
    return index


ON_GPU = Choice("codes", as_codes(DIM).factory, gpu=True, candidates=200)


@pytest.mark.usefixtures("place")
def test_after_ranking_the_ids_are_those_of_brute_force_also_beyond_the_gpus_limit() -> None:
    vectors, ids, queries = unit(COUNT), np.random.default_rng(1).permutation(3 * COUNT)[:COUNT], unit(20, seed=2)
    index = indexed(vectors, ids, ON_GPU)
    for k in (1, 10, 300):
        scores, found = index.search(queries, k)
        true_scores, true = best(vectors, ids, queries, k)
        np.testing.assert_allclose(scores, true_scores, atol=1e-6)
        same = [len(np.intersect1d(a, b)) for a, b in zip(found, true, strict=True)]
        ties = np.isclose(true_scores[:, -1:], true_scores, atol=1e-6).sum(axis=1)  # of even ones any is right
        assert (np.array(same) >= k - ties).all()
    assert (index.search(queries, 3000)[1] >= 0).all()  # by the codes


def test_removals_and_filters_are_masks(place: list[StandIn]) -> None:
    vectors, ids, queries = unit(COUNT), np.arange(COUNT), unit(8, seed=2)
    copy = GpuCopy(DIM)
    copy.add(ids[:7000], vectors[:7000])
    copy.add(ids[7000:], vectors[7000:])
    copy.remove(np.arange(0, COUNT, 2))
    odd = ids[1::2]
    assert len(copy) == len(odd)
    for chosen in (None, odd[::3], odd[:900]):
        left = odd if chosen is None else chosen
        found = copy.candidates(queries, 10, chosen)
        assert found is not None
        assert np.isin(found[found >= 0], left).all()
        true = best(vectors[left], left, queries, 10)[1]
        assert all(np.isin(a, b).all() for a, b in zip(true, found, strict=True))
    assert copy.candidates(queries, 10, odd[:3]) is None  # so few of so many: more than the GPU finds
    assert copy.candidates(queries, MOST) is None
    nothing = copy.candidates(queries, 10, np.array([0, 2]))
    assert nothing is not None
    assert nothing.shape == (8, 0)
    assert len(place) <= 1


def test_adds_and_removals_reach_a_copy_that_is_there_and_a_wasteful_one_is_made_anew(place: list[StandIn]) -> None:
    vectors, ids = unit(COUNT), np.arange(COUNT)
    index = indexed(vectors, ids, ON_GPU)
    index.remove(ids[100:200])
    assert index.search(vectors[:1], 1)[1].item() == 0
    index.remove(ids[:50])
    index.add(ids[150:160], vectors[150:160])
    assert index.search(vectors[155:156], 1)[1].item() == 155
    assert not np.isin(index.search(vectors[:4], 60)[1], ids[:50]).any()
    index.remove(ids[2000:9500])
    assert index.search(vectors[9700:9701], 1)[1].item() == 9700
    if place:
        assert len(place) == 2
        assert place[-1].inside.ntotal == len(index)


def test_a_gpu_without_room_is_given_up_aloud(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    vectors, ids = unit(COUNT), np.arange(COUNT)
    monkeypatch.setattr(gpu, "on_gpu", lambda index: StandIn(index.d, room=5000))
    index = indexed(vectors, ids, ON_GPU)
    with caplog.at_level(logging.WARNING):
        assert index.search(vectors[7:8], 1)[1].item() == 7
    assert [record.getMessage() for record in caplog.records] == [
        "FAISS searches on the CPU from here on, the GPU refused: cudaMalloc error out of memory [2]"
    ]
    assert not index.choice.gpu
    assert index.search(vectors[9:10], 1)[1].item() == 9


def test_the_device_is_said_in_words() -> None:
    assert faiss_device().startswith(("gpu (", "cpu ("))


@pytest.mark.gpu
@needs_gpu
def test_lists_are_learnt_on_the_gpu() -> None:
    index = indexed(
        unit(COUNT), np.arange(COUNT), Choice("lists", "RR,IVF64,RaBitQfs", lists=64, probes=64, candidates=200)
    )
    assert index.search(unit(COUNT)[5:6], 1)[1].item() == 5
