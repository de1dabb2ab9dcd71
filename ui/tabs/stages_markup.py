"""What the Stages tab shows, as HTML."""

from __future__ import annotations

import numpy as np

from ui.maps import encoded
from ui.markup import about, data_url, empty, problem, section, text
from ui.seeing_handlers import ChannelHit, ChannelResult
from ui.stage_handlers import NOT_STORED, PAGE, ChannelPage, ChannelView, Overview, StageSeen, Tile

THUMBNAIL_SIDE = 256  # pixels; only tells the browser the shape before the picture is there
PHOTOS = 6  # of a channel
NO_PICTURE = "Give a picture in the Look tab, or click a photo there: here you then see what every stage makes of it."
LEGEND = (
    "First: the mean of all channels, dark to light. Second: cells of one colour were answered alike; colours compare within "
    "one map, not from stage to stage."
)
SAVES = about("One sheet of all channels in this order, or their float32 maps with the picture, for NumPy.")
STEM_PHOTOS = "The library keeps no means of the stem: choose a stage to see which of your photos excite its channels."


def overview(seen: Overview) -> str:
    """The picture, then stem and stages in a row: mean and colours of each, all of one size and aligned with the picture."""
    if seen.problem is not None or seen.picture is None:
        return section("Every stage", problem(seen.problem))
    figures = _input(seen.picture) + "".join(_stage(stage) for stage in seen.stages)
    return section(f"Every stage of {text(seen.title)}", f'<div class="rc-overview">{figures}</div>')


def overview_places(spoken: list[str]) -> str:
    """What stands where the overview will be, in its size."""
    figure = '<figure class="rc-over"><figcaption><b>{}</b>&nbsp;</figcaption><i></i><i></i></figure>'
    figures = "".join(figure.format(text(name)) for name in ["input", *spoken])
    return section("Every stage", f'<div class="rc-overview" aria-hidden="true">{figures}</div>')


def nothing_yet() -> str:
    """Where there is no picture."""
    return section("Every stage", empty(NO_PICTURE))


def channels(page: ChannelPage) -> str:
    """A page of channel maps: each a button with its number and mean, and the way to the other pages."""
    if page.problem is not None:
        return section("Channels", problem(page.problem))
    last = page.first + len(page.tiles)
    words = f"{page.words}. " + (
        f"Channels {page.first + 1:,} to {last:,} in this order. Click one." if page.pages > 1 else "Click a channel."
    )
    hint = f'<p class="rc-hint">{text(page.hint)}</p>' if page.hint else ""
    tiles = "".join(_tile(tile) for tile in page.tiles)
    body = f'{about(words)}{hint}<ul class="rc-tiles" data-grid>{tiles}</ul>{_pager(page)}'
    return section(f"Channels of {text(page.spoken)}", body)


def channel_places() -> str:
    """What stands where a page of channels will be, in its size."""
    tiles = "<li><i></i><p>&nbsp;</p></li>" * PAGE
    return section("Channels", about(" ") + f'<ul class="rc-tiles" aria-hidden="true">{tiles}</ul>')


def channel(view: ChannelView) -> str:
    """One channel over the picture, and how strong it is in words."""
    if view.problem is not None or view.picture is None:
        return section("Channel", problem(view.problem))
    side = len(view.picture)
    name = f"channel {view.channel} of {view.spoken}"
    over = (
        f'<div class="rc-over-picture"><img src="{_photo(view.picture)}" alt="The picture as the network got it" '
        f'width="{side}" height="{side}"><img class="rc-over-map" src="{data_url(*view.map)}" '
        f'alt="Map of {text(name)}, dark to light" width="{side}" height="{side}"></div>'
    )
    # The tile of this channel is framed, without sending the page of tiles again.
    chosen = f'#stage-channels [data-channel="{view.channel}"]'
    style = f"<style>{chosen} {{ outline: 3px solid var(--rc-chosen); outline-offset: 2px; }}</style>"
    return style + section(text(name).capitalize(), about(_rank(view)) + over)


def numbers(view: ChannelView) -> str:
    """A channel's values over its cells."""
    return "" if view.problem is not None else _numbers(view) + _histogram(view)


def photos(view: ChannelView, result: ChannelResult) -> str:
    """The photos of the library that excite the channel most: each a button that makes it the query."""
    title = "My photos that excite it most"
    if view.problem is not None:
        return ""
    if view.stage == NOT_STORED:
        return section(title, empty(STEM_PHOTOS))
    if result.problem is not None or not result.hits:
        return section(title, problem(result.problem) or empty(result.hint or "There are none."))
    cards = "".join(_card(hit) for hit in result.hits)
    words = "By the channel's mean. Click one to search with it."
    return section(title, about(words) + f'<ul class="rc-grid rc-excited" data-grid>{cards}</ul>')


def saved(words: str, trouble: str | None, size: int = 0) -> str:
    """What was saved, or why nothing was."""
    if trouble:
        return problem(trouble)
    return f'<p class="rc-about" role="status">{text(words)} {_size(size)}.</p>'


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} KB"


def _input(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    return (
        f'<figure class="rc-over rc-input"><figcaption><b>Input</b>{width} x {height} pixels, as the network got them'
        f'</figcaption><img src="{_photo(picture)}" alt="The picture as the network got it" width="{width}" '
        f'height="{height}"><p class="rc-about">{text(LEGEND)}</p></figure>'
    )


def _stage(stage: StageSeen) -> str:
    name = text(stage.spoken)
    pictures = "".join(
        f'<img src="{data_url(*picture)}" alt="{alt} of {name}" width="256" height="256">'
        for picture, alt in (
            (stage.mean, "Mean of all channels"),
            (stage.colours, "Three leading directions in colour"),
        )
    )
    return f'<figure class="rc-over"><figcaption><b>{name}</b>{text(stage.words)}</figcaption>{pictures}</figure>'


def _pager(page: ChannelPage) -> str:
    if page.pages < 2:
        return ""
    steps = (("Previous", page.number - 1, "p"), ("Next", page.number + 1, "n"))
    previous, following = (
        f'<button type="button" data-event="turn" data-page="{max(to, 0)}" data-key="{key}" aria-keyshortcuts="{key}" '
        f'title="Key {key}"{"" if 0 <= to < page.pages else " disabled"}>{name}</button>'
        for name, to, key in steps
    )
    where = f'<span role="status">Page {page.number + 1:,} of {page.pages:,}</span>'
    return f'<nav class="rc-pager" aria-label="Pages of channels">{previous}{where}{following}</nav>'


def _tile(tile: Tile) -> str:
    mean = f"{tile.mean:.3g}"
    beside = "" if tile.higher_than is None else f", higher than in {_percent(tile.higher_than)} of your photos"
    under = mean if tile.higher_than is None else f"top {_percent(1 - tile.higher_than)}"
    return (
        f'<li><button type="button" data-cell data-event="channel" data-channel="{tile.channel}" '
        f'aria-label="Channel {tile.channel}, mean {mean}{beside}">'
        f'<img src="{data_url(*tile.picture)}" alt="" width="256" height="256"></button>'
        f"<p><b>{tile.channel}</b><span>{under}</span></p></li>"
    )


def _rank(view: ChannelView) -> str:
    place = "The strongest" if view.rank == 1 else f"Number {view.rank:,}"
    words = f"{place} of {view.channels:,} channels by its mean."
    if view.higher_than is None:
        return words
    return f"{words} Its mean here is higher than in {_percent(view.higher_than)} of your photos."


def _percent(share: float) -> str:
    """Rounded, but neither 0 nor all where it is not."""
    return f"{share:.0%}" if share in (0, 1) or 0.005 <= share < 0.995 else ("under 1%" if share < 0.5 else "over 99%")


def _numbers(view: ChannelView) -> str:
    row, column = view.highest_cell
    rows = (
        ("Mean", f"{view.mean:.4g}"),
        ("Highest", f"{view.highest:.4g}, row {row + 1}, column {column + 1}"),
        ("Lowest", f"{view.lowest:.4g}"),
        ("Above zero", f"{_percent(view.above_zero)} of {view.cells:,} cells"),
    )
    return '<dl class="rc-numbers">' + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in rows) + "</dl>"


def _histogram(view: ChannelView) -> str:
    most = max(view.histogram)
    bars = "".join(f'<span style="height:{100 * count / most:.1f}%"></span>' for count in view.histogram)
    words = f"How many cells have which value, from {view.lowest:.3g} to {view.highest:.3g}"
    return (
        f'<figure class="rc-histogram"><div role="img" aria-label="{words}">{bars}</div>'
        f"<figcaption><span>{view.lowest:.3g}</span><span>cells by value</span><span>{view.highest:.3g}</span></figcaption>"
        "</figure>"
    )


def _card(hit: ChannelHit) -> str:
    name, value, side = text(hit.name), f"{hit.value:.3g}", THUMBNAIL_SIDE
    return (
        f'<li><button type="button" data-cell data-event="choose" data-photo="{hit.photo_id}" '
        f'aria-label="Search with {name}, mean {value}">'
        f'<img src="/photos/{hit.photo_id}/thumbnail" alt="{name}" loading="lazy" width="{side}" height="{side}"></button>'
        f'<p class="rc-name" title="{name}">{name}</p><p class="rc-under"><span class="rc-score">{value}</span></p></li>'
    )


def _photo(picture: np.ndarray) -> str:
    return data_url(encoded(picture, "JPEG", 90), "jpeg")
