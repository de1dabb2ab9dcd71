"""Maps of a stage as pictures that lie exactly on the picture they were made of: means, colours, channels, and whole sheets."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from regconv.cell_geometry import CellGrid
from ui.maps import BETWEEN, QUIET, RAMP

MAP_PX = 256  # at most so many pixels a side; a smaller prepared picture is not blown up, the browser does that
SHEET_PIXELS = 16 << 20  # of a sheet with all channels: a byte each
SHEET_TILE = 160  # about the largest side of one map on it
SHEET_RAMP = np.vstack([RAMP[:255], np.array([BETWEEN], np.uint8)])  # the last colour is the one between maps
_DARKEST, _LIGHTEST = 32, 236  # of red, green and blue: full colours are hard to look at
_DIRECTIONS = 8  # that are followed to find the leading three
_ROUNDS = 16
_TRIES = (("WEBP", 1, 80), ("WEBP", 1, 50), ("WEBP", 2, 50), ("WEBP", 4, 40))  # kind, times smaller, quality


def aligned(cells: np.ndarray, grid: CellGrid, side: int) -> np.ndarray:
    """Cells (h, w) or (h, w, 3) laid over a square picture of `side` pixels: the same for a picture of at most MAP_PX."""
    size = min(side, MAP_PX)
    centres = (np.arange(size) + 0.5) * side / size - 0.5
    rows, columns = (grid.nearest(centres, count) for count in cells.shape[:2])
    return cells[rows[:, None], columns]


def leading_colours(maps: np.ndarray) -> np.ndarray:
    """Maps (c, h, w) as colours, uint8 (h, w, 3): along which of three directions the cells' channel vectors differ most.

    Red, green and blue are the cells' coordinates along the three leading principal components, the one with most variance
    first, each over its own range without the outermost 1 % of the cells. A component points where the mean of all channels
    grows, so that brighter is more active; one with hardly any spread beside the first stays an even grey.
    """
    channels, height, width = maps.shape
    cells = maps.reshape(channels, -1).T.astype(np.float32)
    cells = cells - cells.mean(axis=0)
    along = cells @ _components(cells)
    colours = np.full((height * width, 3), 0.5, np.float32)
    low, high = np.percentile(along, (1, 99), axis=0)
    for number, span in enumerate(high - low):
        if span > QUIET * (high[0] - low[0]) and span > 1e-6:
            colours[:, number] = (along[:, number] - low[number]) / span
    softened = _DARKEST + (_LIGHTEST - _DARKEST) * colours.clip(0, 1)
    return np.rint(softened).astype(np.uint8).reshape(height, width, 3)


def _components(cells: np.ndarray) -> np.ndarray:
    """The at most three leading principal components, float32 (c, k), of centred vectors (n, c).

    Found by orthogonal iteration from a fixed start: the same for the same cells, and quick for thousands of channels.
    """
    count = min(_DIRECTIONS, *cells.shape)
    basis = np.random.default_rng(0).normal(size=(cells.shape[1], count)).astype(np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(cells.T @ (cells @ basis))[0]
    _, _, turn = np.linalg.svd(cells @ basis, full_matrices=False)
    found: np.ndarray = basis @ turn[:3].T
    leaning = found.sum(axis=0)  # the sign of the covariance with the mean of all channels
    return found * np.where(leaning < 0, -1, 1)


def light(picture: np.ndarray, most_bytes: int) -> tuple[bytes, str]:
    """A picture, as the ramp's numbers uint8 (h, w) or in colour (h, w, 3), in at most so many bytes: (a file, "png" or "webp").

    Exact where that fits, else blurred, else smaller.
    """
    exact = png(picture)
    if len(exact) <= most_bytes:
        return exact, "png"
    whole = Image.fromarray(RAMP[picture] if picture.ndim == 2 else picture)
    for kind, smaller, quality in _TRIES:
        buffer = io.BytesIO()
        whole.reduce(smaller).save(buffer, kind, quality=quality)
        if buffer.tell() <= most_bytes:
            break
    return buffer.getvalue(), "webp"


def png(picture: np.ndarray, words: str = "", palette: np.ndarray = RAMP) -> bytes:
    """The same as a PNG without loss; `words` are kept in it as its description, numbers are colours of the palette."""
    image = Image.fromarray(picture)
    if picture.ndim == 2:
        image.putpalette(palette.tobytes())
    about = PngInfo()
    if words:
        about.add_itxt("Description", words)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


def whole_sheet(cells: np.ndarray) -> np.ndarray:
    """All maps of a stage, given as brightness uint8 (c, h, w), on one sheet, as numbers of SHEET_RAMP uint8 (H, W), row by row.

    A cell is a square of whole pixels; where even single pixels are too many, cells are left out evenly.
    """
    count, height, width = cells.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    gap = 4
    room = np.sqrt(SHEET_PIXELS / (rows * columns)) - gap  # for the side of one map
    times = int(min(SHEET_TILE, room) // max(height, width))
    if times < 1:
        step = int(np.ceil(max(height, width) / room))
        cells, times = cells[:, ::step, ::step], 1
    high, wide = (side * times for side in cells.shape[1:])
    sheet = np.full((rows * (high + gap) - gap, columns * (wide + gap) - gap), 255, np.uint8)
    for place, one in enumerate(cells):
        top, left = place // columns * (high + gap), place % columns * (wide + gap)
        sheet[top : top + high, left : left + wide] = np.minimum(one, 254).repeat(times, axis=0).repeat(times, axis=1)
    return sheet
