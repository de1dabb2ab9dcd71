"""The review of duplicates without a page, on a copy of the shared library with exact copies besides."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.duplicate_groups import SAME_BYTES
from index.job import index_folder
from index.library import Library
from ui.duplicate_handlers import DuplicateSearch
from ui.duplicate_review import (
    EQUAL,
    GROUP_CHANGED,
    FileToGo,
    Outcome,
    Place,
    as_csv,
    decide_shown,
    decisions_page,
    may_go,
    review,
    take_back,
)


@pytest.fixture
def copies(photo_folder: Path, tmp_path: Path) -> Path:
    """A folder with two files that the library has already."""
    folder = tmp_path / "Kopien, 猫"
    folder.mkdir()
    for name in ("moon.jpg", "coffee.jpg"):
        shutil.copy(photo_folder / name, folder / f"={name}")
    return folder


@pytest.fixture
def search(library_folder: Path, copies: Path, tmp_path: Path) -> Iterator[DuplicateSearch]:
    """A search that has ended."""
    with Library.open(shutil.copytree(library_folder, tmp_path / "library"), device="cpu") as library:
        for _ in index_folder(library, [str(copies)]):
            pass
        search = DuplicateSearch(library)
        search.start()
        search.wait(120)
        yield search


def test_a_review_goes_from_group_to_group_and_is_remembered(search: DuplicateSearch) -> None:
    first = review(search, Place())
    assert first.group is not None
    assert first.left == first.found
    assert first.left[SAME_BYTES] == 2
    assert first.group.kind == SAME_BYTES
    assert [photo.relation for photo in first.group.photos] == ["", "the same bytes"]
    assert (first.group.photos[0].width, first.group.photos[0].format) == (320, "JPEG")

    second = review(search, Place(at=1))
    assert second.group != first.group
    assert second.place.shown is not None
    assert list(second.place.shown[1]) == first.following
    total = sum(first.left.values())
    assert review(search, Place(at=10_000)).place.at == total - 1
    assert review(search, Place("burst")).group is None

    assert decide_shown(search, first.place, "not-duplicate") == EQUAL
    assert decide_shown(search, first.place, "keep-one") is None
    after = review(search, first.place)
    assert (after.group, sum(after.left.values()), after.may_go) == (second.group, total - 1, 1)
    assert decide_shown(search, first.place, "keep-both") == GROUP_CHANGED  # it is not on display any more
    assert decide_shown(search, after.place, "keep-both") is None

    (newest, oldest), count = decisions_page(search)
    assert (newest.verdict, oldest.verdict, count) == ("keep-both", "keep-one", 2)
    assert {photo for photo, _ in oldest.photos} == {photo.photo_id for photo in first.group.photos}
    assert decisions_page(search, 1)[0] == [oldest]

    place, refused = take_back(search, Place("burst"))
    assert (refused, review(search, place).group) == (None, second.group)
    place, refused = take_back(search, Place(), oldest.id)
    assert (refused, review(search, place).group) == (None, first.group)
    assert take_back(search, Place(), oldest.id)[1] == "Nothing was decided yet."


def test_the_files_that_may_go_are_listed_only_while_the_one_to_keep_is_there(search: DuplicateSearch) -> None:
    assert may_go(search) == []
    place = review(search, Place(SAME_BYTES)).place
    assert decide_shown(search, place, "keep-one") is None
    shown = review(search, place)
    (file,) = may_go(search)
    path, keep, kind, words, size = file
    assert (kind, words, size) == (SAME_BYTES, "the same bytes", Path(path).stat().st_size)
    assert list(csv.reader(io.StringIO(as_csv([file]).decode())))[1:] == [[path, keep, kind, words, str(size)]]
    assert path != keep
    assert Path(path).read_bytes() == Path(keep).read_bytes()  # nothing was touched
    assert shown.may_go == 1

    folder = str(Path(keep).parent)
    search.library.catalog.mark_gone([folder], [], set(), 10**9)
    assert may_go(search) == []
    assert decisions_page(search)[0][0].outcome is None


def test_before_and_after_a_decision_it_is_said_which_photo_stays_and_what_may_go(search: DuplicateSearch) -> None:
    before = review(search, Place(SAME_BYTES))
    assert before.group is not None
    keep, other = before.group.photos
    assert before.group.outcome == Outcome(keep.name, 1, other.bytes)
    assert decide_shown(search, before.place, "keep-one") is None
    assert decide_shown(search, review(search, Place()).place, "keep-both") is None
    (newest, oldest), _ = decisions_page(search)
    assert (newest.outcome, oldest.outcome) == (None, before.group.outcome)

    search.groups = []  # as after a new start of the server
    assert [one.outcome for one in decisions_page(search)[0]] == [None, None]


def test_the_table_has_the_names_bytes() -> None:
    table = as_csv([FileToGo("/B\udcfcr.jpg", "/Bär.jpg", "edited", "grey", 7)])
    assert table.splitlines()[1] == b"/B\xfcr.jpg,/B\xc3\xa4r.jpg,edited,grey,7"


def test_of_what_was_said_both_ways_all_stay(search: DuplicateSearch) -> None:
    place = review(search, Place(SAME_BYTES)).place
    assert place.shown is not None
    group = next(one for one in search.groups if one.kind == SAME_BYTES)
    for verdict, count in (("keep-one", 1), ("keep-both", 0)):
        search.library.catalog.decide(verdict, group.copies)
        assert len(may_go(search)) == count
