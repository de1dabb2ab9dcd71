"""A view of the page as an address: the query, what kind of similar, the filters, the page of the answer and the tab.

?photo=12&photo=15:0.5&photo=7:-1&word=cat&like=colour&after=2020-05-17&from=25&tab=why: a picture's weight stands behind it where
it is not 1; `from` is the first of the answer's pictures (`page` is a word of Gradio's own). An upload is named by its place below
the folder of uploads, so its view lasts as long as the upload is kept.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from index.search import LIKE
from ui.filter_options import FORMATS
from ui.search_handlers import PAGE, Ask, Pick

PICTURES = 12  # of one query
WORDS = 8
FARTHEST = 400 * PAGE  # pictures of an answer that are paged through
HEAVIEST = 100.0  # of the weights of pictures and stages
LONGEST = 8192  # characters of an address
TABS = {
    "look": "Look", "why": "Why", "stages": "Stages", "map": "Map", "duplicates": "Duplicates", "library": "Library",
}  # fmt: skip


class BadAddress(ValueError):
    """An address that says something that can't be; the message says what."""


@dataclass(frozen=True)
class Visit:
    """What an address shows."""

    ask: Ask
    tab: str = "look"


def address_of(visit: Visit, uploads: Path) -> str:
    """The address, from its question mark on; empty for the page as it first opens."""
    pairs = list(_pairs(visit, uploads))
    return "?" + urlencode(pairs, safe=":/,", errors="replace") if pairs else ""


def visit_of(address: str, uploads: Path) -> Visit:
    """What an address shows; fields that it does not know are left alone. Raises BadAddress."""
    if len(address) > LONGEST:
        raise BadAddress(f"This address is longer than {LONGEST:,} characters.")
    fields: dict[str, list[str]] = {}
    for name, value in parse_qsl(address.removeprefix("?"), errors="replace"):
        fields.setdefault(name, []).append(value)
    first = {name: values[0] for name, values in fields.items()}
    pictures = [_pick(value, _photo) for value in fields.get("photo", ())]
    pictures += [_pick(value, lambda name: _upload(uploads, name)) for value in fields.get("upload", ())]
    if len(pictures) > PICTURES:
        raise BadAddress(f"A query has at most {PICTURES} pictures; this address has {len(pictures)}.")
    start = _whole("from", first.get("from", "1"), FARTHEST)
    ask = Ask(
        tuple(pictures),
        tuple(fields.get("word", ()))[:WORDS],
        None if first.get("like") == LIKE[-1] else first.get("like"),  # what is asked for anyway
        tuple(_number("mix", one) for one in first["mix"].split(",")) if "mix" in first else (),
        first.get("folder"),
        moment("after", first.get("after")),
        moment("before", first.get("before")),
        first.get("camera"),
        (start - 1) // PAGE * PAGE,
    )
    return Visit(ask, tab_of(address))


def tab_of(address: str) -> str:
    """The tab that an address shows, whatever else it says."""
    tab = dict(parse_qsl(address.removeprefix("?")[:LONGEST], errors="replace")).get("tab", "look")
    return tab if tab in TABS else "look"


def moment(name: str, text: str | None) -> datetime | None:
    """A year, a month, a day, or a day and a time as a moment; None for nothing. Raises BadAddress."""
    if text is None or not text.strip():
        return None
    for form in FORMATS:
        try:
            return datetime.strptime(text.strip(), form)
        except ValueError:
            continue
    raise BadAddress(
        f"{name}: {text[:40]!r} is no date. Give a year, month or day such as 2020, 2020-05 or 2020-05-17."
    )


def shown_moment(when: datetime | None) -> str:
    """A moment as it is typed: a day alone where it begins at midnight."""
    if when is None:
        return ""
    if (when.hour, when.minute, when.second) == (0, 0, 0):
        return when.date().isoformat()
    return when.isoformat(" ", "seconds")


def _pairs(visit: Visit, uploads: Path) -> Iterator[tuple[str, str]]:
    ask = visit.ask
    for pick in ask.pictures:
        weight = "" if pick.weight == 1 else f":{pick.weight:g}"
        if isinstance(pick.picture, int):
            yield "photo", f"{pick.picture}{weight}"
        else:
            yield "upload", f"{os.path.relpath(pick.picture, uploads)}{weight}"
    yield from (("word", word) for word in ask.words)
    texts: Sequence[tuple[str, str | None]] = (
        ("like", ask.like), ("mix", ",".join(f"{weight:g}" for weight in ask.stages)), ("folder", ask.folder),
        ("after", shown_moment(ask.after)), ("before", shown_moment(ask.before)), ("camera", ask.camera),
    )  # fmt: skip
    yield from ((name, value) for name, value in texts if value)
    if ask.start:
        yield "from", str(ask.start + 1)
    if visit.tab != "look":
        yield "tab", visit.tab


def _pick(value: str, picture: Callable[[str], int | str]) -> Pick:
    name, colon, weight = value.rpartition(":")
    if not colon:
        return Pick(picture(value))
    return Pick(picture(name), _number("weight", weight, -HEAVIEST))


def _photo(text: str) -> int:
    return _whole("photo", text, 2**63 - 1)


def _upload(uploads: Path, name: str) -> str:
    path = Path(os.path.normpath(uploads / name))
    if "\0" in name or not path.is_relative_to(uploads) or not _is_inside(path, uploads):
        raise BadAddress("An address may name only pictures of the library and uploads.")
    if not os.path.isfile(path):  # which a name that no disk can have is not, either
        raise BadAddress("The picture that was uploaded for this view is not kept any more: upload it again.")
    return str(path)


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder with all links followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (ValueError, OSError, RuntimeError):  # no text, a name too long, a circle of links
        return False


def _whole(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most):
        raise BadAddress(f"{name}: {text[:40]!r} is no number from 1 to {most:,}.")
    return int(text)


def _number(name: str, text: str, least: float = 0.0) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= HEAVIEST:
        raise BadAddress(f"{name}: {text[:40]!r} is no number from {least:g} to {HEAVIEST:g}.")
    return value
