"""Words that photos have earned: from the model's labels, from being marked, or from what the marks have taught.

A word stands for every label that has it among its synonyms (a label's parts between commas), and for every taught word that
has it. "cat" is in "tabby, tabby cat" and not in "caterpillar".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from index.errors import LibraryError
from index.library import Library
from index.teach import taught

LEAST = 0.2  # how sure the model must be of a label for a photo to pass a filter by it (bench/words.py)
SURE = 0.5  # and of a taught word: a chance that is calibrated, "none of these" included
SLICE = 16_384  # vectors that a probe looks at together
NEARLY = 0.7  # how much two words must have in common for one to be taken for a slip of the other
FEW = 20_000  # contents that are asked about one by one; more are quicker found among all

Scores = tuple[np.ndarray, np.ndarray]  # content ids int64 (n,) ascending, float64 (n,) from 0 to 1


@dataclass(frozen=True)
class Named:
    """What a person's word stands for in a library: numbers of labels, and words that were taught."""

    word: str
    labels: tuple[int, ...]
    taught: tuple[str, ...]


def named(library: Library, word: str) -> Named:
    """What a word stands for. Raises LibraryError where nothing in the library is called so, with what is nearly."""
    if not word.strip():
        raise LibraryError("An empty word names nothing. `words` lists what photos are called.")
    labels, known = library.space.labels, list(library.catalog.words())
    for fits in (_ends, _contains, _is_within):
        found = tuple(index for index, label in labels.items() if any(fits(word, one) for one in synonyms(label)))
        own = tuple(one for one in known if fits(word, one))
        if found or own:
            return Named(word, found, own)
    every = {one.lower(): one for label in (*labels.values(), *known) for one in synonyms(label)}
    near = [every[one] for one in difflib.get_close_matches(word.lower(), every, 3, NEARLY)]
    advice = f"Nearly: {', '.join(near)}." if near else "`words` lists what its photos are called."
    raise LibraryError(f"No label of {library.model}, and no word that was taught, has {word!r} in it. {advice}")


def synonyms(label: str) -> list[str]:
    """A label's names: "tabby, tabby cat" has two."""
    return [name for name in (part.strip() for part in label.split(",")) if name]


def scores(library: Library, name: Named, among: np.ndarray | None = None) -> Scores:
    """How much each content is what a word stands for, where it is at all; of all contents or of those in `among`.

    The largest of: the summed probability of the labels among the model's first five, 1 for a content that was marked, and
    the chance of a taught word where that is SURE.
    """
    if among is not None and len(among) > FEW:
        contents, best = scores(library, name)
        here = np.isin(contents, among)
        return contents[here], best[here]
    found: list[Scores] = []
    if name.labels:
        contents, sums = library.catalog.labelled(name.labels, library.space_id, among)
        found.append((contents, np.minimum(sums, 1.0)))
    if name.taught:
        marked = library.catalog.marked_with(name.taught, among)
        found += [(marked, np.ones(len(marked))), _learnt(library, name.taught, among)]
    contents, at = np.unique(np.concatenate([one[0] for one in found]), return_inverse=True)
    best = np.zeros(len(contents))
    np.maximum.at(best, at, np.concatenate([one[1] for one in found]))
    return contents, best


def called(library: Library, names: Sequence[Named], among: np.ndarray | None = None) -> np.ndarray:
    """The contents, int64 ascending, that are surely enough what every one of the words stands for."""
    for name in names:
        contents, sure = scores(library, name, among)
        among = contents[sure >= LEAST]
    assert among is not None
    return np.unique(among)


def rated(library: Library, names: Sequence[Named]) -> Scores:
    """The contents that are at all what every one of the words stands for, with the least of the words' scores.

    Raises LibraryError where there is no word.
    """
    if not names:
        raise LibraryError("Say what to find: a word at least.")
    contents, least = scores(library, names[0])
    for name in names[1:]:
        also, more = scores(library, name)
        contents, here, there = np.intersect1d(contents, also, assume_unique=True, return_indices=True)
        least = np.minimum(least[here], more[there])
    return contents, least


def known_words(library: Library, start: str = "") -> list[tuple[str, int, str]]:
    """(word, contents, "taught" or "label") of all that photos of the library are called, the most frequent first.

    Of a label, how many contents a filter by it lets through; of a taught word, how many were marked with it. `start` keeps those
    with a name that begins so.
    """
    counts = library.catalog.label_counts(library.space_id, LEAST)
    found = [(word, count, "taught") for word, count in library.catalog.words().items()]
    found += [(library.label(index), count, "label") for index, count in counts.items()]
    wanted = [one for one in found if any(name.lower().startswith(start.lower()) for name in synonyms(one[0]))]
    return sorted(wanted, key=lambda one: (one[2] == "label", -one[1], one[0]))


def _learnt(library: Library, words: Sequence[str], among: np.ndarray | None) -> Scores:
    """What the probe says of the words: where the chance of one is SURE, its chance."""
    probe = taught(library)
    columns = [] if probe is None else [probe.words.index(word) for word in words if word in probe.words]
    found: list[Scores] = [(np.empty(0, np.int64), np.empty(0))]
    if probe is not None and columns:
        for contents, vectors in _vectors(library, probe.parts, among):
            chances = probe.chances(vectors)[:, columns].max(axis=1)
            sure = chances >= SURE
            found.append((contents[sure], chances[sure]))
    contents, chances = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(contents)
    return contents[order], chances[order]


def _vectors(
    library: Library, parts: Sequence[str], among: np.ndarray | None
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """(content ids int64 (n,), vectors float32 (n, width) by part) of everything stored, or of `among`, a slice at a time."""
    stored = library.vectors
    stored.refresh()
    asked = stored.contents if among is None else among
    for start in range(0, len(asked), SLICE):
        contents = asked[start : start + SLICE]
        has, vectors = stored.of_parts(contents, parts)
        yield contents[has], {part: rows[has] for part, rows in vectors.items()}


def _ends(word: str, name: str) -> bool:
    """Whether a name is the word, or a kind of it: "tabby cat" is a cat, "cat flap" is none."""
    wanted, words = _plain(word), _plain(name)
    return bool(wanted) and words[-len(wanted) :] == wanted


def _contains(word: str, name: str) -> bool:
    wanted, words = _plain(word), _plain(name)
    return bool(wanted) and wanted in _runs(words, len(wanted))


def _is_within(word: str, name: str) -> bool:
    """Whether the letters are anywhere in the name: somebody is still typing, or writes without spaces."""
    return bool(word.strip()) and word.strip().lower() in name.lower()


def _runs(words: tuple[str, ...], length: int) -> Iterable[tuple[str, ...]]:
    return (words[start : start + length] for start in range(len(words) - length + 1))


@lru_cache(50_000)
def _plain(name: str) -> tuple[str, ...]:
    """A name's words: lower case, one each for "hot-dog" and "hot_dog", plurals without their s."""
    return tuple(_singular(word) for word in re.findall(r"[^\W_]+", name.lower()))


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
