"""What the page's events about two pictures and about channels do, as plain functions on plain values.

A refusal that a person can do something about is part of the answer, in words, not an exception.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from index.bounds import why_none
from index.channels import EVERYTHING, photos_of_channel, stage_of, strongest_channels
from index.errors import LibraryError
from index.library import Library
from index.why import CellMatches, PartWhy, Why, why_alike
from regconv.errors import RegconvError
from ui.handlers import refusal
from ui.why_pictures import cell_picture, part_name, part_picture

SHOWN = 12


@dataclass(frozen=True)
class CellView:
    """A cell of the first picture, what it adds to the cosine, and where in the second picture that comes from."""

    cell: tuple[int, int]  # row, column
    share: float
    over_second: np.ndarray  # float64 (h', w'); with `constant` it sums to share
    constant: float
    best: list[tuple[tuple[int, int], float]]  # cells of the second picture, the most first


@dataclass(frozen=True)
class PartView:
    """One part of two pictures: `first` (h, w) and constants[0] sum to the cosine; so do `second` and constants[1]."""

    part: str
    is_searched: bool  # of whitened vectors, as the library's searches compare them
    name: str  # "stage 2"
    cosine: float
    stored_cosine: float | None
    first: np.ndarray  # float64
    second: np.ndarray
    constants: tuple[float, float]
    picture: np.ndarray  # uint8 (H, W, 3): both with their maps
    cells: list[CellView]
    cell_picture: np.ndarray | None  # uint8 (H, W, 3), where a cell of this part was chosen


@dataclass(frozen=True)
class WhyResult:
    """Why two pictures are alike, a view for every part; `part` is the one asked for. `problem` says what can't be done."""

    part: str = ""
    views: list[PartView] = field(default_factory=list)
    without_vector: list[str] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True)
class ChannelHit:
    """A photo in which a channel is high."""

    photo_id: int
    name: str  # the file's, without folders
    value: float


@dataclass(frozen=True)
class ChannelResult:
    """The photos that excite a channel most; `hint` says why there are none."""

    stage: str = ""
    channel: int = 0
    hits: list[ChannelHit] = field(default_factory=list)
    hint: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class StrongestResult:
    """The channels that a picture excites most: (channel, value, share of the library in which it is lower, or None)."""

    stage: str = ""
    channels: list[tuple[int, float, float | None]] = field(default_factory=list)
    problem: str | None = None


def why(
    library: Library,
    first: str | int,
    second: str | int,
    part: str | None = None,
    cell: tuple[int, int] | None = None,
) -> WhyResult:
    """Two pictures, each a file that somebody gave the page or the id of a photo, explained."""
    library = library.follow()
    try:
        found = why_alike(library, first, second, part, cell)
    except (LibraryError, RegconvError) as error:
        return WhyResult(problem=refusal(error))
    return WhyResult(found.part, [_view(found, one, cell) for one in found.parts], found.empty)


def channel_photos(library: Library, channel: int, stage: str | None = None, k: int = SHOWN) -> ChannelResult:
    """The photos in which a channel of a stage, the last one by default, is highest."""
    library = library.follow()
    try:
        stage, _ = stage_of(library.space.parts, stage)
        found = photos_of_channel(library, channel, stage, k)
    except LibraryError as error:
        return ChannelResult(problem=str(error))
    hits = [ChannelHit(one.photo.id, os.path.basename(one.photo.path), one.value) for one in found]
    return ChannelResult(stage, channel, hits, None if hits else why_none(library, EVERYTHING))


def picture_channels(
    library: Library,
    picture: str | int,
    stage: str | None = None,
    k: int = SHOWN,
    by: Literal["value", "unusual"] = "value",
) -> StrongestResult:
    """The channels of a stage that a file or a photo excites most."""
    library = library.follow()
    try:
        stage, _ = stage_of(library.space.parts, stage)
        found = strongest_channels(library, picture, stage, k, by)
    except (LibraryError, RegconvError) as error:
        return StrongestResult(problem=refusal(error))
    return StrongestResult(stage, [(one.channel, one.value, one.higher_than) for one in found])


def _view(found: Why, part: PartWhy, cell: tuple[int, int] | None) -> PartView:
    maps = part.maps
    is_chosen = cell is not None and part.name == found.part
    return PartView(
        part.name,
        part.is_searched,
        part_name(part),
        part.cosine,
        part.stored_cosine,
        maps.first,
        maps.second,
        maps.constants,
        part_picture(found, part),
        [_cell_view(one) for one in part.cells],
        cell_picture(found, part, part.cells[0]) if is_chosen else None,
    )


def _cell_view(one: CellMatches) -> CellView:
    return CellView(one.cell, one.pairs.share, one.pairs.cells, one.pairs.constant, one.best)
