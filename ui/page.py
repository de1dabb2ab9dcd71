"""The page: its tabs, and how they hand pictures to each other. What happens lies in *_handlers.py, how it reads in markup."""

from __future__ import annotations

import gradio as gr

from ui import handlers, markup
from ui.context import PageContext
from ui.tabs.library import library_tab
from ui.tabs.look import look_tab
from ui.tabs.shared import QUICK, html, script

CACHE_S = 3600  # what people upload is deleted after an hour, and when the server ends


def build_page(context: PageContext) -> gr.Blocks:
    """The whole page of one library. Theme and style are given where it is mounted."""
    library = context.library

    def machine() -> str:
        return markup.header(handlers.machine(library), library.space.note)

    with gr.Blocks(title="RegConv", analytics_enabled=False, delete_cache=(CACHE_S // 4, CACHE_S)) as page:
        header = html(markup.header(None, library.space.note), "header")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Look", id="look") as look:
                look_tab(context, page, look)
            with gr.Tab("Library", id="library") as admin:
                timer = library_tab(context, page)
        page.load(machine, outputs=header, show_progress="hidden", api_visibility="private")
        page.load(None, js=script("keys.js"))
        look.select(lambda: gr.Timer(active=False), outputs=timer, **QUICK)
        admin.select(lambda: gr.Timer(active=True), outputs=timer, **QUICK)
    return page
