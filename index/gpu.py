"""The vectors of an index as float16 on the GPU, where FAISS has one: it proposes candidates, quickly and almost in order.

FAISS' GPU indexes cannot remove and take no selector, so what is removed, or kept out by a filter, is masked: more is asked
for than is wanted, and what may not be found is left out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import faiss
import numpy as np

MARGIN = 32  # candidates beyond those wanted: rounding to float16 may swap what lies close together
MOST = 2048  # neighbours that FAISS' GPU indexes find for one query
WASTED = 0.5  # share of removed vectors from which on a copy is made anew


def faiss_device() -> str:
    """Which FAISS is in use, in words: "gpu (1 device)", or "cpu" with the reason."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "cpu (the installed FAISS has no GPU code: requirements-gpu.txt has one that does)"
    count = faiss.get_num_gpus()
    return f"gpu ({count} device{'s' * (count > 1)})" if count else "cpu (FAISS could use a GPU, none answers)"


def faiss_version() -> str:
    """The installed FAISS's version."""
    return str(faiss.__version__)


def free_memory() -> int | None:
    """Bytes that FAISS may count on, or None where there is no GPU for it."""
    if not faiss_device().startswith("gpu"):
        return None
    return int(faiss.get_gpu_memory_info(0)[0]) if hasattr(faiss, "get_gpu_memory_info") else 4 << 30


def on_gpu(index: Any) -> Any:
    """A flat float16 copy of a FAISS index on the first GPU."""
    options = faiss.GpuClonerOptions()
    options.useFloat16 = True
    return faiss.index_cpu_to_gpu(_resources(), 0, index, options)


def learn_lists_on_gpu(index: Any, dim: int) -> None:
    """Let the GPU compare vectors with centres while `index`, with lists, is trained."""
    faiss.extract_index_ivf(index).clustering_index = faiss.index_cpu_to_gpu(_resources(), 0, faiss.IndexFlatL2(dim))


class GpuCopy:
    """Unit vectors under content ids, in float16 on the GPU. Not safe to use from several threads."""

    def __init__(self, dim: int) -> None:
        """Raises RuntimeError where there is no room."""
        self._index = on_gpu(faiss.IndexFlatIP(dim))
        self._ids = np.empty(0, np.int64)  # at each position of the index, -1 for what was removed

    def __len__(self) -> int:
        return int((self._ids >= 0).sum())

    @property
    def is_wasteful(self) -> bool:
        """Whether so much was removed that a new copy is the better one."""
        return len(self._ids) > 0 and len(self) < (1 - WASTED) * len(self._ids)

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Put unit vectors float32 (n, dim) in. Raises RuntimeError where there is no room."""
        self._index.add(vectors)
        self._ids = np.append(self._ids, ids)

    def remove(self, ids: np.ndarray) -> None:
        """Take ids out."""
        self._ids[np.isin(self._ids, ids)] = -1

    def candidates(self, queries: np.ndarray, count: int, ids: np.ndarray | None = None) -> np.ndarray | None:
        """Content ids int64 (q, any number), -1 for none, with the `count` nearest of `ids` (of all) to unit queries.

        None where the GPU cannot find so many.
        """
        allowed = self._ids >= 0 if ids is None else np.isin(self._ids, ids)
        wanted = min(count + MARGIN, int(allowed.sum()))
        if wanted == 0:
            return np.empty((len(queries), 0), np.int64)
        asked = int(wanted * len(allowed) / allowed.sum() * 1.5)
        while (asked := min(asked, len(allowed))) <= MOST:
            found = self._index.search(queries, asked)[1]
            passes = allowed[found]
            if asked == len(allowed) or (passes.sum(axis=1) >= wanted).all():
                return np.where(passes, self._ids[found], -1)
            asked *= 2
        return None


@cache
def _resources() -> Any:
    # Streams and scratch memory on the GPU, 1.5 GB each time: one for the process.
    return faiss.StandardGpuResources()
