"""What the Stages tab does, as plain functions on plain values: every stage of one picture, its channels, and files of them.

No Gradio here, and no HTML. A refusal that a person can do something about is part of the answer, in words, not an exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from index.channels import ChannelValue, rank_channels
from index.errors import LibraryError
from index.library import Library
from regconv.errors import RegconvError
from ui.handlers import refusal
from ui.maps import brightness, spoken_name, stage_words
from ui.stage_looks import StageLook, StageLooks, StagesLook
from ui.stage_maps import aligned, leading_colours, light

PAGE = 32  # channels of a page
# The most bytes of one picture, before they become text: a page of channels stays below 400 KB, whatever the network.
TILE_BYTES, OVERVIEW_BYTES, LARGE_BYTES = 9_000, 16_000, 90_000
BINS = 24  # of the histogram
NOT_STORED = "stem"  # the library keeps the means of the stages alone

Order = Literal["value", "unusual"]
Picture = tuple[bytes, str]  # a file, and "png" or "webp"


@dataclass(frozen=True)
class StageSeen:
    """One stage of the overview. Both pictures lie exactly on the one that the network got."""

    name: str  # "stage1"
    spoken: str  # "stage 1"
    words: str  # shape, stride and receptive field
    mean: Picture
    colours: Picture


@dataclass(frozen=True)
class Overview:
    """Stem and stages of a picture, in running order; `problem` says why there are none."""

    title: str = ""
    picture: np.ndarray | None = None  # uint8 (side, side, 3), as the network got it
    stages: list[StageSeen] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True)
class Tile:
    """A channel on a page."""

    channel: int
    mean: float
    higher_than: (
        float | None
    )  # the share, 0 to 1, of a sample of the library in which its mean is lower; by "unusual" alone
    picture: Picture


@dataclass(frozen=True)
class ChannelPage:
    """A page of a stage's channels, `first` being the place of the first of them; `hint` says what the order could not do."""

    spoken: str = ""
    words: str = ""
    channels: int = 0
    number: int = 0  # of the page, from 0
    pages: int = 0
    first: int = 0
    tiles: list[Tile] = field(default_factory=list)
    hint: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ChannelView:
    """One channel: its map over the picture, and how strong it is, here and beside others."""

    stage: str = ""
    spoken: str = ""
    channel: int = 0
    picture: np.ndarray | None = None  # uint8 (side, side, 3)
    map: Picture = (b"", "png")
    mean: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0
    highest_cell: tuple[int, int] = (0, 0)  # row, column
    cells: int = 0
    above_zero: float = 0.0  # share of the cells
    rank: int = 0  # by mean, from 1
    channels: int = 0
    higher_than: float | None = None
    histogram: list[int] = field(
        default_factory=list
    )  # cells by value, from the lowest to the highest, BINS of one width
    problem: str | None = None


def overview(looks: StageLooks, library: Library, picture: str | int) -> Overview:
    """Every stage of a file or of a photo of the library."""
    try:
        look = looks.of(library.follow(), picture)
    except (LibraryError, RegconvError) as error:
        return Overview(problem=refusal(error))
    side = len(look.picture)
    stages = [_seen(stage, side) for stage in look.stages.values()]
    return Overview(look.title, look.picture, stages)


def channel_page(
    looks: StageLooks, library: Library, picture: str | int, stage: str, order: str = "value", number: int = 0
) -> ChannelPage:
    """A page of a stage's channels, the strongest or most unusual first; a number beyond the last page means the last."""
    library = library.follow()
    try:
        look, seen = stage_look(looks, library, picture, stage)
        ranked, hint = _ranked(library, look, seen, order)
    except (LibraryError, RegconvError) as error:
        return ChannelPage(problem=refusal(error))
    pages = -(-len(ranked) // PAGE)
    number = min(max(number, 0), pages - 1)
    shown = ranked[number * PAGE : (number + 1) * PAGE]
    cells = brightness(seen.maps[[one.channel for one in shown]], seen.widest)
    tiles = [
        Tile(one.channel, one.value, one.higher_than, _map_picture(grey, seen, look, TILE_BYTES))
        for one, grey in zip(shown, cells, strict=True)
    ]
    spoken = spoken_name(stage)
    return ChannelPage(spoken, _words(seen), len(ranked), number, pages, number * PAGE, tiles, hint)


def channel_view(
    looks: StageLooks, library: Library, picture: str | int, stage: str, channel: int | None = None
) -> ChannelView:
    """One channel of a stage, by default the strongest."""
    library = library.follow()
    try:
        look, seen = stage_look(looks, library, picture, stage)
        channel = int(seen.strongest[0]) if channel is None else channel
        if not 0 <= channel < len(seen.maps):
            raise LibraryError(
                f"There is no channel {channel} in {stage}. It has channels 0 to {len(seen.maps) - 1:,}."
            )
        shares = {} if stage == NOT_STORED else _shares(library, look, seen)
    except (LibraryError, RegconvError) as error:
        return ChannelView(problem=refusal(error))
    cells = seen.maps[channel]
    row, column = np.unravel_index(int(cells.argmax()), cells.shape)
    return ChannelView(
        stage,
        spoken_name(stage),
        channel,
        look.picture,
        _map_picture(brightness(cells[None], seen.widest)[0], seen, look, LARGE_BYTES),
        mean=float(seen.means[channel]),
        lowest=float(cells.min()),
        highest=float(cells.max()),
        highest_cell=(int(row), int(column)),
        cells=cells.size,
        above_zero=float((cells > 0).mean()),
        rank=int(np.flatnonzero(seen.strongest == channel)[0]) + 1,
        channels=len(seen.maps),
        higher_than=shares.get(channel),
        histogram=np.histogram(cells, BINS)[0].tolist(),
    )


def stage_look(looks: StageLooks, library: Library, picture: str | int, stage: str) -> tuple[StagesLook, StageLook]:
    """A picture's look and one stage of it; `library` is a handle from `follow`. Raises as `StageLooks.of`, and LibraryError
    for an unknown stage."""
    look = looks.of(library, picture)
    if stage not in look.stages:
        raise LibraryError(f"There is no stage {stage!r} in this network. It has {', '.join(look.stages)}.")
    return look, look.stages[stage]


def channel_order(library: Library, look: StagesLook, seen: StageLook, order: str) -> np.ndarray:
    """A stage's channels in an order, int64 (c,). Raises LibraryError for an unknown one."""
    return np.array([one.channel for one in _ranked(library, look, seen, order)[0]], np.int64)


def _ranked(library: Library, look: StagesLook, seen: StageLook, order: str) -> tuple[list[ChannelValue], str | None]:
    """All channels in an order, and what that order could not do."""
    if order not in get_args(Order):
        raise LibraryError(f"There is no order {order!r}. There are value and unusual.")
    plain = [ChannelValue(channel, float(seen.means[channel]), None) for channel in seen.strongest.tolist()]
    if order == "value":
        return plain, None
    if seen.name == NOT_STORED:
        return (
            plain,
            "The library keeps no means of the stem, so nothing says what is unusual: the strongest come first.",
        )
    ranked = rank_channels(library, seen.name, seen.means, look.content_id, "unusual")
    if ranked[0].higher_than is None:
        return ranked, "There are no other photos to compare with yet: the strongest come first."
    return ranked, None


def _shares(library: Library, look: StagesLook, seen: StageLook) -> dict[int, float | None]:
    ranked = rank_channels(library, seen.name, seen.means, look.content_id)
    return {one.channel: one.higher_than for one in ranked}


def _seen(stage: StageLook, side: int) -> StageSeen:
    mean = brightness(stage.maps.mean(axis=0, keepdims=True))[0]
    return StageSeen(
        stage.name,
        spoken_name(stage.name),
        _words(stage, side),
        light(aligned(mean, stage.grid, side), OVERVIEW_BYTES),
        light(aligned(leading_colours(stage.maps), stage.grid, side), OVERVIEW_BYTES),
    )


def _words(stage: StageLook, side: int | None = None) -> str:
    """Shape and stride, and with the picture's side how much of it a cell sees."""
    channels, height, width = stage.maps.shape
    words = stage_words("", channels, height, width, stage.grid.stride).removeprefix(": ")
    if side is None:
        return words
    more = ", more than the picture has" if stage.receptive > side else ""
    return f"{words}; each cell sees {stage.receptive} x {stage.receptive} pixels{more}"


def _map_picture(grey: np.ndarray, seen: StageLook, look: StagesLook, most_bytes: int) -> Picture:
    return light(aligned(grey, seen.grid, len(look.picture)), most_bytes)
