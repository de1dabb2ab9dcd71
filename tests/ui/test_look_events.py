"""The Look tab's events without a browser: what the components show after each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from index.library import Library
from index.runner import Runner
from ui import switch_handlers
from ui.context import PageContext
from ui.search_handlers import Ask, Pick
from ui.tabs.look import LookTab, look_tab
from ui.tabs.look_markup import address
from ui.tabs.shared import html


def tab_of(library: Library) -> LookTab:
    with gr.Blocks():
        return look_tab(PageContext.of(library), html(address(""), "address"))


@pytest.fixture
def tab(library: Library) -> LookTab:
    return tab_of(library)


def sent(**data: Any) -> gr.EventData:
    return gr.EventData(None, data)


def given(update: Any) -> dict[str, Any]:
    """What an update of a component says: the rest stays."""
    return dict(update.constructor_args)


class Visitor:
    """One person at the tab: what is shown stays until an event changes it."""

    def __init__(self, tab: LookTab) -> None:
        self.tab, self.at, self.events = tab, tab.events.at, tab.events
        self.shown: dict[Any, Any] = dict.fromkeys(self.at.outputs, "")
        self.shown |= {self.at.ask: Ask(), self.at.trail: [], self.at.picture: None}
        self.set(dial="subject", words=[], folder=None, camera=None, after="", before="")
        self.shown |= dict.fromkeys(self.at.mix, 1.0)

    def set(self, **controls: Any) -> None:
        self.shown |= {getattr(self.at, name): value for name, value in controls.items()}

    def view(self) -> list[Any]:
        return [self.shown[part] for part in self.tab.view]

    def do(self, name: str, **data: Any) -> dict[Any, Any]:
        event = getattr(self.events, name)
        answer = event(*self.view()) if name == "narrow" else event(sent(**data), *self.view())
        self.shown |= {part: new for part, new in answer.items() if part not in self.at.mix or "value" in given(new)}
        return answer

    def visit(self, address: str) -> None:
        self.shown |= self.events.visit(sent(address=address), *self.view()[:3])

    def ask(self) -> Ask:
        return self.shown[self.at.ask]


@pytest.fixture
def visitor(tab: LookTab) -> Visitor:
    return Visitor(tab)


def test_what_is_no_date_is_said_at_its_field_and_narrows_nothing(visitor: Visitor, photo_ids: dict[str, int]) -> None:
    visitor.do("choose", photo=photo_ids["coffee.jpg"])
    at = visitor.at
    visitor.set(after="2031", before="soon")
    visitor.do("narrow")
    assert visitor.ask().after is not None
    assert visitor.ask().before is None
    words = visitor.shown[at.dates]
    assert "Taken before: &#x27;soon&#x27; is no date." in words
    assert 'data-wrong="before"' in words
    assert 'role="alert"' in words
    assert visitor.shown[at.filters].open is True
    assert visitor.shown[at.trouble] == ""

    visitor.set(after="then")
    visitor.do("choose", photo=photo_ids["moon.jpg"])
    assert visitor.ask().pictures == (Pick(photo_ids["moon.jpg"]),), "a click does what it says all the same"
    assert 'data-wrong="after before"' in visitor.shown[at.dates]

    visitor.set(after="2001-02", before="")
    visitor.do("narrow")
    assert visitor.shown[at.dates] == ""


def test_a_mended_date_is_no_trouble_any_more_even_where_the_query_stays(visitor: Visitor) -> None:
    visitor.set(after="x" * 500)
    visitor.do("narrow")
    assert 0 < visitor.shown[visitor.at.dates].count("x") < 100
    visitor.set(after="")
    assert visitor.do("narrow")[visitor.at.dates] == ""


def test_too_many_pictures_are_refused_where_they_were_chosen(
    visitor: Visitor, photo_ids: dict[str, int], photo_folder: Path
) -> None:
    at, ids = visitor.at, list(photo_ids.values())
    for number in ids[:12]:
        visitor.do("more", photo=number)
    assert len(visitor.ask().pictures) == 12
    visitor.do("more", photo=ids[12])
    assert len(visitor.ask().pictures) == 12
    assert "at most 12 pictures" in visitor.shown[at.said]
    assert visitor.shown[at.trouble] == ""
    upload = {"path": str(photo_folder / "moon.jpg")}
    visitor.shown |= visitor.events.add_upload(upload, *visitor.view())
    assert "at most 12 pictures" in visitor.shown[at.trouble]
    assert visitor.shown[at.said] == ""
    visitor.do("drop", number=0)
    assert visitor.shown[at.trouble] == ""


def test_a_query_of_unlike_pictures_alone_is_refused_where_it_was_asked(
    visitor: Visitor, photo_ids: dict[str, int]
) -> None:
    at, coffee = visitor.at, photo_ids["coffee.jpg"]
    visitor.do("choose", photo=coffee)
    visitor.do("less", photo=coffee)
    assert "needs a picture to be like" in visitor.shown[at.said]
    visitor.do("weigh", number=0, value="-1")
    assert "needs a picture to be like" in visitor.shown[at.trouble]
    assert visitor.shown[at.said] == ""
    assert visitor.ask().pictures == (Pick(coffee),)


def test_a_bad_link_is_told_beside_the_answer_and_a_lost_photo_at_the_picture(visitor: Visitor) -> None:
    at = visitor.at
    visitor.visit("?after=tomorrow&tab=map")
    assert "is no date" in visitor.shown[at.said]
    assert visitor.events.is_refused(visitor.shown)
    visitor.visit("?photo=999999")
    assert "999999" in visitor.shown[at.trouble]
    assert visitor.shown[at.said] == ""
    visitor.visit("")
    assert not visitor.events.is_refused(visitor.shown)


def test_escape_goes_back_along_the_trail_to_the_first_view_and_no_further(
    visitor: Visitor, photo_ids: dict[str, int]
) -> None:
    at = visitor.at

    def escape() -> list[str]:
        pieces = visitor.shown[at.steps] + visitor.shown[at.found]
        return re.findall(r'data-address="([^"]*)" data-key="Escape"', pieces)

    coffee, moon = photo_ids["coffee.jpg"], photo_ids["moon.jpg"]
    visitor.do("choose", photo=coffee)
    assert escape() == [""]
    visitor.do("choose", photo=moon)
    assert escape() == [f"?photo={coffee}"]
    visitor.visit(*escape())
    assert visitor.ask().pictures == (Pick(coffee),)
    visitor.visit(*escape())
    assert visitor.ask() == Ask(words=())
    assert "Three things to try" in visitor.shown[at.found]
    assert escape() == []
    assert f'data-address="?photo={coffee}"' in visitor.shown[at.steps], "the last query can be gone back to"


def test_a_field_with_nothing_to_offer_says_why(tab: LookTab, empty_library: Library) -> None:
    folder, camera = map(given, tab.events.filter_choices())
    assert folder["choices"]
    assert folder["info"] is None
    assert (camera["choices"], camera["info"]) == ([], "No photo here says by which camera it was taken.")
    folder, camera = map(given, tab_of(empty_library).events.filter_choices())
    assert folder["info"] == camera["info"] == "There are no photos yet."


def test_the_sliders_of_ones_own_mix_follow_the_model(
    own: Library, photo_ids: dict[str, int], tiny_checkpoint: Callable[..., Path]
) -> None:
    visitor = Visitor(tab_of(own))
    at, coffee = visitor.at, photo_ids["coffee.jpg"]

    def named(answer: dict[Any, Any]) -> list[str]:
        sliders = [given(answer[slider]) for slider in at.mix]
        return [slider["label"] for slider in sliders if slider["visible"]]

    before = [slider.label for slider in at.mix if slider.visible]
    assert before == ["Stage 1", "Stage 2", "Stage 3", "Stage 4"]
    visitor.do("choose", photo=coffee)
    visitor.set(dial="mix")
    assert named(visitor.do("narrow")) == before
    assert visitor.ask().stages == (1, 1, 1, 1)

    runner = Runner(own)
    assert switch_handlers.start_switch(runner, str(tiny_checkpoint("regnet-y"))) is None
    runner.wait(120)
    visitor.shown |= {at.mix[0]: 0.5}
    assert named(visitor.do("narrow")) == ["Stage 1", "Stage 2", "Stage 3"]
    assert visitor.ask().stages == (0.5, 1, 1)
    assert "rc-card" in visitor.shown[at.found]
    visitor.visit(f"?photo={coffee}&mix=2,1,0")
    assert [given(visitor.shown[slider])["value"] for slider in at.mix[:3]] == [1, 0.5, 0]
    assert "rc-card" in visitor.shown[at.found]
