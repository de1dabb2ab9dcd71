"""Plain values become HTML. Everything that comes from a file or a model goes through `text`: names may be hostile.

The pieces go into gr.HTML as its value, never into its templates, which Gradio runs as JavaScript.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import numpy as np

from ui.handlers import NEIGHBOURS, Hit, Lesson, LookResult, Machine, Unreadable
from ui.job_words import JobView
from ui.maps import Sheet, encoded

NONE_OF_THESE = "none of these"
THUMBNAIL_SIDE = 256  # pixels; only tells the browser the shape before the picture is there


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


def labels(result: LookResult | None) -> str:
    """Bars, one for each label; before the first picture, their place."""
    if result is not None and not result.labels:
        return _section("Labels", _about("This model names no labels."))
    rows = _BLANK_BARS if result is None else "".join(_bar(words, share) for words, share in result.labels)
    return f'<section class="rc-section rc-labels"><h2>Labels</h2><ol>{rows}</ol></section>'


def own_labels(own: Sequence[tuple[str | None, float]]) -> str:
    """The taught words, apart from the model's own labels; nothing where nothing is taught."""
    if not own:
        return ""
    rows = "".join(_bar(NONE_OF_THESE if word is None else word, share) for word, share in own)
    return f'<section class="rc-section rc-labels"><h2>Your words</h2><ol>{rows}</ol></section>'


def lesson(told: Lesson) -> str:
    """What came of teaching a word, at the place where it was asked for."""
    return _problem(told.problem) or _about(told.words)


def neighbours(result: LookResult | None, hint: str | None = None) -> str:
    """The photos most like the query, best first: each a button that makes it the query, with a link to the photo itself."""
    if result is None:
        about = _about("Give a picture, and the photos most like it appear here.")
        return _section("Photos like it", _empty(hint) if hint else about + f'<ul class="rc-grid">{_BLANK_CARDS}</ul>')
    if not result.hits:
        return _section("Photos like it", _empty(result.hint or "There is nothing like it in this library."))
    about = "Best first, by cosine similarity" + ("." if result.exact else ", found approximately.")
    about += " Click a photo to search with it."
    cards = "".join(_card(hit) for hit in result.hits)
    return _section(f"Photos like {text(result.title)}", _about(about) + f'<ul class="rc-grid">{cards}</ul>')


def stages(result: LookResult | None, names: Sequence[str] = ()) -> str:
    """Stem and stages, each a sheet of maps under the words that say how to read it; before that, places for `names`."""
    about = _about(
        "The channels that answered strongest, dark to light. Later stages see larger things in fewer cells."
    )
    if result is None:
        figures = "".join(
            f'<figure class="rc-stage"><figcaption><b>{text(name)}</b></figcaption><i></i></figure>' for name in names
        )
        return _section("What the network sees", about + f'<div class="rc-stages" aria-hidden="true">{figures}</div>')
    if not result.sheets:
        return _section("What the network sees", _problem(result.problem))
    figures = "" if result.saw is None else _input(result.saw)
    figures += "".join(_stage(sheet) for sheet in result.sheets)
    return _section("What the network sees", about + f'<div class="rc-stages">{figures}</div>')


def counts(numbers: dict[str, int]) -> str:
    """The library in four numbers."""
    words = {"present": "photos", "embedded": "ready to search", "unreadable": "unreadable", "gone": "gone"}
    cells = "".join(f"<div><dd>{numbers[name]:,}</dd><dt>{word}</dt></div>" for name, word in words.items())
    return f'<dl class="rc-counts">{cells}</dl>'


def job(view: JobView | None) -> str:
    """The newest job: a bar while it runs, its report once it has ended."""
    if view is None:
        return _section("Indexing", _empty("Nothing has been indexed yet."))
    facts = " · ".join(text(fact) for fact in view.facts)
    if view.running:
        value = "" if view.share is None else f' value="{view.share:.4f}"'
        percent = "" if view.share is None else f"{view.share:.0%}"
        body = (
            f'<div class="rc-job"><p><b>{text(view.headline)}</b><span>{percent}</span></p>'
            f'<progress aria-label="{text(view.headline)}" max="1"{value}>{percent}</progress>'
            f'<p class="rc-about">{facts}</p><p class="rc-current">{text(view.current or " ")}</p></div>'
        )
        return _section("Indexing", body)
    skipped = "".join(f"<li><b>{text(folder)}</b> {text(reason)}</li>" for folder, reason in view.skipped)
    body = f'<div class="rc-job"><p><b>{text(view.headline)}.</b></p><p class="rc-about">{facts}</p></div>'
    body += _problem(view.problem)
    body += f'<div class="rc-problem">Folders left as they were:<ul>{skipped}</ul></div>' if skipped else ""
    return _section("Indexing", body)


def unreadable(files: Sequence[Unreadable], total: int) -> str:
    """The files that could not be read, each with its reason."""
    if not files:
        return ""
    rows = "".join(f"<tr><td>{text(file.path)}</td><td>{text(file.reason)}</td></tr>" for file in files)
    more = _about(f"The first {len(files):,} of {total:,}.") if total > len(files) else ""
    head = "<thead><tr><th>File</th><th>Why it could not be read</th></tr></thead>"
    table = f'<div class="rc-table"><table>{head}<tbody>{rows}</tbody></table></div>'
    return _section(f"Unreadable files ({total:,})", more + table)


def problem(words: str | None) -> str:
    """A refusal at the place where it happened, or nothing."""
    return _problem(words)


def empty_hint(numbers: dict[str, int], words: str) -> str | None:
    """What to do next, where the library has nothing to search yet."""
    return None if numbers["embedded"] else words


def _machine(machine: Machine | None) -> str:
    if machine is None:
        return "Loading the network …"
    if machine.problem:
        return f'<span class="rc-problem" role="alert">{text(machine.problem)}</span>'
    parts = {"Model": machine.model, "Engine": f"{machine.engine} on {machine.device}", "FAISS": machine.faiss}
    return " ".join(f"<span><b>{name}</b> {text(value)}</span>" for name, value in parts.items())


def _bar(words: str, share: float) -> str:
    return (
        f'<li><span class="rc-label">{text(words)}</span><span class="rc-percent">{share:.1%}</span>'
        f'<span class="rc-bar"><span style="width:{100 * share:.1f}%"></span></span></li>'
    )


def _card(hit: Hit) -> str:
    name, score = text(hit.name), f"{hit.score:.3f}"
    side = THUMBNAIL_SIDE
    return (
        f'<li><button type="button" data-photo="{hit.photo_id}" aria-label="Search with {name}, similarity {score}">'
        f'<img src="/photos/{hit.photo_id}/thumbnail" alt="{name}" loading="lazy" width="{side}" height="{side}"></button>'
        f'<p class="rc-name" title="{name}">{name}</p><p class="rc-under"><span class="rc-score">{score}</span>'
        f'<a href="/photos/{hit.photo_id}" target="_blank" rel="noopener" aria-label="Open {name}">Open</a></p></li>'
    )


def _input(saw: np.ndarray) -> str:
    source = _data_url(encoded(saw, "JPEG", 90), "jpeg")
    numbers = f"{saw.shape[1]} x {saw.shape[0]} pixels, as the network gets them"
    return (
        f'<figure class="rc-stage"><figcaption><b>input</b>{numbers}</figcaption>'
        f'<img src="{source}" alt="The picture as the network gets it" width="{saw.shape[1]}" height="{saw.shape[0]}"></figure>'
    )


def _stage(sheet: Sheet) -> str:
    name, _, numbers = sheet.words.partition(": ")
    source = _data_url(encoded(sheet.picture, "WEBP", 82), "webp")
    height, width = sheet.picture.shape[:2]
    alt = f"{name}: maps of {len(sheet.shown)} of {sheet.channels} channels"
    return (
        f'<figure class="rc-stage"><figcaption><b>{text(name)}</b>{text(numbers)}</figcaption>'
        f'<img src="{source}" alt="{text(alt)}" width="{width}" height="{height}"></figure>'
    )


def _data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _section(title: str, body: str) -> str:
    return f'<section class="rc-section"><h2>{title}</h2>{body}</section>'


def _about(words: str) -> str:
    return f'<p class="rc-about">{text(words)}</p>'


def _empty(words: str) -> str:
    return f'<p class="rc-empty">{text(words)}</p>'


def _problem(words: str | None) -> str:
    lines = "<br>".join(text(line) for line in words.splitlines()) if words else ""
    return f'<p class="rc-problem" role="alert">{lines}</p>' if lines else ""


# What stands where results will be, in their size: nothing moves when they come.
_BLANK_CARDS = (
    '<li class="rc-blank"><i></i><p class="rc-name">&nbsp;</p><p class="rc-under">&nbsp;</p></li>' * NEIGHBOURS
)
_BLANK_BARS = (
    '<li><span class="rc-label">&nbsp;</span><span class="rc-percent"></span><span class="rc-bar"></span></li>' * 5
)
