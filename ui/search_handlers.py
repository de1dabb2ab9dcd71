"""What the page's search does, as plain functions on plain values: pictures and words in, photos with their meaning out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from index.bounds import filter_of, why_none
from index.chance import Chance, chance_of
from index.chance import why_none as why_no_meaning
from index.errors import LibraryError
from index.facets import cameras_of, folders_of, words_of
from index.library import Library
from index.look import Example
from index.search import (
    Answer,
    Neighbour,
    example_of_file,
    example_of_photo,
    find_similar,
    like,
    stage_weights,
)
from index.word_search import find_named
from index.words import named, synonyms
from regconv.errors import RegconvError
from ui.handlers import is_text, refusal

PAGE = 24  # pictures of an answer
COPIES = 4  # photos of one content that are expected: more are asked for where there are more


@dataclass(frozen=True)
class Pick:
    """A picture of a query: a photo's id or a file, and how much it counts; below zero, what is found is to be unlike it."""

    picture: int | str
    weight: float = 1.0


@dataclass(frozen=True)
class Ask:
    """A query: pictures to be like and unlike, words, what kind of similar, and where to look."""

    pictures: Sequence[Pick] = ()
    words: Sequence[str] = ()
    like: str | None = None  # colour, pattern, parts or subject
    stages: Sequence[float] = ()  # or free weights
    folder: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    camera: str | None = None
    start: int = 0
    count: int = PAGE


@dataclass(frozen=True)
class FoundPicture:
    """A content of the answer: one photo of it, the other photos of the same bytes, and what its score means."""

    photo_id: int
    name: str  # the file's, without folders
    score: float
    copies: tuple[int, ...] = ()
    copy_names: tuple[str, ...] = ()
    meaning: str | None = None  # "1 in 12,000 unrelated pairs look this alike"
    beyond_chance: bool | None = None  # None where nothing is known of chance


@dataclass(frozen=True)
class Found:
    """A page of an answer. `problem` says what could not be done, `hint` why there is nothing, `unknown` why no meaning."""

    pictures: list[FoundPicture] = field(default_factory=list)
    more: bool = False
    exact: bool = True
    problem: str | None = None
    hint: str | None = None
    unknown: str | None = None


def search(library: Library, ask: Ask, known: Mapping[str, Example] | None = None) -> Found:
    """One page of the photos that are asked for, copies folded; `known` has files that the network has looked at already."""
    library = library.follow()
    try:
        return _search(library, ask, known or {})
    except (LibraryError, RegconvError) as error:
        return Found(problem=refusal(error))


def words(library: Library, start: str = "", limit: int = 50) -> list[tuple[str, int, str]]:
    """(word, how many contents, "taught" or "label"): what photos are called, for a field that completes what is typed."""
    found = words_of(library.follow())
    return [one for one in found if any(name.lower().startswith(start.lower()) for name in synonyms(one[0]))][:limit]


def folders(library: Library, limit: int = 500) -> list[tuple[str, int]]:
    """(folder, how many photos lie in it or below): the first so many, as a tree is read.

    Names that are no text are left out: no page could send them back.
    """
    return [one for one in folders_of(library.follow()) if is_text(one[0])][:limit]


def cameras(library: Library, limit: int = 100) -> list[tuple[str, int]]:
    """(camera, how many photos it took), the most first."""
    return cameras_of(library.follow())[:limit]


def _search(library: Library, ask: Ask, known: Mapping[str, Example]) -> Found:
    examples = [(pick.weight, _example(library, pick, known)) for pick in ask.pictures if pick.weight]
    plus = [example for weight, example in examples if weight > 0]
    minus = [example for weight, example in examples if weight < 0]
    names = [named(library, word) for word in ask.words]
    where = filter_of(ask.folder, ask.after, ask.before, ask.camera)
    weights = _weights(library, ask)
    if not plus and (minus or not names):
        raise LibraryError("Say what to find: give a picture to be like, or a word.")
    without = {example.content_id for example in plus if example.content_id is not None}
    wanted, k = ask.start + ask.count + 1, (ask.start + ask.count + 1) * COPIES
    while True:
        if plus:
            answer = find_similar(library, plus, minus, k=k, weights=weights, where=where, names=names, without=without)
        else:
            answer = find_named(library, names, k=k, where=where)
        folded = _folded(answer)
        if len(folded) >= wanted or len(answer.neighbours) < k:
            break
        k *= 4
    single = len(plus) == 1 and not minus
    chance = chance_of(library, weights) if single and folded else None
    shown = [_picture(group, chance) for group in folded[ask.start : ask.start + ask.count]]
    return Found(
        shown, len(folded) >= wanted, answer.exact,
        hint=None if folded else why_none(library, where, names),
        unknown=why_no_meaning(library) if single and folded and chance is None else None,
    )  # fmt: skip


def _example(library: Library, pick: Pick, known: Mapping[str, Example]) -> Example:
    picture = pick.picture
    if isinstance(picture, int):
        example = example_of_photo(library, picture)
    else:
        example = known.get(picture) or example_of_file(library, picture)
    return replace(example, weight=abs(pick.weight))


def _weights(library: Library, ask: Ask) -> Mapping[str, float] | None:
    if ask.like and ask.stages:
        raise LibraryError("A preset and free weights say the same thing in two ways: give one of them.")
    if ask.like:
        return like(library, ask.like)
    return stage_weights(library, ask.stages) if ask.stages else None


def _folded(answer: Answer) -> list[list[Neighbour]]:
    """The photos of each content together, in the answer's order."""
    groups: dict[int | None, list[Neighbour]] = {}
    for neighbour in answer.neighbours:
        groups.setdefault(neighbour.photo.content_id, []).append(neighbour)
    return list(groups.values())


def _picture(group: list[Neighbour], chance: Chance | None) -> FoundPicture:
    first, *copies = group
    return FoundPicture(
        first.photo.id,
        os.path.basename(first.photo.path),
        first.score,
        tuple(copy.photo.id for copy in copies),
        tuple(os.path.basename(copy.photo.path) for copy in copies),
        None if chance is None else chance.words(first.score),
        None if chance is None else not chance.is_chance(first.score),
    )
