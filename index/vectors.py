"""VectorIndex: nearest neighbours by cosine over FAISS, on the GPU where the installed FAISS has it and a device answers.

FAISS' letters (D, I, xb, xq) stay in this file. The CPU index is the truth: adds and removals go there; the GPU holds a float16
clone for searching, made again after a change (FAISS' GPU indexes can't remove and ignore id selectors).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil

from index.choose import Choice, choose
from index.errors import IndexMismatch

GPU_MARGIN = 32  # candidates beyond k that the float16 clone proposes before the ranking in float32
GPU_MOST = 2048  # neighbours that FAISS' GPU indexes find for one query
# A batch of queries below this many numbers goes one by one, 7 to 10 times slower on few cores (FAISS issue 5022).
faiss.cvar.distance_compute_blas_threshold = 800 * faiss.omp_get_max_threads()


def faiss_device() -> str:
    """Which FAISS is in use, in words: "gpu (1 device)", or "cpu" with the reason."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "cpu (the installed FAISS has no GPU code: requirements-gpu.txt has one that does)"
    count = faiss.get_num_gpus()
    return f"gpu ({count} device{'s' * (count > 1)})" if count else "cpu (FAISS could use a GPU, none answers)"


def _gpu_memory() -> int | None:
    """Bytes that FAISS may count on, or None where there is no GPU for it."""
    if not faiss_device().startswith("gpu"):
        return None
    return int(faiss.get_gpu_memory_info(0)[0]) if hasattr(faiss, "get_gpu_memory_info") else 4 << 30


class VectorIndex:
    """Unit vectors by content id. Safe to search and change from several threads."""

    def __init__(self, dim: int, choice: Choice | None = None) -> None:
        self.dim = dim
        self.choice = choice or choose(0, dim, gpu_memory=_gpu_memory(), cpu_memory=psutil.virtual_memory().available)
        self._index = faiss.IndexIDMap2(_flat(dim, self.choice))
        self._clone: faiss.Index | None = None
        self._resources: Any = None
        self._lock = threading.RLock()

    @classmethod
    def for_count(cls, count: int, dim: int) -> VectorIndex:
        """An empty index of the kind that suits `count` vectors on this machine."""
        return cls(dim, choose(count, dim, gpu_memory=_gpu_memory(), cpu_memory=psutil.virtual_memory().available))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def exact(self) -> bool:
        """Whether ids and scores are those of brute force in float32."""
        return self.choice.exact

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Put float32 (n, dim) vectors in under int64 (n,) ids; they are made unit length, zero vectors stay zero."""
        self._check(vectors)
        vectors = np.array(vectors, np.float32, order="C")
        faiss.normalize_L2(vectors)
        with self._lock:
            self._index.add_with_ids(vectors, np.ascontiguousarray(ids, np.int64))
            self._clone = None

    def remove(self, ids: np.ndarray) -> int:
        """Take ids out; how many were in."""
        with self._lock:
            self._clone = None
            chosen = np.ascontiguousarray(ids, np.int64)
            return int(self._index.remove_ids(faiss.IDSelectorBatch(len(chosen), faiss.swig_ptr(chosen))))

    def search(self, queries: np.ndarray, k: int, ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Cosines float32 (q, k) and content ids int64 (q, k), best first, ties by the smaller id.

        Where there are fewer than k, the rest is -inf and -1. `ids` restricts the answer to these contents.
        """
        self._check(queries)
        queries = np.array(queries, np.float32, order="C")
        faiss.normalize_L2(queries)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        with self._lock:
            k_found = min(k, len(self))
            if k_found == 0 or (ids is not None and len(ids) == 0):
                return scores, found
            if self.choice.gpu and ids is None and k_found + GPU_MARGIN <= GPU_MOST:
                scores[:, :k_found], found[:, :k_found] = self._search_gpu(queries, k_found)
            else:
                scores[:, :k_found], found[:, :k_found] = self._search_cpu(queries, k_found, ids)
        scores[found < 0] = -np.inf
        order = np.lexsort((np.where(found < 0, np.iinfo(np.int64).max, found), -scores), axis=1)
        return np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)

    def save(self, path: Path) -> None:
        """Write the index to a file; the caller sees to it that it appears whole."""
        with self._lock:
            faiss.write_index(self._index, str(path))

    @classmethod
    def open(cls, path: Path, dim: int) -> VectorIndex:
        """An index from a file that `save` wrote. Raises IndexMismatch where it is not one of this width."""
        try:
            loaded = faiss.read_index(str(path))
        except RuntimeError as error:
            raise IndexMismatch(f"{path} is not a FAISS index that can be read: {error}") from error
        if not isinstance(loaded, faiss.IndexIDMap2) or loaded.d != dim:
            raise IndexMismatch(
                f"{path} holds {type(loaded).__name__} of width {loaded.d}, expected IndexIDMap2 of width {dim}."
            )
        index = cls.for_count(loaded.ntotal, dim)
        storage = "float32" if isinstance(faiss.downcast_index(loaded.index), faiss.IndexFlat) else "float16"
        # What is inside counts, not what would be chosen today: float16 codes don't become exact on a larger machine.
        index.choice = replace(index.choice, storage=storage, exact=index.choice.exact and storage == "float32")
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

    def _search_cpu(self, xq: np.ndarray, k: int, ids: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        if ids is None:
            return self._index.search(xq, k)
        chosen = np.ascontiguousarray(ids, np.int64)
        selector = faiss.IDSelectorBatch(len(chosen), faiss.swig_ptr(chosen))
        params = faiss.SearchParameters()
        params.sel = selector
        return self._index.search(xq, k, params=params)

    def _search_gpu(self, xq: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Candidates from the float16 clone, ranked by the CPU's stored vectors."""
        if self._clone is None:
            self._resources = self._resources or faiss.StandardGpuResources()
            options = faiss.GpuClonerOptions()
            options.useFloat16 = True
            self._clone = faiss.index_cpu_to_gpu(self._resources, 0, self._index.index, options)
        _, positions = self._clone.search(xq, min(k + GPU_MARGIN, len(self)))
        id_map = self.ids()
        scores, found = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)
        for row, candidates in enumerate(positions):
            cosines = self._index.index.reconstruct_batch(candidates) @ xq[row]
            best = np.argsort(-cosines, kind="stable")[:k]
            scores[row], found[row] = cosines[best], id_map[candidates[best]]
        return scores, found


def _flat(dim: int, choice: Choice) -> faiss.Index:
    if choice.storage == "float32":
        return faiss.IndexFlatIP(dim)
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def float32_slices(rows: np.ndarray, part: str, step: int = 8192) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of a shard's rows with their float32 (n, width) vectors, so that a large shard is never whole in memory."""
    for start in range(0, len(rows), step):
        where = slice(start, min(start + step, len(rows)))
        yield where, rows[part][where].astype(np.float32)
