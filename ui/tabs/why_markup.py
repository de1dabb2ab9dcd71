"""What the Why tab shows, as HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ui.maps import encoded
from ui.markup import about, data_url, empty, problem, section, text
from ui.pair_handlers import CellView, PairResult, PairView, Query, SideView
from ui.why_pictures import overlay

NO_QUERY = (
    "There is no picture yet. Open the Look tab and give one, or choose a photo there; then choose a neighbour here."
)
CHOOSE = "Choose one of the photos below: the map of what makes the two alike appears here."
THUMBNAIL_SIDE = 256  # pixels; only tells the browser the shape before the picture is there
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
HOW_TO_READ = (
    "Every cell of either picture adds something to the similarity or takes something away: the colours say how much, and all "
    "of it together is the score."
)
_COUNTED = {1: "this cell", 2: "these two cells", 3: "these three cells"}


def scores(view: PairView | None, without_vector: Sequence[str] = (), parts: Sequence[str] = ()) -> str:
    """A bar for each part, which is the switch of the part that is mapped; before the first pair, places for `parts`."""
    if view is None:
        words = "The similarity of two pictures is a sum over their cells. Here it is taken apart."
        bars = "".join(f"<li>{_bar(text(name), '', 0)}</li>" for name in parts)
        blank = f'<ol class="rc-why-scores rc-why-blank" aria-hidden="true">{bars}</ol>'
        return section("Why two pictures are alike", about(words) + blank)
    names = [text(side.name) for side in view.sides]
    bars = "".join(
        f'<li><button type="button" data-cell data-event="part" data-part="{number}" aria-pressed="{_true(number == view.part)}">'
        f"{_bar(text(score.words), _signed(score.cosine, plus=''), score.cosine)}</button></li>"
        for number, score in enumerate(view.pair.scores)
    )
    absent = (
        f"Without a vector in one of the two, so like nothing: {', '.join(without_vector)}." if without_vector else ""
    )
    return section(
        f"Why {names[0]} is like {names[1]}",
        about("The cosine of every stage. Choose the one to map.")
        + f'<ol class="rc-why-scores" data-grid>{bars}</ol>'
        + (about(absent) if absent else ""),
    )


def pair(query: Query | None, result: PairResult | None = None, shown_score: float | None = None) -> str:
    """Both pictures with their maps; before that, what to do next. `shown_score`: what a search with the query gives."""
    if result is not None and result.view is not None:
        return _notes(result.notes) + _view(result.view, shown_score)
    if query is None:
        return empty(NO_QUERY)
    if result is not None or query.picture is None:
        return problem(query.problem if result is None else result.problem) + _notes(
            [] if result is None else result.notes
        )
    query_side = _figure(query.name, query.picture, "", "as the network gets it", None)
    beside = f'<div class="rc-why-next">{text(CHOOSE)}</div>'
    return f'<div class="rc-why-pair">{query_side}{beside}</div>' + _below(
        _scale("", "takes away", "adds"), about(HOW_TO_READ)
    )


def no_photos(words: str) -> str:
    """In place of the pictures, where the library has none."""
    return empty(words)


def neighbours(query: Query | None, chosen: int | None = None) -> str:
    """The photos most like the query as thumbnails, to choose one of; nothing before there is a query."""
    if query is None:
        return ""
    if not query.hits:
        return section("Photos like it", empty(query.problem or "There is nothing like it in this library."))
    cards = "".join(
        f'<li><button type="button" data-cell data-event="why" data-photo="{hit.photo_id}" '
        f'aria-pressed="{_true(hit.photo_id == chosen)}" aria-label="Why is it like {text(hit.name)}? Similarity {hit.score:.3f}">'
        f'<img src="/photos/{hit.photo_id}/thumbnail" alt="{text(hit.name)}" loading="lazy" width="{THUMBNAIL_SIDE}" '
        f'height="{THUMBNAIL_SIDE}"></button><p class="rc-name" title="{text(hit.name)}">{text(hit.name)}</p>'
        f'<p class="rc-under"><span class="rc-score">{hit.score:.3f}</span></p></li>'
        for hit in query.hits
    )
    return section(
        f"Photos like {text(query.name)}",
        about("Choose one to see why it is there.") + f'<ul class="rc-grid rc-why-row" data-grid>{cards}</ul>',
    )


def sum_words(view: PairView, shown_score: float | None) -> str:
    """What the cells sum to, and that this is the score: that of the search where it is the part that searches compare."""
    first, second = (float(side.cells.sum()) + side.constant for side in view.sides)
    constant = " and the constant" * any(side.constant for side in view.sides)
    total = f"{first:.4f}"
    said = (
        f"The cells{constant} of either picture sum to {_signed(first, plus='')}"
        if total == f"{second:.4f}"
        else f"The cells{constant} sum to {_signed(first, plus='')} and {_signed(second, plus='')}"
    )
    is_last = view.part == len(view.pair.scores) - 1
    score = shown_score if is_last and shown_score is not None else view.stored_cosine
    what = "the score of a search with the picture" if is_last else "the cosine of the stored vectors"
    if score is None:
        return f"{said} = their cosine, computed afresh ({_signed(view.cosine, plus='')})."
    if f"{score:.4f}" == total:
        return f"{said} = {what} ({_signed(score, plus='')})."
    return f"{said}; {what} is {_signed(score, plus='')}, as stored vectors are rounded to half precision."


def cell_words(view: PairView, cell: CellView) -> str:
    """What the chosen cell adds, and which cells of the other picture that is from."""
    whole, share = _signed(view.cosine, plus=""), abs(cell.share)
    verb = (
        f"adds {_small(share)} of {whole}"
        if cell.share >= 0
        else f"takes {_small(share, plus='')} away, leaving {whole}"
    )
    of_best = sum(value for _, value in cell.best)
    if cell.share > 0 and of_best >= cell.share / 2:
        matched = f"most of it from {_COUNTED[len(cell.best)]}"
    else:
        matched = f"{_COUNTED[len(cell.best)]} of the other picture matched it best"
    return f"This cell {verb}; {matched}."


def _view(view: PairView, shown_score: float | None) -> str:
    sides = "".join(_side(view, number) for number in (0, 1))
    if view.cell is None:
        told = f'<p class="rc-why-told">{sum_words(view, shown_score)}</p>'
        hint = "Click a cell of either picture, or move with the arrow keys and press Enter, to see what it matched."
        told += about(hint)
        back = ""
    else:
        best = "".join(f"<li>{_place(cell)}: {_part_of(value, view.cell)}</li>" for cell, value in view.cell.best)
        told = f'<p class="rc-why-told">{cell_words(view, view.cell)}</p><ol class="rc-why-best">{best}</ol>'
        back = (
            '<button type="button" class="rc-why-link" data-event="whole" data-key="Escape">Back to the whole map <kbd>Esc</kbd>'
            "</button>"
        )
    return f'<div class="rc-why-pair">{sides}</div>' + _below(_legend(view), told + back)


def _below(scale: str, words: str) -> str:
    return (
        f'<p class="rc-why-at" aria-live="polite"></p>{scale}<div class="rc-why-words" aria-live="polite">{words}</div>'
    )


def _side(view: PairView, number: int) -> str:
    side, cell = view.sides[number], view.cell
    is_asked = cell is not None and cell.side == number
    marks, place = "", (0, 0)
    if cell is not None and is_asked:
        place = cell.cell
        left, top, right, bottom = _box(side, place)
        window = f"clip-path:inset({top:.3f}% {100 - right:.3f}% {100 - bottom:.3f}% {left:.3f}%)"
        marks = (
            f'<img class="rc-why-window" style="{window}" src="{_photo(side.picture)}" alt="">{_frame(side, place, "")}'
        )
    else:
        map_png = encoded(overlay(side.cells, side.grid, side.picture.shape[:2], view.limit))
        marks = f'<img class="rc-why-map" src="{data_url(map_png, "png")}" alt="">'
        if cell is not None:
            marks += "".join(_frame(side, one, str(rank)) for rank, (one, _) in enumerate(cell.best, start=1))
    values = ",".join(f"{value:.2g}" for value in side.cells.ravel())
    name = text(side.name)
    button = (
        f'<button type="button" class="rc-why-cells" data-event="cell" data-side="{number}" data-row="{place[0]}" '
        f'data-column="{place[1]}" data-rows="{_numbers(side.rows)}" data-columns="{_numbers(side.columns)}" '
        f'data-values="{values}" data-name="{name}" aria-label="Cells of {name}: arrow keys move, Enter chooses"></button>'
    )
    said = "the chosen cell" if is_asked else _sum_of(side)
    return _figure(side.name, side.picture, marks + '<i class="rc-why-cursor"></i>' + button, said, side.photo_id)


def _figure(name: str, picture: np.ndarray, over: str, said: str, photo_id: int | None) -> str:
    height, width = picture.shape[:2]
    named, asked = text(name), ""
    size = f'width="{width}" height="{height}"'
    if photo_id is not None:
        asked = (
            f'<button type="button" class="rc-why-link rc-why-search" data-event="choose" data-photo="{photo_id}" '
            f'aria-label="Search with {named}">Search with it</button>'
        )
    return (
        f'<figure class="rc-why-side"><div class="rc-why-view" style="aspect-ratio:{width}/{height}">'
        f'<img class="rc-why-photo" src="{_photo(picture)}" alt="{named}, as the network gets it" {size}>'
        f'{over}</div><figcaption><b title="{named}">{named}</b><span>{said}</span>{asked}</figcaption></figure>'
    )


def _legend(view: PairView) -> str:
    """The scale's colours, its ends and where the average cell lies on it."""
    average = 50 * (1 + view.average / view.limit)
    return _scale(
        f'<i style="left:{average:.2f}%"></i>',
        f"takes away: {_small(-view.limit)}",
        f"<i></i>average cell: {_small(view.average)}",
        f"adds: {_small(view.limit)}",
    )


def _scale(mark: str, *words: str) -> str:
    said = "".join(f"<span>{one}</span>" for one in words)
    return f'<div class="rc-why-scale"><div class="rc-why-ramp">{mark}</div><p>{said}</p></div>'


def _sum_of(side: SideView) -> str:
    rest = f", constant {_signed(side.constant)}" if side.constant else ""
    return f"cells {_signed(float(side.cells.sum()))}{rest}"


def _box(side: SideView, cell: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a cell in percent of the picture."""
    (row, column), (height, width) = cell, (side.rows[-1], side.columns[-1])
    left, right = (100 * side.columns[column + end] / width for end in (0, 1))
    top, bottom = (100 * side.rows[row + end] / height for end in (0, 1))
    return left, top, right, bottom


def _frame(side: SideView, cell: tuple[int, int], words: str) -> str:
    left, top, right, bottom = _box(side, cell)
    style = f"left:{left:.3f}%;top:{top:.3f}%;width:{right - left:.3f}%;height:{bottom - top:.3f}%"
    return f'<i class="rc-why-frame" style="{style}"><b>{words}</b></i>'


def _photo(picture: np.ndarray) -> str:
    return data_url(encoded(picture, "JPEG", 90), "jpeg")


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="rc-note" role="note">{text(note)}</p>' for note in notes)


def _place(cell: tuple[int, int]) -> str:
    """People count from 1."""
    return f"row {cell[0] + 1}, column {cell[1] + 1}"


def _signed(value: float, plus: str = "+") -> str:
    """Four digits with a sign: a true minus, which stands as high as the plus; none before what is rounded to nothing."""
    shown = f"{abs(value):.4f}"
    return shown if not float(shown) else ("\u2212" if value < 0 else plus) + shown


def _small(value: float, plus: str = "+") -> str:
    """Two digits that count, with a sign, as 6.1 × 10⁻⁷ where there would be many noughts."""
    sign, size = "\u2212" if value < 0 else plus, abs(value)
    if size == 0:
        return "0"
    if size >= 1e-4:
        return f"{sign}{size:.{max(1 - math.floor(math.log10(size)), 1)}f}"
    digits, power = f"{size:.1e}".split("e")
    return f"{sign}{digits} × 10{str(int(power)).translate(_RAISED)}"


def _part_of(value: float, cell: CellView) -> str:
    """What one matched cell adds, and how much of the chosen cell's share that is."""
    return _small(value) + (f" ({value / cell.share:.0%} of it)" if cell.share > 0 else "")


def _bar(words: str, number: str, share: float) -> str:
    return (
        f'<span class="rc-label">{words}</span><span class="rc-percent">{number}</span>'
        f'<span class="rc-bar"><span style="width:{100 * min(max(share, 0), 1):.1f}%"></span></span>'
    )


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _true(is_so: bool) -> str:
    return "true" if is_so else "false"
