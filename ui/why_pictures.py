"""Pictures of why two pictures are alike: both side by side, grey, with what every cell adds to the cosine in colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from index.why import CellMatches, PartWhy, Why
from regconv.cell_geometry import CellGrid
from ui.maps import spoken_name
from ui.terminal import shown

PANEL_PX = 440  # about the side of each picture: whole pixels of the prepared one make it a little more or less
_GAP, _LINE, _BAR = 16, 24, 14
_PAPER, _INK, _FAINT = (250, 250, 248), (30, 30, 34), (110, 110, 116)
_ADDS, _TAKES = np.array((214, 72, 16)), np.array((36, 84, 214))  # told apart by colour-blind eyes too
_STRONGEST = 0.85  # how much of the colour, at the end of the scale, covers the picture
_FINE = 2  # pixels of an overlay for each of the prepared picture: cells begin at whole and at half pixels


@dataclass(frozen=True)
class _Scale:
    """The largest value of either sign, and what a cell adds on average."""

    limit: float
    average: float


def part_picture(why: Why, part: PartWhy) -> np.ndarray:
    """Both pictures with the part's maps over them, uint8 (H, W, 3); one scale for both."""
    maps = part.maps
    limit = end_of_scale(maps.first, maps.second)
    panels = [
        _tinted(side.picture, cells, part.grid, limit)
        for side, cells in zip(why.sides, (maps.first, maps.second), strict=True)
    ]
    stored = "" if part.stored_cosine is None else f" ({part.stored_cosine:.4f} as stored)"
    words = f"{part_name(part)}: cosine {part.cosine:.4f}{stored}"
    below = [
        _side_words(side.path, cells, constant)
        for side, cells, constant in zip(why.sides, (maps.first, maps.second), maps.constants, strict=True)
    ]
    return _sheet(words, panels, below, _Scale(limit, float(np.append(maps.first, maps.second).mean())))


def part_name(part: PartWhy) -> str:
    """For instance "stage 2", or "stage 4 as searched"."""
    return spoken_name(part.name) + (" as searched" if part.is_searched else "")


def cell_picture(why: Why, part: PartWhy, matches: CellMatches) -> np.ndarray:
    """The first picture with one cell framed, and over the second what each of its cells adds together with that one."""
    limit = end_of_scale(matches.pairs.cells)
    first, second = (side.picture for side in why.sides)
    none = np.zeros_like(part.maps.first)
    panels = [_tinted(first, none, part.grid, limit), _tinted(second, matches.pairs.cells, part.grid, limit)]
    _frame(panels[0], first.shape[0], part.grid, matches.cell, none.shape)
    row, column = matches.cell
    words = f"{part_name(part)}: cell {row},{column} adds {matches.pairs.share:+.4f} to the cosine"
    below = [
        f"{_name(why.sides[0].path)}: the cell",
        _side_words(why.sides[1].path, matches.pairs.cells, matches.pairs.constant),
    ]
    return _sheet(words, panels, below, _Scale(limit, float(matches.pairs.cells.mean())))


def overlay(cells: np.ndarray, grid: CellGrid, shape: tuple[int, int], limit: float) -> np.ndarray:
    """Cells (rows, columns) in colour, to be laid over a prepared picture of `shape`: uint8 (2 h, 2 w, 4), clear where zero."""
    axes = [grid.nearest(_pixel_centres(side, _FINE), count) for side, count in zip(shape, cells.shape, strict=True)]
    values = cells[np.ix_(*axes)] / limit
    colour = np.where(values[:, :, None] >= 0, _ADDS, _TAKES)
    opacity = 255 * _STRONGEST * np.abs(values)[:, :, None]
    return np.rint(np.concatenate([colour, opacity], axis=2)).clip(0, 255).astype(np.uint8)


def cell_edges(grid: CellGrid, side: int, count: int) -> list[float]:
    """Where each of `count` cells begins along a side of the prepared picture, as it is painted, in pixels; and the last's end."""
    painted = grid.nearest(_pixel_centres(side, _FINE), count)
    return [*(np.searchsorted(painted, np.arange(count)) / _FINE).tolist(), float(side)]


def end_of_scale(*maps: np.ndarray) -> float:
    """The largest value of either sign."""
    return max(float(np.abs(cells).max()) for cells in maps) or 1.0


def _side_words(path: str, cells: np.ndarray, constant: float) -> str:
    rest = f", constant {constant:+.4f}" if constant else ""
    return f"{_name(path)}: cells {cells.sum():+.4f}{rest}"


def _name(path: str) -> str:
    name = shown(path.rsplit("/", 1)[-1])
    return name if len(name) <= 28 else f"{name[:14]}…{name[-13:]}"


def _zoom(side: int) -> int:
    return max(1, round(PANEL_PX / side))


def _pixel_centres(side: int, zoom: int) -> np.ndarray:
    """Where the pixels of a side that is enlarged lie on the prepared picture, in its pixels."""
    return (np.arange(side * zoom) + 0.5) / zoom - 0.5


def _tinted(picture: np.ndarray, cells: np.ndarray, grid: CellGrid, limit: float) -> np.ndarray:
    """A picture uint8 (h, w, 3), enlarged and grey, with cells (rows, columns) in colour, each the block that it is."""
    zoom = _zoom(len(picture))
    height, width = picture.shape[:2]
    grey = Image.fromarray(picture).convert("L").resize((width * zoom, height * zoom), Image.Resampling.BICUBIC)
    paper = 110 + 0.55 * np.asarray(grey, np.float64)[:, :, None]  # pale: dark places must not pass for strong ones
    rows = grid.nearest(_pixel_centres(height, zoom), cells.shape[0])
    columns = grid.nearest(_pixel_centres(width, zoom), cells.shape[1])
    return _coloured(paper, cells[np.ix_(rows, columns)] / limit)


def _coloured(paper: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values from -1 to 1 over grey paper (h, w, 1), uint8 (h, w, 3)."""
    strength = _STRONGEST * np.abs(values)[:, :, None]
    colour = np.where(values[:, :, None] >= 0, _ADDS, _TAKES)
    return np.rint(paper * (1 - strength) + colour * strength).clip(0, 255).astype(np.uint8)


def _frame(panel: np.ndarray, side: int, grid: CellGrid, cell: tuple[int, int], shape: tuple[int, ...]) -> None:
    spans = [
        np.flatnonzero(grid.nearest(_pixel_centres(side, _zoom(side)), shape[axis]) == cell[axis]) for axis in (0, 1)
    ]
    (top, bottom), (left, right) = ((int(span[0]), int(span[-1]) + 1) for span in spans)
    inside = panel[top + 3 : bottom - 3, left + 3 : right - 3].copy()
    panel[top:bottom, left:right] = _ADDS
    panel[top + 3 : bottom - 3, left + 3 : right - 3] = inside


def _sheet(words: str, panels: list[np.ndarray], below: list[str], scale: _Scale) -> np.ndarray:
    """Words above, two panels, words below each, and the scale."""
    height, width = panels[0].shape[:2]
    top = _GAP + _LINE
    sheet = Image.new("RGB", (2 * width + 3 * _GAP, top + height + 3 * _LINE + _BAR + 2 * _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    small = ImageFont.load_default(14)
    draw.text((_GAP, _GAP // 2), words, _INK, ImageFont.load_default(18))
    for number, (panel, line) in enumerate(zip(panels, below, strict=True)):
        left = _GAP + number * (width + _GAP)
        sheet.paste(Image.fromarray(panel), (left, top))
        draw.text((left, top + height + 5), line, _INK, small)
    _draw_scale(sheet, top + height + _LINE + _GAP, scale)
    return np.asarray(sheet)


def _draw_scale(sheet: Image.Image, top: int, scale: _Scale) -> None:
    """The colours from end to end and what they mean, with marks at zero and at the average cell."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    length, under = sheet.width - 2 * _GAP, top + _BAR + 6
    values = np.linspace(-1, 1, length)[None].repeat(_BAR, axis=0)
    sheet.paste(Image.fromarray(_coloured(np.full((_BAR, length, 1), 190.0), values)), (_GAP, top))
    draw.text((_GAP, under), f"{-scale.limit:+.2g} a cell: takes away", _FAINT, font)
    draw.text((sheet.width - _GAP, under), f"adds to the cosine: {scale.limit:+.2g} a cell", _FAINT, font, anchor="ra")
    average = _GAP + round((1 + scale.average / scale.limit) / 2 * length)
    for place in (sheet.width // 2, average):
        draw.line((place, top - 3, place, top + _BAR + 3), _INK)
    words = f"average {scale.average:+.2g}"
    room = _GAP + round(font.getlength(words)) // 2
    place = min(max(average, room), sheet.width - room)
    draw.text((place, under + _LINE - 4), words, _INK, font, anchor="ma")
