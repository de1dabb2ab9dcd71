"""The Stages tab: stem and every stage of the picture that Look looks at, their channels, and files of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from ui import stage_handlers as handlers
from ui.context import PageContext
from ui.maps import spoken_name
from ui.seeing_handlers import ChannelResult, channel_photos
from ui.stage_files import stage_file
from ui.stage_looks import StageLooks
from ui.tabs import stages_markup as markup
from ui.tabs.shared import LATEST, WORK, html, live_html, number, script, to_download

ORDERS = [("Strongest first", "value"), ("Unusual here first", "unusual")]
VIEWS = ["Picture", "Both", "Map"]  # what the enlarged channel shows; the style sheet follows the choice

Shown = dict[Any, Any]  # component -> what it shows now


@dataclass(frozen=True)
class StagesTab:
    """What other tabs need: pieces whose "choose" names a photo to look at."""

    choosers: list[gr.HTML]


@dataclass(frozen=True)
class _Parts:
    """The tab's components; `seen` is what the overview was made of."""

    picture: gr.State
    seen: gr.State
    overview: gr.HTML
    panel: gr.Column
    stage: gr.Radio
    order: gr.Radio
    channels: gr.HTML
    channel: gr.HTML
    numbers: gr.HTML
    photos: gr.HTML
    again: gr.Button
    sheet: gr.Button
    arrays: gr.Button
    file: gr.DownloadButton
    note: gr.HTML


def stages_tab(context: PageContext, picture: gr.State, tab: gr.Tab) -> StagesTab:
    """Build the tab; called within it. `picture` holds what Look looks at: None, an uploaded file, or a photo's id."""
    names = _names(context)
    overview = html(markup.overview_places([spoken_name(name) for name in names]), "stage-overview")
    again = gr.Button(
        elem_id="stage-again", elem_classes="rc-unseen"
    )  # not in the panel, which is away without a picture
    with gr.Column(elem_id="stage-panel") as panel:
        with gr.Row(elem_classes="rc-stage-choice"):
            stage = gr.Radio(_choices(names), value=names[-1], label="Stage", elem_id="stage", scale=3, min_width=300)
            order = gr.Radio(
                ORDERS, value=ORDERS[0][1], label="Order of the channels", elem_id="order", scale=2, min_width=280
            )
        with gr.Row(elem_classes="rc-stage-view"):
            with gr.Column(elem_classes="rc-stage-channels"):
                channels = live_html(markup.channel_places(), "stage-channels", "turn", "channel")
            with gr.Column(elem_classes="rc-stage-channel"):
                channel = html("", "stage-channel")
                gr.Radio(
                    VIEWS, value=VIEWS[1], label="Show", show_label=False, container=False, interactive=True,
                    elem_id="stage-show",
                )  # fmt: skip
                numbers = html("", "stage-numbers")
            with gr.Column(elem_classes="rc-stage-photos"):
                photos = live_html("", "stage-photos", "choose")
        with gr.Row(elem_classes="rc-stage-save"):
            sheet = gr.Button("Save all channels as PNG", elem_id="stage-png", scale=0, min_width=280)
            arrays = gr.Button("Save the numbers as NPZ", elem_id="stage-npz", scale=0, min_width=280)
            file = gr.DownloadButton(elem_id="stage-file", elem_classes="rc-unseen")
            note = html(markup.SAVES, "stage-note")
    at = _Parts(
        picture, gr.State(None), overview, panel, stage, order, channels, channel, numbers, photos, again, sheet, arrays,
        file, note,
    )  # fmt: skip
    _listen(at, _Events(context, at), tab)
    return StagesTab([photos])


def _listen(at: _Parts, events: _Events, tab: gr.Tab) -> None:
    quiet = {**LATEST, "show_progress": "hidden"}
    of_channel = [at.channel, at.numbers, at.photos]
    of_stage = [at.channels, *of_channel, at.note, at.file]
    asked = [at.picture, at.stage, at.order]
    gr.on(
        [tab.select, at.again.click], events.opened, [at.picture, at.seen, at.stage, at.order],
        [at.seen, at.overview, at.panel, at.stage, *of_stage], **WORK,
    )  # fmt: skip
    at.picture.change(None, js=_script("again"))  # who was faster than the network sees the picture when it is there
    at.stage.input(events.stage, asked, of_stage, **quiet)
    at.order.input(events.first_page, asked, at.channels, **quiet)
    at.channels.turn(events.turn, asked, at.channels, **quiet)
    clicked = at.channels.channel(events.channel, [at.picture, at.stage], of_channel, **quiet)
    clicked.then(None, js=_script("show"))
    for button, kind in ((at.sheet, "png"), (at.arrays, "npz")):
        made = button.click(partial(events.save, kind), asked, [at.note, at.file], **WORK, show_progress_on=[at.note])
        made.then(None, js=_script("save"))


def _script(what: str) -> str:
    return f'() => ({script("stages.js")})("{what}")'


def _names(context: PageContext) -> list[str]:
    return ["stem", *(name for name, _ in context.library.space.parts if name != "pooled")]


def _choices(names: list[str]) -> list[tuple[str, str]]:
    return [(spoken_name(name).capitalize(), name) for name in names]


class _Events:
    """Handlers with the library and the last looks at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, context: PageContext, at: _Parts) -> None:
        self.library = context.library
        self.looks = StageLooks()
        self.at = at

    def opened(self, picture: str | int | None, seen: Any, stage: str, order: str) -> Shown:
        """Everything anew, where the picture or the library's model is another one since."""
        at = self.at
        now = (self.library.follow().space.key, picture)
        if seen == now:
            return {at.seen: gr.skip()}
        if picture is None:
            return {at.seen: now, at.overview: markup.nothing_yet(), at.panel: gr.Column(visible=False)}
        shown = handlers.overview(self.looks, self.library, picture)
        if shown.problem is not None:  # perhaps mended until the next time
            return {at.seen: None, at.overview: markup.overview(shown), at.panel: gr.Column(visible=False)}
        names = [one.name for one in shown.stages]
        stage = stage if stage in names else names[-1]
        return {
            at.seen: now,
            at.overview: markup.overview(shown),
            at.panel: gr.Column(visible=True),
            at.stage: gr.Radio(_choices(names), value=stage),
            **self.stage(picture, stage, order),
        }

    def stage(self, picture: str | int | None, stage: str, order: str) -> Shown:
        """A stage's first page and its strongest channel."""
        at = self.at
        return {
            at.channels: self.first_page(picture, stage, order),
            **self._view(picture, stage, None),
            at.note: markup.SAVES,
            at.file: gr.DownloadButton(visible="hidden"),
        }

    def first_page(self, picture: str | int | None, stage: str, order: str) -> Any:
        """The first page of a stage's channels."""
        return self._page(picture, stage, order, 0)

    def turn(self, picture: str | int | None, stage: str, order: str, event: gr.EventData) -> Any:
        """The page that was asked for."""
        return self._page(picture, stage, order, number(event, "page") or 0)

    def channel(self, picture: str | int | None, stage: str, event: gr.EventData) -> Shown:
        """The channel that was clicked."""
        return self._view(picture, stage, number(event, "channel") or 0)

    def save(self, kind: str, picture: str | int | None, stage: str, order: str) -> list[Any]:
        """A file of the stage, in the folder whose files Gradio gives out, and deletes after an hour."""
        if picture is None:
            return [gr.skip(), gr.skip()]
        made = stage_file(self.looks, self.library, picture, stage, order, kind)
        if made.problem is not None:
            return [markup.saved("", made.problem), gr.DownloadButton(visible="hidden")]
        file = gr.DownloadButton("Download again", value=to_download(made.name, made.data), visible=True)
        return [markup.saved(made.words, None, len(made.data)), file]

    def _page(self, picture: str | int | None, stage: str, order: str, number: int) -> Any:
        if picture is None:
            return gr.skip()
        return markup.channels(handlers.channel_page(self.looks, self.library, picture, stage, order, number))

    def _view(self, picture: str | int | None, stage: str, channel: int | None) -> Shown:
        at = self.at
        if picture is None:
            return {at.channel: gr.skip()}
        view = handlers.channel_view(self.looks, self.library, picture, stage, channel)
        is_stored = view.problem is None and stage != handlers.NOT_STORED
        found = (
            channel_photos(self.library, view.channel, stage, markup.PHOTOS)
            if is_stored
            else ChannelResult(problem=view.problem)
        )
        return {
            at.channel: markup.channel(view),
            at.numbers: markup.numbers(view),
            at.photos: markup.photos(view, found),
        }
