"""The ways to search that bench/craft.py compares: which vectors, what is fitted on the library's, how they are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.craft_vectors import Vectors, unit
from index.whitening import fit as partial_whitening

Rows = np.ndarray
Map = Callable[[Rows], Rows]


def cosine(queries: Rows, library: Rows) -> Rows:
    """Scores (q, n)."""
    return queries @ library.T


def nothing(library: Rows) -> Map:
    """Vectors as they are."""
    return unit


def power(exponent: float) -> Callable[[Rows], Map]:
    """Signed power of every number."""
    return lambda library: lambda rows: unit(np.sign(rows) * np.abs(rows) ** exponent)


def whitened(exponent: float, dims: int | None = None, first: Callable[[Rows], Map] = nothing) -> Callable[[Rows], Map]:
    """Mean taken away; principal components, the strongest `dims`, times eigenvalue ** -exponent (0: centring alone)."""

    def fit(library: Rows) -> Map:
        before = first(library)
        rows = before(library).astype(np.float64)
        mean = rows.mean(axis=0)
        values, axes = np.linalg.eigh(np.cov(rows.T))
        values, axes = values[::-1], axes[:, ::-1]
        kept = slice(0, dims or len(values))
        # A floor for directions in which the library hardly varies: noise that would be blown up.
        scale = np.maximum(values[kept], values.mean() * 1e-3) ** -exponent
        turn = axes[:, kept] * scale
        return lambda asked: unit((before(asked) - mean) @ turn)

    return fit


def ours(dims: int = 128, first: Callable[[Rows], Map] = nothing) -> Callable[[Rows], Map]:
    """Partial whitening as the product has it (index/whitening.py); plain where it has none."""

    def fit(library: Rows) -> Map:
        before = first(library)
        whitening = partial_whitening(before(library), dims)
        return lambda asked: unit(before(asked)) if whitening is None else whitening.of(before(asked))

    return fit


def expanded(
    count: int, alpha: float = 3.0, rank: Callable[[Rows, Rows], Rows] = cosine
) -> Callable[[Rows, Rows], Rows]:
    """Alpha query expansion (Radenovic et al. 2018): the query plus its `count` nearest, each times score ** alpha."""

    def scores(queries: Rows, library: Rows) -> Rows:
        near = cosine(queries, library)
        best = np.argpartition(-near, count, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(near, best, axis=1), 0) ** alpha
        return rank(unit(queries + np.einsum("qk,qkd->qd", weights, library[best])), library)

    return scores


def diffused(count: int = 50, alpha: float = 0.9, gamma: float = 3.0, starts: int = 10) -> Callable[[Rows, Rows], Rows]:
    """Diffusion on the graph of mutual neighbours (Iscen et al. 2017), solved exactly; a query enters by its nearest."""

    def scores(queries: Rows, library: Rows) -> Rows:
        affinity = np.maximum(library @ library.T, 0) ** gamma
        np.fill_diagonal(affinity, 0)
        least = -np.partition(-affinity, count, axis=1)[:, count - 1 : count]
        affinity *= (affinity >= least) & (affinity >= least.T)
        degree = np.maximum(affinity.sum(axis=1), 1e-12) ** -0.5
        near = np.maximum(queries @ library.T, 0) ** gamma
        entry = near * (near >= -np.partition(-near, starts, axis=1)[:, starts - 1 : starts])
        system = np.eye(len(library)) - alpha * affinity * degree[:, None] * degree
        return (np.linalg.solve(system, entry.T).T + 1e-6 * near).astype(np.float32)

    return scores


@dataclass(frozen=True)
class Variant:
    """One way to search: which vectors, what is fitted on the library's, how they are compared; and what it costs."""

    name: str
    take: Callable[[Vectors], Rows] = lambda seen: seen.parts()[seen.pooled]
    fit: Callable[[Rows], Map] = nothing
    scores: Callable[[Rows, Rows], Rows] = cosine
    cost: str = "none"


def gem(exponent: int) -> Callable[[Vectors], Rows]:
    """Generalised means of the last map."""
    return lambda seen: unit(seen.plain[f"gem{exponent}"])


def both_ways(seen: Vectors) -> Rows:
    """The mean over the picture and its mirror image."""
    return unit(seen.plain[seen.pooled] + seen.mirrored[seen.pooled])


def joined(*weights: float) -> Callable[[Vectors], Rows]:
    """The last stages beside each other, each of unit length, times the root of its weight."""

    def take(seen: Vectors) -> Rows:
        parts = list(seen.parts().values())[-len(weights) :]
        return np.concatenate([w**0.5 * part for w, part in zip(weights, parts, strict=True)], axis=1)

    return take


MATRIX = "a matrix a query; rows fitted and stored or turned"
TWICE = "embedding x2"
VARIANTS = [
    Variant("plain mean"),
    Variant("generalised mean, p=2", gem(2), cost="other vectors"),
    Variant("generalised mean, p=3", gem(3), cost="other vectors"),
    Variant("generalised mean, p=4", gem(4), cost="other vectors"),
    Variant("power 0.7", fit=power(0.7)),
    Variant("power 0.5", fit=power(0.5)),
    Variant("centred", fit=whitened(0), cost=MATRIX),
    Variant("whitened, -1/4", fit=whitened(0.25), cost=MATRIX),
    Variant("whitened, -1/2", fit=whitened(0.5), cost=MATRIX),
    Variant("whitened, -1/4, 256 dims", fit=whitened(0.25, 256), cost=MATRIX),
    Variant("whitened, -1/4, 128 dims", fit=whitened(0.25, 128), cost=MATRIX),
    Variant("whitened, -1/4, 64 dims", fit=whitened(0.25, 64), cost=MATRIX),
    Variant("whitened, -1/2, 256 dims", fit=whitened(0.5, 256), cost=MATRIX),
    Variant("whitened, -1/2, 128 dims", fit=whitened(0.5, 128), cost=MATRIX),
    Variant("whitened, -1/2, 64 dims", fit=whitened(0.5, 64), cost=MATRIX),
    Variant("whitened, -1/4, shrunk", fit=ours(10_000), cost=MATRIX),
    Variant("whitened, -1/4, shrunk, 128 dims", fit=ours(), cost=MATRIX),
    Variant("whitened, -1/4, shrunk, 64 dims", fit=ours(64), cost=MATRIX),
    Variant("power 0.5, whitened, -1/4, shrunk, 128 dims", fit=ours(128, power(0.5)), cost=MATRIX),
    Variant("mirror, whitened, -1/4, shrunk, 128 dims", both_ways, ours(), cost=f"{TWICE}; {MATRIX}"),
    Variant("p=3, whitened, -1/4, shrunk, 128 dims", gem(3), ours(), cost=f"other vectors; {MATRIX}"),
    Variant("whitened, -1/4, shrunk, 128 dims, by 5", fit=ours(), scores=expanded(5), cost=f"{MATRIX}; a second search"),
    Variant("power 0.5, centred", fit=whitened(0, None, power(0.5)), cost=MATRIX),
    Variant("power 0.5, whitened, -1/4", fit=whitened(0.25, None, power(0.5)), cost=MATRIX),
    Variant("power 0.5, whitened, -1/4, 128 dims", fit=whitened(0.25, 128, power(0.5)), cost=MATRIX),
    Variant("mirror", both_ways, cost=TWICE),
    Variant("mirror, power 0.5", both_ways, power(0.5), cost=TWICE),
    Variant("mirror, power 0.5, centred", both_ways, whitened(0, None, power(0.5)), cost=f"{TWICE}; {MATRIX}"),
    Variant("expanded by 3", scores=expanded(3), cost="a second search"),
    Variant("expanded by 5", scores=expanded(5), cost="a second search"),
    Variant("expanded by 10", scores=expanded(10), cost="a second search"),
    Variant("power 0.5, expanded by 5", fit=power(0.5), scores=expanded(5), cost="a second search"),
    Variant("centred, expanded by 5", fit=whitened(0), scores=expanded(5), cost=f"{MATRIX}; a second search"),
    Variant("diffusion", scores=diffused(), cost="kNN graph of the library, a solve a query"),
    Variant("centred, diffusion", fit=whitened(0), scores=diffused(), cost="the same and " + MATRIX),
    Variant("last two stages, 1:1", joined(1, 1), cost="vectors longer by a half"),
    Variant("last two stages, 1:3", joined(1, 3), cost="vectors longer by a half"),
    Variant("last three stages, 1:1:4", joined(1, 1, 4), cost="vectors longer by two thirds"),
    Variant("last two stages, 1:3, power 0.5", joined(1, 3), power(0.5), cost="vectors longer by a half"),
    Variant("last two stages, 1:3, power 0.5, centred", joined(1, 3), whitened(0, None, power(0.5)), cost=MATRIX),
]  # fmt: skip
