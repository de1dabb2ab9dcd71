"""What the Look tab is made of: its components, the steps of its trail, and what follows from a query alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import gradio as gr

from index.search import LIKE
from ui.address import WORDS, BadAddress, moment
from ui.maps import spoken_name
from ui.page_routes import FILE
from ui.search_handlers import Ask

Picture = int | str | None  # that is looked at: a photo's id, an upload, or none
DIAL, MIX = LIKE, "mix"
SLIDERS = 8  # of one's own mix: no model has parts so many
FROM, BEFORE = "Taken from", "Taken before"
BROWSERS_SHOW = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")


@dataclass(frozen=True)
class Step:
    """A query of the trail."""

    address: str
    title: str
    source: str | None  # of a small picture
    query: tuple[Any, ...]  # its pictures and words: what makes it another query, not only another view


@dataclass(frozen=True)
class View:
    """What an event is told: the query, the way that led to it, the picture that is shown, and where the controls stand."""

    ask: Ask
    trail: list[Step]
    picture: Picture
    controls: tuple[Any, ...]  # as in LookParts.controls

    @classmethod
    def of(cls, values: Sequence[Any]) -> View:
        """From an event's arguments."""
        ask, trail, picture, *controls = values
        return cls(ask, trail, picture, tuple(controls))

    def as_controls_say(self, parts: int) -> tuple[Ask, dict[str, str]]:
        """The query with what the controls narrow it to (one may have been left just now), and by field what is no date.

        A field whose words are no date narrows nothing. Of one's own mix the first so many `parts` count, as the space has.
        """
        if not self.controls:
            return self.ask, {}
        dial, words, folder, camera, after, before, *mix = self.controls
        dates: dict[str, datetime | None] = {}
        wrong: dict[str, str] = {}
        for field, label, typed in (("after", FROM, after), ("before", BEFORE, before)):
            try:
                dates[field] = moment(label, typed if isinstance(typed, str) else None)
            except BadAddress as error:
                wrong[field] = f"{error} Until then this field is left out."
        ask = replace(
            self.ask,
            words=tuple(words or ())[:WORDS],
            like=None if dial in (MIX, DIAL[-1]) else dial,
            stages=tuple(mix[:parts]) if dial == MIX else (),
            folder=folder or None,
            camera=camera or None,
            after=dates.get("after"),
            before=dates.get("before"),
        )
        return ask, wrong


@dataclass(frozen=True)
class LookParts:
    """The tab's components."""

    ask: gr.State
    picture: gr.State
    trail: gr.State
    query: gr.Image
    trouble: gr.HTML
    picks: gr.HTML
    add: gr.UploadButton
    labels: gr.HTML
    own: gr.HTML
    lesson: gr.Group
    taught: gr.HTML
    steps: gr.HTML
    said: gr.HTML
    found: gr.HTML
    stages: gr.HTML
    address: gr.HTML
    dial: gr.Radio
    words: gr.Dropdown
    mixer: gr.Row
    mix: Sequence[gr.Slider]
    filters: gr.Accordion
    folder: gr.Dropdown
    camera: gr.Dropdown
    after: gr.Textbox
    before: gr.Textbox
    dates: gr.HTML

    @property
    def controls(self) -> list[Any]:
        """Those that narrow a query, in the order in which events are told of them."""
        return [self.dial, self.words, self.folder, self.camera, self.after, self.before, *self.mix]

    @property
    def outputs(self) -> list[Any]:
        """All that an event may change."""
        return [part for name, part in vars(self).items() if name != "mix"] + list(self.mix)


def slider_of(names: Sequence[str], number: int) -> dict[str, Any]:
    """How a slider of one's own mix is called in a space whose parts have these names, and whether it is there at all."""
    return {
        "label": spoken_name(names[number]).capitalize() if number < len(names) else "",
        "visible": number < len(names),
    }


def first_of(ask: Ask) -> int | str | None:
    """The picture that is looked at: the first of those to be like."""
    return next((pick.picture for pick in ask.pictures if pick.weight > 0), None)


def small_source(picture: int | str | None) -> str | None:
    """Where a small picture of it is, None where no browser shows one."""
    if picture is None:
        return None
    if isinstance(picture, int):
        return f"/photos/{picture}/thumbnail"
    return FILE + quote(picture) if picture.lower().endswith(BROWSERS_SHOW) else None
