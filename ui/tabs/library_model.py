"""The part of the Library tab about models: which one answers, and a change to another while it goes on answering."""

from __future__ import annotations

import threading
from typing import Any

import gradio as gr

from index.runner import RUNNING
from ui import job_handlers, switch_handlers
from ui.context import PageContext
from ui.markup import problem
from ui.switch_handlers import SwitchView, switch_job_view, switch_view
from ui.tabs import library_model_markup as markup
from ui.tabs.library_part import Part
from ui.tabs.shared import QUICK, html


def model_part(context: PageContext) -> Part:
    """Build the part; called within the tab."""
    events = _Events(context)
    html("<h2>Model</h2>", "model-title")
    models = html(markup.models(None), "models")
    change = html("", "change")
    with gr.Accordion("Change over to another model", open=False, elem_id="change-over"):
        html('<p class="rc-about">Every photo is embedded anew beside the old vectors, which answer until the new ones are whole '
             "and have passed their checks.</p>", "change-words")  # fmt: skip
        model = gr.Textbox(
            label="Model", placeholder="facebook/convnext-tiny-224", max_lines=1, elem_id="model",
            info="A name on the Hugging Face hub, a folder on the computer that runs RegConv, or starter.",
        )  # fmt: skip
        anyway = gr.Checkbox(label="Even if pictures are missing or a check fails", elem_id="anyway")
        with gr.Row(elem_classes="rc-buttons"):
            start = gr.Button("Change over", elem_id="start-switch", min_width=110, size="sm")
            stop = gr.Button("Stop", interactive=False, elem_id="stop-switch", min_width=110, size="sm")
        with gr.Row(elem_classes="rc-buttons"):
            back = gr.Button("Go back", interactive=False, elem_id="go-back", min_width=110, size="sm")
            forget = gr.Button("Forget the others", interactive=False, elem_id="forget", min_width=110, size="sm")
    trouble = html("", "switch-problem")
    acted = [
        start.click(events.start, [model, anyway], trouble, **QUICK),
        stop.click(events.stop, None, trouble, **QUICK),
        back.click(events.go_back, None, trouble, **QUICK),
        forget.click(events.forget, None, trouble, **QUICK),
    ]
    return Part([models, change, start, stop, back, forget], events.now, acted)


class _Events:
    """Handlers with the library at hand. What each space holds is counted anew only when a job has begun or ended."""

    def __init__(self, context: PageContext) -> None:
        self.library, self.runner = context.library, context.runner
        self._lock = threading.Lock()
        self._jobs: list[Any] = []
        self._view: SwitchView | None = None

    def now(self) -> list[Any]:
        newest = {kind: self.runner.job(kind) for kind in job_handlers.KINDS}
        is_busy = any(job is not None and job.state == RUNNING for job in newest.values())
        view = self._spaces([job and (job.id, job.state) for job in newest.values()])
        job = switch_job_view(newest["switch"])
        is_running = job is not None and job.running
        return [
            markup.models(view),
            markup.change(job),
            gr.update(interactive=not is_busy),
            gr.update(interactive=is_running),
            gr.update(interactive=view.can_go_back and not is_busy),
            gr.update(interactive=len(view.spaces) > 1 and not is_busy),
        ]

    def start(self, model: str, anyway: bool) -> str:
        return problem(switch_handlers.start_switch(self.runner, model, anyway is True))

    def stop(self) -> str:
        return problem(switch_handlers.stop_switch(self.runner))

    def go_back(self) -> str:
        return problem(switch_handlers.go_back(self.library))

    def forget(self) -> str:
        return problem(switch_handlers.forget_others(self.library))

    def _spaces(self, jobs: list[Any]) -> SwitchView:
        with self._lock:
            if self._view is None or jobs != self._jobs:
                self._jobs, self._view = jobs, switch_view(self.library)
            return self._view
