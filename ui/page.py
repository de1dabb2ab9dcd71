"""The page: its tabs, and how they hand pictures to each other. What happens lies in *_handlers.py, how it reads in markup."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from ui import handlers, markup
from ui.address import tab_of
from ui.context import PageContext
from ui.search_handlers import Ask
from ui.tabs import look_markup
from ui.tabs.duplicates import duplicates_tab
from ui.tabs.library import library_tab
from ui.tabs.look import look_tab
from ui.tabs.shared import LATEST, QUICK, html, script, value
from ui.tabs.stages import stages_tab

CACHE_S = 3600  # what people upload is deleted after an hour, and when the server ends


def build_page(context: PageContext) -> gr.Blocks:
    """The whole page of one library. Theme and style are given where it is mounted."""
    library = context.library

    def machine() -> str:
        return markup.header(handlers.machine(library), library.space.note)

    def visit(ask: Ask, trail: list[Any], event: gr.EventData) -> dict[Any, Any]:
        return looks.events.visit(ask, trail, event) | {tabs: gr.Tabs(selected=tab_of(value(event, "address")))}

    def choose(ask: Ask, trail: list[Any], event: gr.EventData) -> dict[Any, Any]:
        return looks.events.choose(ask, trail, event) | {tabs: gr.Tabs(selected="look")}

    with gr.Blocks(title="RegConv", analytics_enabled=False, delete_cache=(CACHE_S // 4, CACHE_S)) as page:
        header = html(markup.header(None, library.space.note), "header")
        address = html(look_markup.address(""), "address", js_on_load=script("address.js"))
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Look", id="look") as look:
                looks = look_tab(context, address)
            with gr.Tab("Stages", id="stages") as stages:
                maps = stages_tab(context, looks.picture, stages)
            with gr.Tab("Duplicates", id="duplicates") as duplicates:
                groups = duplicates_tab(context, duplicates, page)
            with gr.Tab("Library", id="library") as admin:
                timer = library_tab(context, page)
        page.load(machine, outputs=header, show_progress="hidden", api_visibility="private")
        for name in ("keys.js", "paste.js"):
            page.load(None, js=script(name))
        view = [looks.ask, looks.trail]
        address.visit(visit, view, [*looks.outputs, tabs], **LATEST)
        for chooser in (*maps.choosers, *groups.choosers):
            chooser.choose(choose, view, [*looks.outputs, tabs], **LATEST)
        for name, tab in {"look": look, "stages": stages, "duplicates": duplicates, "library": admin}.items():
            tab.select(partial(looks.events.address_in, name), looks.ask, address, **QUICK)
        look.select(looks.events.hint, looks.ask, looks.found, **QUICK)
        look.select(lambda: gr.Timer(active=False), outputs=timer, **QUICK)
        admin.select(lambda: gr.Timer(active=True), outputs=timer, **QUICK)
    return page
