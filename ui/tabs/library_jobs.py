"""The part of the Library tab that indexes: folders to choose, the job, what is indexed, what could not be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from index.folders import IndexedFolder
from ui import job_handlers
from ui.context import PageContext
from ui.folder_handlers import folder_view, with_folder
from ui.job_handlers import UnreadablePage
from ui.job_words import job_view
from ui.markup import about, problem
from ui.tabs import library_markup as markup
from ui.tabs.library_part import Part
from ui.tabs.shared import QUICK, WORK, html, live_html, number, value

LEAST_S = 5.0  # between two counts of a library while a job is at work,
TIMES = 50  # and as many times what a count takes: a million photos are not counted every second


def jobs_part(context: PageContext) -> tuple[Part, gr.HTML]:
    """Build the part, called within the tab; with it the piece whose "look" leads on to the photos."""
    events = _Events(context)
    counts = html(markup.counts(None), "counts")
    with gr.Column(visible=False, elem_id="sample", elem_classes="rc-card") as sample:
        html('<h2>A first look</h2><p class="rc-about">Nothing is indexed yet. The sample pictures show within half a minute what '
             "there is to see; your own can follow.</p>", "sample-words")  # fmt: skip
        begin = gr.Button("Start with the sample pictures", variant="primary", elem_id="start-sample")
    with gr.Group(elem_classes="rc-start"):
        folders = gr.Textbox(
            label="Folders with pictures", lines=2, max_lines=8, elem_id="folders",
            placeholder="/home/me/Pictures", info="Full paths on the computer that runs RegConv, one in each line. "
            "Folders inside are included; your files are only read.",
        )  # fmt: skip
        with gr.Accordion("Choose folders on that computer", open=False, elem_id="browse") as browse:
            browser = live_html("", "browser", "enter", "take")
    trouble = html("", "start-problem")
    with gr.Row(elem_classes="rc-buttons"):
        start = gr.Button("Start", variant="primary", elem_id="start", min_width=90)
        pause = gr.Button("Pause", interactive=False, elem_id="pause", min_width=90)
        resume = gr.Button("Resume", visible=False, elem_id="resume", min_width=90)
        cancel = gr.Button("Cancel", interactive=False, elem_id="cancel", min_width=90)
    job = live_html(markup.job(None), "job", "look")
    known = live_html("", "indexed", "update")
    unreadable = live_html("", "unreadable", "turn", "retry")

    browse.expand(events.home, folders, browser, **QUICK)
    browser.enter(events.enter, None, browser, **QUICK)
    browser.take(events.take, folders, folders, **QUICK)
    unreadable.turn(events.turn, None, unreadable, **QUICK)
    acted = [
        begin.click(events.start_sample, None, trouble, **WORK),
        start.click(events.start, folders, trouble, **QUICK),
        pause.click(events.pause, None, trouble, **QUICK),
        resume.click(events.resume, None, trouble, **QUICK),
        cancel.click(events.cancel, None, trouble, **QUICK),
        known.update(events.update, None, trouble, **QUICK),
        unreadable.retry(events.retry, None, trouble, **QUICK),
    ]
    outputs = [counts, sample, begin, start, pause, resume, cancel, job, known, unreadable]
    return Part(outputs, events.now, acted), job


@dataclass(frozen=True)
class _Counted:
    numbers: dict[str, int]
    folders: list[IndexedFolder]
    unreadable: UnreadablePage


class _Overview:
    """What takes time to count. For all pages together: anew when a job begins or ends, and now and then while one works."""

    def __init__(self, context: PageContext) -> None:
        self.library, self.runner = context.library, context.runner
        self._lock = threading.Lock()
        self._counted: _Counted | None = None
        self._jobs: list[Any] = []
        self._at = self._took = 0.0

    def now(self, is_busy: bool) -> _Counted:
        jobs = [job and (job.id, job.state) for job in map(self.runner.job, job_handlers.KINDS)]
        with self._lock:
            age = time.monotonic() - self._at
            is_old = age > (max(LEAST_S, TIMES * self._took) if is_busy else 60 + TIMES * self._took)
            if self._counted is None or jobs != self._jobs or is_old:
                self._jobs, start = jobs, time.monotonic()
                self._counted = self._count()
                self._at = time.monotonic()
                self._took = self._at - start
            return self._counted

    def _count(self) -> _Counted:
        library = self.library.follow()
        numbers = library.catalog.counts(library.space_id)
        return _Counted(numbers, job_handlers.known_folders(library), job_handlers.unreadable(library))


class _Events:
    """Handlers with the library at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, context: PageContext) -> None:
        self.library, self.runner = context.library, context.runner
        self.overview = _Overview(context)

    def now(self) -> list[Any]:
        """From the catalogue: another process' job shows as well."""
        view = job_view(self.runner.job())
        is_busy = job_handlers.is_busy(self.runner)
        counted = self.overview.now(is_busy)
        is_running, can_resume = view is not None and view.running, view is not None and view.can_resume
        is_empty = not any(counted.numbers.values()) and not is_running and not self.library.catalog.is_read_only
        return [
            markup.counts(counted.numbers),
            gr.update(visible=is_empty),
            gr.update(interactive=not is_busy),
            gr.update(interactive=not is_busy),
            gr.update(visible=not can_resume, interactive=is_running),
            gr.update(visible=can_resume, interactive=not is_busy),
            gr.update(interactive=is_running or can_resume),
            markup.job(view, counted.numbers["embedded"]),
            markup.folders(counted.folders, not is_busy),
            markup.unreadable(counted.unreadable, counted.numbers["unreadable"], 0, not is_busy),
        ]

    def start(self, folders: str) -> str:
        return problem(job_handlers.start_job(self.runner, folders))

    def start_sample(self) -> Iterator[str]:
        yield about("Making the sample pictures …")
        yield problem(job_handlers.start_sample(self.runner))

    def pause(self) -> str:
        return problem(job_handlers.pause_job(self.runner))

    def resume(self) -> str:
        return problem(job_handlers.resume_job(self.runner))

    def cancel(self) -> str:
        return problem(job_handlers.cancel_job(self.runner))

    def update(self, event: gr.EventData) -> str:
        return problem(job_handlers.update_folders(self.runner, value(event, "folder") or None))

    def retry(self) -> str:
        return problem(job_handlers.retry_unreadable(self.runner))

    def turn(self, event: gr.EventData) -> str:
        after = number(event, "after") or 0
        total = self.overview.now(is_busy=False).numbers["unreadable"]
        page = job_handlers.unreadable(self.library, after)
        return markup.unreadable(page, total, after, not job_handlers.is_busy(self.runner))

    def home(self, folders: str) -> str:
        """The folder named last where there is one, else the home folder."""
        named = job_handlers.folders_in(folders)
        view = folder_view(self.library, named[-1] if named else "")
        return markup.browser(folder_view(self.library) if view.problem and named else view)

    def enter(self, event: gr.EventData) -> str:
        return markup.browser(folder_view(self.library, value(event, "folder")))

    def take(self, folders: str, event: gr.EventData) -> str:
        return with_folder(folders, value(event, "folder"))
