"""The part of the Library tab that checks the library, and says what is in use and what it takes on the disk."""

from __future__ import annotations

from typing import Any

import gradio as gr

from index.runner import RUNNING
from ui import job_handlers
from ui.context import PageContext
from ui.fact_handlers import disk_use, facts_in_use
from ui.health_handlers import Checkup
from ui.markup import problem
from ui.tabs import library_health_markup as markup
from ui.tabs.library_part import Part
from ui.tabs.shared import QUICK, WORK, html

QUIETLY = {**WORK, "show_progress": "hidden"}


def health_part(context: PageContext) -> Part:
    """Build the part; called within the tab."""
    events = _Events(context)
    html("<h2>Health</h2>", "health-title")
    html('<p class="rc-about">Do photos, catalogue, vectors and index agree? The quick check looks at samples, the full one at '
         "everything, and measures how much a search finds.</p>", "health-words")  # fmt: skip
    with gr.Row(elem_classes="rc-buttons"):
        quick = gr.Button("Check the library", elem_id="check", min_width=110, size="sm")
        whole = gr.Button("Full check", elem_id="check-whole", min_width=110, size="sm")
        stop = gr.Button("Stop", visible=False, elem_id="stop-check", min_width=110, size="sm")
        mend = gr.Button("Mend", visible=False, elem_id="mend", min_width=110, size="sm")
    trouble = html("", "health-problem")
    health = html(markup.health(events.checkup.view()), "health")
    acted = [
        quick.click(events.check, None, trouble, **QUICK),
        whole.click(events.check_whole, None, trouble, **QUICK),
        stop.click(events.stop, None, trouble, **QUICK),
        mend.click(events.mend, None, trouble, **QUICK),
    ]
    return Part([quick, whole, stop, mend, health], events.now, acted)


def facts_part(context: PageContext, tab: gr.Tab) -> Part:
    """What is in use, asked when the tab is opened and after each job and change of model; what it takes on the disk, on demand.

    Called within the tab. The part tells that something has changed; to say what takes longer, which is an event of its own.
    """
    events = _FactEvents(context)
    since = html("", "facts-since")
    html("<h2>In use</h2>", "facts-title")
    facts = html(markup.facts([("Model", "…"), ("Engine", "…"), ("FAISS", "…"), ("Search index", "…")]), "facts")
    html("<h2>On the disk</h2>", "disk-title")
    disk = html("", "disk")
    measure = gr.Button("Measure", elem_id="measure", min_width=110, size="sm")
    tab.select(events.facts, None, facts, **QUIETLY)
    since.change(events.facts, None, facts, **QUICK)  # by then the job has loaded what this asks
    measure.click(events.disk, None, disk, **WORK)
    return Part([since], events.now)


class _Events:
    """Handlers with the library at hand; each answers with what Gradio puts into the outputs."""

    def __init__(self, context: PageContext) -> None:
        self.checkup = Checkup(context.library)

    def now(self) -> list[Any]:
        view = self.checkup.view()
        return [
            gr.update(visible=not view.running),
            gr.update(visible=not view.running),
            gr.update(visible=view.running),
            gr.update(visible=view.can_mend and not view.running),
            markup.health(view),
        ]

    def check(self) -> str:
        return problem(self.checkup.start())

    def check_whole(self) -> str:
        return problem(self.checkup.start(whole=True))

    def mend(self) -> str:
        return problem(self.checkup.start(mend=True))

    def stop(self) -> None:
        self.checkup.stop()


class _FactEvents:
    """Handlers about what is in use, and since when."""

    def __init__(self, context: PageContext) -> None:
        self.library, self.runner = context.library, context.runner

    def now(self) -> list[Any]:
        """Another text for another model, and once a job has ended."""
        jobs = map(self.runner.job, job_handlers.KINDS)
        ended = [str(job.id) for job in jobs if job is not None and job.state != RUNNING]
        return [markup.since(" ".join([str(self.library.follow().space_id), *ended]))]

    def facts(self) -> str:
        return markup.facts(facts_in_use(self.library))

    def disk(self) -> str:
        return markup.facts(disk_use(self.library))
