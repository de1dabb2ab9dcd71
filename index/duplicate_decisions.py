"""Decisions about groups of duplicates: kept for the contents of the photos named, listed, and taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from index.duplicate_groups import Group
from index.errors import LibraryError
from index.library import Library
from storage.decisions import KEEP_BOTH, KEEP_ONE, NOT_DUPLICATE, DecisionRecord

VERDICTS = (KEEP_ONE, KEEP_BOTH, NOT_DUPLICATE)


def decide(library: Library, verdict: str, photo_ids: Sequence[int], groups: Iterable[Group]) -> None:
    """Keep a decision about photos of one of these groups.

    Raises LibraryError where the verdict or a photo is not known, or where the photos are not of one group.
    """
    if verdict not in VERDICTS:
        raise LibraryError(f"{verdict!r} is no decision. Expected {', '.join(VERDICTS[:-1])} or {VERDICTS[-1]}.")
    copies = contents_of(library, photo_ids)
    known = any(one.verdict == verdict and one.covers(copies) for one in library.catalog.decisions())
    if known:
        return
    if not any(copies.keys() <= group.copies.keys() for group in groups):
        raise LibraryError(
            f"Photos {_listed(photo_ids)} are not of one group of duplicates. Decide about each group by itself; `duplicates` "
            "lists them."
        )
    if verdict == NOT_DUPLICATE and len(copies) == 1:
        raise LibraryError(
            f"Photos {_listed(photo_ids)} are equal byte for byte, so they are duplicates. To leave them as they are: {KEEP_BOTH}."
        )
    library.catalog.decide(verdict, copies)


def undo(library: Library, photo_ids: Sequence[int]) -> int:
    """Take back the decisions about all these photos; how many. Raises LibraryError where there is none."""
    copies = contents_of(library, photo_ids)
    found = [one.id for one in library.catalog.decisions() if one.covers(copies)]
    if not found:
        raise LibraryError(
            f"Nothing was decided about photos {_listed(photo_ids)}. `duplicates --decisions` lists what was."
        )
    library.catalog.take_back(found)
    return len(found)


def decisions(library: Library) -> list[dict[str, Any]]:
    """Every decision, oldest first: {"verdict", "decided_at" (UTC), "photos": [{"photo_id", "path"}]}, present photos alone."""
    made = library.catalog.decisions()
    copies = library.catalog.copies({content for one in made for content in one.copies})

    def photos(one: DecisionRecord) -> list[dict[str, Any]]:
        present = [copy for content in one.copies for copy in copies.get(content, ())]
        return [{"photo_id": copy.photo_id, "path": copy.path} for copy in present]

    return [{"verdict": one.verdict, "decided_at": one.decided_at.isoformat(), "photos": photos(one)} for one in made]


def contents_of(library: Library, photo_ids: Sequence[int]) -> dict[int, int]:
    """How many of the photos have each content, which is what a decision is kept for.

    Raises LibraryError for fewer than two photos, and for unknown ones.
    """
    if len(set(photo_ids)) < 2:
        raise LibraryError("A decision is about two photos or more: give their ids with commas between.")
    copies: Counter[int] = Counter()
    for photo_id in sorted(set(photo_ids)):
        photo = library.catalog.photo(photo_id)
        if photo is None or photo.content_id is None:
            raise LibraryError(f"There is no photo with the id {photo_id} in this library, or it could not be read.")
        copies[photo.content_id] += 1
    return dict(copies)


def _listed(photo_ids: Sequence[int]) -> str:
    return ", ".join(map(str, photo_ids))
