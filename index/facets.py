"""What a search can be narrowed by in this library: folders, cameras and words, with how many photos each leaves.

Counting goes over everything stored, so it is kept until the library changes.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from index.library import Library
from index.open_space import OpenSpace
from index.words import known_words

Value = TypeVar("Value")

_known: WeakKeyDictionary[OpenSpace, dict[str, tuple[object, object]]] = WeakKeyDictionary()
_lock = threading.Lock()


def folders_of(library: Library) -> list[tuple[str, int]]:
    """(folder, how many photos lie in it or below), as a tree is read; folders above all photos are left out."""
    return _kept(library, "folders", lambda: _with_parents(library.catalog.folders()))


def cameras_of(library: Library) -> list[tuple[str, int]]:
    """(camera, how many photos it took), the most first."""
    return _kept(library, "cameras", lambda: sorted(library.catalog.cameras().items(), key=lambda one: -one[1]))


def words_of(library: Library) -> list[tuple[str, int, str]]:
    """(word, how many contents, "taught" or "label"): `index.words.known_words`, kept."""
    return _kept(library, "words", lambda: known_words(library))


def _kept(library: Library, name: str, count: Callable[[], Value]) -> Value:
    library.vectors.refresh()
    job, words = library.catalog.latest_job("index"), tuple(library.catalog.words().items())
    state = job and (job.id, job.state), library.catalog.newest_photo(), len(library.vectors), words
    with _lock:  # two who ask at once wait for one count
        known = _known.setdefault(library.opened, {})
        if name not in known or known[name][0] != state:
            known[name] = state, count()
        return known[name][1]  # type: ignore[return-value]


def _with_parents(folders: Counter[str]) -> list[tuple[str, int]]:
    """Every folder and those above it, down to the one that all have in common."""
    if not folders:
        return []
    top = os.path.commonpath(list(folders))
    total: Counter[str] = Counter()
    for folder, count in folders.items():
        while True:
            total[folder] += count
            if folder == top:
                break
            folder = os.path.dirname(folder)
    return sorted(total.items())
