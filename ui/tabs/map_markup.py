"""What the Map tab shows, as HTML; the points and pictures on it are map.js's."""

from __future__ import annotations

from importlib.metadata import version

from ui.map_handlers import MapView
from ui.markup import about, empty, problem, section, text

PLOTLY = (
    f"/plotly-{version('plotly')}.min.js"  # another version is another address, so that browsers may keep it for ever
)

HOW = (
    "Photos that the network finds alike lie close together. Scroll to zoom, drag to move, double-click to see all; "
    "click a photo to search with it."
)
KEYS = "Arrows move the map, + and - zoom, 0 shows all. Tab goes on to the photos: arrows go from one to the next, Enter searches."


def state(view: MapView, query: int | None) -> str:
    """What is known of the map, in words, and what can be done; data-* tell map.js which map and which query to show."""
    facts = f'data-map="{text(view.stamp)}" data-query="{"" if query is None else query}"'
    return f'<div class="rc-map-state" {facts}>{_words(view)}</div>'


def canvas() -> str:
    """The map's place, with its buttons: map.js fills it."""
    zoom = (
        '<button type="button" data-zoom="in" aria-label="Zoom in">+</button>'
        '<button type="button" data-zoom="out" aria-label="Zoom out">&minus;</button>'
        '<button type="button" data-zoom="all">All</button>'
    )
    return (
        f'<div class="rc-map" data-plotly="{PLOTLY}" hidden>'
        '<div class="rc-map-bar"><div class="rc-map-colours" role="group" aria-label="Colour the points by"></div>'
        f'<div class="rc-map-zoom" role="group" aria-label="Zoom">{zoom}</div></div>'
        f'<div class="rc-map-field"><div class="rc-map-plot" tabindex="0" role="application" aria-label="Map. {KEYS}"></div>'
        '<ul class="rc-map-photos" data-grid aria-label="Photos in view"></ul><p class="rc-map-name" hidden></p>'
        '<p class="rc-map-wait" role="status"></p></div>'
        f'<ul class="rc-map-legend" aria-label="Colours"></ul><p class="rc-about rc-map-keys">{KEYS}</p></div>'
    )


def _words(view: MapView) -> str:
    if view.hint is not None:
        return section("Map", empty(view.hint))
    if view.running:
        return section("Map", _progress(view))
    draw = '<button type="button" class="rc-map-do" data-event="draw">{}</button>'
    if not view.stamp:
        words = "A map of the library has not been drawn yet. It takes about a minute for 10,000 photos, and is kept."
        return section("Map", problem(view.problem) + _line(words, draw.format("Draw the map")))
    body = about(f"{_how_many(view)} {HOW}") + problem(view.problem)
    if view.new:
        are = "photo is" if view.new == 1 else "photos are"
        body += _line(f"{view.new:,} {are} not on this map yet.", draw.format("Draw anew"))
    return section("Map", body)


def _how_many(view: MapView) -> str:
    if view.is_sample:
        return f"{view.shown:,} of {view.total:,} photos, chosen at random."
    copies = ", copies once" if view.total > view.shown + view.new else ""
    return f"{view.shown:,} photo{'s' * (view.shown != 1)}{copies}."


def _progress(view: MapView) -> str:
    words = (
        "Drawing the map" if view.percent >= 25 else "Looking for what is alike"
    )  # the first quarter: index/projection.py
    stop = '<button type="button" class="rc-map-do" data-event="stop">Stop</button>'
    return (
        f'<div class="rc-job"><p><b>{words}</b><span>{view.percent} %</span></p>'
        f'<progress aria-label="{words}" max="100" value="{view.percent}">{view.percent} %</progress></div>'
        + _line("It goes on when this page is closed.", stop)
    )


def _line(words: str, button: str) -> str:
    return f'<div class="rc-map-line"><p>{text(words)}</p>{button}</div>'
