"""Photos that are in the library more than once: found from hashes, vectors and dates, and checked on their thumbnails.

Four kinds, a level each: photos of the same bytes; contents of the same pixels; edits; bursts. Each level looks at the photos
that the one below would keep, so that nobody is asked about a photo twice. Nothing here touches a file.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from index import duplicate_pairs as pairs
from index.best_copy import detail_px
from index.duplicate_groups import BURST, Group, Joined, grouped, same_bytes, told_apart
from index.duplicate_relation import EDITED, SAME_PIXELS, Relation, Small, related, similar
from index.errors import LibraryError
from index.fingerprint import VERSION, fingerprint
from index.library import Library
from index.progress import DONE, Progress, step
from regconv.errors import RegconvError
from storage.fingerprints import Copy, FingerprintRow

BATCH = 256  # fingerprints a transaction
OPEN = 96  # small pictures in memory
ALIKE = 0.5  # least correlation of two pictures of a burst
READING, COMPARING = "reading thumbnails", "comparing"
AN_EDIT = "an edit of the same picture"
Pair = tuple[int, int]


def find_duplicates(library: Library) -> Generator[Progress, None, None]:
    """Look for duplicates; the last Progress has {"groups": list[Group], "contents", "compared", "without_thumbnail"}.

    It can be closed at any time: the fingerprints that were made are kept. Decisions that contents are no duplicates of each
    other are respected; groups that were decided to be kept are found too (duplicate_groups.undecided leaves them out). Raises
    ReadOnly where fingerprints are missing and can't be kept.
    """
    yield from fingerprints(library)
    whole = library.catalog.fingerprint_count(VERSION)
    search = _Search(library)
    for done, total in search.links():
        yield step(COMPARING, done, total)
    yield step(COMPARING, 1, 1)
    yield step(
        DONE,
        1,
        1,
        report={
            "groups": search.groups(),
            "contents": whole[0],
            "compared": search.compared,
            "without_thumbnail": whole[0] - whole[1],
        },
    )


def fingerprints(library: Library) -> Generator[Progress, None, None]:
    """Make the fingerprints that are missing, from the thumbnails. A content without a whole one is left out."""
    catalog = library.catalog
    total, done = catalog.fingerprint_count(VERSION)
    after = 0
    while missing := catalog.without_fingerprint(VERSION, after, BATCH):
        yield step(READING, done, total)
        rows = []
        for content, digest in missing:
            if (picture := thumbnail(library, digest)) is not None:
                found = fingerprint(picture)
                code = found.hash.to_bytes(8, "little")
                rows.append(FingerprintRow(content, code, found.contrast, found.sharpness, found.colour))
        catalog.store_fingerprints(rows, VERSION)
        after = missing[-1][0]
        done += len(missing)


def thumbnail(library: Library, digest: str) -> Image.Image | None:
    """A content's small upright picture in RGB, None where there is none that can be read."""
    jpeg = library.thumbnails.read(digest) if library.thumbnails.has(digest) else None
    if jpeg is None:
        return None
    try:
        return Image.open(io.BytesIO(jpeg)).convert("RGB")
    except (OSError, SyntaxError):  # damaged between its first and its last byte
        return None


class _Search:
    """One search. Links join contents, level by level; small pictures are read as they are needed, and few are held."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.rows = library.catalog.fingerprints(VERSION)
        self.apart = told_apart(library.catalog.decisions())
        self.compared = 0
        self.found: dict[str, dict[Pair, Relation]] = {SAME_PIXELS: {}, EDITED: {}, BURST: {}}
        self._joined = Joined()
        self._small: OrderedDict[int, tuple[Copy, Small] | None] = OrderedDict()

    def links(self) -> Iterator[tuple[int, int]]:
        """Find what is linked, candidate by candidate: (done, of how many)."""
        total = 2 * len(self.rows) + 1
        for done, close in pairs.by_hash(self.rows):
            self._compare(close)
            yield done, total
        for done, close in pairs.by_vectors(self.library, self.rows):
            self._compare(close)
            yield len(self.rows) + done, total
        for close in pairs.by_time(self.library, self.rows):
            for one, other in self.rows["content"][close].tolist():
                if (relation := self._burst(one, other)) is not None:
                    self.found[BURST][one, other] = relation
        yield total, total

    def groups(self) -> list[Group]:
        """The groups, level by level."""
        catalog = self.library.catalog
        groups = same_bytes(catalog.copies(catalog.copied_contents()))
        instead: dict[int, int] = {}  # content -> the one that its group keeps
        for kind, links in self.found.items():
            kept = {tuple(sorted((_last(instead, one), _last(instead, other)))) for one, other in links}
            joined: list[Pair] = [(pair[0], pair[1]) for pair in sorted(kept) if pair[0] != pair[1]]
            copies = catalog.copies({content for pair in joined for content in pair})
            new = grouped(kind, joined, copies, self._burst if kind == BURST else self._related, self._detail)
            for group in new:
                instead |= {member.content_id: group.members[0].content_id for member in group.members[1:]}
            groups += new
        return groups

    def _compare(self, close: np.ndarray) -> None:
        for one, other in self.rows["content"][close].tolist():
            if self._joined.root(one) == self._joined.root(other):
                continue  # linked by way of others: the groups are checked with the one to keep
            relation = self._related(one, other)
            if relation is not None:
                self.found[relation.kind][one, other] = relation
                self._joined.join(one, other)

    def _related(self, one: int, other: int) -> Relation | None:
        """What the second content is to the first by its pixels."""
        for known in (self.found[SAME_PIXELS], self.found[EDITED]):
            if (one, other) in known:
                return known[one, other]
        first, second = self._small_picture(one), self._small_picture(other)
        if first is None or second is None or other in self.apart.get(one, ()):
            return None
        self.compared += 1
        relation = related(first[1], second[1])
        back = self.found[EDITED].get((other, one))
        if relation is None and back is not None:  # a fit may be found from one side alone
            relation = replace(back, words=AN_EDIT, first_share=back.second_share, second_share=back.first_share)
        return None if relation is None or _is_another_shot(first[0], second[0], relation) else relation

    def _burst(self, one: int, other: int) -> Relation | None:
        """The second content as another picture of the first's burst."""
        first, second = self._small_picture(one), self._small_picture(other)
        if first is None or second is None or other in self.apart.get(one, ()):
            return None
        if first[0].taken_at is None or second[0].taken_at is None or similar(first[1], second[1]) < ALIKE:
            return None
        seconds = (second[0].taken_at - first[0].taken_at).total_seconds()
        when = "in the same second" if not seconds else f"{abs(seconds):.0f} s {'later' if seconds > 0 else 'earlier'}"
        return Relation(BURST, when)

    def _small_picture(self, content: int) -> tuple[Copy, Small] | None:
        if content not in self._small:
            self._small[content] = self._read(content)
            if len(self._small) > OPEN:
                self._small.popitem(last=False)
        self._small.move_to_end(content)
        return self._small[content]

    def _read(self, content: int) -> tuple[Copy, Small] | None:
        copies = self.library.catalog.copies([content]).get(content)
        picture = thumbnail(self.library, copies[0].digest) if copies else None
        if not copies or picture is None:
            return None  # lost since its fingerprint was made
        row = self.rows[np.searchsorted(self.rows["content"], content)]
        copy = copies[0]
        return copy, Small.of(
            picture,
            width=copy.width,
            height=copy.height,
            saved_as=copy.format,
            contrast=float(row["contrast"]),
            colour=float(row["colour"]),
        )

    def _detail(self, copy: Copy) -> int | None:
        """How many pixels its long side would need, from the original, which is read once; None where it can't be."""
        if copy.detail_px is not None:
            return copy.detail_px
        try:
            found = detail_px(self.library.decoder.view(copy.path, quality=95))
        except (RegconvError, LibraryError):
            return None
        self.library.catalog.note_detail(copy.content_id, found)
        return found


def _is_another_shot(first: Copy, second: Copy, relation: Relation) -> bool:
    """Whether the camera says that these are two pictures, however alike: an edit keeps the time at which it was taken."""
    if relation.kind == SAME_PIXELS or first.taken_at is None or second.taken_at is None:
        return False
    if first.taken_at != second.taken_at or first.camera != second.camera:
        return True
    is_like_taken = (first.width, first.height) == (second.width, second.height)
    return is_like_taken and not relation.in_place and not relation.turned


def _last(instead: dict[int, int], content: int) -> int:
    while content in instead:
        content = instead[content]
    return content
