"""The Duplicates tab: photos that are in the library more than once, decided about a group at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.context import PageContext
from ui.duplicate_handlers import SearchView
from ui.duplicate_review import Place, as_csv, decide_shown, decisions_page, may_go, review, take_back
from ui.handlers import READ_ONLY
from ui.markup import about, problem
from ui.tabs import duplicates_markup as markup
from ui.tabs.shared import QUICK, WORK, html, live_html, number, script, to_download, value

POLL_S = 0.7
SEEN = 8  # outputs of a review
PATHS_SHOWN = 2000  # in the text field; the table has all


@dataclass(frozen=True)
class DuplicatesTab:
    """What other tabs need: pieces whose "choose" names a photo to look at."""

    choosers: list[gr.HTML]


def duplicates_tab(context: PageContext, tab: gr.Tab, page: gr.Blocks) -> DuplicatesTab:
    """Build the tab; called within it."""
    events = _Events(context)
    place = gr.State(Place())
    timer = gr.Timer(POLL_S, active=False)
    with gr.Row(elem_classes="rc-dup-start"):
        begin = gr.Button("Look for duplicates", variant="primary", elem_id="duplicates-start", min_width=200, scale=0)
        stop = gr.Button("Stop", visible=False, elem_id="duplicates-stop", min_width=100, scale=0)
        html(about(markup.PROMISE), "duplicates-promise")
    search = html("", "duplicates-search")
    kinds = live_html("", "duplicates-kinds", "kind")
    with gr.Column(elem_id="duplicates-bar"):
        bar = live_html(markup.keys(events.is_read_only), "duplicates-keys", "decide", "undo", "step")
        outcome = html("", "duplicates-outcome")
    trouble = html(problem(READ_ONLY if events.is_read_only else None), "duplicates-problem")
    group = live_html("", "duplicates-group", "choose")
    with gr.Accordion("What you decided", open=False, elem_id="duplicates-decided") as decided:
        decisions = live_html("", "duplicates-decisions", "undo", "turn")
    with gr.Accordion("Files that may go", open=False, elem_id="duplicates-may-go") as files:
        listed = html("", "duplicates-listed")
        with gr.Row():
            save = gr.Button("Save as CSV", visible=False, size="sm", elem_id="duplicates-save", scale=0, min_width=140)
            file = gr.DownloadButton(
                size="sm", elem_id="duplicates-csv", elem_classes="rc-unseen", scale=0, min_width=140
            )
        paths = gr.Textbox(
            visible=False,
            label="One path in each line",
            lines=6,
            max_lines=14,
            buttons=["copy"],
            elem_id="duplicates-paths",
        )
    seen = [place, kinds, group, outcome, trouble, decisions, decided, files]
    whole = [timer, begin, stop, search, *seen]
    begin.click(events.begin, place, whole, **QUICK)
    stop.click(events.stop, None, None, **QUICK)
    timer.tick(events.tick, place, whole, **QUICK)
    tab.select(events.whole, place, whole, **QUICK)
    kinds.kind(events.of_kind, None, seen, **QUICK)
    bar.decide(events.decide, place, seen, **QUICK)
    bar.step(events.step, place, seen, **QUICK)
    gr.on([bar.undo, decisions.undo], events.undo, place, seen, **QUICK)
    decisions.turn(events.turn, None, decisions, **QUICK)
    files.expand(events.files, None, [listed, paths, save], **QUICK)
    saved = save.click(events.save, None, file, **WORK)
    saved.then(None, js='() => document.querySelector("#duplicates-csv")?.click()')
    page.load(None, js=script("duplicates.js"))
    return DuplicatesTab([group])


class _Events:
    """Handlers with the search at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, context: PageContext) -> None:
        self.search = context.duplicates
        self.is_read_only = context.library.catalog.is_read_only

    def begin(self, place: Place) -> list[Any]:
        self.search.start()
        return self.whole(place)

    def stop(self) -> None:
        self.search.stop()

    def tick(self, place: Place) -> list[Any]:
        """While it runs only how it goes: the group that is looked at stays as it is."""
        view = self.search.view()
        if view.running:
            return [*self._search(view), *[gr.skip()] * SEEN]
        return [gr.Timer(active=False), *self.whole(place)[1:]]

    def whole(self, place: Place) -> list[Any]:
        """Never stops the timer: an answer that comes late must not end what a later one began."""
        return [*self._search(self.search.view()), *self._seen(place)]

    def of_kind(self, event: gr.EventData) -> list[Any]:
        kind = value(event, "kind")
        return self._seen(Place(kind if kind in markup.KINDS else None))

    def step(self, place: Place, event: gr.EventData) -> list[Any]:
        return self._seen(place._replace(at=place.at + (-1 if value(event, "to") == "back" else 1)))

    def decide(self, place: Place, event: gr.EventData) -> list[Any]:
        refused = decide_shown(self.search, place, value(event, "verdict"))
        return self._seen(place, refused)

    def undo(self, place: Place, event: gr.EventData) -> list[Any]:
        return self._seen(*take_back(self.search, place, number(event, "decision")))

    def turn(self, event: gr.EventData) -> str:
        start = number(event, "start") or 0
        made, total = decisions_page(self.search, start, markup.LISTED)
        return markup.decisions(made, start, total, self.is_read_only)

    def files(self) -> list[Any]:
        files = may_go(self.search)
        lines = "\n".join(file.path.encode("utf-8", "replace").decode() for file in files[:PATHS_SHOWN])
        return [markup.list_of_files(files), gr.Textbox(lines, visible=bool(files)), gr.Button(visible=bool(files))]

    def save(self) -> Any:
        """The whole list as it is now."""
        return gr.DownloadButton(value=to_download("copies.csv", as_csv(may_go(self.search))))

    def _search(self, view: SearchView) -> list[Any]:
        timer = gr.Timer(active=True) if view.running else gr.skip()
        begin = gr.Button(interactive=not view.running)
        return [timer, begin, gr.Button(visible=view.running), markup.searching(view)]

    def _seen(self, place: Place, refused: str | None = None) -> list[Any]:
        """SEEN values: what a person sees of the review at a place."""
        seen = review(self.search, place)
        made, total = decisions_page(self.search, 0, markup.LISTED)
        listed = markup.decisions(made, 0, total, self.is_read_only)
        trouble = READ_ONLY if self.is_read_only else refused
        running = self.search.view().running and not self.search.groups
        return [
            seen.place, markup.kinds(seen), "" if running else markup.group(seen, self.search.has_looked, total),
            markup.outcome(seen, made[0] if made else None), problem(trouble), listed,
            gr.Accordion(label=f"What you decided ({total:,})"),
            gr.Accordion(label=f"Files that may go ({seen.may_go:,})", open=False),
        ]  # fmt: skip
