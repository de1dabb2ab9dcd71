"""The Library tab: what is indexed and how that goes, the model, the library's health, what is in use."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.context import PageContext
from ui.tabs.library_health import facts_part, health_part
from ui.tabs.library_jobs import jobs_part
from ui.tabs.library_model import model_part
from ui.tabs.library_part import Refresh
from ui.tabs.shared import QUICK

POLL_S = 1.0


@dataclass(frozen=True)
class LibraryTab:
    """What the page needs: a timer that asks how the jobs go, to run only while the tab is shown; a piece with "look"; another
    that changes when something else is in use."""

    timer: gr.Timer
    job: gr.HTML
    since: gr.HTML


def library_tab(context: PageContext, tab: gr.Tab) -> LibraryTab:
    """Build the tab; called within it."""
    timer = gr.Timer(POLL_S, active=False)
    with gr.Row(elem_classes="rc-library"):
        with gr.Column(scale=3, min_width=320):
            jobs, job = jobs_part(context)
        with gr.Column(scale=2, min_width=320):
            with gr.Column(elem_classes="rc-card"):
                model = model_part(context)
            with gr.Column(elem_classes="rc-card"):
                health = health_part(context)
            with gr.Column(elem_classes="rc-card"):
                facts = facts_part(context, tab)
    refresh = Refresh([jobs, model, health, facts])
    for acted in [tab.select, timer.tick, *(event.then for part in refresh.parts for event in part.acted)]:
        acted(refresh, refresh.sent, refresh.outputs, **QUICK)
    return LibraryTab(timer, job, *facts.outputs)
