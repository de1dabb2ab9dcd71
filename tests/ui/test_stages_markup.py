"""The Stages tab's HTML: hostile words stay words, buttons carry what their events need, a page stays light."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.ui.html_pieces import HOSTILE, must_be_words_only
from ui.maps import brightness
from ui.seeing_handlers import ChannelHit, ChannelResult
from ui.stage_handlers import PAGE, TILE_BYTES, ChannelPage, ChannelView, Overview, StageSeen, Tile
from ui.stage_maps import light
from ui.tabs import stages_markup as markup

PICTURE = np.zeros((8, 8, 3), np.uint8)
FILE = (b"abc", "png")
VIEW = ChannelView("stage2", HOSTILE, 7, PICTURE, FILE, 0.5, -0.25, 2.0, (0, 3), 64, 0.25, 2, 96, 0.999, [4, 0, 2])


def page(number: int, pages: int, **more: object) -> ChannelPage:
    tiles = [Tile(41, 1.23456, None, FILE), Tile(3, 0.5, 0.97, FILE)]
    return ChannelPage(HOSTILE, HOSTILE, 900, number, pages, number * PAGE, tiles, **more)  # type: ignore[arg-type]


PIECES = {
    "overview": lambda: markup.overview(Overview(HOSTILE, PICTURE, [StageSeen(HOSTILE, HOSTILE, HOSTILE, FILE, FILE)])),
    "refused overview": lambda: markup.overview(Overview(problem=HOSTILE)),
    "places": lambda: markup.overview_places([HOSTILE]) + markup.channel_places(),
    "nothing yet": markup.nothing_yet,
    "channels": lambda: markup.channels(page(1, 3, hint=HOSTILE)),
    "refused channels": lambda: markup.channels(ChannelPage(problem=HOSTILE)),
    "channel": lambda: markup.channel(VIEW) + markup.numbers(VIEW),
    "refused channel": lambda: markup.channel(ChannelView(problem=HOSTILE)),
    "photos": lambda: markup.photos(VIEW, ChannelResult("stage2", 7, [ChannelHit(5, HOSTILE, 1.5)])),
    "no photos": lambda: markup.photos(VIEW, ChannelResult(hint=HOSTILE)),
    "refused photos": lambda: markup.photos(VIEW, ChannelResult(problem=HOSTILE)),
    "saved": lambda: markup.saved(HOSTILE, None, 10),
    "not saved": lambda: markup.saved("", HOSTILE),
}


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_words_stay_words(piece: str) -> None:
    must_be_words_only(PIECES[piece]())


def test_every_picture_has_an_alternative_text() -> None:
    for piece in PIECES.values():
        source = piece()
        assert source.count("<img ") == source.count(" alt=")


def test_tiles_are_buttons_with_number_and_mean() -> None:
    source = markup.channels(page(0, 1))
    assert 'data-event="channel" data-channel="41" aria-label="Channel 41, mean 1.23"' in source
    assert 'aria-label="Channel 3, mean 0.5, higher than in 97% of your photos"' in source
    assert re.findall(r"<b>(\d+)</b><span>([^<]*)<", source) == [("41", "1.23"), ("3", "top 3%")]
    assert "data-grid" in source
    assert 'data-event="turn"' not in source


def test_pages_are_turned_by_buttons_with_keys_and_end_at_both_ends() -> None:
    middle = markup.channels(page(1, 3))
    assert "Page 2 of 3" in middle
    assert "Channels 33 to 34 in this order" in middle
    assert re.findall(r'data-page="(\d+)" data-key="(.)"', middle) == [("0", "p"), ("2", "n")]
    assert "disabled" not in middle
    assert re.search(r'data-key="p"[^>]* disabled>Previous', markup.channels(page(0, 3)))
    assert re.search(r'data-key="n"[^>]* disabled>Next', markup.channels(page(2, 3)))


def test_a_channel_is_told_in_words() -> None:
    source = markup.channel(VIEW)
    assert "Number 2 of 96 channels by its mean." in source
    assert "higher than in over 99% of your photos" in source
    assert '#stage-channels [data-channel="7"]' in source
    numbers = markup.numbers(VIEW)
    assert re.findall(r"<dd>([^<]*)</dd>", numbers) == ["0.5", "2, row 1, column 4", "-0.25", "25% of 64 cells"]
    assert re.findall(r"height:([\d.]+)%", numbers) == ["100.0", "0.0", "50.0"]


def test_photos_are_buttons_and_the_stem_says_why_it_has_none() -> None:
    source = markup.photos(VIEW, ChannelResult("stage2", 7, [ChannelHit(5, "a.jpg", 1.5)]))
    assert 'data-event="choose" data-photo="5"' in source
    assert 'src="/photos/5/thumbnail" alt="a.jpg"' in source
    stem = markup.photos(ChannelView("stem", "stem", 1, PICTURE), ChannelResult())
    assert "keeps no means of the stem" in stem
    assert markup.photos(ChannelView(problem="no"), ChannelResult()) == ""


def test_a_page_of_the_noisiest_maps_stays_below_400_kb() -> None:
    noise = brightness(np.random.default_rng(0).normal(size=(PAGE, 192, 192)).astype(np.float32))
    tiles = [Tile(30000 + number, -1.23456e-5, 0.5, light(one, TILE_BYTES)) for number, one in enumerate(noise)]
    source = markup.channels(ChannelPage("stage 4", "words", 28280, 3, 884, 96, tiles))
    assert 100_000 < len(source) < 400_000
