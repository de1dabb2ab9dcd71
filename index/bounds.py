"""Which photos a search may show."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import numpy as np

from index.library import Library
from index.words import Named, called
from storage.records import Filter, PhotoRecord


@dataclass(frozen=True)
class Bounds:
    """By folder, date and camera; called by all of these names; among these photo ids (None: all); not of these contents."""

    where: Filter = Filter()  # noqa: RUF009  (frozen)
    names: Sequence[Named] = ()
    within: frozenset[int] | None = None
    without: frozenset[int] = frozenset()

    @property
    def are_narrow(self) -> bool:
        """Whether any photo at all is shut out, but for single contents."""
        return bool(self.where) or bool(self.names) or self.within is not None

    def contents(self, library: Library) -> np.ndarray:
        """Contents, int64 ascending, that all photos that may be shown are of; single contents are not left out."""
        if self.names and not self.where and self.within is None:
            return called(library, self.names)
        found = None if self.within is None else library.catalog.contents_of(self.within)
        if self.where or found is None:
            matching = library.catalog.matching(self.where)
            found = matching if found is None else np.intersect1d(found, matching)
        return np.intersect1d(found, called(library, self.names)) if self.names else found

    def photos(self, library: Library, contents: Sequence[int]) -> dict[int, list[PhotoRecord]]:
        """The photos of these contents that may be shown, by content."""
        asked: Collection[int] = [content for content in contents if content not in self.without]
        if self.names:
            asked = called(library, self.names, np.unique(np.array(asked, np.int64))).tolist()
        found = library.catalog.photos(asked, self.where, library.space_id)
        if self.within is None:
            return found
        kept = {content: [photo for photo in photos if photo.id in self.within] for content, photos in found.items()}
        return {content: photos for content, photos in kept.items() if photos}


def filter_of(
    folder: str | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    camera: str | None = None,
) -> Filter:
    """The filter of a search as a person says it: a folder as it is typed, dates, a part of a camera's name."""
    path = None if folder is None else os.path.abspath(os.path.expanduser(folder))
    return Filter(path, after, before, camera)


def why_none(library: Library, where: Filter, names: Sequence[Named] = ()) -> str:
    """In words, why a search within these bounds found nothing: the condition that no photo meets, if there is one."""
    if not library.catalog.counts(library.space_id)["embedded"]:
        return "No photo was found: the library is empty. `index` fills it."
    for field in fields(where):
        value = getattr(where, field.name)
        if value is not None and not len(library.catalog.matching(Filter(**{field.name: value}))):
            return f"No photo was found: the library has none with {field.name} {value}."
    there = library.catalog.matching(Filter()) if names else np.empty(0, np.int64)
    for name in names:
        if not len(np.intersect1d(called(library, [name]), there)):
            return f"No photo was found: the library has none that is surely enough called {name.word!r}."
    several = bool(names) + sum(getattr(where, field.name) is not None for field in fields(where)) > 1 or len(names) > 1
    return "No photo was found: none meets all conditions at once." if several else "No photo was found."
