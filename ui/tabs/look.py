"""The Look tab: a query of pictures and words, what the network says of its first picture, and the photos like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.context import PageContext
from ui.search_handlers import Ask
from ui.tabs import look_markup as markup
from ui.tabs.look_events import LookEvents
from ui.tabs.look_parts import BEFORE, DIAL, FROM, MIX, SLIDERS, LookParts, slider_of
from ui.tabs.shared import LATEST, QUICK, WORK, html, live_html

PICTURES = ["image"]  # what the fields for pictures take: the server finds out what a file really is
DIAL_WORDS = [(kind.capitalize(), kind) for kind in DIAL] + [("My own mix", MIX)]


@dataclass(frozen=True)
class LookTab:
    """What other tabs need: `picture` holds what is looked at (None, an uploaded file, or a photo's id), `ask` the query."""

    ask: gr.State
    picture: gr.State
    view: list[Any]  # what its events are told
    found: gr.HTML
    events: LookEvents
    outputs: list[Any]
    latest: dict[str, Any]  # how events are sent that make it look at another picture


def look_tab(context: PageContext, address: gr.HTML) -> LookTab:
    """Build the tab; called within it. `address` holds the view's address."""
    ask, picture, trail = gr.State(Ask()), gr.State(None), gr.State([])
    events = LookEvents(context)
    # The columns in the order in which they are read; on a wide screen the style sheet puts the last below the first.
    with gr.Row(elem_classes="rc-query"):
        with gr.Column(min_width=240):
            query = gr.Image(
                label="Your picture", type="filepath", sources=["upload", "clipboard"], buttons=[], height=280,
                elem_id="query", format="jpeg", placeholder="Drop a picture here, paste one, or click to choose",
            )  # fmt: skip
            trouble = html("", "look-problem")
            picks = live_html("", "picks", "weigh", "drop")
            add = gr.UploadButton(
                "Add another picture", file_types=PICTURES, elem_id="add", size="sm", interactive=False
            )
            labels = html(markup.labels(None), "labels")
            own = html("", "own-labels")
        with gr.Column(min_width=240):
            steps = live_html("", "trail", "visit")
            controls = _controls(context)
            said = html("", "answer-problem", elem_classes="rc-said")
            found = live_html(
                events.nothing_yet(),
                "neighbours",
                "choose",
                "more",
                "less",
                "why",
                "stages",
                "say",
                "turn",
                "sample",
                "visit",
            )
        with gr.Column(min_width=240):
            with gr.Group(visible=False) as lesson:
                word = gr.Textbox(
                    label="Teach it a word", placeholder="cat", max_lines=1, elem_id="word",
                    info="Yours alone: two words or more, a few photos each.",
                )  # fmt: skip
                teach = gr.Button("Teach this word", elem_id="teach", size="sm")
            taught = html("", "taught")
    stages = html(events.no_stages(), "stages")
    at = LookParts(
        ask, picture, trail, query, trouble, picks, add, labels, own, lesson, taught, steps, said, found, stages, address,
        **controls,
    )  # fmt: skip
    events.at = at
    _listen(at, events)
    gr.on([teach.click, word.submit], events.teach, [picture, word], [word, taught, own], **QUICK)
    return LookTab(
        ask,
        picture,
        [ask, trail, picture, *at.controls],
        found,
        events,
        at.outputs,
        {**LATEST, "show_progress_on": [query]},
    )


def _controls(context: PageContext) -> dict[str, Any]:
    with gr.Row(elem_classes="rc-dial"):
        dial = gr.Radio(
            DIAL_WORDS, value=DIAL[-1], label="What kind of similar", elem_id="dial", scale=3, min_width=300
        )
        words = gr.Dropdown(
            [], multiselect=True, allow_custom_value=True, label="Called (a word)", elem_id="words", scale=3, min_width=200,
            max_choices=8,
        )  # fmt: skip
    with gr.Row(visible=False, elem_classes="rc-mix") as mixer:
        names = context.library.space.names
        mix = [gr.Slider(0, 1, 1, step=0.05, min_width=140, **slider_of(names, number)) for number in range(SLIDERS)]
    with gr.Accordion("Only some photos", open=False, elem_id="filters") as filters:
        with gr.Row(elem_classes="rc-filters"):
            folder = gr.Dropdown(
                [], allow_custom_value=True, label="In the folder", value=None, elem_id="folder", min_width=120
            )
            camera = gr.Dropdown(
                [], allow_custom_value=True, label="Taken by the camera", value=None, elem_id="camera", min_width=120
            )
            after = gr.Textbox(label=FROM, placeholder="2024-05", max_lines=1, elem_id="after", min_width=120)
            before = gr.Textbox(label=BEFORE, placeholder="2025", max_lines=1, elem_id="before", min_width=120)
        dates = html("", "dates-problem")
    return {
        "dial": dial, "words": words, "mixer": mixer, "mix": mix, "filters": filters, "folder": folder, "camera": camera,
        "after": after, "before": before, "dates": dates,
    }  # fmt: skip


def _listen(at: LookParts, events: LookEvents) -> None:
    looks: dict[str, Any] = {**WORK, "show_progress_on": [at.query]}
    latest: dict[str, Any] = {**LATEST, "show_progress_on": [at.query]}
    view, outputs = [at.ask, at.trail, at.picture, *at.controls], at.outputs
    at.query.input(events.upload, [at.query, *view], outputs, preprocess=False, **looks)
    at.query.clear(events.cleared, view, outputs, **QUICK)
    at.add.upload(events.add_upload, [at.add, *view], outputs, preprocess=False, **looks)
    at.found.choose(events.choose, view, outputs, **latest)
    at.found.more(events.more, view, outputs, **latest)
    at.found.less(events.less, view, outputs, **latest)
    at.found.turn(events.turn, view, outputs, **latest)
    at.found.say(events.say, view, outputs, **latest)
    at.picks.weigh(events.weigh, view, outputs, **latest)
    at.picks.drop(events.drop, view, outputs, **latest)
    for piece in (at.steps, at.found):
        piece.visit(events.visit, view[:3], outputs, **latest)
    at.words.change(events.narrow_words, view, outputs, **latest)
    changed = [
        at.folder.input,
        at.camera.input,
        at.after.submit,
        at.before.submit,
        at.after.blur,
        at.before.blur,
    ]
    gr.on(
        [at.dial.input, *changed, *(slider.release for slider in at.mix)],
        events.narrow, view, outputs, **latest,
    )  # fmt: skip
    at.words.focus(events.word_choices, None, at.words, **QUICK)
    at.filters.expand(events.filter_choices, None, [at.folder, at.camera], **QUICK)
