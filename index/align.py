"""Where one small grey picture lies in another: an affine fit, and how well the two agree there. Pure.

Pictures are float32 (h, w). A fit maps a pixel (x, y) of the first picture to one of the second: matrix @ (x, y) + shift.
The fit is found by Gauss-Newton steps on the squared difference after a gain and an offset (Lucas and Kanade, 1981), coarse
to fine, and judged by the correlation of what is left when slow changes are taken away: two skies agree in those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

COARSE_PX, FINE_PX = 48, 144  # long sides at which is fitted
COARSE_STEPS, FINE_STEPS = 10, 5
HOPELESS = 0.35  # score after the coarse steps below which the fine ones are spared
SETTLED_PX = 0.02  # a step that moves no corner further is the last
SLOW = 0.05  # of the long side: changes slower than this are taken away before two pictures are correlated


@dataclass(frozen=True)
class Fit:
    """Where the first picture's pixels are in the second, in pixels of the two, and how well they agree, -1 to 1."""

    matrix: np.ndarray  # float64 (2, 2)
    shift: np.ndarray  # float64 (2,)
    score: float  # correlation of what is common, without slow changes
    overlap: float  # of the first picture's area that lies in the second
    gain: float = 1.0  # second = gain * first + offset, about
    offset: float = 0.0


def whole_fit(first: np.ndarray, second: np.ndarray) -> Fit:
    """The fit that lays one whole picture over the other, judged."""
    scale = (np.array(second.shape[::-1]) / first.shape[::-1]).astype(np.float64)
    return judged(first, second, np.diag(scale), 0.5 * scale - 0.5)


def refined(first: np.ndarray, second: np.ndarray, start: Fit) -> Fit | None:
    """The fit improved from a rough one, and judged; None where there is nothing to hold on to."""
    matrix, shift = start.matrix, start.shift
    for long_side, steps in ((COARSE_PX, COARSE_STEPS), (FINE_PX, FINE_STEPS)):
        # Both at the same scale, the one at which what is common is `long_side` long.
        zoom = min(1.0, long_side / max(first.shape))
        other = min(1.0, zoom / max(np.sqrt(abs(np.linalg.det(matrix))), 1e-6))
        small, large = shrunk(first, zoom), shrunk(second, other)
        centre = 0.5 * np.ones(2)
        local = matrix * other / zoom
        moved = other * (matrix @ (centre / zoom - centre) + shift + centre) - centre
        improved = _improved(small, large, local, moved, steps)
        if improved is None:
            return None
        local, moved = improved
        matrix = local * zoom / other
        shift = (moved + centre) / other - centre - matrix @ (centre / zoom - centre)
        if long_side == COARSE_PX and judged(small, large, local, moved).score < HOPELESS:
            return None
    return judged(first, second, matrix, shift)


def judged(first: np.ndarray, second: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> Fit:
    """The fit with its score, overlap, gain and offset."""
    seen = _warped(second, matrix, shift, first.shape)
    inside = inside_of(second.shape, matrix, shift, first.shape)
    overlap = float(inside.mean())
    if inside.sum() < 64:
        return Fit(matrix, shift, 0.0, overlap)
    slow = round(SLOW * max(first.shape)) * 2 + 1
    share = np.maximum(ndimage.uniform_filter(inside.astype(np.float32), slow), 1e-6)
    one, other = (np.where(inside, p - _slow(p, inside, share, slow), 0) for p in (first, seen))
    # A frame that two pictures share is no agreement: their middle has to agree too.
    score = min(_correlation(one, other), _correlation(_middle(one), _middle(other)))
    a, b = first[inside], seen[inside]
    gain = float(b.std() / a.std()) if a.std() > 1e-3 else 1.0
    return Fit(matrix, shift, score, overlap, gain, float(b.mean() - gain * a.mean()))


def shrunk(pixels: np.ndarray, zoom: float) -> np.ndarray:
    """The picture smaller by this factor (1 leaves it), by a triangular mean around each new pixel."""
    height, width = (max(2, round(side * zoom)) for side in pixels.shape)
    if (height, width) == pixels.shape:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def _improved(
    small: np.ndarray, large: np.ndarray, matrix: np.ndarray, shift: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray] | None:
    down, across = np.gradient(large)
    grid = np.indices(small.shape, dtype=np.float32)
    y, x = grid[0], grid[1]
    for _ in range(steps):
        inside = inside_of(large.shape, matrix, shift, small.shape)
        if inside.sum() < 64:
            return None
        seen, gx, gy = (_warped(one, matrix, shift, small.shape)[inside] for one in (large, across, down))
        u, v = x[inside], y[inside]
        columns = np.stack([gx * u, gx * v, gx, gy * u, gy * v, gy, seen, np.ones_like(u)], axis=1).astype(np.float64)
        normal = columns.T @ columns
        solved = np.linalg.lstsq(normal, columns.T @ small[inside].astype(np.float64), rcond=None)[0]
        if abs(solved[6]) < 0.05:
            return None  # the pictures have nothing to do with each other
        step = solved[:6] / solved[6]
        matrix = matrix + step[[0, 1, 3, 4]].reshape(2, 2)
        shift = shift + step[[2, 5]]
        moved = np.abs(
            step.reshape(2, 3) @ [[0, small.shape[1], 0, small.shape[1]], [0, 0, *small.shape[:1] * 2], [1] * 4]
        )
        if not 0.05 < np.linalg.det(matrix) < 20:
            return None
        if moved.max() < SETTLED_PX:
            break
    return matrix, shift


def _warped(pixels: np.ndarray, matrix: np.ndarray, shift: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    # ndimage counts (y, x).
    return ndimage.affine_transform(pixels, matrix[::-1, ::-1], shift[::-1], shape, order=1, mode="nearest")


def inside_of(size: tuple[int, ...], matrix: np.ndarray, shift: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of a picture of this shape, bool, lie in one of this size by the fit."""
    y, x = np.indices(shape)
    there_x = matrix[0, 0] * x + matrix[0, 1] * y + shift[0]
    there_y = matrix[1, 0] * x + matrix[1, 1] * y + shift[1]
    return (there_x > -0.6) & (there_y > -0.6) & (there_x < size[1] - 0.4) & (there_y < size[0] - 0.4)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / lengths if lengths > 1e-3 * one.size else 0.0


def _middle(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape
    return pixels[height // 8 : height - height // 8, width // 8 : width - width // 8]


def _slow(pixels: np.ndarray, inside: np.ndarray, share: np.ndarray, side: int) -> np.ndarray:
    """The mean around each pixel, of those inside."""
    return ndimage.uniform_filter(np.where(inside, pixels, 0), side) / share
