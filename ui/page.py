"""The page: its tabs, and how they hand pictures to each other. What happens lies in *_handlers.py, how it reads in markup."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from ui import handlers, job_handlers, markup
from ui.address import TABS, tab_of
from ui.context import PageContext
from ui.search_handlers import Ask
from ui.tabs import look_markup
from ui.tabs.duplicates import duplicates_tab
from ui.tabs.library import library_tab
from ui.tabs.look import LookTab, look_tab
from ui.tabs.map import map_tab
from ui.tabs.shared import QUICK, html, script, value
from ui.tabs.stages import stages_tab
from ui.tabs.why import WhyTab, why_tab

# For theme.py, which shows the page from then on, and for address.js.
LOADED = "() => { document.documentElement.classList.add('rc-loaded'); dispatchEvent(new Event('rc-loaded')); }"
CACHE_S = 3600  # what people upload is deleted after an hour, and when the server ends
SESSIONS = 500  # visits that are remembered, the last used ones (ui/visits.py): Gradio never forgets one


def build_page(context: PageContext) -> gr.Blocks:
    """The whole page of one library. Theme and style are given where it is mounted."""
    library = context.library

    def machine() -> str:
        return markup.header(handlers.machine(library), library.follow().space.note)

    with gr.Blocks(title="RegConv", analytics_enabled=False, delete_cache=(CACHE_S // 4, CACHE_S)) as page:
        page.state_session_capacity = SESSIONS
        header = html(markup.header(None, library.space.note), "header")
        address = html(look_markup.address(""), "address", js_on_load=script("address.js"))
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            tab = {name: gr.Tab(words, id=name) for name, words in TABS.items()}
        with tab["look"]:
            looks = look_tab(context, address)
        with tab["why"]:
            pairs = why_tab(context, looks.picture, tab["why"], page)
        with tab["stages"]:
            maps = stages_tab(context, looks.picture, tab["stages"])
        with tab["map"]:
            atlas = map_tab(context, looks.picture, tab["map"])
        with tab["duplicates"]:
            groups = duplicates_tab(context, tab["duplicates"], page)
        with tab["library"]:
            shelf = library_tab(context, tab["library"])
        page.load(machine, outputs=header, show_progress="hidden", api_visibility="private")
        for javascript in (script("keys.js"), script("paste.js"), LOADED):
            page.load(None, js=javascript)
        shelf.since.change(machine, None, header, **QUICK)
        shelf.job.look(partial(gr.Tabs, selected="look"), None, tabs, **QUICK)
        _follow_address(address, tabs, tab, looks)
        _follow_choices(
            context, tabs, looks, pairs, [*pairs.choosers, *maps.choosers, *atlas.choosers, *groups.choosers]
        )
        for name, one in tab.items():
            one.select(partial(gr.Timer, active=name == "library"), None, shelf.timer, **QUICK)
    return page


def _follow_address(address: gr.HTML, tabs: gr.Tabs, tab: dict[str, gr.Tab], looks: LookTab) -> None:
    """The address says which query and which tab are shown, and brings them back."""

    def visit(event: gr.EventData, ask: Ask, trail: list[Any], picture: str | int | None) -> dict[Any, Any]:
        shown = looks.events.visit(event, ask, trail, picture)
        tab = "look" if looks.events.is_refused(shown) else tab_of(value(event, "address"))
        return shown | {tabs: gr.Tabs(selected=tab)}

    address.visit(visit, looks.view[:3], [*looks.outputs, tabs], **looks.latest)
    been = gr.State(False)

    def look(ask: Ask, been_before: bool) -> dict[Any, Any]:
        # Gradio selects the first tab as the page opens, while the address may still be on its way to say what it shows.
        if not been_before:
            return {been: True}
        return {looks.found: looks.events.hint(ask), address: looks.events.address_in("look", ask)}

    tab["look"].select(look, [looks.ask, been], [been, looks.found, address], **QUICK)
    for name, one in tab.items():
        if name != "look":
            one.select(partial(looks.events.address_in, name), looks.ask, address, **QUICK)


def _follow_choices(
    context: PageContext, tabs: gr.Tabs, looks: LookTab, pairs: WhyTab, choosers: list[gr.HTML]
) -> None:
    """A photo that is clicked anywhere becomes the query; Look's own buttons lead to the other tabs."""

    def choose(event: gr.EventData, *view: Any) -> dict[Any, Any]:
        return looks.events.choose(event, *view) | {tabs: gr.Tabs(selected="look")}

    def stages(event: gr.EventData, *view: Any) -> dict[Any, Any]:
        return looks.events.choose(event, *view) | {tabs: gr.Tabs(selected="stages")}

    def why(picture: str | int | None, event: gr.EventData) -> list[Any]:
        return [*pairs.events.choose(picture, event), gr.Tabs(selected="why")]

    def sample() -> tuple[str, Any]:
        refused = job_handlers.start_sample(context.runner)
        return markup.problem(refused), gr.skip() if refused else gr.Tabs(selected="library")

    view, outputs = looks.view, [*looks.outputs, tabs]
    looks.found.sample(sample, None, [looks.events.at.said, tabs], **looks.latest)
    for chooser in choosers:
        chooser.choose(choose, view, outputs, **looks.latest)
    looks.found.stages(stages, view, outputs, **looks.latest)
    looks.found.why(why, looks.picture, [*pairs.outputs, tabs], **looks.latest)
