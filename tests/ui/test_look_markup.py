"""What the Look tab shows, as HTML."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.ui.html_pieces import HOSTILE, must_be_words_only
from ui.handlers import Hit, Lesson, LookResult
from ui.maps import stage_sheet
from ui.search_handlers import PAGE, Found, FoundPicture
from ui.tabs import found_markup, look_markup
from ui.tabs.look_markup import ShownPick


def hostile_result() -> LookResult:
    sheet = stage_sheet(np.ones((2, 4, 4), np.float32), HOSTILE, 4)
    return LookResult(HOSTILE, [(HOSTILE, 0.5)], [sheet], np.zeros((8, 8, 3), np.uint8), problem=HOSTILE, hint=HOSTILE)


def picture(number: int = 12, name: str = "a.jpg", **facts: object) -> FoundPicture:
    return FoundPicture(number, name, 0.98765, **facts)  # type: ignore[arg-type]


def photos(found: Found, page: int = 0, *, has_picture: bool = True) -> str:
    return found_markup.found_photos(found, "Photos like q.jpg", page, has_picture=has_picture)


HOSTILE_PICTURE = picture(7, HOSTILE, copies=(8,), copy_names=(HOSTILE,), meaning=HOSTILE, beyond_chance=False)
PIECES = {
    "labels": lambda: look_markup.labels(hostile_result()),
    "own labels": lambda: look_markup.own_labels([(None, 0.6), (HOSTILE, 0.4)]),
    "lesson": lambda: look_markup.lesson(Lesson(HOSTILE)),
    "refused lesson": lambda: look_markup.lesson(Lesson(problem=HOSTILE)),
    "stages": lambda: look_markup.stages(hostile_result()),
    "no stages": lambda: look_markup.stages(LookResult(HOSTILE, problem=HOSTILE)),
    "stage places": lambda: look_markup.stages(None, [HOSTILE]),
    "picks": lambda: look_markup.picks([ShownPick(HOSTILE, HOSTILE, 1.0), ShownPick(HOSTILE, None, -0.5)]),
    "trail": lambda: look_markup.trail([(HOSTILE, HOSTILE, HOSTILE), (HOSTILE, HOSTILE, None)]),
    "address": lambda: look_markup.address(HOSTILE),
    "found": lambda: found_markup.found_photos(Found([HOSTILE_PICTURE], unknown=HOSTILE), HOSTILE, 0, has_picture=True),
    "refused": lambda: found_markup.found_photos(Found(problem=HOSTILE), HOSTILE, 0, has_picture=True),
    "none": lambda: found_markup.found_photos(Found(hint=HOSTILE), HOSTILE, 0, has_picture=False),
    "to try": lambda: found_markup.nothing_yet([Hit(1, HOSTILE, 1)], (HOSTILE, Hit(2, HOSTILE, 1)), None),
    "nothing to try": lambda: found_markup.nothing_yet([], None, HOSTILE),
}


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_words_stay_words(piece: str) -> None:
    must_be_words_only(PIECES[piece]())


def test_photos_are_buttons_with_id_score_and_link_but_never_a_path() -> None:
    source = photos(Found([picture()]))
    for words in (
        'data-event="choose" data-photo="12"', 'data-event="why" data-photo="12"', 'src="/photos/12/thumbnail"',
        'loading="lazy"', 'alt="a.jpg"', 'href="/photos/12"', ">0.988<",
    ):  # fmt: skip
        assert words in source


def test_a_score_says_what_it_means_and_where_chance_begins() -> None:
    meaning = "fewer than 1 in 4,000 unrelated pairs look this alike"
    rare, common = picture(meaning=meaning, beyond_chance=True), picture(13, meaning=meaning, beyond_chance=False)
    source = photos(Found([rare, common, common]))
    assert "&lt; 1 in 4,000" in source
    assert f'title="{meaning}"' in source
    assert source.count("by chance") == 1
    assert source.index('data-photo="12"') < source.index("by chance") < source.index('data-photo="13"')
    assert "by chance" not in photos(Found([picture()]))
    assert "30 different photos" in photos(Found([picture()], unknown="Needs 30 different photos."))


def test_copies_are_folded_with_their_names() -> None:
    source = photos(Found([picture(copies=(3, 4), copy_names=("b.jpg", "c.jpg"))]))
    assert "+ 2 copies" in source
    assert re.findall(r'href="/photos/(\d)"[^>]*>([bc]\.jpg)<', source) == [("3", "b.jpg"), ("4", "c.jpg")]
    assert "+ 1 copy<" in photos(Found([picture(copies=(3,), copy_names=("b.jpg",))]))


def test_pages_are_turned_where_there_are_more() -> None:
    assert "rc-pager" not in photos(Found([picture()]))
    first = photos(Found([picture()] * PAGE, more=True))
    assert "1 to 24" in first
    assert re.search(r'data-page="-1"[^>]* disabled', first)
    assert re.search(r'data-page="1"[^>]*>More', first)
    last = photos(Found([picture()] * 3), 2)
    assert "49 to 51" in last
    assert re.search(r'data-page="3"[^>]* disabled', last)


def test_photos_found_by_a_word_have_no_score_to_show() -> None:
    source = photos(Found([picture()]), has_picture=False)
    assert "0.988" not in source
    assert 'data-event="why"' not in source


def test_an_approximate_answer_says_so() -> None:
    assert "approximately" in photos(Found([picture()], exact=False))
    assert "approximately" not in photos(Found([picture()]))


def test_an_empty_library_offers_its_sample_where_it_may() -> None:
    assert 'data-event="sample"' in found_markup.nothing_yet([], None, "No photos yet.", may_begin=True)
    assert 'data-event="sample"' not in found_markup.nothing_yet([], None, "No photos yet.")


def test_bars_carry_the_probability_in_words_and_as_length() -> None:
    source = look_markup.labels(LookResult("q", [("tabby cat", 0.4321)]))
    for words in ("tabby cat", "43.2%", "width:43.2%"):
        assert words in source
    assert look_markup.labels(None).count("<li") == 5, "places in the size of results"
    assert look_markup.stages(None, ["input", "stem", "stage 1"]).count("<figure") == 3


def test_a_query_of_one_picture_needs_no_list() -> None:
    one = ShownPick("a.jpg", None, 1.0)
    assert look_markup.picks([one]) == ""
    source = look_markup.picks([one, ShownPick("b.jpg", "/photos/2/thumbnail", -0.5)])
    assert "like 1" in source
    assert "unlike 0.5" in source
    assert re.findall(r'value="(-?[\d.]+)"', source) == ["1", "-0.5"]
    assert look_markup.picks([ShownPick("a.jpg", None, 2.0)]).count("<li") == 1


def test_the_trail_leads_back_and_escape_takes_its_last_step() -> None:
    assert look_markup.trail([("?photo=1", "a.jpg", None)]) == ""
    source = look_markup.trail([(f"?photo={number}", f"{number}.jpg", None) for number in range(3)])
    assert re.findall(r'data-address="([^"]+)"', source) == ["?photo=0", "?photo=1"]
    assert re.search(r'data-address="\?photo=1" data-key="Escape"', source)
    assert source.count("Escape") == 1
    assert 'aria-current="page"' in source


def test_taught_words_stand_apart_and_none_of_these_is_said() -> None:
    assert look_markup.own_labels([]) == ""
    source = look_markup.own_labels([(None, 0.6), ("cat", 0.4)])
    assert re.findall(r'rc-label">(.*?)<', source) == ["none of these", "cat"]
    assert "Your words" in source
    assert 'role="alert"' not in look_markup.lesson(Lesson("cat: 1 photo."))
    assert 'role="alert"' in look_markup.lesson(Lesson(problem="no"))
