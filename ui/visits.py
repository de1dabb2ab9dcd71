"""What the server remembers of each visit to the page: Gradio's sessions, without what nothing here asks them for."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder


class Visit(SessionState):
    """A session that keeps no copy of all that the page shows, which Gradio holds for its deep links.

    Of our page that would be half a megabyte a visit; its views have addresses of their own (ui/address.py).
    """

    def __init__(self, page: gr.Blocks) -> None:
        super().__init__(page)
        self.config_values = {}

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """Nothing is kept."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Nothing is kept."""


class Visits(StateHolder):
    """The last used visits to a page, as many as its `state_session_capacity`."""

    def __init__(self, page: gr.Blocks) -> None:
        super().__init__()
        self.set_blocks(page)

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Visit(self.blocks)
        return super().__getitem__(session_id)
