"""Does everything agree? Files, catalogue, shards, index and network are held against each other, and mended where derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from index import checks
from index.errors import LibraryError
from index.library import Library
from index.mend import mend as mend_derived
from index.recall import DEFAULT, advice, measured_recalls
from index.vectors import faiss_device
from regconv.errors import RegconvError
from storage.errors import StorageError

CHECKS: dict[str, checks.Asks] = {
    "database": checks.database,
    "photos": checks.counts,
    "files": checks.files,
    "shards": checks.shards,
    "rows": checks.rows,
    "left over": checks.left_over,
    "places": checks.places,
    "index": checks.index,
    "cache": checks.cache,
    "thumbnails": checks.thumbnails,
    "vectors": checks.vectors,
}
FOR_RECALL = {"database", "shards", "rows", "places", "index"}  # the recall of what is broken is no news


@dataclass(frozen=True)
class Check:
    """One question to the library and its answer."""

    name: str
    ok: bool
    detail: str


def examine(library: Library, *, recall: bool = False, mend: bool = False, whole: bool = False) -> dict[str, Any]:
    """The library's health, as `doctor --json` prints it. With `mend`, what is derived is made again first.

    Large libraries are sampled, another sample each time; `whole` looks at all of it. Mending takes the library's lease
    (JobRunning where a job is at work) and never touches what a user said or a photo.
    """
    mended = mend_derived(library) if mend else []
    answers = [_asked(library, name, check, whole) for name, check in CHECKS.items()]
    ill = {check.name for check in answers if not check.ok}
    counts = library.catalog.counts(library.space_id)
    embedded = counts.pop("embedded")
    recalls = measured_recalls(library) if recall and not ill & FOR_RECALL else None
    return {
        "ok": not ill,
        "photos": counts,
        "embedded": embedded,
        "faiss": faiss_device(),
        "checks": [vars(check) for check in answers],
        "mended": mended,
        "recall_at_10": recalls and recalls[DEFAULT],
        "recall": recalls,
        "advice": advice(recalls or {}),
    }


def _asked(library: Library, name: str, check: Callable[[Library, bool], tuple[bool, str]], whole: bool) -> Check:
    """A check's answer; one that meets a damaged shard has its answer."""
    try:
        return Check(name, *check(library, whole))
    except (RegconvError, LibraryError, StorageError) as error:
        return Check(name, False, str(error))
