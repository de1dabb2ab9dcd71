"""Does everything agree? Files, catalogue, shards, index and network are held against each other, and mended where derived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from index.errors import LibraryError
from index.library import Library
from index.mend import INDEX_AGAIN, shifted_rows, without_thumbnail
from index.mend import mend as mend_derived
from index.vectors import faiss_device, float32_slices
from regconv.errors import RegconvError, UnreadableImage
from storage.errors import ShardError, StorageError
from storage.records import Filter, PhotoRecord
from storage.tables import PRESENT

SAMPLE = 8  # photos that are decoded and embedded again
QUERIES = 100  # stored vectors that ask for their own neighbours
SAME = 0.9995  # cosine that a picture embedded again must reach


@dataclass(frozen=True)
class Check:
    """One question to the library and its answer."""

    name: str
    ok: bool
    detail: str


def examine(library: Library, *, recall: bool = False, mend: bool = False) -> dict[str, Any]:
    """The library's health, as `doctor --json` prints it. With `mend`, what is derived is made again first.

    Mending takes the library's lease (JobRunning where a job is at work) and never touches what a user said or a photo.
    """
    mended = mend_derived(library) if mend else []
    checks = [_asked(library, name, check) for name, check in CHECKS.items()]
    well = all(check.ok for check in checks)
    counts = library.catalog.counts(library.space_id)
    embedded = counts.pop("embedded")
    return {
        "ok": well,
        "photos": counts,
        "embedded": embedded,
        "faiss": faiss_device(),
        "checks": [vars(check) for check in checks],
        "mended": mended,
        "recall_at_10": measured_recall(library) if recall and well else None,
    }


def measured_recall(library: Library, k: int = 10) -> float | None:
    """The share of the true k nearest that the index finds, over stored vectors as queries. None for fewer than two photos."""
    part = library.space.pooled
    index = library.index(part)
    ids = np.sort(index.ids())
    if len(ids) < 2:
        return None
    asked = ids[:: max(1, len(ids) // QUERIES)][:QUERIES]
    stored = library.stored(asked.tolist(), part)
    queries = np.stack([stored[content] for content in asked.tolist()])
    queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
    k = min(k, len(ids))
    scores, _ = index.search(queries, k)
    true = _brute_force(library, queries, k)
    # By score, not by id: of equally near photos either answer is right.
    return float((scores >= true[:, -1:] - 1e-5).mean())


def _brute_force(library: Library, queries: np.ndarray, k: int) -> np.ndarray:
    """The k best cosines, float32 (q, k), of the queries over all stored vectors, read shard by shard."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    for rows, vectors in _stored_vectors(library, library.space.pooled):
        vectors = vectors[rows]
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        best = -np.sort(-np.concatenate([best, queries @ vectors.T], axis=1), axis=1)[:, :k]
    return best


def _stored_vectors(library: Library, part: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    newest = library.catalog.newest_shard(library.space_id)
    for shard_id, rows, _ in library.catalog.vector_places(library.space_id, 0, newest):
        mapped = library.vectors.rows_of(shard_id, rows.max())
        used = np.zeros(len(mapped), bool)
        used[rows] = True
        for where, vectors in float32_slices(mapped, part):
            yield used[where], vectors


# The checks: each answers (ok, detail). One that meets a damaged shard has its answer.


def _asked(library: Library, name: str, check: Callable[[Library], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *check(library))
    except (RegconvError, LibraryError, StorageError) as error:
        return Check(name, False, str(error))


def _check_database(library: Library) -> tuple[bool, str]:
    damage = library.catalog.damage()
    return damage is None, damage or "the database finds nothing wrong with itself"


def _check_counts(library: Library) -> tuple[bool, str]:
    counts = library.catalog.counts(library.space_id)
    ok = counts["embedded"] == counts[PRESENT]
    return ok, f"{counts[PRESENT]} photos are present, {counts['embedded']} of them have vectors" + (
        "" if ok else INDEX_AGAIN
    )


def _check_shards(library: Library) -> tuple[bool, str]:
    wrong = []
    shards = library.catalog.shards(library.space_id)
    for shard in shards.values():
        try:
            library.shards.open(shard, library.space.dtype)
        except ShardError as error:
            wrong.append(str(error))
        else:
            wrong += filter(None, [library.shards.verify(shard)])
    return not wrong, " ".join(wrong) or f"{len(shards)} vector shards are whole, byte by byte"


def _check_rows(library: Library) -> tuple[bool, str]:
    """Every vector's row carries the digest of the content that points to it: nothing has shifted."""
    checked = shifted = 0
    for contents, wrong in shifted_rows(library):
        checked += len(contents)
        shifted += len(wrong)
    return not shifted, f"{checked - shifted} of {checked} vectors carry their content's own fingerprint" + (
        "; --mend gives the others up" if shifted else ""
    )


def _check_orphans(library: Library) -> tuple[bool, str]:
    orphans = library.shards.orphans(library.catalog.shard_files())
    if not orphans:
        return True, "no file is left over"
    return (
        True,
        f"{len(orphans)} files in shards/ belong to nothing (an interrupted run leaves them); --mend removes them",
    )


def _check_index(library: Library) -> tuple[bool, str]:
    """The index holds the catalogue's contents, each once and under its own vector."""
    part = library.space.pooled
    index = library.index(part)
    places = library.catalog.vector_places(library.space_id, 0, library.catalog.newest_shard(library.space_id))
    known = np.sort(np.concatenate([np.empty(0, np.int64), *(contents for _, _, contents in places)]))
    ids = np.sort(index.ids())
    asked = ids[:: max(1, len(ids) // QUERIES)][:QUERIES]
    stored = {content: vector for content, vector in library.stored(asked.tolist(), part).items() if np.any(vector)}
    own = [index.search(vector[None], 1, np.array([content]))[0][0, 0] for content, vector in stored.items()]
    lost = sum(score < 1 - 1e-3 for score in own)
    return (
        np.array_equal(ids, known) and not lost,
        f"the index holds {len(np.intersect1d(ids, known))} of {len(known)} vectors, {len(np.setdiff1d(ids, known))} that are "
        f"no longer known, {len(ids) - len(np.unique(ids))} twice; {len(own) - lost} of {len(own)} asked find themselves",
    )


def _check_cache(library: Library) -> tuple[bool, str]:
    damaged = library.indexes.damaged()
    return not damaged, (
        f"saved indexes whose bytes have changed, not used and built anew: {', '.join(damaged)}"
        if damaged
        else "no saved index is damaged"
    )


def _check_thumbnails(library: Library) -> tuple[bool, str]:
    missing = sum(1 for _ in without_thumbnail(library))
    return (
        not missing,
        f"{missing} photos have no thumbnail; --mend makes them" if missing else "every photo has its thumbnail",
    )


def _check_vectors(library: Library) -> tuple[bool, str]:
    """A sample, decoded and embedded again, agrees with what is stored."""
    part = library.space.pooled
    worst, compared = 1.0, 0
    try:
        for photo in _sample(library):
            try:
                decoded = library.decoder.picture(photo.path)
            except UnreadableImage:
                continue
            stored = library.stored([photo.content_id or 0], part).get(photo.content_id or 0)
            if decoded.digest != photo.digest or stored is None:
                continue  # changed since: the next index run will see to it
            fresh = library.backbone.embed(decoded.picture[None]).vectors[part][0]
            length = float(np.linalg.norm(stored) * np.linalg.norm(fresh))
            worst = min(worst, float(fresh @ stored) / length if length else 1.0)
            compared += 1
    except (RegconvError, LibraryError) as error:
        return False, f"could not be compared: {error}"
    return (
        worst >= SAME,
        f"{compared} photos embedded again agree with their stored vectors (lowest cosine {worst:.6f})",
    )


CHECKS: dict[str, Callable[[Library], tuple[bool, str]]] = {
    "database": _check_database,
    "photos": _check_counts,
    "shards": _check_shards,
    "rows": _check_rows,
    "left over": _check_orphans,
    "index": _check_index,
    "cache": _check_cache,
    "thumbnails": _check_thumbnails,
    "vectors": _check_vectors,
}


def _sample(library: Library) -> list[PhotoRecord]:
    contents = library.catalog.matching(Filter(), library.space_id)
    asked = contents[:: max(1, len(contents) // SAMPLE)][:SAMPLE]
    found = library.catalog.photos(asked.tolist(), Filter(), library.space_id)
    return [photos[0] for photos in found.values()]
