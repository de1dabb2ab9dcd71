"""What the server remembers of each visit to the page: Gradio's sessions, without what nothing here asks them for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
from gradio.state_holder import SessionState, StateHolder


class Visit(SessionState):
    """A session without the configuration of all that the page shows, which Gradio makes and keeps for its deep links.

    Of our page it would be half a megabyte a visit, and a tenth of the event loop's time with many visitors; the page's views have
    addresses of their own (ui/address.py).
    """

    def __init__(self, page: gr.Blocks) -> None:
        super().__init__(cast(gr.Blocks, SimpleNamespace(default_config=page.default_config, blocks=())))
        self.blocks_config.config_for_block = _nothing  # type: ignore[method-assign, assignment]

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


def _nothing(*_: Any) -> dict[str, Any]:
    return {}
