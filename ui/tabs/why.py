"""The Why tab: what makes the query and one of its neighbours alike, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from index.kept import Kept
from ui import handlers, pair_handlers
from ui.context import PageContext
from ui.pair_handlers import Pair, PairResult, Picture
from ui.tabs import why_markup as markup
from ui.tabs.shared import LATEST, WORK, live_html, number, script

# The pictures are not looked at again for these: they take milliseconds, but wait for their turn all the same.
LIGHT: dict[str, Any] = {**LATEST, "show_progress": "hidden"}
A_FEW = 12  # photos that are looked for, to say whether there are any
SHOW = "show => { document.getElementById('why-pair').dataset.show = show; }"
SHOWN = "() => document.dispatchEvent(new CustomEvent('rc-why-shown', {{ detail: '{}' }}))"


@dataclass(frozen=True)
class WhyTab:
    """What other tabs need: `choosers` send `choose` for a photo that is to be the query."""

    choosers: list[gr.HTML]
    events: _Events
    outputs: list[Any]  # of events.pair


@dataclass(frozen=True)
class _Shown:
    """What one person's tab shows: a query, perhaps a pair, and the score that the search has for it."""

    picture: Picture
    pair: Pair | None = None
    part: int = 0
    score: float | None = None


def why_tab(context: PageContext, picture: gr.State, tab: gr.Tab, page: gr.Blocks) -> WhyTab:
    """Build the tab; called within it. `picture` is the query of the whole page."""
    events = _Events(context)
    shown = gr.State(None)
    with gr.Row(elem_classes="rc-why"):
        with gr.Column(scale=1, min_width=260):
            scores = live_html(markup.scores(None), "why-scores", "part")
            show = gr.Radio(["Picture", "Both", "Map"], value="Both", label="Show", elem_id="why-show")
        with gr.Column(scale=3, min_width=320):
            pair = live_html(events.nothing(), "why-pair", "cell", "whole", "choose")
    row = live_html("", "why-row", "why")
    outputs = [shown, scores, pair, row]
    tab.select(events.selected, [picture, shown], outputs, **{**WORK, "show_progress_on": [pair]})
    chosen = row.why(events.choose, picture, outputs, **{**LATEST, "show_progress_on": [pair]})
    part = scores.part(events.part, shown, [shown, scores, pair], **LIGHT)
    cell = pair.cell(events.cell, shown, pair, **LIGHT)
    whole = pair.whole(events.whole, shown, pair, **LIGHT)
    for piece, done in (("why-pair", cell), ("why-pair", whole), ("why-row", chosen), ("why-scores", part)):
        done.then(None, js=SHOWN.format(piece), api_visibility="private")
    show.change(None, show, js=SHOW, api_visibility="private")
    page.load(None, js=script("why.js"), api_visibility="private")
    return WhyTab([pair], events, outputs)


class _Events:
    """Handlers with the library and what was looked at last at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, context: PageContext) -> None:
        self.library = context.library
        self.kept = Kept()  # one for all who look at this page: most look at the same photos

    def selected(self, picture: Picture | None, shown: _Shown | None) -> list[Any]:
        """The query changes in another tab: it is looked at when this one is opened."""
        if picture is None:
            return [None, markup.scores(None), self.nothing(), ""]
        if shown is not None and shown.picture == picture:
            return [gr.skip()] * 4
        query = pair_handlers.query_of(self.library, self.kept, picture)
        return [_Shown(picture), markup.scores(None, parts=query.parts), markup.pair(query), markup.neighbours(query)]

    def choose(self, picture: Picture | None, event: gr.EventData) -> list[Any]:
        return self.pair(picture, number(event, "photo"))

    def pair(self, picture: Picture | None, photo_id: int | None) -> list[Any]:
        """The query beside a photo of the library."""
        if picture is None or photo_id is None:
            return self.selected(picture, None)
        query = pair_handlers.query_of(self.library, self.kept, picture)
        result = pair_handlers.pair_of(self.library, self.kept, picture, photo_id)
        score = next((hit.score for hit in query.hits if hit.photo_id == photo_id), None)
        view = result.view
        shown = _Shown(picture) if view is None else _Shown(picture, view.pair, view.part, score)
        row = markup.neighbours(query, photo_id)
        bars = markup.scores(None, parts=query.parts) if view is None else markup.scores(view, result.without_vector)
        return [shown, bars, markup.pair(query, result, score), row]

    def part(self, shown: _Shown | None, event: gr.EventData) -> list[Any]:
        part = number(event, "part")
        if shown is None or shown.pair is None or part is None:
            return [gr.skip()] * 3
        result = pair_handlers.part_of(self.library, self.kept, shown.pair, part)
        if result.view is None:
            return [gr.skip(), gr.skip(), markup.pair(None, result)]
        now = _Shown(shown.picture, shown.pair, part, shown.score)
        return [now, markup.scores(result.view), markup.pair(None, result, shown.score)]

    def cell(self, shown: _Shown | None, event: gr.EventData) -> Any:
        side, row, column = (number(event, name) for name in ("side", "row", "column"))
        if shown is None or shown.pair is None or side is None or row is None or column is None:
            return gr.skip()
        return self._of_shown(shown, shown.pair, (side, row, column))

    def whole(self, shown: _Shown | None) -> Any:
        return gr.skip() if shown is None or shown.pair is None else self._of_shown(shown, shown.pair, None)

    def nothing(self) -> str:
        has_photos = handlers.photos_to_try(self.library, A_FEW)
        return markup.pair(None) if has_photos else markup.no_photos(handlers.EMPTY_LIBRARY)

    def _of_shown(self, shown: _Shown, pair: Pair, cell: pair_handlers.Place | None) -> str:
        result: PairResult = pair_handlers.part_of(self.library, self.kept, pair, shown.part, cell)
        return markup.pair(None, result, shown.score)
