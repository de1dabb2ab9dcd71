"""Feature maps become pictures a person can read: one contact sheet a stage, and a sentence that says what is on it.

NumPy and Pillow only. The page and the command line show the same sheets.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

WEBP_METHOD = 0  # the fastest: a quarter of the time of Pillow's own choice, for a sixth more bytes
SHOWN = 16  # channels on a sheet: four by four stays readable on a phone
QUIET = 0.05  # a map that varies less than this share of its stage's strongest is not blown up to full contrast
BETWEEN = (112, 102, 108)  # the lines between maps: told from dark and light maps, on dark and light pages
BLOCKS_FROM = 3  # enlarged this often or more, a cell is shown as the block that it is, not smoothed away


class StageFacts(Protocol):
    """What the network says of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def stride(self) -> int: ...


@dataclass(frozen=True)
class Sheet:
    """One stage as a picture, with its numbers and words."""

    name: str  # "stem", "stage 1", …
    channels: int
    height: int  # cells
    width: int
    stride: int  # pixels of the prepared picture for each cell
    shown: tuple[int, ...]  # the channels on the picture, row by row
    words: str
    picture: np.ndarray  # uint8 (H, W, 3)


def stage_sheets(
    stem: np.ndarray, stages: Sequence[np.ndarray], facts: Sequence[StageFacts], **look: int
) -> list[Sheet]:
    """Sheets of the stem (1, c, h, w) and of every stage (1, c, h, w); `look` goes to `stage_picture`."""
    return [
        stage_sheet(maps[0], fact.name, fact.stride, **look) for maps, fact in zip((stem, *stages), facts, strict=True)
    ]


def stage_sheet(maps: np.ndarray, name: str, stride: int, **look: int) -> Sheet:
    """The sheet of one stage's maps (c, h, w)."""
    channels, height, width = maps.shape
    spoken = spoken_name(name)
    shown = strongest(maps, look.get("count", SHOWN))
    words = stage_words(spoken, channels, height, width, stride)
    picture = stage_picture(maps, **look)
    return Sheet(spoken, channels, height, width, stride, tuple(shown.tolist()), words, picture)


def spoken_name(stage: str) -> str:
    """For instance "stage 2" for stage2."""
    return re.sub(r"(?<=[a-z])_?(?=\d)", " ", stage)


def stage_words(name: str, channels: int, height: int, width: int, stride: int) -> str:
    """For instance "stage 2: 56 channels, 28 x 28 cells, one cell every 8 pixels"."""
    cells = f"{width} x {height} cell{'s' * (width * height > 1)}"
    every = f"one cell every {stride} pixels" if stride > 1 else "one cell for every pixel"
    return f"{name}: {channels:,} channel{'s' * (channels > 1)}, {cells}, {every}"


def strongest(maps: np.ndarray, count: int) -> np.ndarray:
    """The channels of maps (c, h, w) with the highest mean activation, int64 (at most count,), the highest first."""
    means = np.nan_to_num(maps.mean(axis=(1, 2), dtype=np.float64), posinf=0.0, neginf=0.0)
    return np.argsort(-means, kind="stable")[:count]


def stage_picture(
    maps: np.ndarray, *, count: int = SHOWN, columns: int = 4, tile: int = 96, gap: int = 4
) -> np.ndarray:
    """A contact sheet, uint8 (H, W, 3), of the `count` strongest channels of maps (c, h, w), each with a contrast of its own.

    `tile` is the longer side of one map in pixels, `gap` the width of the lines between them.
    """
    chosen = maps[strongest(maps, count)]
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    cells_high, cells_wide = maps.shape[1:]
    high, wide = (max(1, round(tile * side / max(cells_high, cells_wide))) for side in (cells_high, cells_wide))
    sheet = np.empty((rows * (high + gap) - gap, columns * (wide + gap) - gap, 3), np.uint8)
    sheet[:] = BETWEEN
    for position, one in enumerate(brightness(chosen)):
        top, left = position // columns * (high + gap), position % columns * (wide + gap)
        sheet[top : top + high, left : left + wide] = RAMP[_resized(one, wide, high)]
    return sheet


def encoded(picture: np.ndarray, kind: str = "PNG", quality: int = 85) -> bytes:
    """A picture uint8 (h, w, 3) as the bytes of a file."""
    buffer = io.BytesIO()
    options: dict[str, int] = {
        "PNG": {},
        "JPEG": {"quality": quality},
        "WEBP": {"quality": quality, "method": WEBP_METHOD},
    }[kind]
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def brightness(maps: np.ndarray, widest: float | None = None) -> np.ndarray:
    """uint8 (c, h, w): each map's own range from dark to light, outliers cut, nearly flat maps left nearly flat.

    Flat is meant beside the `widest` range of a map, of these where it is not given.
    """
    maps = np.nan_to_num(maps.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(maps, (1, 99), axis=(1, 2), keepdims=True)
    if maps.shape[1] * maps.shape[2] < 400:  # on few cells a percentile would cut the very cell that matters
        low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    span = np.maximum(high - low, max(QUIET * (float((high - low).max()) if widest is None else widest), 1e-12))
    return np.rint(np.clip((maps - low) / span, 0, 1) * 255).astype(np.uint8)


def _resized(cells: np.ndarray, wide: int, high: int) -> np.ndarray:
    blocky = wide >= BLOCKS_FROM * cells.shape[1]
    how = Image.Resampling.NEAREST if blocky else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(cells).resize((wide, high), how))


def _ramp() -> np.ndarray:
    """256 colours, uint8 (256, 3), from near black through plum and rose to a warm white.

    Lightness rises evenly to the eye (OKLab), so equal steps of a map are equal steps on the screen, also in black and
    white and for colour-blind eyes. The curve lies within sRGB: nothing is cut.
    """
    step = np.linspace(0, 1, 256)
    lightness = 0.17 + 0.80 * step
    chroma = 0.02 + 0.12 * np.sin(np.pi * step) ** 0.8
    hue = np.deg2rad(300 + 140 * step)
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    # Björn Ottosson's OKLab: to cone responses, to linear sRGB, to sRGB.
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    linear = (
        np.array(
            [
                [4.0767416621, -3.3077115913, 0.2309699292],
                [-1.2684380046, 2.6097574011, -0.3413193965],
                [-0.0041960863, -0.7034186147, 1.7076147010],
            ]
        )
        @ cones**3
    ).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(srgb.T * 255).astype(np.uint8)


RAMP = _ramp()
