"""Channel search: the photos that excite one channel of a stage most, and the channels that a picture excites most.

A channel's value in a picture is its mean over the stage's map: the stored unit vector (float16) times its stored length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from index.errors import LibraryError
from index.library import Library
from index.look import Sees
from index.search import example_of_photo
from storage.records import Filter, PhotoRecord

SAMPLE = 4096  # contents by which it is judged how unusual a value is
LOOKED_UP = 1000  # highest contents that are looked at for a filter before all that it leaves is looked up
EVERYTHING = Filter()
By = Literal["value", "unusual"]


@dataclass(frozen=True)
class Excited:
    """A photo and the mean of the channel in it."""

    photo: PhotoRecord
    value: float


@dataclass(frozen=True)
class ChannelValue:
    """A channel's mean in a picture; higher_than: the share, 0 to 1, of a sample of the library's other contents in which it
    is lower, None where there are none."""

    channel: int
    value: float
    higher_than: float | None


def photos_of_channel(
    library: Library, channel: int, stage: str | None = None, k: int = 12, where: Filter = EVERYTHING
) -> list[Excited]:
    """The k present photos, within the filter, in which the channel's mean is highest; of even ones by content id.

    `stage` is the last one by default. Exact, in one pass over the shards. Raises LibraryError for an unknown stage or channel.
    """
    stage, width = stage_of(library.space.parts, stage)
    if not 0 <= channel < width:
        raise LibraryError(f"There is no channel {channel} in {stage}. It has channels 0 to {width - 1}.")
    contents, values = _column(library, stage, channel)
    wanted = k + (LOOKED_UP if where else 16)
    may_narrow = bool(where)
    while True:
        best = _highest(values, contents, wanted)
        photos = library.catalog.photos(contents[best].tolist(), where, library.space_id)
        found = [
            Excited(photo, value)
            for content, value in zip(contents[best].tolist(), values[best].tolist(), strict=True)
            for photo in photos.get(content, ())
        ]
        if len(found) >= k or len(best) == len(contents):
            return found[:k]
        if may_narrow:
            kept = np.isin(contents, library.catalog.matching(where))
            contents, values, may_narrow = contents[kept], values[kept], False
        wanted *= 4  # many of the highest are gone: look further


def strongest_channels(
    eyes: Sees, picture: str | int, stage: str | None = None, k: int = 12, by: By = "value"
) -> list[ChannelValue]:
    """The k channels of a stage, the last by default, with the highest mean in a picture file or photo of the library.

    by "unusual": those first that are higher than in most of a sample of the library, the same for the same library; of even
    ones those that are further above its mean, in deviations. A photo is known by its stored vectors: no picture is read.
    Raises UnreadableImage, and LibraryError for an unknown stage or photo.
    """
    library = eyes if isinstance(eyes, Library) else None
    stage, _ = stage_of(library.space.parts if library else eyes.backbone.description.parts, stage)
    content_id = None
    if isinstance(picture, str):
        decoded = eyes.decoder.picture(picture)
        parts = eyes.backbone.embed(decoded.picture[None])
        # Rounded as the stored ones that it is compared with.
        values = parts.vectors[stage][0].astype(np.float16).astype(np.float32) * parts.norms[stage][0]
        if library:
            content_id = library.catalog.contents_with([decoded.digest]).get(decoded.digest)
    elif library is None:
        raise LibraryError(f"The photo {picture} is asked for by its id, but there is no library. Give its file.")
    else:
        content_id = example_of_photo(library, picture).content_id
        values = _means(library, [content_id or 0], stage)[0]
    others = _others(library, stage, content_id) if library else np.empty((0, len(values)), np.float32)
    return _ranked(values, others, k, by)


def rank_channels(
    library: Library, stage: str, means: np.ndarray, content_id: int | None = None, by: By = "value"
) -> list[ChannelValue]:
    """All channels of a stage, ordered as `strongest_channels` does, for a picture whose means, float32 (c,), are known.

    `content_id` is the picture's own content, which it is not compared with. Raises LibraryError for an unknown stage.
    """
    stage, width = stage_of(library.space.parts, stage)
    if means.shape != (width,):
        raise LibraryError(f"{len(means)} means were given for {stage}, which has {width} channels.")
    norm = np.float32(np.linalg.norm(means.astype(np.float64)))
    values = (means / (norm or 1)).astype(np.float16).astype(np.float32) * norm  # rounded as the stored ones
    return _ranked(values, _others(library, stage, content_id), width, by)


def stage_of(parts: Iterable[tuple[str, int]], stage: str | None) -> tuple[str, int]:
    """(name, channels) of a stage among a space's parts, the last one for None. Raises LibraryError where it is none."""
    widths = dict(parts)
    stages = {name: width for name, width in widths.items() if name != "pooled"}
    if stage == "pooled" and stage in widths:
        raise LibraryError(
            "The part pooled is no mean of channels: a norm mixes all of them into each of its numbers. "
            f"Ask one of {', '.join(stages)}."
        )
    if stage is not None and stage not in stages:
        raise LibraryError(f"There is no stage {stage!r} in this network. It has {', '.join(stages)}.")
    name = stage or list(stages)[-1]
    return name, stages[name]


def _column(library: Library, stage: str, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """(content ids int64 (n,), the channel's means float32 (n,)) of everything stored."""
    library.vectors.refresh()
    position = library.space.names.index(stage)
    contents, values = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for mapped, rows, of_rows in library.vectors.by_shard():
        plain = np.asarray(mapped)  # a field of a memmap is slow
        units, norms = plain[stage][:, channel], plain["norms"][:, position]
        contents.append(of_rows)
        values.append(units[rows].astype(np.float32) * norms[rows])
    return np.concatenate(contents), np.concatenate(values)


def _highest(values: np.ndarray, contents: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` highest values, the highest first, of even ones by content id."""
    places = np.arange(len(values))
    if count < len(values):
        least = np.partition(values, len(values) - count)[len(values) - count]
        places = np.flatnonzero(values >= least)
    return places[np.lexsort((contents[places], -values[places]))][:count]


def _means(library: Library, contents: Iterable[int], stage: str) -> np.ndarray:
    """The stage's means, float32 (n, c), of those of the contents that have a vector."""
    library.vectors.refresh()
    known, found = library.vectors.of_parts(np.array(list(contents), np.int64), (stage, "norms"))
    position = library.space.names.index(stage)
    return found[stage][known] * found["norms"][known, position, None]


def _others(library: Library, stage: str, content_id: int | None) -> np.ndarray:
    library.vectors.refresh()
    sample = library.vectors.sample(SAMPLE)
    return _means(library, sample[sample != content_id].tolist(), stage)


def _ranked(values: np.ndarray, others: np.ndarray, k: int, by: By) -> list[ChannelValue]:
    shares = None
    order = np.argsort(-values, kind="stable")
    if len(others):
        shares = (others < values).mean(axis=0)
        if by == "unusual":
            above = (values - others.mean(axis=0)) / np.maximum(others.std(axis=0), 1e-12)
            order = np.lexsort((-above, -shares))
    return [
        ChannelValue(channel, float(values[channel]), None if shares is None else float(shares[channel]))
        for channel in order[:k].tolist()
    ]
