"""A stage of a picture as a file to take along: a sheet of all its channels, or the numbers themselves."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index.errors import LibraryError
from index.library import Library
from regconv.errors import RegconvError
from ui.handlers import model_name, refusal
from ui.maps import brightness, spoken_name
from ui.stage_handlers import channel_order, stage_look
from ui.stage_looks import StageLooks
from ui.stage_maps import SHEET_RAMP, png, whole_sheet

KINDS = ("png", "npz")
NAME_LENGTH = 60  # of the picture's part of a file name: names of 255 bytes are the most that disks take

ABOUT = """\
maps      float32 (c, h, w): the stage's map of every channel, by channel number
means     float32 (c,): the mean of every map
order     int64 (c,): the channels in the order they were shown in
picture   uint8 (side, side, 3): the picture as the network got it, RGB
first, stride   float64, int64: cell i of a row or column is centred on pixel first + i * stride of the picture, counted from 0
model, stage, photo, space   what made them: model and stage by name, the photo's file name, the space's key
Load with numpy.load(file, allow_pickle=False).
"""


@dataclass(frozen=True)
class StageFile:
    """A file of one stage; `words` say what is in it, `problem` why there is none."""

    name: str = ""
    data: bytes = b""
    words: str = ""
    problem: str | None = None


def stage_file(looks: StageLooks, library: Library, picture: str | int, stage: str, order: str, kind: str) -> StageFile:
    """A stage as PNG, one sheet of all its channels row by row in the order, or as NPZ, which ABOUT describes."""
    library = library.follow()
    try:
        if kind not in KINDS:
            raise LibraryError(f"There is no file of kind {kind!r}. There are {' and '.join(KINDS)}.")
        look, seen = stage_look(looks, library, picture, stage)
        channels = channel_order(library, look, seen, order)
    except (LibraryError, RegconvError) as error:
        return StageFile(problem=refusal(error))
    name = f"{_plain(look.title)}-{stage}.{kind}"
    what = f"{spoken_name(stage)} of {look.title}"
    if kind == "png":
        listed = ", ".join(map(str, channels.tolist()))
        about = f"{model_name(library)}, {what}: channels row by row, {listed}"
        sheet = whole_sheet(brightness(seen.maps, seen.widest)[channels])
        data = png(sheet, about.encode("utf-8", "replace").decode(), SHEET_RAMP)
        return StageFile(name, data, f"All {len(channels):,} channels of {what} on one sheet, in the order shown.")
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        maps=seen.maps,
        means=seen.means,
        order=channels,
        picture=look.picture,
        first=np.float64(seen.grid.first),
        stride=np.int64(seen.grid.stride),
        model=np.str_(model_name(library)),
        stage=np.str_(stage),
        photo=np.str_(look.title),
        space=np.str_(library.space.key),
        about=np.str_(ABOUT),
    )
    shape = " x ".join(map(str, seen.maps.shape))
    return StageFile(name, buffer.getvalue(), f"The numbers of {what}: maps, float32, {shape}, with the picture.")


def _plain(title: str) -> str:
    """A file's name without its ending, of letters and digits of any script."""
    return re.sub(r"[^\w.-]+", "-", Path(title).stem).strip("-.")[:NAME_LENGTH] or "picture"
