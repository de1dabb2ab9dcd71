"""Does everything agree? Files, catalogue, shards, index and network are held against each other, and mended where derived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from typing import Any

from index import checks
from index.errors import LibraryError
from index.gpu import faiss_device
from index.library import Library
from index.mend import mend as mend_derived
from index.progress import DONE, Progress, step
from index.recall import DEFAULT, advice, measured_recalls
from regconv.errors import RegconvError
from storage.errors import StorageError
from storage.tables import GONE, PRESENT, UNREADABLE

CHECKS: dict[str, checks.Asks] = {
    "database": checks.database,
    "photos": checks.counts,
    "catalogue": checks.catalogue,
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


def examine(
    library: Library,
    *,
    recall: bool = False,
    mend: bool = False,
    whole: bool = False,
    only: Collection[str] = CHECKS.keys(),
) -> dict[str, Any]:
    """The library's health: see `examination`."""
    *_, last = examination(library, recall=recall, mend=mend, whole=whole, only=only)
    assert last.report is not None
    return last.report


def examination(
    library: Library,
    *,
    recall: bool = False,
    mend: bool = False,
    whole: bool = False,
    only: Collection[str] = CHECKS.keys(),
) -> Generator[Progress, None, None]:
    """Look at everything, one check after another; the last Progress carries the health, as `doctor --json` prints it.

    With `mend`, what is derived is made again first. Large libraries are sampled, another sample each time; `whole` looks at
    all of it; `only` names the CHECKS to make. Mending takes the library's lease (JobRunning where a job is at work) and never
    touches what a user said or a photo. Raises what `mend` raises.
    """
    mended = (yield from mend_derived(library)) if mend else []
    answers = []
    asked = {name: check for name, check in CHECKS.items() if name in only}
    for done, (name, check) in enumerate(asked.items()):
        yield step(f"examining: {name}", done, len(asked))
        answers.append(_asked(library, name, check, whole))
    ill = {check.name for check in answers if not check.ok}
    recalls = None
    if recall and not ill & FOR_RECALL:
        yield step("measuring recall", 0, 1)
        recalls = measured_recalls(library)
    counts = _counts(library)
    embedded = counts.pop("embedded")
    yield step(
        DONE,
        1,
        1,
        report={
            "ok": not ill,
            "photos": counts,
            "embedded": embedded,
            "faiss": faiss_device(),
            "checks": [vars(check) for check in answers],
            "mended": mended,
            "recall_at_10": recalls and recalls[DEFAULT],
            "recall": recalls,
            "advice": advice(recalls or {}),
        },
    )


def _counts(library: Library) -> dict[str, int | None]:
    """Photos by state and how many have vectors; None where the catalogue is too damaged to count."""
    try:
        return dict(library.catalog.counts(library.space_id))
    except StorageError:
        return dict.fromkeys((PRESENT, UNREADABLE, GONE, "embedded"))


def _asked(library: Library, name: str, check: Callable[[Library, bool], tuple[bool, str]], whole: bool) -> Check:
    """A check's answer; one that meets a damaged shard, or a file that it may not read, has its answer."""
    try:
        return Check(name, *check(library, whole))
    except (RegconvError, LibraryError, StorageError, OSError) as error:
        return Check(name, False, str(error))
