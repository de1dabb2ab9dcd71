"""The Look tab's events without a browser: what the components show after each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from index.library import Library
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
        self.shown |= answer
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
