"""The Map tab's pieces: words for every state, and names that stay words."""

from __future__ import annotations

import pytest

from tests.ui.html_pieces import HOSTILE, Tags, must_be_words_only
from ui.map_handlers import MapView
from ui.tabs import map_markup as markup

DRAWN = MapView(stamp="abc", shown=1200, total=1200)


@pytest.mark.parametrize(
    "view", [MapView(hint=HOSTILE), MapView(total=3, problem=HOSTILE), MapView(stamp=HOSTILE, total=3)]
)
def test_hostile_words_stay_words(view: MapView) -> None:
    must_be_words_only(markup.state(view, None))


@pytest.mark.parametrize(
    ("view", "words", "buttons"),
    [
        (MapView(hint="Open the Library tab."), "Open the Library tab.", []),
        (MapView(total=5), "has not been drawn yet", ["draw"]),
        (MapView(True, 12), "Looking for what is alike", ["stop"]),
        (MapView(True, 60, "abc"), "Drawing the map", ["stop"]),
        (DRAWN, "1,200 photos. ", []),
        (MapView(stamp="abc", shown=1, total=1), "1 photo. ", []),
        (MapView(stamp="abc", shown=10, total=12), "10 photos, copies once.", []),
        (MapView(stamp="abc", shown=10, total=12, new=2), "2 photos are not on this map yet.", ["draw"]),
        (MapView(stamp="abc", shown=10, total=11, new=1), "1 photo is not on this map yet.", ["draw"]),
        (
            MapView(stamp="abc", shown=20_000, total=1_204_311, is_sample=True),
            "20,000 of 1,204,311 photos, chosen at random.",
            [],
        ),
    ],
)
def test_each_state_says_what_there_is_and_what_can_be_done(view: MapView, words: str, buttons: list[str]) -> None:
    source = markup.state(view, None)
    assert words in source
    assert [value for name, value in Tags(source).attributes if name == "data-event"] == buttons


def test_the_script_learns_which_map_and_which_query_to_show() -> None:
    attributes = dict(Tags(markup.state(DRAWN, 77)).attributes)
    assert (attributes["data-map"], attributes["data-query"]) == ("abc", "77")
    attributes = dict(Tags(markup.state(MapView(True, 3), None)).attributes)
    assert (attributes["data-map"], attributes["data-query"]) == ("", "")


def test_the_map_has_a_place_a_keyboard_can_reach_and_named_buttons() -> None:
    parsed = Tags(markup.canvas())
    assert ("tabindex", "0") in parsed.attributes
    assert parsed.tags.count("button") == 3
    assert {value for name, value in parsed.attributes if name == "aria-label"} >= {
        "Zoom in",
        "Zoom out",
        "Photos in view",
    }
