"""The Library tab is made of parts; each says what it shows now, and only what has changed since is sent to a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr


@dataclass(frozen=True)
class Part:
    """Components, and what they show now in the same order: HTML as text, anything else as `gr.update`.

    `acted` are the events after which it shows something else.
    """

    outputs: list[Any]
    now: Callable[[], list[Any]]
    acted: list[Any] = field(default_factory=list)


class Refresh:
    """Asks all parts. A page remembers what it was sent: what is the same is not sent again, and keeps focus and scrolling."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.sent = gr.State([])
        self.outputs = [self.sent, *(component for part in parts for component in part.outputs)]

    def __call__(self, sent: list[str]) -> list[Any]:
        now = [shown for part in self.parts for shown in part.now()]
        known = [repr(shown) for shown in now]  # Gradio takes the updates themselves apart
        before = sent if len(sent) == len(now) else [""] * len(now)
        return [known, *(gr.skip() if new == old else one for one, new, old in zip(now, known, before, strict=True))]
