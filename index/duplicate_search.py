"""One search for duplicates: pairs compared, what comes out kept as it goes, and the groups that follow from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from index import duplicate_pairs as pairs
from index.best_copy import detail_px
from index.duplicate_compare import ALL, PIXELS, TIME, Answer, Comparer, Picture, Task
from index.duplicate_groups import BURST, Group, Joined, components, grouped, same_bytes, told_apart
from index.duplicate_relation import EDITED, SAME_PIXELS, Relation
from index.errors import LibraryError
from index.fingerprint import VERSION
from index.library import Library
from regconv.errors import RegconvError
from storage.errors import ReadOnly
from storage.fingerprints import ROW, Copy, FingerprintRow
from storage.relations import RelationRow

AT_ONCE = 512  # pairs compared before it is asked anew which are linked by then
UNKEPT = 64  # relations between members of groups that wait for their transaction
ALIKE = 0.5  # least correlation of two pictures of a burst
AN_EDIT = "an edit of the same picture"
NOTHING, NO_BURST = "nothing", "no-burst"  # compared, to no avail: so that it is not done again
LINKS = (SAME_PIXELS, EDITED, BURST)
Pair = tuple[int, int]


class Search:
    """One search. Links join contents, level by level; what was found before is where it begins. To be closed."""

    def __init__(self, library: Library, unkept: Sequence[FingerprintRow] = ()) -> None:
        self.library = library
        self.apart = told_apart(library.catalog.decisions())
        self.compared = 0
        self.rows = np.sort(np.concatenate([library.catalog.fingerprints(VERSION), self._of(unkept)]), order="content")
        self.pixels: dict[Pair, Relation] = {}  # by the pixels of the two, in this order
        self.bursts: dict[Pair, Relation] = {}
        self._joined, self._joined_pixels = Joined(), Joined()
        self._new: list[RelationRow] = []
        self._lost: set[int] = set()
        self._compare = Comparer()
        self._begin()

    def close(self) -> None:
        """End its workers."""
        self._compare.close()

    def links(self) -> Iterator[tuple[int, int]]:
        """Find what is linked, piece by piece, and keep it: (done, of how many)."""
        space = self.library.space_id
        new = [int((~self.rows["compared"]).sum()), int((self.rows["compared_in"] != space).sum())]
        total = sum(new) + 1
        for close in pairs.by_time(self.library, self.rows):
            self._compare_times(close)
            self._keep()
            yield 0, total
        done = 0
        for piece in pairs.by_hash(self.rows):
            self._compare_pixels(piece.pairs)
            self._keep(by_hash=self._settled(piece.done))
            done += len(piece.done)
            yield done, total
        done = new[0]
        for piece in pairs.by_vectors(self.library, self.rows):
            self._compare_pixels(piece.pairs)
            self._keep(by_vectors=self._settled(piece.done))
            done += len(piece.done)
            yield done, total
        yield total, total

    def groups(self) -> list[Group]:
        """The groups, level by level."""
        catalog = self.library.catalog
        groups = same_bytes(catalog.copies(catalog.copied_contents()))
        instead: dict[int, int] = {}  # content -> the one that its group keeps
        for kind in LINKS:
            found = self.bursts if kind == BURST else self.pixels
            links = [pair for pair, relation in found.items() if relation.kind == kind]
            kept = {tuple(sorted((_last(instead, one), _last(instead, other)))) for one, other in links}
            joined: list[Pair] = [(pair[0], pair[1]) for pair in sorted(kept) if pair[0] != pair[1]]
            copies = self._copies({content for pair in joined for content in pair})
            new = grouped(kind, joined, copies, self._burst if kind == BURST else self._related, self._detail)
            for group in new:
                instead |= {member.content_id: group.members[0].content_id for member in group.members[1:]}
            groups += new
        self._keep()
        return groups

    def _begin(self) -> None:
        """Take up what was found before, but for groups of which somebody is gone, or was said to be no duplicate."""
        known = list(self.library.catalog.relations())
        here = set(self.rows["content"].tolist())
        gone = set(self.library.catalog.compared_and_gone(VERSION))
        links = [(row.content_id, row.other_id) for row in known if row.kind in LINKS]
        gone |= {content for row in known for content in row[:2] if content not in here}
        gone |= {content for pair in links for content in pair if self._are_apart(*pair)}
        # What was linked by way of them was not compared itself.
        again = gone | {content for joined in components(links) if gone & set(joined) for content in joined}
        if again:
            with suppress(ReadOnly):
                self.library.catalog.forget_compared(again)
            anew = np.isin(self.rows["content"], sorted(again))
            self.rows["compared"][anew] = False
            self.rows["compared_in"][anew] = 0
        for row in known:
            if row.content_id not in again and row.other_id not in again:
                self._take((row.content_id, row.other_id), Relation(*row[2:]))

    def _take(self, pair: Pair, relation: Relation) -> None:
        if relation.kind in (BURST, NO_BURST):
            self.bursts[pair] = relation
            return
        self.pixels[pair] = relation
        if relation.kind != NOTHING:
            self._joined.join(*pair)
        if relation.kind == SAME_PIXELS:
            self._joined_pixels.join(*pair)

    def _note(self, pair: Pair, relation: Relation) -> None:
        self._take(pair, relation)
        self._new.append(
            RelationRow(
                *pair,
                relation.kind,
                relation.words,
                relation.first_share,
                relation.second_share,
                relation.in_place,
                relation.turned,
            )
        )

    def _keep(self, by_hash: Collection[int] = (), by_vectors: Collection[int] = ()) -> None:
        if self._new or by_hash or by_vectors:
            with suppress(ReadOnly):
                self.library.catalog.store_compared(self._new, by_hash, by_vectors, self.library.space_id)
            self._new = []

    def _settled(self, places: np.ndarray) -> list[int]:
        """The contents at these places, but for those whose thumbnail was lost meanwhile: they are compared once it is there."""
        return [content for content in self.rows["content"][places].tolist() if content not in self._lost]

    def _compare_pixels(self, close: np.ndarray) -> None:
        for start in range(0, len(close), AT_ONCE):
            some = [(one, other) for one, other in self.rows["content"][close[start : start + AT_ONCE]].tolist()]
            asked = [(pair, how) for pair in some if (how := self._how(*pair)) is not None]
            facts = self._facts({content for pair, _ in asked for content in pair})
            asked = [(pair, how) for pair, how in asked if facts.keys() >= set(pair)]
            answers = self._answers([(how, pair) for pair, how in asked], facts)
            for (pair, _), answer in zip(asked, answers, strict=True):
                relation = _unless_shot_twice(facts[pair[0]], facts[pair[1]], answer.relation)
                if relation is not None:
                    self._note(pair, relation)

    def _how(self, one: int, other: int) -> str | None:
        """How a pair is to be compared: what is linked by way of others is checked later, with the one to keep."""
        if (one, other) in self.pixels or self._are_apart(one, other):
            return None
        if self._joined.root(one) != self._joined.root(other):
            return ALL
        first, second = self._row(one), self._row(other)
        is_same_size = (first["width"], first["height"]) == (second["width"], second["height"])
        is_known = self._joined_pixels.root(one) == self._joined_pixels.root(other)
        return PIXELS if is_same_size and not is_known else None

    def _compare_times(self, close: np.ndarray) -> None:
        asked = [(one, other) for one, other in self.rows["content"][close].tolist() if (one, other) not in self.bursts]
        asked = [pair for pair in asked if not self._are_apart(*pair)]
        facts = self._facts({content for pair in asked for content in pair})
        asked = [pair for pair in asked if facts.keys() >= set(pair)]
        for pair, answer in zip(asked, self._answers([(TIME, pair) for pair in asked], facts), strict=True):
            if not any(answer.lost):
                self._note(pair, _of_burst(facts[pair[0]], facts[pair[1]], answer))

    def _related(self, one: int, other: int) -> Relation | None:
        """What the second of two members of a group is to the first by its pixels."""
        return self._asked(ALL, one, other)

    def _burst(self, one: int, other: int) -> Relation | None:
        """The second content as another picture of the first's burst."""
        return self._asked(TIME, one, other)

    def _asked(self, how: str, one: int, other: int) -> Relation | None:
        known = self.bursts if how == TIME else self.pixels
        if self._are_apart(one, other):
            return None
        if (one, other) not in known:
            facts = self._facts({one, other})
            if len(facts) < 2:
                return None
            (answer,) = self._answers([(how, (one, other))], facts)
            if any(answer.lost):
                return None
            if how == TIME:
                found = _of_burst(facts[one], facts[other], answer)
            else:
                relation = answer.relation
                back = known.get((other, one))
                if relation is None and back is not None and back.kind == EDITED:
                    # A fit may be found from one side alone.
                    relation = replace(
                        back, words=AN_EDIT, first_share=back.second_share, second_share=back.first_share
                    )
                found = _unless_shot_twice(facts[one], facts[other], relation) or Relation(NOTHING, "")
            self._note((one, other), found)
            if len(self._new) >= UNKEPT:
                self._keep()
        relation = known[one, other]
        return relation if relation.kind in LINKS else None

    def _answers(self, asked: Sequence[tuple[str, Pair]], facts: dict[int, Copy]) -> list[Answer]:
        pictures = {content: self._picture(copy) for content, copy in facts.items()}
        answers = self._compare([Task(how, pictures[one], pictures[other]) for how, (one, other) in asked])
        self.compared += len(asked)
        for (_, pair), answer in zip(asked, answers, strict=True):
            self._lost.update(content for content, lost in zip(pair, answer.lost, strict=True) if lost)
        return answers

    def _picture(self, copy: Copy) -> Picture:
        row = self._row(copy.content_id)
        facts = (copy.width, copy.height, copy.format, float(row["contrast"]), float(row["colour"]))
        return Picture(str(self.library.thumbnails.folder), copy.digest, *facts)

    def _facts(self, contents: Collection[int]) -> dict[int, Copy]:
        """A present photo of each of these contents."""
        return {content: copies[0] for content, copies in self._copies(contents).items()}

    def _copies(self, contents: Collection[int]) -> dict[int, list[Copy]]:
        """The present photos of these contents, with what their fingerprints say even where those can't be kept."""
        found = self.library.catalog.copies(contents)
        for content, copies in found.items():
            if copies[0].sharpness is None:
                row = self._row(content)
                sharpness, colour = float(row["sharpness"]), float(row["colour"])
                found[content] = [copy._replace(sharpness=sharpness, colour=colour) for copy in copies]
        return found

    def _row(self, content: int) -> np.void:
        return self.rows[np.searchsorted(self.rows["content"], content)]

    def _of(self, unkept: Sequence[FingerprintRow]) -> np.ndarray:
        sizes = {content: some[0] for content, some in self.library.catalog.copies([row[0] for row in unkept]).items()}
        made = [
            (row.content_id, int.from_bytes(row.hash, "little"), *row[2:], copy.width, copy.height, False, 0)
            for row in unkept
            if (copy := sizes.get(row.content_id)) is not None
        ]
        return np.array(made, ROW)

    def _are_apart(self, one: int, other: int) -> bool:
        return other in self.apart.get(one, ())

    def _detail(self, copy: Copy) -> int | None:
        """How many pixels its long side would need, from the original, which is read once; None where it can't be."""
        if copy.detail_px is not None:
            return copy.detail_px
        try:
            found = detail_px(self.library.decoder.view(copy.path, quality=95))
        except (RegconvError, LibraryError):
            return None
        with suppress(ReadOnly):
            self.library.catalog.note_detail(copy.content_id, found)
        return found


def _of_burst(first: Copy, second: Copy, answer: Answer) -> Relation:
    if first.taken_at is None or second.taken_at is None or answer.similarity < ALIKE:
        return Relation(NO_BURST, "")
    seconds = (second.taken_at - first.taken_at).total_seconds()
    when = "in the same second" if not seconds else f"{abs(seconds):.0f} s {'later' if seconds > 0 else 'earlier'}"
    return Relation(BURST, when)


def _unless_shot_twice(first: Copy, second: Copy, relation: Relation | None) -> Relation | None:
    """None where the camera says that these are two pictures, however alike: an edit keeps the time at which it was taken."""
    if relation is None or relation.kind == SAME_PIXELS or first.taken_at is None or second.taken_at is None:
        return relation
    if first.taken_at != second.taken_at or first.camera != second.camera:
        return None
    is_like_taken = (first.width, first.height) == (second.width, second.height)
    return None if is_like_taken and not relation.in_place and not relation.turned else relation


def _last(instead: dict[int, int], content: int) -> int:
    while content in instead:
        content = instead[content]
    return content
