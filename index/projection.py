"""Vectors become places in the plane, so that those that are alike lie close together: t-SNE on exact neighbours, by openTSNE.

Why openTSNE, beside scikit-learn and UMAP: bench/atlas.py. It alone goes on from an older map, so that a library that grows
keeps the map that a person has come to know. The same vectors give the same map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

PERPLEXITY = 30.0  # how many neighbours count, in effect; three times as many are looked up
FEW = 10  # vectors up to which the two principal components are the map: t-SNE has too little to go by
TOGETHER, APART = 250, 500  # iterations: first groups are pulled together, then they spread out
EXAGGERATION = 12.0
MANY = 500  # vectors from which on they are pulled together first: fewer would fall onto one point
SETTLING = 250  # iterations where most places are known already
STEP = 25  # iterations between two looks at whether to go on
ROWS = 512  # vectors that are compared with all others at a time
SPREAD = 1e-4  # of the first places, so small that the order of the vectors does not matter
JITTER = 1e-3  # of new places: two that lie on one another could never part

Step = tuple[float, np.ndarray | None]  # (share done 0 to 1, the places float32 (n, 2) at the end)


def project(vectors: np.ndarray, known: np.ndarray | None = None) -> Iterator[Step]:
    """The places of vectors, float32 (n, d) of unit length, in steps that may be given up between.

    `known` float32 (n, 2) has places of an older map to go on from, NaN for those that are new.
    """
    if len(vectors) <= FEW:
        yield 1.0, components(vectors).astype(np.float32)
        return
    near = min(int(3 * PERPLEXITY), len(vectors) - 1)
    found = np.empty((len(vectors), near), np.int32), np.empty((len(vectors), near), np.float32)
    for done in _find_neighbours(vectors, *found):
        yield 0.25 * done, None
    yield from _arranged(vectors, found, known)


def components(vectors: np.ndarray) -> np.ndarray:
    """The two principal components of vectors (n, d), float64 (n, 2); zeros where there are not so many."""
    places = np.zeros((len(vectors), 2))
    if len(vectors) < 2:
        return places
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    axes = axes[:, : -min(2, vectors.shape[1]) - 1 : -1]
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])] < 0, -1, 1)  # a sign is left to chance
    places[:, : axes.shape[1]] = centred @ axes
    return places


def _arranged(vectors: np.ndarray, found: tuple[np.ndarray, np.ndarray], known: np.ndarray | None) -> Iterator[Step]:
    # Here, not at the top: they take seconds to load, and a library that nobody looks at as a map needs neither.
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    perplexity = min(PERPLEXITY, found[0].shape[1] / 3)
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=PrecomputedNeighbors(*found), random_state=0)
    if known is None or np.isnan(known[:, 0]).all():
        first = components(vectors)
        first *= SPREAD / max(first[:, 0].std(), np.finfo(float).tiny)
        together = (TOGETHER, EXAGGERATION, 0.5) if len(vectors) >= MANY else (TOGETHER, 1.0, 0.5)
        phases = [together, (APART, 1.0, 0.8)]
    else:
        first = _with_new(known, affinities.P)
        phases = [(SETTLING, 1.0, 0.8)]
    # Barnes-Hut: the FFT's grid grows with the map, and is slower even at 20,000 (bench/atlas.py).
    places = TSNEEmbedding(first, affinities, negative_gradient_method="bh", random_state=0)
    total, done = sum(count for count, *_ in phases), 0
    for count, exaggeration, momentum in phases:
        for _ in range(count // STEP):
            places.optimize(STEP, inplace=True, exaggeration=exaggeration, momentum=momentum)
            done += STEP
            yield 0.25 + 0.75 * done / total, None
    yield 1.0, np.asarray(places, np.float32)


def _find_neighbours(vectors: np.ndarray, indices: np.ndarray, distances: np.ndarray) -> Iterator[float]:
    """Fill in each vector's nearest others, (n, k), the nearest first, and how far they are; yields the share done."""
    near = indices.shape[1]
    for start in range(0, len(vectors), ROWS):
        rows = np.arange(start, min(start + ROWS, len(vectors)))
        cosines = vectors[rows] @ vectors.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        best = np.argpartition(-cosines, near - 1, axis=1)[:, :near]
        values = np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        indices[rows] = np.take_along_axis(best, order, axis=1)
        distances[rows] = np.sqrt(np.maximum(0, 2 - 2 * np.take_along_axis(values, order, axis=1)))
        yield rows[-1] / len(vectors)


def _with_new(known: np.ndarray, affinities: csr_matrix) -> np.ndarray:
    """The known places, float64 (n, 2), and each new one in the middle of its known neighbours."""
    is_new = np.isnan(known[:, 0])
    places = known.astype(np.float64)
    weights = affinities[is_new][:, ~is_new]
    total = np.asarray(weights.sum(axis=1)).reshape(-1, 1)
    middle = places[~is_new].mean(axis=0)
    near = np.asarray(weights @ places[~is_new])
    places[is_new] = np.where(total > 0, near / np.maximum(total, np.finfo(float).tiny), middle)
    places[is_new] += np.random.default_rng(0).normal(0, JITTER, (int(is_new.sum()), 2))
    return places
