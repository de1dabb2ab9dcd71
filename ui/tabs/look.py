"""The Look tab: one picture, what the network says of it, and the photos like it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from ui import handlers
from ui.context import PageContext
from ui.markup import problem
from ui.tabs import look_markup as markup
from ui.tabs.shared import QUICK, WORK, html, live_html, number, script

BROWSERS_SHOW = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")


@dataclass(frozen=True)
class LookTab:
    """What other tabs need: `picture` holds what is looked at (None, an uploaded file, or a photo's id)."""

    picture: gr.State
    neighbours: gr.HTML
    events: _Events
    outputs: list[Any]  # of events.look_at_photo


def look_tab(context: PageContext, page: gr.Blocks, tab: gr.Tab) -> LookTab:
    """Build the tab; called within it."""
    events = _Events(context)
    query = gr.State(None)
    with gr.Row(elem_classes="rc-look"):
        with gr.Column(scale=2, min_width=280):
            picture = gr.Image(
                label="Your picture", type="filepath", sources=["upload", "clipboard"], buttons=[], height=280,
                elem_id="query", placeholder="Drop a picture here, paste one, or click to choose",
            )  # fmt: skip
            trouble = html("", "look-problem")
            labels = html(markup.labels(None), "labels")
            own = html("", "own-labels")
            with gr.Group(visible=False) as lesson:
                word = gr.Textbox(
                    label="Teach it a word", placeholder="cat", max_lines=1, elem_id="word",
                    info="Yours alone: two words or more, a few photos each.",
                )  # fmt: skip
                teach = gr.Button("Teach this word", elem_id="teach")
            taught = html("", "taught")
        with gr.Column(scale=5, min_width=320):
            neighbours = live_html(events.no_neighbours(), "neighbours", "choose")
    stages = html(events.no_stages(), "stages")
    shown = [query, trouble, labels, own, lesson, taught, neighbours, stages]
    options: dict[str, Any] = {**WORK, "show_progress_on": [picture]}
    picture.input(events.look_at_upload, picture, [picture, *shown], preprocess=False, **options)
    neighbours.choose(events.look_at_photo, None, [picture, *shown], trigger_mode="always_last", **options)
    picture.clear(events.cleared, None, shown, **QUICK)
    gr.on([teach.click, word.submit], events.teach, [query, word], [word, taught, own], **QUICK)
    tab.select(events.hint, query, neighbours, **QUICK)
    page.load(None, js=script("paste.js"))
    return LookTab(query, neighbours, events, [picture, *shown])


class _Events:
    """Handlers with the library at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, context: PageContext) -> None:
        self.library = context.library

    def look_at_upload(self, upload: dict[str, Any] | None) -> list[Any]:
        """`upload` is Gradio's own record of a file below its upload folder, which it has checked."""
        if upload is None:
            return [gr.skip(), *self.cleared()]
        path = upload["path"]
        result = handlers.look_at_upload(self.library, path, upload.get("orig_name"))
        picture: Any = gr.skip()
        if result.saw is not None and not path.lower().endswith(BROWSERS_SHOW):
            picture = Image.fromarray(result.saw)  # no browser shows a TIFF or HEIC: show what the network saw
        return (
            [picture, path, *self._shown(result, may_teach=False)] if result.saw is not None else self._refused(result)
        )

    def look_at_photo(self, event: gr.EventData) -> list[Any]:
        photo_id = number(event, "photo") or 0
        result = handlers.look_at_photo(self.library, photo_id)
        if not result.hits and result.saw is None:
            return self._refused(result)
        view = handlers.view_of_photo(self.library, photo_id)
        picture = None if view is None else Image.open(io.BytesIO(view))
        return [picture, photo_id, *self._shown(result, may_teach=True)]

    def cleared(self) -> list[Any]:
        lesson = ["", gr.Group(visible=False), ""]
        return [None, "", markup.labels(None), *lesson, self.no_neighbours(), self.no_stages()]

    def teach(self, query: str | int | None, word: str) -> list[Any]:
        """Only photos of the library can be marked: an upload is not kept."""
        if not isinstance(query, int):
            return [gr.skip(), "", gr.skip()]
        lesson = handlers.teach_word(self.library, query, word)
        told = markup.lesson(lesson)
        return [gr.skip(), told, gr.skip()] if lesson.problem else ["", told, markup.own_labels(lesson.own)]

    def hint(self, query: str | int | None) -> Any:
        return self.no_neighbours() if query is None else gr.skip()

    def no_neighbours(self) -> str:
        numbers = self.library.catalog.counts(self.library.space_id)
        return markup.neighbours(None, markup.empty_hint(numbers, handlers.EMPTY_LIBRARY))

    def no_stages(self) -> str:
        names = [name.replace("stage", "stage ") for name in self.library.space.names if name.startswith("stage")]
        return markup.stages(None, ["input", "stem", *names])

    def _shown(self, result: handlers.LookResult, may_teach: bool) -> list[Any]:
        lesson = [markup.own_labels(result.own), gr.Group(visible=may_teach), ""]
        return ["", markup.labels(result), *lesson, markup.neighbours(result), markup.stages(result)]

    def _refused(self, result: handlers.LookResult) -> list[Any]:
        """As before the first picture, with the reason where the picture would be."""
        _, _, *blank = self.cleared()
        return [None, None, problem(result.problem), *blank]
