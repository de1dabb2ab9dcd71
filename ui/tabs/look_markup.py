"""What the Look tab shows, as HTML."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ui.handlers import NEIGHBOURS, Hit, Lesson, LookResult
from ui.maps import Sheet, encoded
from ui.markup import about, data_url, empty, problem, section, text

NONE_OF_THESE = "none of these"
THUMBNAIL_SIDE = 256  # pixels; only tells the browser the shape before the picture is there


def labels(result: LookResult | None) -> str:
    """Bars, one for each label; before the first picture, their place."""
    if result is not None and not result.labels:
        return section("Labels", about("This model names no labels."))
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
    return problem(told.problem) or about(told.words)


def neighbours(result: LookResult | None, hint: str | None = None) -> str:
    """The photos most like the query, best first: each a button that makes it the query, with a link to the photo itself."""
    if result is None:
        words = about("Give a picture, and the photos most like it appear here.")
        return section("Photos like it", empty(hint) if hint else words + f'<ul class="rc-grid">{_BLANK_CARDS}</ul>')
    if not result.hits:
        return section("Photos like it", empty(result.hint or "There is nothing like it in this library."))
    words = "Best first, by cosine similarity" + ("." if result.exact else ", found approximately.")
    words += " Click a photo to search with it."
    cards = "".join(_card(hit) for hit in result.hits)
    return section(f"Photos like {text(result.title)}", about(words) + f'<ul class="rc-grid" data-grid>{cards}</ul>')


def stages(result: LookResult | None, names: Sequence[str] = ()) -> str:
    """Stem and stages, each a sheet of maps under the words that say how to read it; before that, places for `names`."""
    words = about("The channels that answered strongest, dark to light. Later stages see larger things in fewer cells.")
    if result is None:
        figures = "".join(
            f'<figure class="rc-stage"><figcaption><b>{text(name)}</b></figcaption><i></i></figure>' for name in names
        )
        return section("What the network sees", words + f'<div class="rc-stages" aria-hidden="true">{figures}</div>')
    if not result.sheets:
        return section("What the network sees", problem(result.problem))
    figures = "" if result.saw is None else _input(result.saw)
    figures += "".join(_stage(sheet) for sheet in result.sheets)
    return section("What the network sees", words + f'<div class="rc-stages">{figures}</div>')


def empty_hint(numbers: dict[str, int], words: str) -> str | None:
    """What to do next, where the library has nothing to search yet."""
    return None if numbers["embedded"] else words


def _bar(words: str, share: float) -> str:
    return (
        f'<li><span class="rc-label">{text(words)}</span><span class="rc-percent">{share:.1%}</span>'
        f'<span class="rc-bar"><span style="width:{100 * share:.1f}%"></span></span></li>'
    )


def _card(hit: Hit) -> str:
    name, score = text(hit.name), f"{hit.score:.3f}"
    side = THUMBNAIL_SIDE
    return (
        f'<li><button type="button" data-cell data-event="choose" data-photo="{hit.photo_id}" '
        f'aria-label="Search with {name}, similarity {score}">'
        f'<img src="/photos/{hit.photo_id}/thumbnail" alt="{name}" loading="lazy" width="{side}" height="{side}"></button>'
        f'<p class="rc-name" title="{name}">{name}</p><p class="rc-under"><span class="rc-score">{score}</span>'
        f'<a href="/photos/{hit.photo_id}" target="_blank" rel="noopener" aria-label="Open {name}">Open</a></p></li>'
    )


def _input(saw: np.ndarray) -> str:
    source = data_url(encoded(saw, "JPEG", 90), "jpeg")
    numbers = f"{saw.shape[1]} x {saw.shape[0]} pixels, as the network gets them"
    return (
        f'<figure class="rc-stage"><figcaption><b>input</b>{numbers}</figcaption>'
        f'<img src="{source}" alt="The picture as the network gets it" width="{saw.shape[1]}" height="{saw.shape[0]}"></figure>'
    )


def _stage(sheet: Sheet) -> str:
    name, _, numbers = sheet.words.partition(": ")
    source = data_url(encoded(sheet.picture, "WEBP", 82), "webp")
    height, width = sheet.picture.shape[:2]
    alt = f"{name}: maps of {len(sheet.shown)} of {sheet.channels} channels"
    return (
        f'<figure class="rc-stage"><figcaption><b>{text(name)}</b>{text(numbers)}</figcaption>'
        f'<img src="{source}" alt="{text(alt)}" width="{width}" height="{height}"></figure>'
    )


# What stands where results will be, in their size: nothing moves when they come.
_BLANK_CARDS = (
    '<li class="rc-blank"><i></i><p class="rc-name">&nbsp;</p><p class="rc-under">&nbsp;</p></li>' * NEIGHBOURS
)
_BLANK_BARS = (
    '<li><span class="rc-label">&nbsp;</span><span class="rc-percent"></span><span class="rc-bar"></span></li>' * 5
)
