"""Recall@10 on the user's own library: which share of the true nearest a search finds, for the default and each preset."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from index import search
from index.library import Library

DEFAULT = "default"
GOOD = 0.99
QUERIES = 100  # stored vectors that ask for their neighbours
NEIGHBOURS = 10
SLICE = 8192
EVEN = 1e-5  # scores nearer than this are even: of equally near photos either answer is right


@dataclass
class _Asked:
    """One way of weighing the parts: what is asked, and the best scores there truly are, descending."""

    weights: dict[str, float]
    stored: dict[str, np.ndarray]  # vectors, float32 (q, width), by part
    queries: dict[str, np.ndarray]  # the same as the index compares them
    best: np.ndarray = field(default_factory=lambda: np.empty(0))  # float32 (q, k)

    def scores(self, vectors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Weighted means of the parts' cosines, float32 (q, n), for unit vectors[part] (n, width)."""
        total = sum(self.weights.values())
        return sum(
            np.float32(weight / total) * (self.queries[part] @ vectors[part].T) for part, weight in self.weights.items()
        )


def measured_recalls(
    library: Library, k: int = NEIGHBOURS, presets: Collection[str] = search.LIKE
) -> dict[str, float | None]:
    """Recall@k of the default search and of each preset, by stored vectors as queries, which don't count as found.

    None for fewer than two photos. The index of every part that a preset asks is built where it is not there yet.
    """
    weightings = {DEFAULT: {library.space.pooled: 1.0}} | {name: search.like(library, name) for name in presets}
    library.vectors.refresh()
    k = min(k, len(library.vectors) - 1)
    if k < 1:
        return dict.fromkeys(weightings)
    asked = library.vectors.sample(QUERIES)
    parts = sorted({part for weights in weightings.values() for part in weights})
    stored = {part: library.vectors.of(asked, part)[1] for part in parts}
    compared = {part: library.index(part).compared for part in parts}
    queries = {part: _unit(compared[part](rows)) for part, rows in stored.items()}
    different = {_key(weights): _Asked(weights, stored, queries) for weights in weightings.values()}
    _compare_all(library, asked, compared, list(different.values()), k)
    recalls = {key: _recall(library, asked, one, k) for key, one in different.items()}
    return {name: recalls[_key(weights)] for name, weights in weightings.items()}


def advice(recalls: Mapping[str, float | None]) -> list[str]:
    """What to do about searches that find too little."""
    return [
        f"{'a search' if name == DEFAULT else f'--like {name}'} finds {value:.1%} of the true nearest, below {GOOD:.0%}: "
        "`doctor --mend` builds the index anew from the photos that there are now. If it stays so, narrow the search by "
        "--folder, --label or a date: few photos are all compared."
        for name, value in recalls.items()
        if value is not None and value < GOOD
    ]


def _recall(library: Library, asked: np.ndarray, one: _Asked, k: int) -> float:
    """By the very search that answers users."""
    found = 0
    for row, content in enumerate(asked.tolist()):
        queries = {part: one.stored[part][row] for part in one.weights}
        scores, contents = search.nearest_contents(library, queries, one.weights, k + 1)
        others = [score for score, other in zip(scores, contents, strict=True) if other != content][:k]
        found += sum(score >= one.best[row, -1] - EVEN for score in others)
    return found / (len(asked) * k)


def _compare_all(
    library: Library, asked: np.ndarray, compared: Mapping[str, Callable], ways: list[_Asked], k: int
) -> None:
    """Put the k best scores over all stored vectors into each way, in one pass over the shards."""
    for one in ways:
        one.best = np.full((len(asked), k), -np.inf, np.float32)
    for contents, rows in _stored(library):
        vectors = {part: _unit(form(rows[part].astype(np.float32))) for part, form in compared.items()}
        itself = asked[:, None] == contents
        for one in ways:
            scores = np.where(itself, np.float32(-np.inf), one.scores(vectors))
            both = np.concatenate([one.best, scores], axis=1)
            one.best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    for one in ways:
        one.best = -np.sort(-one.best, axis=1)


def _stored(library: Library) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(content ids int64 (n,), rows of their shard) of every stored vector, a slice at a time."""
    newest = library.catalog.newest_shard(library.space_id)
    for shard_id, rows, contents in library.catalog.vector_places(library.space_id, 0, newest):
        mapped = library.vectors.rows_of(shard_id, rows.max())
        for start in range(0, len(rows), SLICE):
            where = slice(start, start + SLICE)
            yield contents[where], mapped[rows[where]]
        library.vectors.release()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _key(weights: Mapping[str, float]) -> tuple:
    return tuple(sorted(weights.items()))
