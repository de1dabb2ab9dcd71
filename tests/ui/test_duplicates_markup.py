from __future__ import annotations

import base64
import re
from datetime import datetime

import pytest

from tests.ui.html_pieces import HOSTILE, must_be_words_only
from ui.duplicate_handlers import SearchView
from ui.duplicate_review import MadeDecision, PhotoFacts, Place, Review, ShownGroup
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
    "files": lambda: markup.list_of_files([HOSTILE], HOSTILE),
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
    source = markup.group(seen(*(photo(one, relation="grey") for one in range(1, 101))), True, 0)
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


def test_the_table_is_saved_with_the_names_bytes():
    source = markup.list_of_files(["/B\udcfcr.jpg"], "may go\r\n/B\udcfcr.jpg\r\n")
    encoded = re.search(r"base64,([^\"]*)", source)
    assert encoded is not None
    assert base64.b64decode(encoded[1]) == b"may go\r\n/B\xfcr.jpg\r\n"
    assert "1 file<" in source


def test_photos_without_thumbnails_are_told_in_the_words_of_the_page():
    source = markup.searching(SearchView(False, without_thumbnail=1))
    assert "no thumbnail: 1 photo." in source
    assert "doctor" not in source
