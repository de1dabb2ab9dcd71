"""Groups of duplicates: which photos belong together, which to keep and why, and what was decided about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from index.best_copy import Detail, best_copy, sharpest
from index.duplicate_relation import EDITED, SAME_PIXELS, WHOLE, Relation
from storage.decisions import KEEP_BOTH, KEEP_ONE, NOT_DUPLICATE, DecisionRecord
from storage.fingerprints import Copy

SAME_BYTES, BURST = "same-bytes", "burst"
KINDS = (SAME_BYTES, SAME_PIXELS, EDITED, BURST)
# (content, content) -> what the second is to the first, None where it is nothing
Relate = Callable[[int, int], Relation | None]


@dataclass(frozen=True)
class Member:
    """A photo of a group, and what it is to the one to keep, in words: "" for that one itself."""

    photo_id: int
    path: str
    content_id: int
    relation: str


@dataclass(frozen=True)
class Group:
    """Photos that are duplicates of one kind; the one to keep comes first."""

    kind: str
    members: tuple[Member, ...]
    why: str  # keep that one

    @cached_property
    def copies(self) -> dict[int, int]:
        """How many photos of each content are in it."""
        return dict(Counter(member.content_id for member in self.members))

    def as_json(self) -> dict[str, Any]:
        """As `duplicates --json` prints it."""
        photos = [{"photo_id": m.photo_id, "path": m.path, "relation": m.relation or "keep"} for m in self.members]
        return {"kind": self.kind, "photos": photos, "keep": self.members[0].photo_id, "why": self.why}


def same_bytes(copies: Mapping[int, Sequence[Copy]]) -> list[Group]:
    """A group for each content with several photos, which come older first."""
    groups = []
    for photos in copies.values():
        if len(photos) > 1:
            first, second = photos[0], photos[1]
            why = "the older file" if first.mtime_ns < second.mtime_ns else "the shorter path"
            if first.mtime_ns == second.mtime_ns and len(first.path) == len(second.path):
                why = "the first by name"
            members = [_member(photo, "the same bytes" if photo is not first else "") for photo in photos]
            groups.append(Group(SAME_BYTES, tuple(members), f"equal byte for byte; {why}"))
    return groups


def grouped(
    kind: str,
    links: Collection[tuple[int, int]],
    copies: Mapping[int, Sequence[Copy]],
    relate: Relate,
    detail: Detail,
) -> list[Group]:
    """Groups of contents, a photo each: those that links join, each of which is a duplicate of the one to keep itself."""
    groups = []
    for contents in components(links):
        left = [content for content in contents if copies.get(content)]
        while len(left) > 1:
            photos = [copies[content][0] for content in left]
            keep, why, found = _kept(kind, photos, relate, detail)
            joined = {other: relation for other, relation in found.items() if relation is not None}
            if joined:
                members = [_member(keep, ""), *(_member(copies[one][0], said.words) for one, said in joined.items())]
                if kind != BURST and len(joined) < len(found):
                    why = best_copy([keep, *(copies[one][0] for one in joined)], (), detail)[1]
                groups.append(Group(kind, tuple(members), why))
            left = [content for content in left if content != keep.content_id and content not in joined]
    return groups


def components(links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """What links join, ascending; by the smallest of each."""
    joined = Joined()
    for one, other in links:
        joined.join(one, other)
    found: dict[int, list[int]] = {}
    for content in sorted(joined.parent):
        found.setdefault(joined.root(content), []).append(content)
    return sorted(found.values())


class Joined:
    """Sets that grow together (union-find)."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}

    def root(self, one: int) -> int:
        """The same for all that are joined."""
        while (above := self.parent.setdefault(one, one)) != one:
            self.parent[one] = one = self.parent[above]
        return one

    def join(self, one: int, other: int) -> None:
        """From now on they are in one set."""
        self.parent[self.root(one)] = self.root(other)


def undecided(groups: Iterable[Group], decisions: Sequence[DecisionRecord]) -> list[Group]:
    """The groups about which something is left to decide, without photos that were said to be no duplicates."""
    apart = told_apart(decisions)
    decided = _Covered(decision for decision in decisions if decision.verdict != NOT_DUPLICATE)
    whole = (_without(group, apart) for group in groups)
    return [group for group in whole if len(group.members) > 1 and not decided.covers(group)]


def superfluous(groups: Iterable[Group], decisions: Sequence[DecisionRecord]) -> list[Group]:
    """The groups of which one photo is enough, as was decided: all but the first may go.

    Where it was also said of a group that all stay, they stay.
    """
    apart = told_apart(decisions)
    one = _Covered(decision for decision in decisions if decision.verdict == KEEP_ONE)
    both = _Covered(decision for decision in decisions if decision.verdict == KEEP_BOTH)
    whole = (_without(group, apart) for group in groups)
    return [group for group in whole if len(group.members) > 1 and one.covers(group) and not both.covers(group)]


class _Covered:
    """What some decisions are about, together."""

    def __init__(self, decisions: Iterable[DecisionRecord]) -> None:
        self._together = Joined()
        self._most = Counter[int]()  # photos of a content that one of them is about
        for decision in decisions:
            first, *_ = decision.copies
            for content, count in decision.copies.items():
                self._together.join(first, content)
                self._most[content] = max(self._most[content], count)

    def covers(self, group: Group) -> bool:
        """Whether nothing of a group is left to decide."""
        roots = {self._together.root(content) for content in group.copies}
        return len(roots) == 1 and all(self._most[content] >= count for content, count in group.copies.items())


def told_apart(decisions: Iterable[DecisionRecord]) -> dict[int, set[int]]:
    """By content, those that were said to be no duplicates of it."""
    apart: dict[int, set[int]] = {}
    for decision in decisions:
        if decision.verdict == NOT_DUPLICATE:
            for content in decision.copies:
                apart.setdefault(content, set()).update(decision.copies.keys() - {content})
    return apart


def _without(group: Group, apart: Mapping[int, set[int]]) -> Group:
    if group.copies.keys().isdisjoint(apart):
        return group
    members: list[Member] = []
    for member in group.members:
        if not any(member.content_id in apart.get(other.content_id, ()) for other in members):
            members.append(member)
    return group if len(members) == len(group.members) else replace(group, members=tuple(members))


def _kept(
    kind: str, photos: Sequence[Copy], relate: Relate, detail: Detail
) -> tuple[Copy, str, dict[int, Relation | None]]:
    """(the photo to keep, why, what each of the others is to it)."""
    cropped: set[int] = set()  # show clearly less than one that might have been kept
    odd: set[int] = set()  # lie otherwise than most
    while True:
        keep, why = sharpest(photos) if kind == BURST else best_copy(photos, cropped, detail, odd)
        others = [photo.content_id for photo in photos if photo is not keep]
        found = {other: relate(keep.content_id, other) for other in others}
        less = set(cropped)
        for other, relation in found.items():
            if relation is not None and relation.first_share < WHOLE <= relation.second_share:
                less.add(other)
            if relation is not None and relation.second_share < WHOLE <= relation.first_share:
                less.add(keep.content_id)
        turned = sum(relation is not None and relation.turned for relation in found.values())
        lies_alone = 2 * turned > len(photos) and keep.content_id not in odd
        if less == cropped and not lies_alone:
            return keep, why, found
        cropped, odd = less, odd | {keep.content_id} if lies_alone else odd


def _member(photo: Copy, relation: str) -> Member:
    return Member(photo.photo_id, photo.path, photo.content_id, relation)
