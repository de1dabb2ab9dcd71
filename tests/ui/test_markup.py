import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ui import markup
from ui.handlers import Hit, Lesson, LookResult, Machine, Unreadable
from ui.job_words import JobView
from ui.maps import stage_sheet
from ui.tabs import library_markup, look_markup

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&${1}\udcff"


class Tags(HTMLParser):
    """The tags and attributes of a piece of HTML, and whether it is balanced."""

    VOID = ("img", "br")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def hostile_result() -> LookResult:
    sheet = stage_sheet(np.ones((2, 4, 4), np.float32), HOSTILE, 4)
    saw = np.zeros((8, 8, 3), np.uint8)
    return LookResult(HOSTILE, [(HOSTILE, 0.5)], [sheet], saw, [Hit(7, HOSTILE, 0.98765)], True, HOSTILE, HOSTILE)


PIECES = {
    "header": lambda: markup.header(Machine(HOSTILE, HOSTILE, HOSTILE, HOSTILE), HOSTILE),
    "header with a problem": lambda: markup.header(Machine("", "", "", "", HOSTILE), None),
    "labels": lambda: look_markup.labels(hostile_result()),
    "own labels": lambda: look_markup.own_labels([(None, 0.6), (HOSTILE, 0.4)]),
    "lesson": lambda: look_markup.lesson(Lesson(HOSTILE)),
    "refused lesson": lambda: look_markup.lesson(Lesson(problem=HOSTILE)),
    "neighbours": lambda: look_markup.neighbours(hostile_result()),
    "no neighbours": lambda: look_markup.neighbours(LookResult(HOSTILE, problem=HOSTILE, hint=HOSTILE)),
    "stages": lambda: look_markup.stages(hostile_result()),
    "no stages": lambda: look_markup.stages(LookResult(HOSTILE, hits=[Hit(1, "", 0)], problem=HOSTILE)),
    "stage places": lambda: look_markup.stages(None, [HOSTILE]),
    "job": lambda: library_markup.job(JobView(True, HOSTILE, 0.5, [HOSTILE], HOSTILE)),
    "ended job": lambda: library_markup.job(
        JobView(False, HOSTILE, None, [HOSTILE], None, HOSTILE, 0, [(HOSTILE, HOSTILE)])
    ),
    "unreadable": lambda: library_markup.unreadable([Unreadable(HOSTILE, HOSTILE)], 300),
    "problem": lambda: markup.problem(HOSTILE + "\n" + HOSTILE),
}


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_words_stay_words(piece: str):
    source = PIECES[piece]()
    source.encode()  # no surrogates are left
    parsed = Tags(source)
    assert "script" not in parsed.tags
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert all(value != "x" for name, value in parsed.attributes if name == "src")


def test_neighbours_are_buttons_with_id_score_and_link_but_never_a_path():
    source = look_markup.neighbours(LookResult("q.jpg", hits=[Hit(12, "a.jpg", 0.98765)]))
    assert 'data-photo="12"' in source
    assert 'src="/photos/12/thumbnail"' in source
    assert 'loading="lazy"' in source
    assert 'alt="a.jpg"' in source
    assert 'href="/photos/12"' in source
    assert ">0.988<" in source


def test_bars_carry_the_probability_in_words_and_as_length():
    source = look_markup.labels(LookResult("q", [("tabby cat", 0.4321)]))
    assert "tabby cat" in source
    assert "43.2%" in source
    assert "width:43.2%" in source


def test_places_take_as_much_room_as_results():
    assert look_markup.neighbours(None).count("<li") == 12
    assert look_markup.labels(None).count("<li") == 5
    assert look_markup.stages(None, ["input", "stem", "stage 1"]).count("<figure") == 3


def test_an_approximate_answer_says_so():
    hits = [Hit(1, "a", 0.5)]
    assert "approximately" in look_markup.neighbours(LookResult("q", hits=hits, exact=False))
    assert "approximately" not in look_markup.neighbours(LookResult("q", hits=hits))


def test_what_works_and_the_note_are_on_the_page():
    source = markup.header(
        Machine("facebook/convnext-tiny-224", "eager", "cpu", "cpu (none)"), "Random weights: beware."
    )
    for words in ("facebook/convnext-tiny-224", "eager on cpu", "cpu (none)", "Random weights: beware."):
        assert words in source
    assert "rc-note" not in markup.header(None, None)


def test_progress_has_a_value_only_where_the_total_is_known():
    assert re.search(
        r"<progress [^>]*value=\"0.2500\"", library_markup.job(JobView(True, "Reading pictures", 0.25, ["1 of 4"]))
    )
    assert "value=" not in library_markup.job(JobView(True, "Looking for pictures", None))


def test_a_long_list_of_unreadable_files_says_how_long():
    source = library_markup.unreadable([Unreadable("/a", "is empty")], 1234)
    assert "Unreadable files (1,234)" in source
    assert "The first 1 of 1,234." in source
    assert library_markup.unreadable([], 0) == ""


def test_taught_words_stand_apart_and_none_of_these_is_said():
    assert look_markup.own_labels([]) == ""
    source = look_markup.own_labels([(None, 0.6), ("cat", 0.4)])
    assert re.findall(r'rc-label">(.*?)<', source) == ["none of these", "cat"]
    assert "Your words" in source
    assert 'role="alert"' not in look_markup.lesson(Lesson("cat: 1 photo."))
    assert 'role="alert"' in look_markup.lesson(Lesson(problem="no"))
