"""Teach a library words of one's own: marked photos become a probe on their stored vectors, without any training.

A mark belongs to a content, so it outlives moves and another model; the probe belongs to a space and is made from the marks.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from index.classes import ClassFolder, as_word, class_folders
from index.errors import LibraryError
from index.job import index_folder
from index.library import Library
from index.probe import Probe, fit
from index.progress import FINISHING, Progress
from storage.records import Filter, ProbeRecord

LONGEST_WORD = 100  # characters
OTHERS = (
    1000  # pictures of the library that are not marked, drawn once and for all: enough to show what the words are not
)
TWO_NEEDED = "Teaching needs two or more words, so that they can be told apart: a subfolder with pictures for each."


def teach_folder(library: Library, folder: str) -> Generator[Progress, None, None]:
    """Index the class folders in `folder`, mark their photos with the folders' names, fit; the last Progress has the report.

    Without a report at the end somebody asked the job to stop: its photos are kept, nothing was marked. Raises LibraryError
    where there are fewer than two words, counting those taught before, and what index_folder raises.
    """
    start = time.monotonic()
    classes = class_folders(folder, without=str(library.folder))
    words = {one.name for one in classes} | set(library.catalog.words())
    if len(words) < 2:
        has = f"one class folder ({classes[0].name})" if classes else "no class folders"
        raise LibraryError(f"{folder} has {has}. {TWO_NEEDED}")
    job, last = {}, None
    for last in index_folder(library, [one.path for one in classes]):
        job = last.report or {}
        yield replace(last, report=None)
    if last is None or not job:
        return
    yield replace(last, phase=FINISHING, report=None)
    library = library.follow()
    contents = _contents(library, classes)
    empty = [one.path for one in classes if not contents[one.name]]
    given = {word: found for word, found in contents.items() if found}
    probe = teach(library, given)
    if probe is None:
        raise LibraryError(
            f"There are photos of {', '.join(library.catalog.words()) or 'no word'} only; none that can be read in "
            f"{', '.join(empty)}. {TWO_NEEDED}"
        )
    yield replace(last, report=_report(library, probe, job, empty, time.monotonic() - start))


def teach(library: Library, contents: Mapping[str, Collection[int]]) -> Probe | None:
    """Mark contents with words and fit anew; None while the library has fewer than two words, which are kept."""
    library.catalog.mark({_checked(word): found for word, found in contents.items()})
    return refit(library.follow())  # whichever model answers by now


def unteach(library: Library, words: Sequence[str] = ()) -> dict[str, Any]:
    """Take words back, or all of them, and fit what is left: {"removed", "words", "fitted"}. Raises LibraryError."""
    known = library.catalog.words()
    if unknown := [word for word in words if word not in known]:
        has = f"It knows {', '.join(known)}." if known else "Nothing has been taught."
        raise LibraryError(f"This library was not taught {', '.join(unknown)}. {has}")
    library.catalog.unmark(words or None)
    probe = refit(library.follow())
    return {"removed": list(words or known), "words": library.catalog.words(), "fitted": probe is not None}


def refit(library: Library) -> Probe | None:
    """The probe fitted anew from the marks and stored, None (and none stored) while there are fewer than two words."""
    marked = library.catalog.marked(library.space_id)
    contents = sorted({content for found in marked.values() for content in found})
    contents, vectors = _vectors(library, contents)
    words = [word for word, found in marked.items() if set(found) & set(contents)]
    if len(words) < 2:
        library.catalog.drop_probe(library.space_id)
        return None
    targets = np.array([[content in found for found in (set(marked[word]) for word in words)] for content in contents])
    others = _vectors(library, _not_marked(library, contents))[1]
    choices = choices_of(library.space.names, library.space.pooled)
    probe = fit(words, vectors, targets.astype(np.float64), others, choices)
    record = ProbeRecord(words, probe.weights.astype("<f4").tobytes(), dict(probe.calibration))
    library.catalog.save_probe(library.space_id, record)
    return probe


def taught(library: Library) -> Probe | None:
    """The library's probe as it is now, None where nothing is taught."""
    record = library.catalog.probe(library.space_id)
    if record is None:
        return None
    weights = np.frombuffer(record.weights, "<f4").reshape(-1, len(record.words))
    return Probe(tuple(record.words), weights, record.calibration)


def own_labels(probe: Probe | None, vectors: Mapping[str, np.ndarray], k: int = 5) -> list[tuple[str | None, float]]:
    """(word, chance) of one picture's vectors (d,), best first, at most k.

    Where "none of these" is likelier than all words together it comes first, as None; otherwise it is left out.
    """
    if probe is None:
        return []
    chances = probe.chances({part: vectors[part][None] for part in probe.parts})[0]
    order = np.argsort(-chances[:-1], kind="stable")[:k]
    named: list[tuple[str | None, float]] = [(probe.words[place], float(chances[place])) for place in order]
    return ([(None, float(chances[-1]))] if chances[-1] > 0.5 else []) + named


def choices_of(names: Sequence[str], pooled: str) -> list[tuple[str, ...]]:
    """Which parts a probe may look at: the pooled one, that and the stage before, or all (measured: bench/teach.py)."""
    others = [name for name in names if name != pooled]
    return list(dict.fromkeys([(pooled,), (*others[-1:], pooled), tuple(names)]))


def _vectors(library: Library, contents: Sequence[int]) -> tuple[list[int], dict[str, np.ndarray]]:
    """(those of the contents that have vectors, their vectors (n, width) by part)."""
    stored = {part: library.stored(contents, part) for part in library.space.names}
    found = [content for content in contents if all(content in rows for rows in stored.values())]
    return found, {
        part: np.array([stored[part][content] for content in found], np.float32).reshape(-1, width)
        for part, width in library.space.parts
    }


def _not_marked(library: Library, marked: Sequence[int]) -> list[int]:
    """Up to OTHERS contents of present photos that are not marked: the same ones for the same library."""
    others = np.setdiff1d(library.catalog.matching(Filter()), marked)
    drawn = np.random.default_rng(0).permutation(others)[:OTHERS]
    return sorted(drawn.tolist())


def _checked(word: str) -> str:
    word = as_word(word).strip()
    if not word or len(word) > LONGEST_WORD or not word.isprintable():
        raise LibraryError(
            f"{word[:LONGEST_WORD]!r} is no word to teach: give 1 to {LONGEST_WORD} printable characters."
        )
    return word


def _contents(library: Library, classes: Sequence[ClassFolder]) -> dict[str, list[int]]:
    return {one.name: library.catalog.matching(Filter(folder=one.path)).tolist() for one in classes}


def _report(
    library: Library, probe: Probe, job: Mapping[str, Any], empty: Sequence[str], seconds: float
) -> dict[str, Any]:
    kept = ("library", "model", "seen", "embedded", "unchanged", "moved", "gone", "failed")
    return {name: job[name] for name in kept} | {
        "words": library.catalog.words(),
        "empty": list(empty),
        "held_out": probe.calibration["held_out"],
        "others": probe.calibration["others"],
        "held_out_accuracy": probe.calibration.get("accuracy"),
        "parts": list(probe.parts),
        "seconds": round(seconds, 3),
    }
