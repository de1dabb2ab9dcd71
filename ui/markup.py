"""Plain values become HTML. Everything that comes from a file or a model goes through `text`: names may be hostile.

The pieces go into gr.HTML as its value, never into its templates, which Gradio runs as JavaScript. What only one tab shows is in
ui/tabs/*_markup.py.
"""

from __future__ import annotations

import base64
import html

from ui.handlers import Machine


def text(words: str) -> str:
    """Words as they may stand anywhere in HTML, between tags and in attributes."""
    # A file name that is not UTF-8 carries surrogates, which no response can be encoded with.
    return html.escape(words.encode("utf-8", "replace").decode(), quote=True)


def header(machine: Machine | None, note: str | None) -> str:
    """The page's name, and the line that says what works here."""
    warning = f'<p class="rc-note" role="note">{text(note)}</p>' if note else ""
    return (
        '<header class="rc-header"><h1>RegConv</h1>'
        "<p>See what a network sees in a picture, and find the photos that look like it.</p></header>"
        f'<p class="rc-machine">{_machine(machine)}</p>{warning}'
    )


def section(title: str, body: str) -> str:
    """A titled part of a tab; `title` is HTML."""
    return f'<section class="rc-section"><h2>{title}</h2>{body}</section>'


def about(words: str) -> str:
    """A line that says how to read what follows."""
    return f'<p class="rc-about">{text(words)}</p>'


def empty(words: str) -> str:
    """What stands where there is nothing yet: what to do next."""
    return f'<p class="rc-empty">{text(words)}</p>'


def problem(words: str | None) -> str:
    """A refusal at the place where it happened, line by line; nothing for no words."""
    lines = "<br>".join(text(line) for line in words.splitlines()) if words else ""
    return f'<p class="rc-problem" role="alert">{lines}</p>' if lines else ""


def data_url(data: bytes, kind: str) -> str:
    """A picture within the page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _machine(machine: Machine | None) -> str:
    if machine is None:
        return "Loading the network …"
    if machine.problem:
        return f'<span class="rc-problem" role="alert">{text(machine.problem)}</span>'
    parts = {"Model": machine.model, "Engine": f"{machine.engine} on {machine.device}", "FAISS": machine.faiss}
    return " ".join(f"<span><b>{name}</b> {text(value)}</span>" for name, value in parts.items())
