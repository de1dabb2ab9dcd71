"""What the Look tab shows of one picture and of the query, as HTML. Photos found: found_markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ui.handlers import Lesson, LookResult
from ui.maps import Sheet, encoded
from ui.markup import about, data_url, problem, section, text

NONE_OF_THESE = "none of these"
LEAST, MOST, STEP = -2, 2, 0.25  # of the slider that says how much a picture counts


@dataclass(frozen=True)
class ShownPick:
    """A picture of the query: its name, where its small picture is (None: nothing that a browser shows), its weight."""

    name: str
    source: str | None
    weight: float


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
    return f'<section class="rc-section rc-labels rc-own"><h2>Your words</h2><ol>{rows}</ol></section>'


def lesson(told: Lesson) -> str:
    """What came of teaching a word, at the place where it was asked for."""
    return problem(told.problem) or about(told.words)


def picks(shown: Sequence[ShownPick]) -> str:
    """The pictures of a query of several, each with a slider from unlike to like; nothing for a single picture."""
    if len(shown) < 2 and all(pick.weight == 1 for pick in shown):
        return ""
    rows = "".join(_pick(number, pick) for number, pick in enumerate(shown))
    return section("Pictures of this query", f'<ul class="rc-picks">{rows}</ul>')


def trail(steps: Sequence[tuple[str, str, str | None]], *, is_over: bool = False) -> str:
    """The queries that led here, oldest first, as (address, title, source of a small picture): each a button that goes back.

    The last is the one that is shown, or there is none and it may be gone back to as well.
    """
    if len(steps) < 2 and not is_over:
        return ""
    earlier, now = (steps, "") if is_over else (steps[:-1], steps[-1][1])
    items = "".join(_step(*step, is_last=not is_over and step is earlier[-1]) for step in earlier)
    here = f'<li class="rc-now" aria-current="page"><span>{text(now)}</span></li>' if now else ""
    return f'<nav class="rc-trail" aria-label="Earlier queries"><ol data-grid>{items}{here}</ol></nav>' if items else ""


def address(words: str) -> str:
    """The view's address, for the address bar."""
    return f'<span hidden data-address="{text(words)}"></span>'


def wrong_dates(wrong: Mapping[str, str]) -> str:
    """What is no date, under the fields, which the style sheet marks by data-wrong; nothing where all are."""
    said = "\n".join(wrong.values())
    return f'<div data-wrong="{text(" ".join(wrong))}">{problem(said)}</div>' if wrong else ""


def stages(result: LookResult | None, names: Sequence[str] = ()) -> str:
    """Stem and stages, each a sheet of maps under the words that say how to read it; before that, places for `names`."""
    words = about(
        "The channels that answered strongest, dark to light. Later stages see larger things in fewer cells. "
        "The Stages tab shows every channel."
    )
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


def _bar(words: str, share: float) -> str:
    return (
        f'<li><span class="rc-label">{text(words)}</span><span class="rc-percent">{share:.1%}</span>'
        f'<span class="rc-bar"><span style="width:{100 * share:.1f}%"></span></span></li>'
    )


def _pick(number: int, pick: ShownPick) -> str:
    name = text(pick.name)
    picture = "<i></i>" if pick.source is None else f'<img src="{text(pick.source)}" alt="" width="56" height="56">'
    meaning = "like" if pick.weight > 0 else "unlike"
    return (
        f'<li>{picture}<div><p class="rc-name" title="{name}">{name}</p>'
        f'<label><span>unlike</span><input type="range" min="{LEAST}" max="{MOST}" step="{STEP}" value="{pick.weight:g}" '
        f'data-event="weigh" data-number="{number}" aria-label="How much {name} counts"><span>like</span></label></div>'
        f"<output>{meaning} {abs(pick.weight):g}</output>"
        f'<button type="button" data-event="drop" data-number="{number}" aria-label="Take {name} out of the query">'
        "Remove</button></li>"
    )


def _step(address: str, title: str, source: str | None, *, is_last: bool) -> str:
    picture = "" if source is None else f'<img src="{text(source)}" alt="" width="40" height="40">'
    key = ' data-key="Escape" title="Back (Esc)"' if is_last else ""
    return (
        f'<li><button type="button" data-cell data-event="visit" data-address="{text(address)}"{key} '
        f'aria-label="Back to {text(title)}">{picture}<span>{text(title)}</span></button></li>'
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
_BLANK_BARS = (
    '<li><span class="rc-label">&nbsp;</span><span class="rc-percent"></span><span class="rc-bar"></span></li>' * 5
)
