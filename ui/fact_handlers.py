"""What is in use, and what the library takes on the disk: (what, words) pairs for a person."""

from __future__ import annotations

import platform

from index.folders import sizes
from index.gpu import faiss_version
from index.library import Library
from ui.handlers import machine
from ui.job_words import size

KINDS = {
    "exact": "exact: every vector is compared",
    "codes": "short codes of all vectors propose, the vectors themselves decide",
    "lists": "short codes in lists propose, the vectors themselves decide",
}


def facts_in_use(library: Library) -> list[tuple[str, str]]:
    """Model, engine, FAISS, index and versions. Loads network and index where nobody has yet."""
    library = library.follow()
    in_use = machine(library)
    engine = in_use.problem or f"{in_use.engine} on {in_use.device}"
    return [
        ("Model", in_use.model),
        ("Engine", engine),
        ("FAISS", f"{faiss_version()}, {in_use.faiss}"),
        ("Search index", _index(library)),
        ("Python", platform.python_version()),
    ]


def disk_use(library: Library) -> list[tuple[str, str]]:
    """The library's room on the disk, in its parts and summed. Every file is asked."""
    taken = sizes(library)
    catalog = "on its server" if taken.catalog is None else size(taken.catalog)
    return [
        ("Catalogue", catalog), ("Vectors", size(taken.vectors)), ("Saved indexes", size(taken.cache)),
        ("Thumbnails", size(taken.thumbnails)), ("Together", size(taken.total)),
    ]  # fmt: skip


def _index(library: Library) -> str:
    try:
        index = library.index(library.space.pooled)
    except Exception as error:  # noqa: BLE001  whatever refuses (a damaged shard, a locked database), the person reads why
        return str(error) or type(error).__name__
    on = ", on the GPU" if index.choice.gpu else ""
    return f"{KINDS[index.choice.kind]}{on}; {len(index):,} vectors"
