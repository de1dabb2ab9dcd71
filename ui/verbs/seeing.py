"""The commands to look into the network with a library at hand: why, channels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ui.filter_options import narrowed
from ui.verbs import seeing_text
from ui.verbs.command_line import Answer, Settings, verb

if TYPE_CHECKING:
    from index.why import PartWhy


class CellType(click.ParamType):
    """ROW,COL."""

    name = "cell"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers."""
        try:
            row, column = (int(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no cell: give its row and column from 0 on, such as 2,3.", param, ctx)
        return row, column


@verb
@click.argument("first", metavar="IMAGE")
@click.argument("second", metavar="IMAGE")
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False), help="Where the pictures go.")
@click.option("--part", metavar="NAME", help="Only this part, such as stage2.  [default: all parts]")
@click.option("--cell", metavar="ROW,COL", type=CellType(), help="Look into this cell of the first picture.")
def why(
    settings: Settings, first: str, second: str, out: str, part: str | None, cell: tuple[int, int] | None
) -> Answer:
    """Show which places of two pictures make them alike, in numbers that sum to their cosine."""
    from PIL import Image

    from index.why import why_alike
    from ui.why_pictures import cell_picture, part_picture

    with settings.eyes() as eyes:
        found = why_alike(eyes, first, second, part, cell)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    names = {f"{one.name}{'-searched' * one.is_searched}": one for one in found.parts}
    drawn = {f"{name}.png": part_picture(found, one) for name, one in names.items()}
    if cell is not None:
        looked_into = {name: one for name, one in names.items() if one.name == found.part}
        place = f"cell-{cell[0]}-{cell[1]}"
        drawn |= {f"{name}-{place}.png": cell_picture(found, one, one.cells[0]) for name, one in looked_into.items()}
    for name, picture in drawn.items():
        Image.fromarray(picture).save(folder / name)
    document: dict[str, Any] = {
        "part": found.part,
        "cosine": found.chosen.cosine,
        "stored_cosine": found.chosen.stored_cosine,
        "pictures": [str(folder / name) for name in drawn],
        "maps": [_part_document(one) for one in found.parts],
        "without_vector": found.empty,
    }
    return Answer(document, seeing_text.why_text(document))


def _part_document(part: PartWhy) -> dict[str, Any]:
    """The maps' numbers are rounded so that the sum of ten thousand is still right to 1e-6."""
    return {
        "part": part.name,
        "searched": part.is_searched,
        "cosine": part.cosine,
        "stored_cosine": part.stored_cosine,
        "constants": list(part.maps.constants),
        "cells": [list(part.maps.first.shape), list(part.maps.second.shape)],
        "stride": part.grid.stride,
        "first_cell_at": part.grid.first,
        "first": part.maps.first.round(10).tolist(),
        "second": part.maps.second.round(10).tolist(),
        "matches": [
            {
                "cell": list(one.cell),
                "share": one.pairs.share,
                "best": [{"cell": list(cell), "share": share} for cell, share in one.best],
            }
            for one in part.cells
        ],
    }


@verb
@click.argument("image", required=False, metavar="[IMAGE]")
@click.option("--stage", metavar="NAME", help="Which stage's channels.  [default: the last stage]")
@click.option(
    "--channel", type=click.IntRange(0), metavar="N", help="Find the photos in which this channel is highest."
)
@click.option("-k", default=12, show_default=True, type=click.IntRange(1, 100_000), help="How many.")
@click.option(
    "--by", type=click.Choice(("value", "unusual")), help="With IMAGE: the highest first, or those rarely so high."
)
@narrowed
def channels(
    settings: Settings,
    image: str | None,
    stage: str | None,
    channel: int | None,
    k: int,
    by: Literal["value", "unusual"] | None,
    **where: Any,
) -> Answer:
    """Find the photos that excite a channel most (--channel), or the channels that a picture excites most (IMAGE)."""
    if (image is None) == (channel is None):
        raise click.UsageError(
            "Give a picture, for its strongest channels, or --channel, for its photos: one of the two."
        )
    if channel is None:
        if any(where.values()):
            raise click.UsageError("--folder, --after, --before and --camera choose photos: they go with --channel.")
        return _strongest(settings, image or "", stage, k, by or "value")
    if by is not None:
        raise click.UsageError("--by is about a picture's channels: it goes with IMAGE.")
    return _photos(settings, channel, stage, k, where)


def _photos(settings: Settings, channel: int, stage: str | None, k: int, where: dict[str, Any]) -> Answer:
    from index.bounds import filter_of, why_none
    from index.channels import photos_of_channel, stage_of

    with settings.open() as library:
        stage, _ = stage_of(library.space.parts, stage)
        bounds = filter_of(**where)
        found = photos_of_channel(library, channel, stage, k, bounds)
        none = None if found else why_none(library, bounds)
    photos = [{"photo_id": one.photo.id, "path": one.photo.path, "value": one.value} for one in found]
    document: dict[str, Any] = {"stage": stage, "channel": channel, "photos": photos}
    return Answer(document, none or seeing_text.channel_text(document))


def _strongest(settings: Settings, image: str, stage: str | None, k: int, by: Literal["value", "unusual"]) -> Answer:
    from index.channels import stage_of, strongest_channels

    with settings.eyes() as eyes:
        stage, _ = stage_of(eyes.description.parts, stage)
        found = strongest_channels(eyes, image, stage, k, by)
    channels = [{"channel": one.channel, "value": one.value, "higher_than": one.higher_than} for one in found]
    document = {"stage": stage, "path": image, "channels": channels}
    return Answer(document, seeing_text.strongest_text(document))
