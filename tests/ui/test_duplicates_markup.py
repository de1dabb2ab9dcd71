from __future__ import annotations

import re
from datetime import datetime

import pytest

from tests.ui.html_pieces import HOSTILE, must_be_words_only
from ui.duplicate_handlers import SearchView
from ui.duplicate_review import FileToGo, MadeDecision, Outcome, PhotoFacts, Place, Review, ShownGroup
from ui.tabs import duplicates_markup as markup

COUNTS = {"same-bytes": 0, "same-pixels": 0, "edited": 0, "burst": 0}


def photo(photo_id: int, name: str = "a.jpg", relation: str = "", **facts: object) -> PhotoFacts:
    known: dict = {"width": 640, "height": 480, "bytes": 209_431, "format": "JPEG", "taken_at": None, "camera": None}
    return PhotoFacts(photo_id, f"/photos of mine/{name}", relation, **(known | facts))


def seen(*photos: PhotoFacts, left: int = 1, found: int = 3, **place: object) -> Review:
    group = ShownGroup("edited", "in colour", list(photos)) if photos else None
    return Review(Place(**place), group, COUNTS | {"edited": left}, COUNTS | {"edited": found}, 0, [31])  # type: ignore[arg-type]


PIECES = {
    "group": lambda: markup.group(
        Review(
            Place(),
            ShownGroup("edited", HOSTILE, [photo(1, HOSTILE, camera=HOSTILE), photo(2, HOSTILE, HOSTILE, format=HOSTILE)]),
            COUNTS, COUNTS, 0,
        ), True, 0,
    ),
    "decisions": lambda: markup.decisions([MadeDecision(1, HOSTILE, datetime(2026, 1, 1), [(1, HOSTILE)])], 0, 1, False),
    "search": lambda: markup.searching(SearchView(True, HOSTILE, 1, 2)),
    "failed search": lambda: markup.searching(SearchView(False, problem=HOSTILE)),
    "files": lambda: markup.list_of_files([FileToGo(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1)]),
    "outcome": lambda: markup.outcome(
        seen(photo(1, HOSTILE), photo(2, relation="grey")),
        MadeDecision(1, "keep-one", datetime(2026, 1, 1), [(1, HOSTILE)], Outcome(HOSTILE, 1, 1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_words_stay_words(piece: str):
    must_be_words_only(PIECES[piece]())


def test_a_group_shows_the_one_to_keep_and_what_differs_in_the_other():
    source = markup.group(seen(photo(7), photo(9, "b.png", "grey", format="PNG", bytes=45_100)), True, 0)
    keep, other = source.split('data-pane="other"')
    assert 'src="/photos/7"' in keep
    assert "209 kB" in keep
    assert 'src="/photos/9"' in other
    assert "<b>grey</b>" in other
    assert re.findall(r"rc-differs>(.*?)<", other.split("<ol")[0]) == ["b.png", "45 kB", "PNG"]
    assert "rc-differs" not in keep
    assert "Keep the first: in colour." in source
    assert 'src="/photos/31/thumbnail"' in source  # of the next group, ahead


def test_a_large_group_shows_some_and_says_how_many_more():
    source = markup.group(seen(photo(1), *(photo(one, relation="grey") for one in range(2, 101))), True, 0)
    assert source.count("data-compare=") == markup.STRIP
    assert [int(key) for key in re.findall(r'data-key="(\d)"', source)] == list(range(1, 10))
    assert f"and {99 - markup.STRIP} more, which your decision is about too" in source


def test_what_is_not_there_says_what_to_do():
    assert "Press “Look for duplicates”" in markup.group(seen(found=0, left=0), False, 0)
    assert "The 3 decisions" in markup.group(seen(found=0, left=0), False, 3)
    assert "No duplicates were found" in markup.group(seen(found=0, left=0), True, 0)
    assert "All decided" in markup.group(seen(found=3, left=0), True, 3)
    assert "of this kind" in markup.group(seen(found=3, left=1, kind="burst"), True, 3)
    assert "no longer there" in markup.group(seen(photo(1)), True, 0)
    assert "Nothing was decided yet" in markup.decisions([], 0, 0, False)


def test_how_far_the_review_is():
    assert "2 of 3 decided" in markup.kinds(seen(photo(1), photo(2)))
    assert re.search(r'data-kind="edited" aria-pressed="true"[^>]*>Edited<b>1</b>', markup.kinds(seen(kind="edited")))
    assert markup.kinds(seen(found=0, left=0)) == ""


def test_a_library_that_can_only_be_read_has_its_decisions_off():
    assert markup.keys(True).count(" disabled") == 4
    assert " disabled" not in markup.keys(False)
    made = [MadeDecision(4, "keep-one", datetime(2026, 1, 1), [(1, "a.jpg")])]
    assert 'data-decision="4" disabled' in markup.decisions(made, 0, 1, True)
    assert 'data-decision="4">' in markup.decisions(made, 0, 1, False)


def test_many_decisions_come_in_pages():
    made = [MadeDecision(one, "keep-both", datetime(2026, 1, 1), []) for one in range(20)]
    source = markup.decisions(made, 20, 50, False)
    assert "21 to 40 of 50" in source
    assert re.findall(r'data-start="(\d+)"', source) == ["0", "40"]
    assert "photos that are no longer there" in source


def words(source: str) -> str:
    return re.sub(r"<[^>]*>", "", source)


def test_the_list_says_how_much_it_is_and_who_deletes():
    one = FileToGo("/a.jpg", "/b.jpg", "edited", "grey", 2_400_000)
    assert "2 files, 4.8 MB together. RegConv itself deletes nothing" in markup.list_of_files([one, one])
    assert "1 file, 2.4 MB" in markup.list_of_files([one])
    assert "1,200.0 GB" in markup.list_of_files([one._replace(bytes=1_200_000_000_000)])
    assert "No file yet" in markup.list_of_files([])


def test_what_one_is_enough_would_do_stands_beside_it_and_what_the_newest_decision_came_to():
    shown = seen(photo(7), photo(8, "b.png", "grey"), photo(9, "c.png", "grey", bytes=3_000_000))
    before = words(markup.outcome(shown, None))
    assert "“One is enough” keeps a.jpg and lets 2 files go (3.2 MB)." in before
    assert "RegConv itself deletes nothing" in before
    assert 'data-verdict="keep-one"' in markup.keys(False).split('aria-describedby="rc-outcome"')[0]
    assert 'id="rc-outcome"' in markup.outcome(shown, None)

    made = MadeDecision(1, "keep-one", datetime(2026, 1, 1), [(1, "x.jpg"), (2, "y.jpg")], Outcome("x.jpg", 1, 500))
    assert "Newest decision: x.jpg stays, 1 file may go (500 bytes). RegConv" in words(markup.outcome(shown, made))
    assert "x.jpg stays, 1 file may go (500 bytes)" in words(markup.decisions([made], 0, 1, False))
    unknown = MadeDecision(1, "keep-both", datetime(2026, 1, 1), [(1, "x.jpg"), (2, "y.jpg")])
    assert "keep all: x.jpg and 1 more" in words(markup.outcome(shown, unknown))
    assert markup.outcome(seen(found=0, left=0), None) == ""


def test_of_a_long_name_both_ends_are_shown():
    source = markup.outcome(seen(photo(7, "x" * 100 + "-12345.jpg"), photo(8, relation="grey")), None)
    assert f"keeps {'x' * 21}…xxxx-12345.jpg and" in words(source)
    assert f'title="{"x" * 100}-12345.jpg"' in source


def test_of_photos_called_alike_the_one_to_keep_is_named_with_its_folder():
    group = ShownGroup("same-bytes", "older", [photo(1), photo(2, relation="the same bytes")])
    assert group.outcome == Outcome("photos of mine/a.jpg", 1, 209_431)
    assert ShownGroup("edited", "", [photo(2, relation="grey"), photo(3, relation="grey")]).outcome is None


def test_photos_without_thumbnails_are_told_in_the_words_of_the_page():
    source = markup.searching(SearchView(False, without_thumbnail=1))
    assert "no thumbnail: 1 photo." in source
    assert "doctor" not in source
