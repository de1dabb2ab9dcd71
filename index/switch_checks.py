"""What a space must show before it answers in place of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np

from index.compare import SAME, some
from index.decode import Decoded, DecodeTask
from index.doctor import Check
from index.library import Library
from index.recall import DEFAULT, GOOD, measured_recalls
from storage.tables import PRESENT

SAMPLE = 16  # photos that are decoded and embedded again
NEAREST = 10


def checked(shadow: Library) -> Iterator[Check]:
    """Counts, self-neighbours, recall: one after another. Raises what loading the network and damaged shards raise."""
    yield _counts(shadow)
    yield _self_neighbours(shadow)
    yield _recall(shadow)


def _counts(shadow: Library) -> Check:
    """Every present photo has a vector, and the index holds each vector once."""
    counts = shadow.catalog.counts(shadow.space_id)
    shadow.vectors.refresh()
    ids = np.sort(shadow.index(shadow.space.pooled).ids())
    is_whole = np.array_equal(ids, shadow.vectors.contents)
    detail = f"{counts['embedded']} of {counts[PRESENT]} photos have vectors"
    held = f"the index holds {len(ids)} contents of {len(shadow.vectors)}"
    return Check("counts", is_whole and counts["embedded"] == counts[PRESENT], f"{detail}; {held}")


def _self_neighbours(shadow: Library) -> Check:
    """A sample of photos, decoded and embedded again: each finds itself first."""
    sample = some(shadow, SAMPLE)
    pictures, contents = [], []
    with closing(shadow.decoder.decode(DecodeTask(photo.path) for photo in sample)) as decoded:
        for photo, result in zip(sample, decoded, strict=True):
            if isinstance(result, Decoded) and result.digest == photo.digest:
                pictures.append(result.picture)
                contents.append(photo.content_id)
    part = shadow.space.pooled
    known = np.isin(np.array(contents, np.int64), shadow.vectors.contents)
    if not known.any():
        return Check("self-neighbours", True, "no photo was there, unchanged, to be embedded again")
    fresh = shadow.embedder.embed(np.stack(pictures)[known]).vectors[part]
    has_length = fresh.any(axis=1)  # a picture that shows nothing at all is like nothing, not even itself
    fresh, asked = fresh[has_length], np.array(contents, np.int64)[known][has_length]
    index = shadow.index(part)
    first = index.search(index.compared(fresh), 1)[1][:, 0]
    own, best = (_cosines(fresh, shadow.vectors.of(found, part)[1]) for found in (asked, first))
    # The first may be another photo that looks the same.
    lost = int(((own < SAME) | ((first != asked) & (best < SAME))).sum())
    found = len(asked) - lost
    return Check("self-neighbours", not lost, f"{found} of {len(asked)} photos embedded again find themselves")


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of rows (n, d) with length and others, which may be zeros: (n,)."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)


def _recall(shadow: Library) -> Check:
    value = measured_recalls(shadow, presets=())[DEFAULT]
    if value is None:
        return Check("recall", True, "too few photos to measure")
    return Check(
        "recall",
        bool(value >= GOOD),
        f"a search finds {value:.1%} of the {NEAREST} true nearest, {GOOD:.0%} are wanted",
    )
