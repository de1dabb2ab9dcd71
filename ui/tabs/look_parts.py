"""What the Look tab is made of: its components, the steps of its trail, and what follows from a query alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import gradio as gr

from ui.page_routes import FILE
from ui.search_handlers import Ask

BROWSERS_SHOW = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")


@dataclass(frozen=True)
class Step:
    """A query of the trail."""

    address: str
    title: str
    source: str | None  # of a small picture
    query: tuple[Any, ...]  # its pictures and words: what makes it another query, not only another view


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

    @property
    def outputs(self) -> list[Any]:
        """All that an event may change."""
        return [part for name, part in vars(self).items() if name != "mix"] + list(self.mix)


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
