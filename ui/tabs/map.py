"""The Map tab: the library in the plane, drawn in the background; a click makes a photo the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.context import PageContext
from ui.map_handlers import MapView
from ui.tabs import map_markup as markup
from ui.tabs.shared import QUICK, html, live_html, script

POLL_S = 1.0


@dataclass(frozen=True)
class MapTab:
    """What other tabs need: pieces that send `choose` with a photo's id."""

    choosers: list[gr.HTML]


def map_tab(context: PageContext, picture: gr.State, tab: gr.Tab) -> MapTab:
    """Build the tab; called within it."""
    events = _Events(context)
    state = live_html(markup.state(MapView(), None), "map-state", "draw", "stop")
    javascript = f'const EVENTS = ["choose"];\n{script("events.js")}\n{script("map.js")}'
    canvas = html(markup.canvas(), "map", js_on_load=javascript)
    timer = gr.Timer(POLL_S, active=False)
    shown = [state, timer]
    tab.select(events.opened, picture, shown, **QUICK)
    state.draw(events.draw, picture, shown, **QUICK)
    state.stop(events.stop, picture, shown, **QUICK)
    timer.tick(events.now, picture, shown, **QUICK)
    return MapTab([canvas])


class _Events:
    """Handlers with the library at hand; each answers with the state and whether it is to be asked for again soon."""

    def __init__(self, context: PageContext) -> None:
        self.drawing = context.map

    def opened(self, picture: str | int | None) -> list[Any]:
        self.drawing.start_first()
        return self.now(picture)

    def draw(self, picture: str | int | None) -> list[Any]:
        self.drawing.start()
        return self.now(picture)

    def stop(self, picture: str | int | None) -> list[Any]:
        self.drawing.stop()
        return self.now(picture)

    def now(self, picture: str | int | None) -> list[Any]:
        view = self.drawing.view()
        query = self.drawing.photo_on_it(picture) if isinstance(picture, int) else None
        return [markup.state(view, query), gr.Timer(active=view.running)]
