"""The Library tab: which folders are indexed, how that goes, and what could not be read."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui import handlers
from ui.context import PageContext
from ui.job_words import job_view
from ui.markup import problem
from ui.tabs import library_markup as markup
from ui.tabs.shared import QUICK, html

POLL_S = 1.0


def library_tab(context: PageContext, page: gr.Blocks) -> gr.Timer:
    """Build the tab, called within it; the timer asks how the job goes, and is to run only while the tab is shown."""
    events = _Events(context)
    timer = gr.Timer(POLL_S, active=False)
    shown_unreadable = gr.State(-1)
    counts = html("", "counts")
    with gr.Group(elem_classes="rc-start"):
        folders = gr.Textbox(
            label="Folders with pictures", lines=2, max_lines=8, elem_id="folders",
            placeholder="/home/me/Pictures", info="Full paths on the computer that runs RegConv, one in each line. "
            "Folders inside are included; your files are only read.",
        )  # fmt: skip
        retry = gr.Checkbox(label="Try unreadable files again", elem_id="retry")
    trouble = html("", "start-problem")
    with gr.Row(elem_classes="rc-buttons"):
        start = gr.Button("Start", variant="primary", elem_id="start", min_width=120)
        stop = gr.Button("Stop", interactive=False, elem_id="stop", min_width=120)
    job = html("", "job")
    unreadable = html("", "unreadable")
    state = [counts, job, start, stop, unreadable, shown_unreadable]
    start.click(events.start, [folders, retry], trouble, **QUICK).then(events.state, shown_unreadable, state, **QUICK)
    stop.click(events.stop, None, None, **QUICK).then(events.state, shown_unreadable, state, **QUICK)
    timer.tick(events.state, shown_unreadable, state, **QUICK)
    page.load(events.state, shown_unreadable, state, **QUICK)
    page.load(events.last_folders, None, folders, **QUICK)
    return timer


class _Events:
    """Handlers with the library at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, context: PageContext) -> None:
        self.library = context.library
        self.runner = context.runner

    def start(self, folders: str, retry_failed: bool) -> str:
        return problem(handlers.start_job(self.runner, folders, retry_failed))

    def stop(self) -> None:
        self.runner.stop()

    def last_folders(self) -> Any:
        job = self.runner.job()
        return "\n".join(job.folders) if job is not None and job.folders else gr.skip()

    def state(self, shown_unreadable: int) -> list[Any]:
        """Everything that changes while a job runs, from the catalogue: another process' job shows as well."""
        numbers = self.library.catalog.counts(self.library.space_id)
        view = job_view(self.runner.job())
        running = view is not None and view.running
        table: Any = gr.skip()
        if numbers["unreadable"] != shown_unreadable:
            table = markup.unreadable(handlers.unreadable(self.library), numbers["unreadable"])
        start, stop = gr.Button(interactive=not running), gr.Button(interactive=running)
        return [markup.counts(numbers), markup.job(view), start, stop, table, numbers["unreadable"]]
