"""The review of duplicates, one group at a time: its facts, what was decided, and which files may go. No Gradio, and no HTML."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from index.duplicate_decisions import KEEP_ONE, NOT_DUPLICATE, DecisionRecord
from index.duplicate_groups import KINDS, SAME_BYTES, Group, superfluous, undecided
from ui.duplicate_handlers import DuplicateSearch, decide_group
from ui.handlers import READ_ONLY

GROUP_CHANGED = "This group has changed meanwhile: look at it again before you decide."
EQUAL = "These files are equal byte for byte, so they are duplicates. To leave them as they are: Keep all."
VERDICT_WORDS = {
    "keep-one": "one is enough",
    "keep-both": "keep all",
    "not-duplicate": "not the same",
}


class Place(NamedTuple):
    """Where a review is: of one kind or of all, the group at a position, and which group it was that a person saw."""

    kind: str | None = None
    at: int = 0
    shown: tuple[str, tuple[int, ...]] | None = None  # (kind, photo ids)


@dataclass(frozen=True)
class PhotoFacts:
    """What tells copies apart. Sizes are upright pixels and bytes of the file."""

    photo_id: int
    path: str
    relation: str  # to the first of the group, "" for that one
    width: int
    height: int
    bytes: int
    format: str
    taken_at: datetime | None
    camera: str | None

    @property
    def name(self) -> str:
        """The file's, without folders."""
        return os.path.basename(self.path)

    @property
    def folder(self) -> str:
        """Where the file lies."""
        return os.path.dirname(self.path)


@dataclass(frozen=True)
class Outcome:
    """What “one is enough” means for a group: the photo that stays, the files that may go, their bytes together."""

    keep: str  # its name, with its folder's where another is called the same
    files: int
    bytes: int


@dataclass(frozen=True)
class ShownGroup:
    """A group with the facts of its photos, the one to keep first."""

    kind: str
    why: str
    photos: list[PhotoFacts]

    @property
    def outcome(self) -> Outcome | None:
        """None where the photo to keep, or every other, is no longer there."""
        if len(self.photos) < 2 or self.photos[0].relation:
            return None
        keep, *others = self.photos
        is_alone = all(other.name != keep.name for other in others)
        name = keep.name if is_alone else os.path.join(os.path.basename(keep.folder), keep.name)
        return Outcome(name, len(others), sum(photo.bytes for photo in others))


@dataclass(frozen=True)
class Review:
    """What a person sees: a group, if any is left, and how far the review is."""

    place: Place
    group: ShownGroup | None
    left: dict[str, int]  # groups to decide about, by kind
    found: dict[str, int]  # groups of the last search, by kind
    may_go: int  # photos beside the one that is enough
    following: list[int] = field(default_factory=list)  # photos of the next group, to be fetched ahead


@dataclass(frozen=True)
class MadeDecision:
    """A decision as it is listed; `photos` are (photo id, name) of those that are still there.

    `outcome` is that of “one is enough”; None where no search since the server started has found the group.
    """

    id: int
    verdict: str
    decided_at: datetime
    photos: list[tuple[int, str]]
    outcome: Outcome | None = None


class FileToGo(NamedTuple):
    """A file beside the one that is enough; the columns of the table that is saved."""

    path: str
    keep: str  # its path
    kind: str
    relation: str  # to the file to keep, in words
    bytes: int


def review(search: DuplicateSearch, place: Place) -> Review:
    """What is to be seen at a place, or as near to it as there are groups."""
    made = search.library.catalog.decisions()
    left, enough = undecided(search.groups, made), superfluous(search.groups, made)
    mine = [group for group in left if place.kind in (None, group.kind)]
    at = min(max(place.at, 0), max(len(mine) - 1, 0))
    shown = _facts(search, mine[at : at + 1])
    key = (mine[at].kind, _ids(mine[at])) if mine else None
    following = [member.photo_id for group in mine[at + 1 : at + 2] for member in group.members[:12]]
    return Review(
        Place(place.kind, at, key), shown[0] if shown else None, _by_kind(left), _by_kind(search.groups),
        sum(len(group.members) - 1 for group in enough), following,
    )  # fmt: skip


def decide_shown(search: DuplicateSearch, place: Place, verdict: str) -> str | None:
    """Decide about the group that was seen; None, or why not. A group that is another one by now is not decided about."""
    if place.shown is None:
        return "There is no group to decide about."
    kind, photo_ids = place.shown
    if verdict == NOT_DUPLICATE and kind == SAME_BYTES:
        return EQUAL
    if not any(group.kind == kind and _ids(group) == photo_ids for group in search.left(kind)):
        return GROUP_CHANGED
    return decide_group(search, verdict, photo_ids)


def take_back(search: DuplicateSearch, place: Place, decision_id: int | None = None) -> tuple[Place, str | None]:
    """Take a decision back, the newest where none is named; (where its group is now, why that was refused)."""
    catalog = search.library.catalog
    if catalog.is_read_only:
        return place, READ_ONLY
    made = catalog.decisions()
    found = made[-1] if made and decision_id is None else next((one for one in made if one.id == decision_id), None)
    if found is None:
        return place, "Nothing was decided yet." if not made else "That decision was taken back already."
    catalog.take_back([found.id])
    back = [group for group in search.left() if group.copies.keys() & found.copies.keys()]
    if not back:
        return place, None
    kind = place.kind if any(group.kind == place.kind for group in back) else None
    mine = search.left(kind)
    return Place(kind, next(at for at, group in enumerate(mine) if group in back)), None


def decisions_page(search: DuplicateSearch, start: int = 0, count: int = 20) -> tuple[list[MadeDecision], int]:
    """(some decisions, the newest first, how many there are)."""
    catalog = search.library.catalog
    made = catalog.decisions()
    some = made[::-1][max(start, 0) : max(start, 0) + count]
    copies = catalog.copies({content for one in some for content in one.copies})
    outcomes = _outcomes(search, made, {_key(one.copies) for one in some if one.verdict == KEEP_ONE})
    listed = []
    for one in some:
        photos = [
            (copy.photo_id, os.path.basename(copy.path)) for content in one.copies for copy in copies.get(content, ())
        ]
        outcome = outcomes.get(_key(one.copies)) if one.verdict == KEEP_ONE else None
        listed.append(MadeDecision(one.id, one.verdict, one.decided_at, photos, outcome))
    return listed, len(made)


def may_go(search: DuplicateSearch) -> list[FileToGo]:
    """The files beside those that are enough: only what is still there, and only while the file to keep is."""
    return [
        FileToGo(other.path, shown.photos[0].path, shown.kind, other.relation, other.bytes)
        for shown in _facts(search, superfluous(search.groups, search.library.catalog.decisions()))
        if shown.outcome is not None
        for other in shown.photos[1:]
    ]


def as_csv(files: Iterable[FileToGo]) -> bytes:
    """A table of files that may go, each with the file to keep and why; paths are the bytes that the disk has."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(("may go", "keep", "kind", "what it is to it", "bytes"))
    rows.writerows(files)
    return table.getvalue().encode("utf-8", "surrogateescape")


def _outcomes(
    search: DuplicateSearch, made: Sequence[DecisionRecord], wanted: Set[frozenset[tuple[int, int]]]
) -> dict[frozenset[tuple[int, int]], Outcome | None]:
    """What comes of the groups of which one is enough, by what a decision was about; of `wanted` alone."""
    if not wanted:
        return {}
    contents = {content for copies in wanted for content, _ in copies}
    near = [group for group in search.groups if not contents.isdisjoint(group.copies)]  # few of many thousand
    groups = [group for group in superfluous(near, made) if _key(group.copies) in wanted]
    shown = _facts(search, groups)
    return {_key(group.copies): one.outcome for group, one in zip(groups, shown, strict=True)}


def _key(copies: Mapping[int, int]) -> frozenset[tuple[int, int]]:
    return frozenset(copies.items())


def _facts(search: DuplicateSearch, groups: Sequence[Group]) -> list[ShownGroup]:
    """The groups with their photos that are still there."""
    copies = search.library.catalog.copies({content for group in groups for content in group.copies})
    known = {copy.photo_id: copy for photos in copies.values() for copy in photos}
    shown = []
    for group in groups:
        photos = []
        for member in group.members:
            if (copy := known.get(member.photo_id)) is not None:
                size = (copy.width, copy.height, copy.bytes, copy.format)
                photos.append(PhotoFacts(copy.photo_id, copy.path, member.relation, *size, copy.taken_at, copy.camera))
        shown.append(ShownGroup(group.kind, group.why, photos))
    return shown


def _ids(group: Group) -> tuple[int, ...]:
    return tuple(member.photo_id for member in group.members)


def _by_kind(groups: Sequence[Group]) -> dict[str, int]:
    counts = Counter(group.kind for group in groups)
    return {kind: counts[kind] for kind in KINDS}
