"""What the tabs of the page share: pieces of HTML that answer to clicks, and how events are sent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

# Quick answers do not wait behind pictures that are being looked at.
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
WORK: dict[str, Any] = {"concurrency_limit": 2, "api_visibility": "private"}  # of each kind, so many at a time
LATEST: dict[str, Any] = {**WORK, "trigger_mode": "always_last"}  # of several clicks in a row, the last

_EVENTS = Path(__file__).with_name("events.js").read_text()


def script(name: str) -> str:
    """A tab's JavaScript: the file of that name in this folder."""
    return Path(__file__).with_name(name).read_text()


def html(value: str, elem_id: str, **options: Any) -> gr.HTML:
    """A piece of HTML that is only shown."""
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False, **{"js_on_load": None, **options})


def live_html(value: str, elem_id: str, *events: str, **options: Any) -> gr.HTML:
    """A piece of HTML whose buttons with data-event="name" send that one of `events` (`piece.name(…)` listens), with their data-*.

    The listener reads them from gr.EventData with `number`: everything that comes from a browser is a text, and may be any.
    """
    return html(value, elem_id, js_on_load=f"const EVENTS = {json.dumps(events)};\n{_EVENTS}", **options)


def to_download(name: str, data: bytes) -> str:
    """A file of these bytes for gr.DownloadButton: it lies where Gradio gives files out from, and deletes them after an hour."""
    folder = Path(get_upload_folder()) / hashlib.sha256(data).hexdigest()  # the same file is there once
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return str(path)


def value(event: gr.EventData, name: str) -> str:
    """What an event brings as a text, empty where it brings nothing."""
    data = event._data
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, str) else str(found) if isinstance(found, int | float) else ""


def number(event: gr.EventData, name: str) -> int | None:
    """A whole number that an event brings, None where it brings none."""
    text = value(event, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
