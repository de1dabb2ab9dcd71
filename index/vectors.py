"""VectorIndex: nearest neighbours by cosine over FAISS, on the GPU where the installed FAISS has it and a device answers.

FAISS' letters (D, I, xb, xq) stay in this file and gpu.py. Small indexes hold the vectors and are exact; large ones hold short
codes, which propose candidates that are ranked again by the stored vectors in float32. Where there is a GPU with room, a float16
copy on it proposes in their place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from index.choose import EXACT, Choice, as_codes, choose, has_outgrown, in_lists
from index.errors import IndexMismatch
from index.gpu import GpuCopy, free_memory, learn_lists_on_gpu
from index.whitening import Whitening

_log = logging.getLogger(__name__)
# contents int64 (n,) -> which have a vector, bool (n,), and the vectors, float32 (n, dim)
Source = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

SCANNED = 30_000  # contents that a filter leaves up to which their vectors are simply all compared
SLICE = 8192  # vectors in memory at a time in such a comparison
TRAINED_ON = 32  # vectors a list that the lists' centres are learnt from: FAISS takes three times their memory
# A batch of queries below this many numbers goes one by one, 7 to 10 times slower on few cores (FAISS issue 5022).
faiss.cvar.distance_compute_blas_threshold = 800 * faiss.omp_get_max_threads()


class VectorIndex:
    """Unit vectors by content id. Safe to search and change from several threads.

    `source` gives the stored vectors of contents; an index of codes needs it to rank its candidates.
    """

    def __init__(self, dim: int, choice: Choice | None = None, source: Source | None = None) -> None:
        self.dim = dim
        self.choice = choice or choose(0, dim, gpu_memory=free_memory())
        self.whitening: Whitening | None = None  # of the vectors inside, if they are whitened ones
        self._source = source
        self._index: Any = _made(dim, self.choice)
        self._copy: GpuCopy | None = None
        self._lock = threading.RLock()

    @classmethod
    def for_count(cls, count: int, dim: int, source: Source | None = None) -> VectorIndex:
        """An empty index of the kind that suits `count` vectors on this machine."""
        return cls(dim, choose(count, dim, gpu_memory=free_memory()), source)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def exact(self) -> bool:
        """Whether ids and scores are those of brute force in float32."""
        return self.choice.exact

    @property
    def is_trained(self) -> bool:
        """Whether vectors can be added: codes and lists learn from some first."""
        return bool(self._index.index.is_trained)

    def suits(self, count: int) -> bool:
        """Whether this kind of index is still right for so many vectors."""
        return not has_outgrown(self.choice, count, self.dim)

    def compared(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (n, width) as they are stored, in the form in which this index compares them: float32 (n, dim)."""
        return vectors if self.whitening is None else self.whitening.of(vectors)

    def trained_on(self, count: int) -> int:
        """How many of `count` vectors it wants to learn from."""
        return min(count, max(TRAINED_ON * self.choice.lists, 10_000))

    def train(self, vectors: np.ndarray) -> None:
        """Learn the codes' scale and the lists' centres from unit vectors float32 (n, dim), a sample of what will be added."""
        self._check(vectors)
        with self._lock:
            if self.choice.lists and free_memory() is not None:
                learn_lists_on_gpu(self._index.index, self.dim)
            self._index.train(np.ascontiguousarray(vectors, np.float32))

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Put float32 (n, dim) vectors in under int64 (n,) ids; they are made unit length, zero vectors stay zero."""
        self._check(vectors)
        with self._lock:
            unit = _unit(vectors)
            self._index.add_with_ids(unit, np.ascontiguousarray(ids, np.int64))
            if self._copy is not None:
                self._to_gpu(ids, unit)

    def remove(self, ids: np.ndarray) -> int:
        """Take ids out; how many were in."""
        with self._lock:
            if self._copy is not None:
                self._copy.remove(ids)
            chosen = np.ascontiguousarray(ids, np.int64)
            return int(self._index.remove_ids(faiss.IDSelectorBatch(len(chosen), faiss.swig_ptr(chosen))))

    def search(self, queries: np.ndarray, k: int, ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Cosines float32 (q, k) and content ids int64 (q, k), best first, ties by the smaller id.

        Where there are fewer than k, the rest is -inf and -1. `ids` restricts the answer to these contents.
        """
        self._check(queries)
        queries = _unit(queries)
        if ids is not None:
            ids = np.unique(np.ascontiguousarray(ids, np.int64))
        with self._lock:
            if k == 0 or len(queries) == 0 or len(self) == 0 or (ids is not None and len(ids) == 0):
                return _nothing(len(queries), k)
            if self.choice.kind == "exact":
                return _best(*self._search_exact(queries, min(k, len(self)), ids), k)
            if ids is not None and len(ids) <= SCANNED:
                return self._compared(queries, k, np.broadcast_to(ids, (len(queries), len(ids))))
            # The codes' order is rough: twice as many are ranked as are wanted.
            return self._compared(queries, k, self._candidates(queries, max(2 * k, self.choice.candidates), ids))

    def propose(self, queries: np.ndarray, k: int, ids: np.ndarray | None = None) -> np.ndarray:
        """Content ids int64 (q, at least k), in no order, that are likely the nearest k; -1 where there are no more.

        For callers that rank by more than this index knows: nothing is ranked again here.
        """
        if self.choice.kind == "exact" or k > len(self) or (ids is not None and len(ids) <= max(k, SCANNED)):
            return self.search(queries, k, ids)[1]
        self._check(queries)
        with self._lock:
            return self._candidates(_unit(queries), k, None if ids is None else np.unique(ids))

    def save(self, path: Path) -> None:
        """Write the index to a file; the caller sees to it that it appears whole."""
        with self._lock:
            faiss.write_index(self._index, str(path))

    @classmethod
    def open(cls, path: Path, dim: int, source: Source | None = None) -> VectorIndex:
        """An index from a file that `save` wrote. Raises IndexMismatch where it is not one of this width."""
        try:
            loaded = faiss.read_index(str(path))
        except RuntimeError as error:
            raise IndexMismatch(f"{path} is not a FAISS index that can be read: {error}") from error
        if not isinstance(loaded, faiss.IndexIDMap) or loaded.d != dim:
            raise IndexMismatch(
                f"{path} holds {type(loaded).__name__} of width {loaded.d}, expected IndexIDMap2 of width {dim}."
            )
        # What is inside counts, not what would be chosen today.
        choice = _choice_of(loaded, dim)
        if choice.kind != "exact" and source is None:
            raise IndexMismatch(f"{path} holds codes: the stored vectors that rank their candidates are needed too.")
        index = cls(dim, choice, source)
        index._index = loaded
        return index

    def ids(self) -> np.ndarray:
        """The content ids inside, int64 (n,)."""
        with self._lock:  # an add in another thread moves them
            return faiss.vector_to_array(self._index.id_map)

    def _check(self, vectors: np.ndarray) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise IndexMismatch(
                f"Vectors of shape {vectors.shape} for an index of width {self.dim}: expected (n, {self.dim})."
            )

    def _search_exact(self, xq: np.ndarray, k: int, ids: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        if ids is None:
            return self._index.search(xq, k)
        return self._index.search(xq, k, params=_parameters(faiss.SearchParameters, sel=_selector(ids)))

    def _candidates(self, xq: np.ndarray, count: int, ids: np.ndarray | None) -> np.ndarray:
        """Content ids int64 (q, at least count) that the codes find nearest, -1 where there are no more."""
        total = len(self)
        count = min(count, total)
        if self.choice.gpu and (copy := self._on_gpu()) and (found := copy.candidates(xq, count, ids)) is not None:
            return found
        if self.choice.kind == "lists":
            # A filter spreads the nearest over more lists: as many more are read as it leaves fewer vectors in each.
            share = 1.0 if ids is None else len(ids) / total
            probes = min(self.choice.lists, max(self.choice.probes, round(self.choice.probes / share)))
            selector = None if ids is None else _selector(ids)
            return self._index.search(
                xq, count, params=_parameters(faiss.SearchParametersIVF, nprobe=probes, sel=selector)
            )[1]
        if ids is None:
            return self._index.search(xq, count)[1]
        # The fast scan takes no selector: more is asked for than is wanted, until enough of it passes the filter.
        asked = min(total, int(count * total / len(ids) * 1.5))
        while True:
            found = self._index.search(xq, asked)[1]
            passes = np.isin(found, ids, kind="sort")
            if asked == total or passes.sum(axis=1).min() >= count:
                return np.where(passes, found, -1)
            asked = min(total, 2 * asked)

    def _compared(self, xq: np.ndarray, k: int, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best k of each query's candidates, int64 (q, c) with -1 for none, by their stored vectors."""
        assert self._source is not None
        scores, found = _nothing(len(xq), k)
        for row, query in enumerate(xq):
            mine = candidates[row][candidates[row] >= 0]
            cosines = np.empty(len(mine), np.float32)
            for start in range(0, len(mine), SLICE):
                known, vectors = self._source(mine[start : start + SLICE])
                lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
                cosines[start : start + SLICE] = np.where(known, vectors @ query / lengths, -np.inf)
            scores[row : row + 1], found[row : row + 1] = _best(cosines[None], mine[None], k)
        return scores, found

    def _on_gpu(self) -> GpuCopy | None:
        """The copy on the GPU, made where there is none yet; None where it has no room, and from then on."""
        if self._copy is not None and self._copy.is_wasteful:
            self._copy = None
        if self._copy is None:
            assert self._source is not None
            ids = self.ids()
            try:
                self._copy = GpuCopy(self.dim)
            except RuntimeError as error:
                self._without_gpu(error)
            for start in range(0, len(ids), SLICE):
                known, vectors = self._source(ids[start : start + SLICE])
                self._to_gpu(ids[start : start + SLICE][known], _unit(vectors[known]))
        return self._copy

    def _to_gpu(self, ids: np.ndarray, unit: np.ndarray) -> None:
        try:
            if self._copy is not None:
                self._copy.add(ids, unit)
        except RuntimeError as error:
            self._without_gpu(error)

    def _without_gpu(self, error: RuntimeError) -> None:
        _log.warning("FAISS searches on the CPU from here on, the GPU refused: %s", str(error).splitlines()[0])
        self._copy, self.choice = None, replace(self.choice, gpu=False)


def _made(dim: int, choice: Choice) -> Any:
    """An empty FAISS index under content ids."""
    index: Any = faiss.index_factory(dim, choice.factory, faiss.METRIC_INNER_PRODUCT)
    if choice.lists:
        centres = faiss.extract_index_ivf(index).cp
        centres.niter, centres.min_points_per_centroid, centres.max_points_per_centroid = 10, 1, TRAINED_ON
    return faiss.IndexIDMap2(index) if choice.kind == "exact" else faiss.IndexIDMap(index)


def _choice_of(loaded: Any, dim: int) -> Choice:
    """The kind of a FAISS index that was read from a file."""
    inner = faiss.downcast_index(loaded.index)
    if isinstance(inner, faiss.IndexPreTransform):
        inner = faiss.downcast_index(inner.index)
    if isinstance(inner, faiss.IndexFlat):
        return EXACT
    choice = in_lists(dim, inner.nlist) if isinstance(inner, faiss.IndexIVF) else as_codes(dim)
    return replace(choice, gpu=choose(loaded.ntotal, dim, gpu_memory=free_memory()).gpu)


def _selector(ids: np.ndarray) -> Any:
    """What lets these ascending content ids through: a bit for each id there can be, or a set where they are far apart."""
    if ids[0] < 0 or ids[-1] > 64 * len(ids) + 1_000_000:
        return faiss.IDSelectorBatch(ids)
    bits = np.zeros(int(ids[-1]) + 1, bool)
    bits[ids] = True
    bitmap: Any = faiss.IDSelectorBitmap
    return bitmap(np.packbits(bits, bitorder="little"))


def _parameters(kind: Any, **values: Any) -> Any:
    """FAISS' search parameters by keyword, which its type stubs don't know."""
    return kind(**values)


def _nothing(queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


def _best(scores: np.ndarray, found: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of scores and ids (q, c), best first, ties by the smaller id; filled up with -inf and -1."""
    all_scores, ids = _nothing(len(scores), k)
    found = np.where(np.isneginf(scores), -1, found)
    scores = np.where(found < 0, -np.inf, scores)
    order = np.lexsort((np.where(found < 0, np.iinfo(np.int64).max, found), -scores), axis=1)[:, :k]
    all_scores[:, : order.shape[1]] = np.take_along_axis(scores, order, 1)
    ids[:, : order.shape[1]] = np.take_along_axis(found, order, 1)
    return all_scores, ids


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors as float32 of unit length, copied; zeros stay zeros."""
    vectors = np.array(vectors, np.float32, order="C")
    faiss.normalize_L2(vectors)
    return vectors
