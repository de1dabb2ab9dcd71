"""Photos that a search found, as HTML: a grid of buttons; and what stands there before there is a query."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ui.handlers import Hit
from ui.markup import about, empty, problem, section, text
from ui.page_words import for_page
from ui.search_handlers import PAGE, Found, FoundPicture

THUMBNAIL_SIDE = 256  # pixels; only tells the browser the shape before the picture is there
VAGUE = 100  # "fewer than 1 in so many" tells nothing
_PAIRS = " unrelated pairs look this alike"


def found_photos(found: Found, title: str, page: int, *, has_picture: bool, is_first: bool = False) -> str:
    """A page (0 first) of an answer, best first: each photo a button that makes it the query, and what else to do with it.

    Of the first query of a trail Escape leads back to the beginning, of others the trail's last step (look_markup.trail).
    """
    return _start_over(is_first) + section(text(title), _answer(found, page, has_picture))


def _answer(found: Found, page: int, has_picture: bool) -> str:
    if found.problem:
        return problem(for_page(found.problem))
    if not found.pictures:
        return empty(for_page(found.hint or "There is nothing like it in this library."))
    cards = "".join(_cards(found.pictures, has_picture))
    return about(_how_to_read(found, has_picture)) + _grid(cards) + _pager(found, page)


def _start_over(is_first: bool) -> str:
    key = (' data-key="Escape" aria-keyshortcuts="Escape"', " <kbd>Esc</kbd>") if is_first else ("", "")
    button = f'<button type="button" data-event="visit" data-address=""{key[0]}>Start over{key[1]}</button>'
    return f'<p class="rc-over-again">{button}</p>'


def nothing_yet(
    photos: Sequence[Hit], word: tuple[str, Hit] | None, hint: str | None, *, may_begin: bool = False
) -> str:
    """Before the first query: three things to try and photos to begin with, or what to do where there are none."""
    if hint:
        button = '<button type="button" class="rc-begin" data-event="sample">Start with the sample pictures</button>'
        return section("Photos like it", empty(hint) + (button if may_begin else ""))
    tries = _tries(photos, word)
    cards = "".join(_card(FoundPicture(hit.photo_id, hit.name, hit.score), "", False) for hit in photos)
    more = f"<h3>Or begin with one of these photos</h3>{_grid(cards)}"
    return section("Three things to try", f'<ul class="rc-tries">{tries}</ul>{more}')


def _tries(photos: Sequence[Hit], word: tuple[str, Hit] | None) -> str:
    first, last = photos[0], photos[-2 if word and word[1] == photos[-1] and len(photos) > 2 else -1]
    tries = [
        ("choose", f'data-photo="{first.photo_id}"', first, "Find what looks like it", f"Photos like {first.name}"),
        ("stages", f'data-photo="{last.photo_id}"', last, "See what the network sees", f"Every stage of {last.name}"),
    ]
    if word:
        said, hit = word
        tries.insert(1, ("say", f'data-word="{text(said)}"', hit, "Search by a word", f"Photos called “{said}”"))
    return "".join(
        f'<li><button type="button" data-event="{event}" {data}>'
        f'<img src="/photos/{hit.photo_id}/thumbnail" alt="" width="72" height="72">'
        f"<span><b>{text(what)}</b><span>{text(which)}</span></span></button></li>"
        for event, data, hit, what, which in tries
    )


def _how_to_read(found: Found, has_picture: bool) -> str:
    if not has_picture:
        return "The surest first. Click a photo to search with it."
    words = "Best first, by cosine similarity" + ("." if found.exact else ", found approximately.")
    if any(picture.meaning for picture in found.pictures):
        words += " “1 in 500” means: one of 500 pairs of unrelated photos here looks at least so alike."
    if any(map(_is_vague, found.pictures)):
        words += " There are too few photos to say more of the best."
    return f"{words} {found.unknown}" if found.unknown else f"{words} Click a photo to search with it."


def _rarity(picture: FoundPicture) -> str:
    """For instance "fewer than 1 in 4,000", empty where nothing is known."""
    meaning = picture.meaning or ""
    return meaning.removesuffix(_PAIRS) if meaning.endswith(_PAIRS) else ""


def _is_vague(picture: FoundPicture) -> bool:
    """Whether the library has too few pairs to tell this score from a rather common one."""
    said = re.fullmatch(r"fewer than 1 in ([\d,]+)", _rarity(picture))
    return said is not None and int(said[1].replace(",", "")) < VAGUE


def _cards(pictures: Sequence[FoundPicture], has_picture: bool) -> list[str]:
    cards = []
    for number, picture in enumerate(pictures):
        is_chance = picture.beyond_chance is False
        if is_chance and (number == 0 or pictures[number - 1].beyond_chance):
            cards.append(
                '<li class="rc-line"><span>From here on: no more alike than unrelated photos are by chance</span></li>'
            )
        cards.append(_card(picture, " rc-chance" if is_chance else "", has_picture))
    return cards


def _card(picture: FoundPicture, kind: str, has_picture: bool) -> str:
    name, number = text(picture.name), picture.photo_id
    score = f"{picture.score:.3f}"
    rarity = "" if _is_vague(picture) else _rarity(picture)
    spoken = (
        f"Search with {name}" + (f", similarity {score}" if has_picture else "") + (f", {rarity}" if rarity else "")
    )
    meaning = (
        f'<span class="rc-meaning" title="{text(picture.meaning or "")}">{text(rarity.replace("fewer than", "<"))}</span>'
        if rarity
        else ""
    )
    under = f'<p class="rc-under"><span class="rc-score">{score}</span>{meaning}</p>' if has_picture else ""
    return (
        f'<li class="rc-card{kind}"><button type="button" class="rc-photo" data-cell data-event="choose" data-photo="{number}" '
        f'aria-label="{spoken}">{_thumbnail(number, picture.name)}</button>'
        f'<p class="rc-name" title="{name}">{name}</p>{under}{_actions(picture, has_picture)}</li>'
    )


def _thumbnail(number: int, name: str) -> str:
    side = THUMBNAIL_SIDE
    return f'<img src="/photos/{number}/thumbnail" alt="{text(name)}" loading="lazy" width="{side}" height="{side}">'


def _actions(picture: FoundPicture, has_picture: bool) -> str:
    name, number = text(picture.name), picture.photo_id
    asked = (
        (("more", "+", "More like"), ("less", "−", "Less like"), ("why", "Why", "Why is it like"))
        if has_picture
        else ()
    )
    buttons = "".join(
        f'<button type="button" data-event="{event}" data-photo="{number}" title="{words} this" aria-label="{words} {name}">'
        f"{sign}</button>"
        for event, sign, words in asked
    )
    link = f'<a href="/photos/{number}" target="_blank" rel="noopener" aria-label="Open {name}">Open</a>'
    return f'<p class="rc-actions">{buttons}{link}</p>{_copies(picture)}'


def _copies(picture: FoundPicture) -> str:
    if not picture.copies:
        return ""
    count = len(picture.copies)
    links = "".join(
        f'<li><a href="/photos/{number}" target="_blank" rel="noopener">{text(name)}</a></li>'
        for number, name in zip(picture.copies, picture.copy_names, strict=True)
    )
    words = f"{count} cop{'y' if count == 1 else 'ies'}"
    return f'<details class="rc-copies"><summary>+ {words}</summary><ul>{links}</ul></details>'


def _grid(cards: str) -> str:
    return f'<ul class="rc-grid" data-grid>{cards}</ul>'


def _pager(found: Found, page: int) -> str:
    if not page and not found.more:
        return ""
    first = page * PAGE + 1
    return (
        '<nav class="rc-pager" aria-label="Pages">'
        f'<button type="button" data-event="turn" data-page="{page - 1}" data-key="p"{" disabled" * (page == 0)}>Previous</button>'
        f"<span>{first:,} to {first + len(found.pictures) - 1:,}</span>"
        f'<button type="button" data-event="turn" data-page="{page + 1}" data-key="n"{" disabled" * (not found.more)}>More</button>'
        "</nav>"
    )
